from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.farm.job import (
    MOST_TAGS,
    ROWS,
    Job,
    JobReport,
    fits,
    places,
    queues,
    read_job,
    read_report,
    rows,
    shards,
)

WORDS = st.text("abc -'\"$é\n", max_size=20)
TAGS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,5}", fullmatch=True)


@given(st.lists(WORDS, min_size=1, max_size=5).filter(lambda words: words[0].strip()), st.sets(TAGS, max_size=3))
def test_a_job_comes_as_it_went(command: list[str], tags: set[str]) -> None:
    job = read_job({"command": command, "tags": sorted(tags), "index": 2, "count": 4})
    assert read_job(job.model_dump_json()) == job
    assert list(job.command) == command


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "command"),
        ({"command": []}, "command"),
        ({"command": [" "]}, "command"),
        ({"command": "true"}, "command"),
        ({"command": ["a\0b"]}, "command"),
        ({"command": ["true"], "shell": True}, "shell"),
        ({"command": ["true"], "format": 2}, "format"),
        ({"command": ["true"], "id": "../../etc"}, "id"),
        ({"command": ["true"], "tags": ["Pixel"]}, "tags"),
        ({"command": ["true"], "tags": ["a", "b", "c", "d"]}, "tags"),
        ({"command": ["true"], "serial": "a b"}, "serial"),
        ({"command": ["true"], "serial": "-s"}, "serial"),
        ({"command": ["true"], "index": "1"}, "index"),
        ({"command": ["true"], "keep": "none"}, "keep"),
        ({"command": ["true"], "seconds": 0}, "seconds"),
        ({"command": ["true"], "sinks": ["s3:bucket"]}, "sinks"),
        ({"command": ["true"], "sinks": ["collector:http://u:pw@host/"]}, "sinks"),
        ({"command": ["true"], "sinks": ["collector:http://host/?key=SECRET"]}, "sinks"),
    ],
)
def test_what_is_no_job_is_refused_by_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"job is wrong: {field}") as caught:
        read_job(wrong)
    assert "SECRET" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b'{"command": ["x"' + b" " * 300_000 + b"]}"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        read_job(data)
    with pytest.raises(ConfigError):
        read_report(data + b" " * 300_000)


def test_shards_are_jobs_of_their_own() -> None:
    found = shards({"command": ["true"]}, 3)
    assert [(job.index, job.count) for job in found] == [(0, 3), (1, 3), (2, 3)]
    assert len({job.id for job in found}) == 3


@given(st.sets(TAGS, max_size=MOST_TAGS), st.sets(TAGS, max_size=3))
def test_a_device_looks_where_the_jobs_that_fit_it_wait(tags: set[str], wanted: set[str]) -> None:
    job = read_job({"command": ["true"], "tags": sorted(wanted)})
    found = queues("A1", sorted(tags))
    assert (job.queue in found) == fits(job, "A1", sorted(tags)) == (wanted <= tags)
    assert len(found) == len(set(found)) <= 94


def test_a_job_for_a_device_is_for_no_other() -> None:
    job = Job(command=("true",), serial="A1", tags=("x",))
    assert fits(job, "A1", ())
    assert not fits(job, "A2", ("x",))
    assert job.queue in queues("A1", ())
    assert job.queue not in queues("A2", ("x",))


def test_a_table_is_cut_to_what_a_report_holds() -> None:
    table = [{"test": "x" * 9000, "n": 1 << 70, "more": [1, 2]}, *({"test": str(n)} for n in range(2000))]
    kept, left_out = rows(table)
    assert len(kept) + left_out == 2001
    assert len(kept) == ROWS
    assert kept[0] == {"test": "x" * 500, "n": str(1 << 70), "more": "[1, 2]"}
    report = JobReport(job="0" * 32, outcome="passed", table=kept, left_out=left_out)
    assert read_report(report.model_dump_json()) == report
    few, left_out = rows([{"test": "x" * 500, "a": "y" * 500}] * 1000)
    assert 0 < len(few) < 1000 == len(few) + left_out


def test_however_long_paths_are_a_report_can_be_read() -> None:
    paths = ["/" + "p" * 259 + str(n) for n in range(1000)]
    table, left_out = rows([{"test": "é" * 500, "a": "\x01" * 500}] * 1000)
    for many in (paths, ["\x01" * 3000] * 1000, ["ü" * 1999] * 1000):
        kept = places(many)
        assert 0 < len(kept) < 1000
        assert list(kept) == [path[:2000] for path in many[: len(kept)]]
        line = "\x01" * 2000
        report = JobReport(
            job="0" * 32, outcome="passed", table=table, left_out=left_out, replays=kept, reason=line, log=line,
            host=line, serial=line,
        )  # fmt: skip
        assert read_report(report.model_dump_json()) == report


def test_a_report_says_whether_it_was_cut_short() -> None:
    assert JobReport(job="0" * 32, outcome="device-lost").partial
    assert not JobReport(job="0" * 32, outcome="failed").partial
