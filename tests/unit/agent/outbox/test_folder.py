from __future__ import annotations

import os
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.segments import segment

from agent.errors import StorageDenied
from agent.model import Delivered, Rejected, Retry
from agent.outbox.folder import FolderSink
from agent.store.disk import FolderLock, FolderTaken
from agent.store.recording import LOCK, Recording


def test_segments_end_up_in_a_recording(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path / "out")
    sink.check()
    assert sink.send(segment(0)) == Delivered()
    assert sink.send(segment(1)) == Delivered()
    assert sink.send(segment(1)) == Delivered()
    sink.close()
    assert [manifest.seq for manifest in Recording.open(tmp_path / "out").manifests()] == [0, 1]


def test_a_folder_that_cannot_be_made_is_said_at_check_and_retried_at_send(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sink = FolderSink(tmp_path / "file" / "out")
    with pytest.raises(StorageDenied):
        sink.check()
    delivery = sink.send(segment())
    assert isinstance(delivery, Retry)
    assert delivery.after_s > 0
    sink.close()


def test_a_folder_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path / "out")
    sink.send(segment(0))
    shutil.rmtree(tmp_path / "out")
    assert sink.send(segment(0)) == Delivered()
    assert len(Recording.open(tmp_path / "out").manifests()) == 1
    sink.close()


def test_the_folder_is_shared_with_other_sinks_and_nobody_else(tmp_path: Path) -> None:
    sink, other = FolderSink(tmp_path / "out"), FolderSink(tmp_path / "out")
    assert sink.send(segment(0)) == Delivered()
    assert other.send(segment(1)) == Delivered()
    other.close()
    with pytest.raises(FolderTaken, match=f"in use by process {os.getpid()}"):
        FolderLock(tmp_path / "out" / LOCK)
    sink.close()
    with closing(FolderLock(tmp_path / "out" / LOCK)):
        assert isinstance(sink.send(segment(2)), Retry)
    assert sink.send(segment(2)) == Delivered()
    sink.close()


def test_a_segment_that_contradicts_itself_is_rejected(tmp_path: Path) -> None:
    with closing(FolderSink(tmp_path / "out")) as sink:
        assert isinstance(sink.send(replace(segment(), pictures={})), Rejected)
