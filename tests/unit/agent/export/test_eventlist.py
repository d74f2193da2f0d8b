from __future__ import annotations

import base64
import io
from pathlib import Path

import orjson
from fakes import patterned
from fakes.patterned import SESSION

from agent.export import eventlist
from agent.export.part import parts
from agent.export.stream import Stream
from agent.replay.playback import Playback
from agent.replay.validator import validate


def test_a_plain_list_with_the_pictures_in_it(tmp_path: Path) -> None:
    recording = patterned.record(tmp_path / "shop")
    (part,) = parts(recording, SESSION)
    out, told = io.BytesIO(), list[float]()
    count = eventlist.write(Stream(recording, part), part, out, told.append)
    events = orjson.loads(out.getvalue())
    assert len(events) == count
    assert validate(events, {}, batch=False) == []
    assert b'"picture:' not in out.getvalue()
    playback = Playback()
    shown = []
    for event in events:
        playback.feed(event)
        if not shown or playback.state.base != shown[-1]:
            shown.append(playback.state.base)
    pictures = [patterned.picture(n, patterned.FLAT if n > 20 else patterned.UPRIGHT).data for n in range(1, 31)]
    assert [base64.b64decode(source.partition(",")[2]) for source in shown[1:]] == pictures
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1


def test_nothing_readable_is_an_empty_list(tmp_path: Path) -> None:
    recording = patterned.record(tmp_path / "shop")
    for file in (recording.path / "segments").glob("*.jsonl"):
        file.unlink()
    (part,) = parts(recording, SESSION)
    out = io.BytesIO()
    assert eventlist.write(Stream(recording, part), part, out, lambda share: None) == 0
    assert orjson.loads(out.getvalue()) == []
