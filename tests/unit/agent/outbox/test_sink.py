from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.outbox.sink import KINDS, parse_sink


def test_specs_name_sinks() -> None:
    assert parse_sink("dir:/tmp/out").name == "dir:/tmp/out"
    sink = parse_sink("collector:http://127.0.0.1:8377/", "key")
    assert sink.name == "collector:http://127.0.0.1:8377"
    sink.close()


def test_a_folder_means_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_sink("dir:out").name == f"dir:{tmp_path / 'out'}"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_sink("dir:~/out").name == f"dir:{tmp_path / 'out'}"


@pytest.mark.parametrize("spec", ["", "dir", "dir:", "ftp:host", "http://127.0.0.1", "C:", ":x"])
def test_other_specs_get_the_list_of_kinds(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sink(spec)
    for kind in KINDS:
        assert f"{kind}:" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8377",
        "ftp://127.0.0.1",
        "http://",
        "http://host:99999",
        "http://host:0",
        "http://user:secret@host",
        "http://host/?a=1",
        "http://[::1",
        "http://a b/",
        "http://ho\nst/",
    ],
)
def test_a_bad_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sink(f"collector:{url}")
    assert "secret" not in str(caught.value)


def test_a_key_that_no_header_can_carry_is_refused_unsaid() -> None:
    for key in ("schlüssel", "a\nb"):
        with pytest.raises(ConfigError) as caught:
            parse_sink("collector:http://127.0.0.1:1", key)
        assert key not in str(caught.value)
