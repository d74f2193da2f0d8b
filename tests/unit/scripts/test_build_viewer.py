"""The build hook that fetches the viewer's player. npm is a function here; the real one runs in every build."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[3] / "scripts" / "build_viewer.py"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A fresh copy of the module that wants two small files instead of the real player's."""
    spec = importlib.util.spec_from_file_location("build_viewer", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FILES", {"a.js": ("package/a", sha(b"script")), "a.css": ("package/b", sha(b"style"))})
    return module


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Npm:
    """Writes a package into the folder, as `npm pack --json` does."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.calls: list[list[str]] = []

    def __call__(self, arguments: list[str], folder: Path) -> str:
        self.calls.append(arguments)
        with tarfile.open(folder / "p.tgz", "w:gz") as package:
            for name, data in self.files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                package.addfile(info, io.BytesIO(data))
        return json.dumps([{"filename": "p.tgz"}])


GOOD = {"package/a": b"script", "package/b": b"style", "package/c": b"other"}


def test_fetches_the_exact_version_and_leaves_a_stamp(hook: ModuleType, tmp_path: Path) -> None:
    npm = Npm(GOOD)
    hook.fetch(tmp_path / "vendor", npm)
    assert npm.calls[0][:2] == ["pack", "rrweb-player@2.1.6"]
    assert "--ignore-scripts" in npm.calls[0]
    assert (tmp_path / "vendor/a.js").read_bytes() == b"script"
    assert json.loads((tmp_path / "vendor/rrweb-player.json").read_bytes())["version"] == "2.1.6"
    assert sorted(p.name for p in (tmp_path / "vendor").iterdir()) == ["a.css", "a.js", "rrweb-player.json"]
    assert hook.present(tmp_path / "vendor")


@pytest.mark.parametrize("harm", ["missing", "changed", "stamp gone", "stamp old", "stamp torn"])
def test_what_is_not_whole_is_not_present(hook: ModuleType, tmp_path: Path, harm: str) -> None:
    hook.fetch(tmp_path, Npm(GOOD))
    stamp = tmp_path / "rrweb-player.json"
    match harm:
        case "missing":
            (tmp_path / "a.css").unlink()
        case "changed":
            (tmp_path / "a.js").write_bytes(b"other")
        case "stamp gone":
            stamp.unlink()
        case "stamp old":
            stamp.write_text(stamp.read_text().replace("2.1.6", "2.1.5"))
        case _:
            stamp.write_text("{")
    assert not hook.present(tmp_path)


@pytest.mark.parametrize(
    ("files", "words"),
    [({**GOOD, "package/a": b"tampered"}, "not the one"), ({"package/a": b"script"}, "no usable package")],
)
def test_a_wrong_package_is_refused_and_leaves_no_stamp(
    hook: ModuleType, tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    with pytest.raises(hook.VendorError, match=words):
        hook.fetch(tmp_path / "vendor", Npm(files))
    assert not hook.present(tmp_path / "vendor")


def test_an_answer_that_is_no_json_is_named(hook: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(hook.VendorError, match="no usable package"):
        hook.fetch(tmp_path, lambda arguments, folder: "<html>")


def builder(hook: ModuleType, root: Path, target: str) -> Any:
    return hook.BuildHook(str(root), {}, None, None, str(root / "dist"), target)


def test_a_build_with_the_player_present_calls_no_npm(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = Npm(GOOD)
    monkeypatch.setattr(hook, "run_npm", npm)
    for _ in range(2):
        builder(hook, tmp_path, "wheel").initialize("standard", {})
    assert len(npm.calls) == 1
    assert hook.present(tmp_path / "agent/viewer/static/vendor")


def test_a_source_distribution_fetches_nothing(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = Npm(GOOD)
    monkeypatch.setattr(hook, "run_npm", npm)
    builder(hook, tmp_path, "sdist").initialize("standard", {})
    assert npm.calls == []


def test_without_a_network_the_build_ends_with_the_reason_and_the_next_step(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A port on which nothing listens refuses at once, like a host with no way out.
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retry_mintimeout", "1")
    with pytest.raises(SystemExit) as ended:
        builder(hook, tmp_path, "wheel").initialize("standard", {})
    assert ended.value.code == 1
    told = "".join(capfd.readouterr())
    assert "could not be taken from npm" in told
    assert "ECONNREFUSED" in told
    assert "npm_config_registry" in told
    assert "Traceback" not in told
