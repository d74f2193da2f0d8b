"""The page's modules run by Node, beside `document.js`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.node import node

from agent.viewer import assets

DOCUMENT = Path(__file__).with_name("document.js")


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], Any]:
    """Runs a module's text beside the page's own; what it gives to `tell` comes back."""
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / DOCUMENT.name).write_text(DOCUMENT.read_text(encoding="utf-8"), encoding="utf-8")
    for name in assets.OWN:
        if name.endswith(".js") and name != assets.ENTRY:
            (tmp_path / name).write_text(assets.read(name), encoding="utf-8")

    def ran(text: str) -> Any:
        tell = "const tell = (value) => console.log(JSON.stringify(value));\n"
        (tmp_path / "test.js").write_text(tell + text, encoding="utf-8")
        done = node(["test.js"], tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ran
