"""What Prometheus is told, asked over real HTTP and read by its client's own parser."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fakes.segments import segment
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families
from pydantic import SecretStr

from agent import metrics
from agent.collector.server import Server
from agent.errors import AddressTaken, ConfigError
from agent.metrics import PATH, Figures, served
from agent.outbox.spool import Spool
from agent.outbox.uploader import SinkStats
from agent.runtime.status import STATES, DeviceStatus
from agent.settings import Metrics

Labels = frozenset[tuple[str, str]]


@contextmanager
def telling(folder: Path, status: DeviceStatus, stats: SinkStats, settings: Metrics) -> Iterator[Server]:
    spool = Spool(folder / "spool")
    try:
        spool.put(segment(), ["dir:x"])
        figures = Figures(lambda: {status.serial: status}, lambda: {"dir:x": stats}, spool, lambda: 77)
        with served(figures, settings) as server:
            yield server
    finally:
        spool.close()


def samples(text: str) -> dict[tuple[str, Labels], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(text)
        for sample in family.samples
    }


STATUS = DeviceStatus(
    'R"58\\\n', state="recording", session_id=1700000000001, device_id="a-device-id", frames=9, blocked=2, events=5,
    gap_reasons={"device: DeviceGone": 3, "screen: FrameMalformed": 1}, losses={"timeline: late picture": 4},
    findings={"error: key-mismatch": 1}, clock_bound_ms=2.5, segments=2, bytes=1000, package="com.example",
)  # fmt: skip
STATS = SinkStats(delivered=7, skipped=1, retries=3, rejected=2, bytes=4096)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    with telling(tmp_path_factory.mktemp("told"), STATUS, STATS, Metrics(port=0)) as server:
        answer = httpx.get(server.url + PATH)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        asked = httpx.get(server.url + PATH, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert asked.headers["content-type"].startswith("application/openmetrics-text")
        assert {family.name for family in openmetrics(asked.text)} >= {"android_replay_frames"}
        assert (httpx.get(server.url).status_code, PATH in httpx.get(server.url).text) == (404, True)
        assert httpx.post(server.url + PATH).status_code == 405
    return answer.text


def test_each_figure_is_told(told: str) -> None:
    found = samples(told)

    def value(name: str, **labels: str) -> float:
        return found[f"android_replay_{name}", frozenset(labels.items())]

    mine = {"serial": STATUS.serial}
    assert value("frames_total", **mine) == 9
    assert value("frames_blocked_total", **mine) == 2
    assert value("events_total", **mine) == 5
    assert value("gaps_total", stage="device", reason="DeviceGone", **mine) == 3
    assert value("gaps_total", stage="screen", reason="FrameMalformed", **mine) == 1
    assert value("lost_items_total", stage="timeline", reason="late picture", **mine) == 4
    assert value("findings_total", severity="error", rule="key-mismatch", **mine) == 1
    assert value("clock_error_seconds", **mine) == 0.0025
    assert {state: value("device_state", state=state, **mine) for state in STATES} == {
        state: float(state == "recording") for state in STATES
    }
    assert value("device_paused", **mine) == 0
    assert value("backlog_bytes") > 0
    assert value("backlog_segments", sink="dir:x") == 1
    outcomes = {"delivered": 6, "skipped": 1, "retry": 3, "rejected": 2, "dropped": 0}
    assert {name: value("uploads_total", sink="dir:x", outcome=name) for name in outcomes} == outcomes
    assert value("delivered_bytes_total", sink="dir:x") == 4096
    assert value("sent_bytes_total") == 77
    assert found["process_cpu_seconds_total", frozenset()] > 0


def test_a_process_tells_its_cpu_where_there_is_no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.sys, "platform", "darwin")
    monkeypatch.setattr(metrics, "ProcessCollector", lambda registry: None)
    with telling(tmp_path, STATUS, STATS, Metrics(port=0)) as server:
        assert samples(httpx.get(server.url + PATH).text)["process_cpu_seconds_total", frozenset()] > 0


def test_names_keep_to_the_conventions(told: str) -> None:
    for family in families(told):
        assert re.fullmatch(r"(android_replay|process)_[a-z_]+", family.name), family.name
        assert family.documentation, family.name
        assert (family.type == "counter") == any(s.name.endswith("_total") for s in family.samples), family.name
        assert not re.search(r"_(ms|kb|mb|count|minutes)$", family.name), family.name


def test_no_id_of_a_person_s_session_is_told(told: str) -> None:
    assert "1700000000001" not in told
    assert "a-device-id" not in told


def test_others_need_the_token(tmp_path: Path) -> None:
    settings = Metrics(port=0, token=SecretStr("canary-token"))
    with telling(tmp_path, STATUS, STATS, settings) as server:
        url = server.url + PATH
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"Authorization": "Bearer wrong"}).status_code == 401
        # Under whatever name: who has the token is no web page.
        with_it = {"Authorization": "Bearer canary-token", "Host": "rack.example:9"}
        answer = httpx.get(url, headers=with_it)
        assert answer.status_code == 200
        assert "canary-token" not in answer.text


def test_a_rebound_name_is_refused(tmp_path: Path) -> None:
    with telling(tmp_path, STATUS, STATS, Metrics(port=0)) as server:
        assert httpx.get(server.url + PATH, headers={"Host": "evil.example"}).status_code == 421


def test_beyond_loopback_a_token_must_be_set(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="no token is set") as told,
        telling(tmp_path, STATUS, STATS, Metrics(port=0, host="0.0.0.0")),
    ):
        pass
    assert "ANDROID_REPLAY_METRICS__TOKEN" in told.value.hint


def test_a_taken_port_is_told_by_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(AddressTaken) as told,
            telling(tmp_path, STATUS, STATS, Metrics(port=port)),
        ):
            pass
    assert "metrics.port" in told.value.hint
