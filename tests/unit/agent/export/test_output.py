from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import ConfigError, StorageDenied
from agent.export.output import check_free, whole


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "replay.mp4"
    with whole(file) as aside:
        aside.write_bytes(b"abc")
        assert not file.exists()
    assert file.read_bytes() == b"abc"
    assert file.stat().st_mode & 0o077 == 0
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConfigError("x"), OSError(28, "No space left on device")])
def test_what_ends_before_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "replay.mp4"
    file.write_bytes(b"old")
    with pytest.raises(BaseException), whole(file) as aside:  # noqa: B017
        aside.write_bytes(b"half")
        raise error
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_that_lies_in_wait_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"kept")
    (tmp_path / f".replay.mp4.{os.getpid()}.part").symlink_to("precious")
    with whole(tmp_path / "replay.mp4") as aside:
        aside.write_bytes(b"abc")
    assert (tmp_path / "precious").read_bytes() == b"kept"
    assert (tmp_path / "replay.mp4").read_bytes() == b"abc"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageDenied), whole(tmp_path / "file" / "replay.mp4"):
        raise AssertionError("never here")


def test_nothing_is_written_over_without_leave(tmp_path: Path) -> None:
    file = tmp_path / "replay.mp4"
    check_free(file, force=False)
    file.write_bytes(b"old")
    with pytest.raises(ConfigError, match="there already"):
        check_free(file, force=False)
    check_free(file, force=True)
    with pytest.raises(ConfigError, match="is a folder"):
        check_free(tmp_path, force=True)


def test_what_came_meanwhile_is_written_over_with_leave_alone(tmp_path: Path) -> None:
    file = tmp_path / "replay.mp4"
    with pytest.raises(ConfigError, match="came while"), whole(file, over=False) as aside:
        aside.write_bytes(b"mine")
        file.write_bytes(b"another's")
    assert file.read_bytes() == b"another's"
    assert list(tmp_path.iterdir()) == [file]
    with whole(file) as aside:
        aside.write_bytes(b"mine")
    assert file.read_bytes() == b"mine"
    file.unlink()
    with whole(file, over=False) as aside:
        aside.write_bytes(b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_no_leave_is_named_that_nobody_can_give(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(ConfigError) as told:
        check_free(tmp_path / "a", None)
    assert "--force" not in told.value.hint
