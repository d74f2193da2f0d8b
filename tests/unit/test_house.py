"""The rules of the house that no linter knows: the maps, the README's tables and the tests name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.cli import COMMANDS
from agent.errors import EXIT_CODES
from agent.settings import load

ROOT = Path(__file__).parents[2]
LONGEST = 700


def _modules(package: str) -> list[Path]:
    return sorted(
        path.relative_to(ROOT / package)
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py" and "vendor" not in path.parts
    )


@pytest.mark.parametrize("package", ["agent", "bridge"])
def test_every_module_is_on_the_map(package: str) -> None:
    shown = set(re.findall(r"`([a-z_/0-9]+)`", (ROOT / package / "README.md").read_text()))
    missing = []
    for path in _modules(package):
        name = path.with_suffix("").as_posix()
        if name not in shown and name.removeprefix("emulated/") not in shown:
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("package", ["agent", "bridge"])
def test_nothing_on_the_map_is_gone(package: str) -> None:
    text = (ROOT / package / "README.md").read_text()
    first_cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    gone = []
    for name in (name for cell in first_cells for name in re.findall(r"`([a-z_/0-9]+)`", cell)):
        path = ROOT / package / name
        if not (path.is_dir() or path.with_suffix(".py").is_file()):
            gone.append(name)
    assert first_cells
    assert gone == []


# Protocols and values have nothing to run.
UNTESTED = {"bridge/ports.py", "agent/model.py"}


@pytest.mark.parametrize("package", ["agent", "bridge"])
def test_every_module_has_its_tests(package: str) -> None:
    missing = []
    for path in _modules(package):
        test = ROOT / "tests" / "unit" / package / path.parent / f"test_{path.name}"
        if test.is_file() == (f"{package}/{path.as_posix()}" in UNTESTED):
            missing.append(str(path))
    assert missing == []


@pytest.mark.parametrize("package", ["agent", "bridge"])
def test_a_map_fits_on_a_page(package: str) -> None:
    assert len((ROOT / package / "README.md").read_text().splitlines()) <= 80


@pytest.mark.parametrize("package", ["agent", "bridge"])
def test_no_module_is_too_long(package: str) -> None:
    long = [str(path) for path in _modules(package) if len((ROOT / package / path).read_text().splitlines()) > LONGEST]
    assert long == []


def test_readme_names_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name, _, _ in load({}).rows() if f"`{name}`" not in readme] == []


def test_readme_names_every_exit_code() -> None:
    section = (ROOT / "README.md").read_text().split("## Exit codes")[1].split("\n## ")[0]
    named = {int(code) for code in re.findall(r"\| (\d+) \|", section)}
    assert set(EXIT_CODES.values()) | {0, 1} <= named


def test_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"`{name}" not in readme and f"android-replay {name}" not in readme] == []


def test_every_command_shows_an_example() -> None:
    for name in COMMANDS:
        source = (ROOT / "agent" / "commands" / f"{name}.py").read_text()
        assert re.search(rf"Examples?: .*(?:\n.*)?android-replay {name}\b", source), name
