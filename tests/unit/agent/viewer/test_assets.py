from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import BuildError
from agent.viewer import assets


def test_every_file_beside_the_page_is_listed() -> None:
    own = {file.relative_to(assets.STATIC).as_posix() for file in assets.STATIC.rglob("*") if file.is_file()}
    assert {name for name in own if not name.startswith("vendor/")} == {*assets.OWN, assets.PAGE}


def test_a_missing_player_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "STATIC", tmp_path)
    with pytest.raises(BuildError) as told:
        assets.check_build()
    assert "vendor/rrweb-player.js" in told.value.message
    assert "pip install" in told.value.hint
