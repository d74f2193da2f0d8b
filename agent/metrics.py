"""The running figures of a recorder for Prometheus, and the door at which they are asked for.

Names and units follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/). No label holds an id of a
session, a device's user or a recording: they would leave this host unmasked, and are without end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from agent import __version__
from agent.access import Door, Lock
from agent.collector.server import Server
from agent.errors import AddressTaken, ConfigError
from agent.outbox.exchange import is_loopback
from agent.outbox.spool import Spool
from agent.outbox.uploader import SinkStats
from agent.runtime.status import STATES, DeviceStatus
from agent.settings import Metrics

PREFIX = "android_replay_"
PATH = "/metrics"


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the figures come from; each is read when somebody asks. `sent` = bytes that went out so far."""

    statuses: Callable[[], Mapping[str, DeviceStatus]]
    uploads: Callable[[], Mapping[str, SinkStats]]
    spool: Spool
    sent: Callable[[], int]


class Recorder(Collector):
    """All families, made anew for each question."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """Read the figures."""
        yield InfoMetricFamily(f"{PREFIX}build", "The program that tells this.", {"version": __version__})
        yield from _devices(list(self._figures.statuses().values()))
        yield from _outbox(self._figures)
        if not sys.platform.startswith("linux"):
            # The client's own figures of the process are read from /proc.
            yield CounterMetricFamily("process_cpu_seconds", "CPU that this process used.", time.process_time())


def _devices(statuses: list[DeviceStatus]) -> Iterable[Metric]:
    state = _gauge("device_state", "1 for the state that the device is in, 0 for the others.", "serial", "state")
    for status in statuses:
        for each in STATES:
            state.add_metric((status.serial, each), float(status.state == each))
    yield state
    paused = _gauge("device_paused", "1 while nothing is captured because somebody or a rule says so.", "serial")
    clock = _gauge("clock_error_seconds", "The bound on the error of the device's clock.", "serial")
    for status in statuses:
        paused.add_metric((status.serial,), float(bool(status.paused)))
        if status.clock_bound_ms is not None:
            clock.add_metric((status.serial,), status.clock_bound_ms / 1000)
    yield paused
    yield clock
    counters: tuple[tuple[str, str, Callable[[DeviceStatus], float]], ...] = (
        ("frames", "Pictures taken and masked, or blocked whole.", lambda status: status.frames),
        ("frames_blocked", "Those of them that were blocked whole.", lambda status: status.blocked),
        ("hierarchies", "View trees read.", lambda status: status.hierarchies),
        ("touches", "Fingers put down.", lambda status: status.touches),
        ("events", "Segment events read.", lambda status: status.events),
        ("log_lines", "Lines of the app's log recorded.", lambda status: status.logs),
        ("segments", "Replay segments sealed and stored.", lambda status: status.segments),
        ("segment_bytes", "Bytes of them.", lambda status: status.bytes),
    )
    for name, words, value in counters:
        family = _counter(name, words, "serial")
        for status in statuses:
            family.add_metric((status.serial,), value(status))
        yield family
    parted: tuple[tuple[str, str, tuple[str, str], Callable[[DeviceStatus], Mapping[str, int]]], ...] = (
        ("gaps", "Stretches that are missing.", ("stage", "reason"), lambda status: status.gap_reasons),
        ("lost_items", "Items left out, up to the last sealed segment.", ("stage", "reason"), lambda s: s.losses),
        ("findings", "Faults of the app's instrumentation.", ("severity", "rule"), lambda status: status.findings),
    )
    for name, words, labels, counts in parted:
        family = _counter(name, words, "serial", *labels)
        for status in statuses:
            for key, count in counts(status).items():
                first, _, second = key.partition(": ")
                family.add_metric((status.serial, first, second), count)
        yield family


def _outbox(figures: Figures) -> Iterable[Metric]:
    spool = figures.spool
    yield _value(_gauge("backlog_bytes", "Bytes of the segments in the spool, open ones included."), spool.used)
    waiting = _gauge("backlog_segments", "Segments in the spool that a sink has still to get.", "sink")
    uploads = _counter("uploads", "Answers of a sink; delivered and skipped ones are done.", "sink", "outcome")
    delivered = _counter("delivered_bytes", "Bytes of the delivered segments, as stored.", "sink")
    for sink, stats in figures.uploads().items():
        waiting.add_metric((sink,), spool.pending(sink))
        outcomes = {
            "delivered": stats.delivered - stats.skipped,
            "skipped": stats.skipped,
            "retry": stats.retries,
            "rejected": stats.rejected,
            "dropped": stats.dropped,
        }
        for outcome, count in outcomes.items():
            uploads.add_metric((sink, outcome), count)
        delivered.add_metric((sink,), stats.bytes)
    yield waiting
    yield uploads
    yield delivered
    yield _value(_counter("sent_bytes", "Bytes of requests to servers."), figures.sent())


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}{name}", words, labels=labels)


def _counter(name: str, words: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}{name}", words, labels=labels)


def _value(family: Any, value: float) -> Metric:
    family.add_metric((), value)
    metric: Metric = family
    return metric


def check(settings: Metrics) -> None:
    """Raises ConfigError when other machines could ask without a token."""
    if not is_loopback(settings.host) and not settings.token.get_secret_value():
        raise ConfigError(
            f"metrics.host {settings.host} lets other machines ask, and no token is set.",
            "Set ANDROID_REPLAY_METRICS__TOKEN or metrics.token_file, or keep to 127.0.0.1.",
        )


@contextmanager
def served(figures: Figures, settings: Metrics) -> Iterator[Server]:
    """The server of the figures while the block runs. Raises ConfigError, AddressTaken."""
    check(settings)
    server = Server(make_app(figures, settings.token.get_secret_value()), settings.host, settings.port or 0)
    try:
        server.start()
    except AddressTaken as error:
        raise AddressTaken(error.message, "Stop it, or choose another metrics.port (0 takes a free one).") from error
    try:
        yield server
    finally:
        server.stop()


def make_app(figures: Figures, token: str = "") -> ASGIApp:
    """Answers GET /metrics, in Prometheus' text or OpenMetrics as asked. With a `token` whoever shows it may ask, under
    whatever name this host has; without one only who speaks to an address or localhost, which no web page can fake."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Recorder(figures))
    ProcessCollector(registry=registry)

    def metrics(request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": media_type, "cache-control": "no-store"})

    def other(request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"The figures are at {PATH}.\n", 404)

    app = Starlette(routes=[Route(PATH, metrics)], exception_handlers={404: other})
    return Lock(app, token) if token else Door(app)
