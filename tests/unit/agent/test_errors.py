from __future__ import annotations

import inspect
from pathlib import Path

import agent.errors
import bridge.errors
from agent.errors import EXIT_CODES, AgentError, ConfigError, RecordingError, exit_code, next_step
from bridge.errors import AdbMissing, BridgeError, DeviceGone, HierarchyEmpty

README = Path(agent.errors.__file__).parents[1] / "README.md"


def test_the_nearest_class_of_the_tree_gives_the_code() -> None:
    assert exit_code(ConfigError("x")) == 2
    assert exit_code(RecordingError("x")) == EXIT_CODES[agent.errors.StorageError]
    assert exit_code(HierarchyEmpty("s", "dump")) == EXIT_CODES[BridgeError]
    assert exit_code(AdbMissing("", "start")) == 8
    assert exit_code(ValueError()) == 1


def test_every_code_is_in_the_readme_and_used_once() -> None:
    text = README.read_text()
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    for code in EXIT_CODES.values():
        assert f"| {code} |" in text


def test_every_error_is_in_the_printed_tree() -> None:
    for module, root in ((agent.errors, AgentError), (bridge.errors, BridgeError)):
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, root) and cls.__module__ == module.__name__:
                assert name in (module.__doc__ or ""), name


def test_a_bridge_error_names_device_and_operation() -> None:
    assert str(DeviceGone("R58M", "open", "device offline")) == "R58M: open: device offline"


def test_every_bridge_error_has_a_next_step() -> None:
    for name, cls in inspect.getmembers(bridge.errors, inspect.isclass):
        if issubclass(cls, BridgeError):
            assert next_step(cls("R58M", "open")).endswith((".", "?")), name
            assert exit_code(cls("R58M", "open")) >= 4, name
    assert next_step(DeviceGone("R58M", "open")) != next_step(AdbMissing("", "open"))
