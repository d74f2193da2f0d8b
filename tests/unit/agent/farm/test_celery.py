"""What is Celery's own: the broker away, killed consumers and hosts, messages that are no jobs."""

from __future__ import annotations

import io
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import orjson
import pytest
from fakes.broker import redis_server
from farming.redis_server import PASSWORD

from agent.errors import ConfigError, FarmError
from agent.farm.job import Job, JobReport
from agent.farm.process import Spec
from agent.farm.status import DeviceFacts, HostFacts

celery = pytest.importorskip("agent.farm.celery", reason="Celery (extra `farm`) is not installed")

PASS = (sys.executable, "-S", "-c", "pass")
CONSUME = (sys.executable, "-P", "-m", "agent.cli", "farm", "consume")


@pytest.mark.parametrize(
    "url",
    [
        "http://h/0",
        "redis://",
        "redis://h:x/0",
        "redis://h:99999999/0",
        "redis://h/name",
        "memory://",
        "amqp://h",
        "redis://:p[ss@h/0",
    ],
)
def test_what_is_no_redis_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"farm\.broker"):
        celery.check_url(url)


@pytest.mark.parametrize("url", ["redis://h", "redis://:pw@h:1/3", "rediss://u:pw@[::1]:6380/0"])
def test_a_url_is_shown_without_its_password(url: str) -> None:
    assert celery.check_url(url) == url
    assert "pw" not in celery.shown(url)
    assert celery.shown(url).startswith(url.partition("://")[0])


def test_nothing_but_json_is_read_and_nothing_is_fetched_early() -> None:
    conf = celery.application("redis://h").conf
    assert conf.accept_content == ["json"]
    assert (conf.task_serializer, conf.task_acks_late) == ("json", False)
    assert (conf.worker_prefetch_multiplier, conf.worker_disable_prefetch) == (1, True)


def test_a_broker_that_is_away_is_told_in_a_sentence() -> None:
    with pytest.raises(FarmError, match=r"redis://127\.0\.0\.1:1/0 cannot be used") as caught:
        celery.CeleryFarm(f"redis://:{PASSWORD}@127.0.0.1:1/0")
    assert PASSWORD not in f"{caught.value}{caught.value.hint}"


def test_a_consumer_that_nobody_tells_what_it_is_for_says_so() -> None:
    with pytest.raises(ConfigError, match="farm host"):
        celery.Spec.read(b"{}\n")


def test_a_consumer_works_in_the_folder_that_its_host_says(tmp_path: Path) -> None:
    spec = Spec("redis://h", "here", "A1", (), str(tmp_path / "elsewhere"), str(tmp_path / "leases"), ())

    def courier(folder: Path) -> NoReturn:
        raise ConfigError(f"asked for {folder}")

    with pytest.raises(ConfigError, match=f"asked for {tmp_path}/elsewhere"):
        celery.consume(io.BytesIO(spec.line()), io.BytesIO(), courier)


def test_what_redis_lost_is_reported(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        farm = celery.CeleryFarm(redis.url, patience=0.0)
        job = Job(command=PASS)
        farm.submit(job)
        assert farm.report(job.id) is None
        redis.kill()
        with pytest.raises(FarmError):
            farm.report(job.id)
        redis.start()
        found = farm.report(job.id) or farm.report(job.id)
        assert found is not None
        assert (found.outcome, found.serial) == ("lost", "")
        # A host took it and is never seen again.
        gone = Job(command=PASS)
        farm.submit(gone)
        store = celery.Store(redis.url)
        store.put(f"claim:{gone.id}", b'["there", "B2"]')
        found = farm.report(gone.id) or farm.report(gone.id)
        assert (found.outcome, found.host, found.serial) == ("host-lost", "there", "B2")
        store.close()
        farm.close()


def test_a_job_that_a_host_does_is_not_lost_with_the_data_of_redis(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        farm, store = celery.CeleryFarm(redis.url, patience=0.0), celery.Store(redis.url)
        job = Job(command=PASS)
        farm.submit(job)
        redis.kill()
        redis.start()
        busy = HostFacts("there", 1, (DeviceFacts("A1", "busy", job=job.id),))
        store.join("there")
        store.put("host:there", orjson.dumps(asdict(busy)))
        assert [farm.report(job.id) for _ in range(3)] == [None] * 3
        store.put(f"report:{job.id}", JobReport(job=job.id, outcome="passed").model_dump_json().encode())
        assert farm.report(job.id).outcome == "passed"
        store.close()
        farm.close()


def test_many_jobs_that_wait_are_looked_for_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    look = celery.Store.waiting

    def counted(store: object, queue: str) -> frozenset[str]:
        looked.append(queue)
        return look(store, queue)

    monkeypatch.setattr(celery.Store, "waiting", counted)
    monkeypatch.setattr(celery, "LOOK_SECONDS", 60.0)
    with redis_server(tmp_path) as redis:
        farm = celery.CeleryFarm(redis.url)
        jobs = [Job(command=PASS) for _ in range(20)]
        for job in jobs:
            farm.submit(job)
        for _ in range(2):
            assert [farm.report(job.id) for job in jobs] == [None] * 20
        assert looked == [jobs[0].queue]
        assert {job.id for job in jobs} <= farm._waiting(jobs[0].queue)
        farm.close()


def test_a_report_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        farm = celery.CeleryFarm(redis.url)
        jobs = [Job(command=PASS) for _ in range(2)]
        for job in jobs:
            farm.submit(job)
        store = celery.Store(redis.url)
        store.put(f"report:{jobs[0].id}", b"{" + b" " * 600_000)
        store.put(f"report:{jobs[1].id}", JobReport(job=jobs[1].id, outcome="passed").model_dump_json().encode())
        assert {job.id: (job.state, job.outcome) for job in farm.status().jobs} == {
            jobs[0].id: ("ended", ""),
            jobs[1].id: ("ended", "passed"),
        }
        store.close()
        farm.close()


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis, pytest.raises(FarmError, match="does not let us in"):
        celery.CeleryFarm(redis.url.replace(PASSWORD, "other"))
