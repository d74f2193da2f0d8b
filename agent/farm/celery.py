"""Many hosts: jobs travel by Celery over Redis. The only file that knows either (the extra `farm`).

Celery carries jobs: a queue for each device and for each choice of tags, one consumer process for each device, which
takes its next job when it is idle and not before. A job is claimed (in Redis, then in the host's ledger), then
acknowledged, then begun: it is never begun twice, and one that a crash ends between two of these steps is reported.
Beside the queues Redis holds what `farm status` shows:

    host:<name>      a host and its devices, as of now; gone ten seconds after the host
    job:<id>         the queue it was put into;  claim:<id>  who has it;  report:<id>  what became of it
    stop:<id>, stop-host:<name>      what somebody wants ended
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from io import RawIOBase
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import redis
from celery import Celery, bootsteps
from celery.concurrency.thread import TaskPool
from celery.worker import WorkController
from celery.worker import state as worker_state
from celery.worker.control import Panel
from celery.worker.request import Request
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from agent.errors import ConfigError, FarmError
from agent.farm.consumer import Consumer
from agent.farm.delivery import Courier
from agent.farm.host import KEEP_SECONDS, Host, HostSettings, holder, holding, read_host
from agent.farm.job import Job, JobReport, Outcome, queues, read_report
from agent.farm.process import Spec
from agent.farm.rack import Devices, Say
from agent.farm.status import FarmFacts, HostFacts, JobFacts
from agent.farm.work import now_ms
from agent.runtime.signals import ending

log = logging.getLogger(__name__)

PREFIX = "android-replay:"
TASK, STOP = "android_replay.job", "android_replay_stop"
CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 5.0
# What is neither waiting, claimed nor reported is believed to be lost when it was so twice, so long apart.
DOUBT_SECONDS = 10.0
# A host that cannot reach the broker may come back: its job goes on meanwhile.
ABSENT_SECONDS = 60.0
# A message that nobody acknowledges comes back. Only one whose consumer died before it claimed the job is such a one.
UNCLAIMED_SECONDS = 30
# How old a look into a queue may be: each of hundreds of jobs that wait would have all of it read anew.
LOOK_SECONDS = 1.0
SHOWN_JOBS = 500
# Whose claim it is when somebody stopped a job that waited; no host is called so.
STOPPER = "*"
_ID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


def shown(url: str) -> str:
    """The broker's address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_url(url: str) -> str:
    """Raises ConfigError, which shows no password, for what is no Redis URL."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and parts.port != 0
        database = parts.path.strip("/")
    except ValueError:
        good, database = False, ""
    if not good or (database and not database.isdigit()):
        raise ConfigError(
            "farm.broker is no Redis URL.",
            "Give it as redis://[:PASSWORD@]HOST:PORT/0, or rediss:// for TLS; in a password write / ? # [ ] @ as %2F "
            "%3F %23 %5B %5D %40.",
        )
    return url


def application(url: str) -> Celery:
    """The Celery application of both sides."""
    app = Celery("android-replay", broker=url, set_as_current=False)
    app.conf.update(
        # Nothing but JSON is read: what pickles could do, the broker could do.
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        task_default_delivery_mode="persistent",
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_SECONDS,
        broker_transport_options={
            "global_keyprefix": PREFIX,
            "visibility_timeout": UNCLAIMED_SECONDS,
            "priority_steps": [0],
            "socket_connect_timeout": CONNECT_SECONDS,
            # Else what is published waits for ever on a dead connection; queues are asked for a second at a time.
            "socket_timeout": ANSWER_SECONDS,
            "socket_keepalive": True,
        },
    )
    return app


class Store:
    """What Redis holds beside the queues. Any thread. Each method raises FarmError when it does not answer."""

    def __init__(self, url: str) -> None:
        self._shown = shown(url)
        self._redis: redis.Redis = redis.Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            # Whoever asks decides whether to ask again.
            retry=Retry(NoBackoff(), 1),
        )

    def close(self) -> None:
        self._redis.close()

    @contextlib.contextmanager
    def _spoken(self) -> Iterator[None]:
        try:
            yield
        except redis.AuthenticationError as error:
            raise FarmError(
                f"The broker {self._shown} does not let us in.", "Check user and password in farm.broker."
            ) from error
        except redis.RedisError as error:
            # "Error 111 connecting to HOST:PORT. Connection refused."
            words = str(error).partition("\n")[0].strip(" .").rpartition(". ")[2] or type(error).__name__
            raise FarmError(
                f"The broker {self._shown} cannot be used: {words}.", "Is Redis running there, and reachable from here?"
            ) from error

    def ping(self) -> None:
        with self._spoken():
            self._redis.ping()

    def get(self, *names: str) -> list[bytes | None]:
        if not names:
            return []
        with self._spoken():
            found: Any = self._redis.mget([PREFIX + name for name in names])
            return list(found)

    def put(self, name: str, value: bytes, seconds: int = KEEP_SECONDS, new: bool = False) -> bool:
        """Whether it was put; `new`: only where nothing is."""
        with self._spoken():
            return bool(self._redis.set(PREFIX + name, value, ex=seconds, nx=new))

    def drop(self, *names: str) -> None:
        with self._spoken():
            self._redis.delete(*(PREFIX + name for name in names))

    def enlist(self, job: str) -> None:
        """Put a job on the list of those that are shown."""
        with self._spoken():
            self._redis.zadd(PREFIX + "jobs", {job: now_ms()})
            self._redis.zremrangebyrank(PREFIX + "jobs", 0, -SHOWN_JOBS - 1)

    def listed(self) -> list[str]:
        """The latest jobs, oldest first."""
        with self._spoken():
            found: Any = self._redis.zrange(PREFIX + "jobs", 0, -1)
            return [each.decode() for each in found]

    def join(self, host: str) -> None:
        with self._spoken():
            self._redis.zadd(PREFIX + "hosts", {host: now_ms()})

    def leave(self, host: str) -> None:
        with self._spoken():
            self._redis.zrem(PREFIX + "hosts", host)

    def hosts(self) -> list[str]:
        """Those that were there in the last days and did not say goodbye."""
        with self._spoken():
            found: Any = self._redis.zrangebyscore(PREFIX + "hosts", now_ms() - KEEP_SECONDS * 1000, "+inf")
            return sorted(each.decode() for each in found)

    def waiting(self, queue: str) -> frozenset[str]:
        """The jobs whose messages are in a queue, or with a consumer that has not claimed them yet; others may be among
        them."""
        with self._spoken():
            queued: Any = self._redis.lrange(PREFIX + queue, 0, -1)
            taken: Any = self._redis.hvals(PREFIX + "unacked")
        return frozenset(found.decode() for message in (*queued, *taken) for found in _ID.findall(message))


class CeleryFarm:
    """Implements `Farm` for those who submit. Any thread."""

    def __init__(self, url: str, patience: float = 1.0) -> None:
        """`patience` times as long as usual it waits before it believes that a job or a host is lost. Raises
        ConfigError, FarmError when the broker does not answer."""
        self._patience = patience
        self._app = application(check_url(url))
        self._store = Store(url)
        self._shown = shown(url)
        self._doubts: dict[str, float] = {}
        # What waited in a queue, and when that was.
        self._looked: dict[str, tuple[float, frozenset[str]]] = {}
        try:
            self._store.ping()
        except FarmError:
            self._store.close()
            raise

    def submit(self, job: Job) -> None:
        facts = job.model_dump(mode="json")
        if not self._store.put(f"job:{job.id}", job.queue.encode(), new=True):
            return
        try:
            self._store.enlist(job.id)
            self._app.send_task(TASK, args=[facts], task_id=job.id, queue=job.queue)
        except (OperationalError, FarmError) as error:
            with contextlib.suppress(FarmError):
                self._store.drop(f"job:{job.id}")
            if isinstance(error, FarmError):
                raise
            raise FarmError(f"The broker {self._shown} did not take the job: {error}.", "Submit it again.") from error

    def report(self, job: str) -> JobReport | None:
        """See `Farm`. A job whose host is gone, or that the broker lost, is reported as that."""
        raw, claim, queue = self._store.get(f"report:{job}", f"claim:{job}", f"job:{job}")
        if raw is not None:
            return read_report(raw)
        outcome, reason, seconds = self._missing(job, holder(claim), queue)
        if not reason:
            self._doubts.pop(job, None)
            return None
        since = self._doubts.setdefault(job, time.monotonic())
        if time.monotonic() - since < seconds * self._patience:
            return None
        host, serial = holder(claim) or ("", "")
        report = JobReport(
            job=job, outcome=outcome, host=host, serial=serial, reason=reason, ended_ms=now_ms()
        )  # fmt: skip
        # What the host says later, if it comes back, counts more.
        self._store.put(f"report:{job}", report.model_dump_json().encode(), new=True)
        return report

    def stop(self, job: str) -> bool:
        raw, known = self._store.get(f"report:{job}", f"job:{job}")
        if raw is not None or known is None:
            return False
        # Whoever claims it has it: nobody begins it any more.
        if self._store.put(f"claim:{job}", holding(STOPPER, ""), new=True):
            report = JobReport(job=job, outcome="stopped", reason="it was stopped before it began", ended_ms=now_ms())
            self._store.put(f"report:{job}", report.model_dump_json().encode())
            return True
        # The host looks for this every two seconds; by broadcast its consumer knows at once.
        self._store.put(f"stop:{job}", b"1")
        with contextlib.suppress(OperationalError):
            self._app.control.broadcast(STOP, arguments={"job": job})
        return True

    def stop_host(self, name: str) -> bool:
        """Ask a host to end, its running jobs in order: whether it is there."""
        if self._store.get(f"host:{name}")[0] is None:
            return False
        return self._store.put(f"stop-host:{name}", b"1", 60)

    def status(self) -> FarmFacts:
        names = self._store.hosts()
        hosts = []
        for name, raw in zip(names, self._store.get(*(f"host:{name}" for name in names)), strict=True):
            hosts.append(read_host(raw) or HostFacts(name, 0, ended=True))
        ids = self._store.listed()
        queued = self._store.get(*(f"job:{job}" for job in ids))
        claims = self._store.get(*(f"claim:{job}" for job in ids))
        reports = self._store.get(*(f"report:{job}" for job in ids))
        jobs = []
        for job, queue, claim, report in zip(ids, queued, claims, reports, strict=True):
            if queue is None:
                continue
            host, serial = holder(claim) or ("", "")
            host = "" if host == STOPPER else host
            where = queue.decode()
            if report is not None:
                try:
                    said = read_report(report)
                except ConfigError as error:
                    # One that cannot be read hides no other.
                    log.warning("job %s: %s", job[:8], error)
                    jobs.append(JobFacts(job, "ended", where, host, serial))
                else:
                    jobs.append(JobFacts(job, "ended", where, said.host, said.serial, said.outcome))
            else:
                jobs.append(JobFacts(job, "running" if claim else "queued", where, host, serial))
        return FarmFacts(tuple(hosts), tuple(jobs))

    def close(self) -> None:
        self._store.close()
        self._app.close()

    def _missing(self, job: str, claim: tuple[str, str] | None, queue: bytes | None) -> tuple[Outcome, str, float]:
        """What seems to have become of a job that has no report, and how long to doubt it; no reason when all is
        well."""
        if claim is None:
            if queue is not None and job in self._waiting(queue.decode()):
                return "lost", "", 0
            if self._runs(job):
                # Redis lost what it knew of it, and knows its report when it ends.
                return "lost", "", 0
            return "lost", "it waits in no queue and nobody has it; did Redis lose its data?", DOUBT_SECONDS
        host = read_host(self._store.get(f"host:{claim[0]}")[0])
        if host is None:
            return "host-lost", f"nothing was heard of the host for {ABSENT_SECONDS:g} seconds", ABSENT_SECONDS
        if any(device.job == job for device in host.devices):
            return "host-lost", "", 0
        return "host-lost", "its host knows nothing of it any more", DOUBT_SECONDS

    def _waiting(self, queue: str) -> frozenset[str]:
        """The jobs of a queue, as of a moment ago."""
        seen, now = self._looked.get(queue), time.monotonic()
        if seen is None or now - seen[0] >= LOOK_SECONDS * self._patience:
            seen = self._looked[queue] = now, self._store.waiting(queue)
        return seen[1]

    def _runs(self, job: str) -> bool:
        """Whether a host says that a device does the job."""
        hosts = map(read_host, self._store.get(*(f"host:{name}" for name in self._store.hosts())))
        return any(device.job == job for host in hosts if host is not None for device in host.devices)


def host(
    url: str,
    name: str,
    devices: Devices,
    tags: Sequence[str],
    wanted: Sequence[str],
    settings: HostSettings,
    command: Sequence[str],
    prefix: Sequence[str],
    say: Say,
) -> Host:
    """A host of the farm at `url`; see `Host`. Raises ConfigError, StorageError."""
    return Host(Store(check_url(url)), url, name, devices, tags, wanted, settings, command, prefix, say)


def _loop(consumer: Consumer) -> None:
    """Celery's worker, until the consumer is to stop and its job has ended."""
    app = application(consumer.spec.url)

    class JobRequest(Request):  # type: ignore[misc]
        """Claims the job before it is acknowledged."""

        def on_accepted(self, pid: int, time_accepted: float) -> None:
            if consumer.claim(self.id, self.args):
                super().on_accepted(pid, time_accepted)

    class Bell(bootsteps.StartStopStep):  # type: ignore[misc]
        """Ends the loop's sleep, which it begins anew with each connection."""

        def register_with_event_loop(self, _: Any, hub: Any) -> None:
            hub.add_reader(consumer.bell, os.read, consumer.bell, 1024)

    class Pool(TaskPool):  # type: ignore[misc]
        """Rings once a job is over, and not before: the loop then takes the next one at once, not within a
        second."""

        def on_apply(self, *args: Any, **options: Any) -> Any:
            result = super().on_apply(*args, **options)
            result.f.add_done_callback(lambda _: consumer.ring())
            return result

    app.steps["consumer"].add(Bell)

    # A thread of the pool runs it; the loop of Celery goes on meanwhile, and hears broadcasts.
    @app.task(name=TASK, bind=True, Request=JobRequest)  # type: ignore[untyped-decorator]
    def job(task: Any, facts: Any) -> None:
        consumer.work(task.request.id, facts)

    def stop(state: Any, job: Any = "", **_: Any) -> dict[str, str]:
        consumer.end_job(job, "stopped", "it was stopped")
        return {"ok": "heard"}

    Panel.register(stop, name=STOP, type="control", args=[("job", str)])
    worker = WorkController(
        app=app,
        hostname=f"{consumer.spec.serial}@{consumer.spec.host}",
        pool=Pool,
        concurrency=1,
        queues=queues(consumer.spec.serial, consumer.spec.tags),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        ready_callback=lambda _: consumer.said("idle"),
    )
    worker.start()


def _halt() -> None:
    # Celery looks at this between two messages, and two tries to reach the broker; then it waits for the job.
    worker_state.should_stop = 0


def consume(source: RawIOBase, target: IO[bytes], courier: Callable[[Path], Courier]) -> None:
    """A consumer process. `source` is its standard input, unbuffered, `target` its output; `courier` gives for the
    host's folder what takes recordings to sinks. Raises AgentError."""
    spec = Spec.read(source.readline())
    to_sinks = courier(Path(spec.folder))
    for name in ("celery", "kombu", "redis"):
        # The host itself says when the broker is away; one voice is enough.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    lock = threading.Lock()

    def tell(line: bytes) -> None:
        with lock:
            target.write(line)
            target.flush()

    store = Store(check_url(spec.url))
    consumer = Consumer(spec, store, to_sinks, source, tell)
    for number in ending():
        signal.signal(number, lambda *_: consumer.end("host-lost", "its worker was told to end"))
    try:
        consumer.run(lambda: _loop(consumer), _halt)
    finally:
        store.close()
