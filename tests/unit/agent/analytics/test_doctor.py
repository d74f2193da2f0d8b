from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.instrumented import EXACT, OF_FIXTURES, PACKAGE, UID, diagnosed, examine, log_of
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.doctor import MAX_LINES, MAX_SAME, MAX_TEXT, Doctor
from agent.analytics.rules import RULES
from agent.analytics.sniffer import Sniffer
from agent.model import Finding
from bridge.emulated.world.faulty import FAULTY
from bridge.types import Gap, LogEntry, Stamp

FIXTURES = Path(__file__).parents[5] / "shared" / "fixtures" / "segment_logs"
SESSION = 1_772_000_000_000


def counts(findings: list[Finding]) -> dict[str, int]:
    return {finding.rule: finding.count for finding in findings}


def entry(text: str, second: float = 1.0, **facts: object) -> LogEntry:
    at = int((SESSION / 1000 + second) * 1e9)
    base: dict[str, object] = {"pid": 4242, "tid": 4243, "uid": UID, "level": "I", "tag": "ReactNativeJS"}
    return LogEntry(Stamp(at, at // 1_000_000), at, message=text, **(base | facts))  # type: ignore[arg-type]


def part(session: object = SESSION, number: int = 1, device: str | None = "d" * 40, **more: object) -> str:
    event = {
        "type": "track",
        "event": f"E{number}",
        "messageId": f"m-{number}",
        "timestamp": "2026-03-01T00:00:00Z",
        "anonymousId": "anonymous-1",
        "integrations": {} if session is None else {"Actions Amplitude": {"session_id": session}},
        "context": {"device": {} if device is None else {"id": device}},
        "properties": {},
    } | more
    return f"SegmentReplay/1 m-{number} 1/1 {json.dumps(event)}"


def heard(*entries: LogEntry | Gap, package: str | None = PACKAGE, api_key: str = "") -> list[Finding]:
    doctor, sniffer = Doctor(package, api_key), Sniffer(UID if package else None)
    for item in entries:
        examine(doctor, sniffer, item, UID if package else None)
    for found in sniffer.flush():
        doctor.judge(found)
    doctor.conclude()
    return list(doctor.findings)


def test_every_rule_has_a_scenario() -> None:
    assert set(RULES) == set(FAULTY) == set(EXACT) - {"instrumented"}


@pytest.mark.parametrize("scenario", EXACT)
def test_an_emulated_fault_is_found_and_nothing_else(scenario: str) -> None:
    found = diagnosed(log_of(scenario, 9.0))
    assert counts(found) == EXACT[scenario]
    for finding in found:
        assert (finding.severity, finding.fix) == (RULES[finding.rule].severity, RULES[finding.rule].fix)
        assert finding.saw
        assert finding.proof or finding.rule in ("several-apps",)


@pytest.mark.parametrize("scenario", ["shop", "crash", "background"])
def test_the_shop_takes_the_anonymous_id_and_does_nothing_wrong(scenario: str) -> None:
    assert set(counts(diagnosed(log_of(scenario, 30.0)))) == {"device-id-fallback"}


def test_a_session_that_goes_on_over_restarts_is_no_missing_plugin() -> None:
    assert diagnosed(log_of("instrumented", 40.0)) == []
    assert set(counts(diagnosed(log_of("plugin-order", 40.0)))) == {"plugin-order"}


def test_a_log_of_no_named_app_with_two_in_it() -> None:
    (finding,) = diagnosed(log_of("several-apps", 9.0), None, None)
    assert (finding.rule, finding.severity) == ("several-apps", "warning")
    assert "net.quickgames.tiles" in finding.saw
    assert diagnosed(log_of("instrumented", 9.0), None, None) == []


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the fixtures are not there")
@pytest.mark.parametrize("name", OF_FIXTURES)
def test_the_fixtures_have_the_faults_that_they_describe(name: str) -> None:
    scenarios = json.loads((FIXTURES / "index.json").read_text())["scenarios"]
    app = next(scenario["app"] for scenario in scenarios if scenario["name"] == name)
    data = (FIXTURES / name / "logcat.bin").read_bytes()
    assert counts(diagnosed(data, app["package"], app["uid"])) == OF_FIXTURES[name]


def test_the_proof_is_the_line_of_the_event_also_among_others_of_its_time() -> None:
    (finding,) = heard(entry(part(number=1)), entry(part(-1, 2)), entry(part(number=3)))
    assert finding.rule == "negative-session-id"
    assert finding.proof.startswith("I/ReactNativeJS: SegmentReplay/1 m-2 ")
    assert finding.pid == 4242


def test_a_finding_counts_and_keeps_its_first_proof() -> None:
    (finding,) = heard(*(entry(part(-1, number), number) for number in range(1, 6)))
    assert finding.count == 5
    assert "m-1 " in finding.proof
    assert finding.stamp.wall_ms == SESSION + 1000


def test_the_worst_come_first() -> None:
    found = heard(entry("Invalid URL has been passed"), entry(part(-1), 2), entry(part(number=2, device=None), 3))
    assert [finding.severity for finding in found] == ["error", "warning", "info"]


@pytest.mark.parametrize(
    "text",
    [
        'init {"apiKey":"0f9e8d7c6b5a49382716050403020100"}',
        "GET https://sr-client-cfg.amplitude.com/config?api_key=0f9e8d7c6b5a49382716050403020100&config_group=android",
        "{ writeKey: '0f9e8d7c6b5a4938271605', debug: true }",
        "Authorization: Bearer 0f9e8d7c6b5a49382716050403020100",
        "GET https://cdn-settings.segment.com/v1/projects/0f9e8d7c6b5a4938271605/settings",
        "the API key is 0f9e8d7c6b5a49382716050403020100",
    ],
)
def test_a_printed_key_is_found_and_never_shown(text: str) -> None:
    (finding,) = heard(entry(text))
    assert finding.rule == "api-key-logged"
    assert "0f9e8d7c" not in finding.proof + finding.saw
    assert "*****" in finding.proof


@pytest.mark.parametrize(
    "text",
    ["apiKey: YOUR_AMPLITUDE_API_KEY", 'Each child should have a unique "key" prop', "api_key=*****", "apiKey: x1"],
)
def test_a_word_that_stands_for_a_key_is_none(text: str) -> None:
    assert heard(entry(text)) == []


def test_a_key_that_is_not_this_recorder_s() -> None:
    printed = entry("api_key=0f9e8d7c6b5a49382716050403020100")
    assert counts(heard(printed, api_key="0f9e8d7c6b5a49382716050403020100")) == {"api-key-logged": 1}
    found = heard(printed, api_key="a1" * 16)
    assert counts(found) == {"api-key-logged": 1, "key-mismatch": 1}
    assert "a1a1" not in "".join(finding.proof + finding.saw for finding in found)
    # A write key is another kind of key.
    assert counts(heard(entry("writeKey: '0f9e8d7c6b5a4938271605'"), api_key="a1" * 16)) == {"api-key-logged": 1}


def test_a_known_key_is_starred_wherever_it_stands() -> None:
    key = "0f9e8d7c6b5a49382716050403020100"
    found = heard(entry(f"api_key={key}"), entry(part(-1, context={"note": f"with {key}"}), 2))
    assert all(key not in finding.proof for finding in found)


def test_what_another_app_logs_is_neither_proof_nor_key() -> None:
    theirs = entry(part() + " api_key=0f9e8d7c6b5a49382716050403020100", uid=10999, pid=99)
    (finding,) = heard(theirs)
    assert (finding.rule, finding.severity, finding.proof) == ("several-apps", "info", "")


@pytest.mark.parametrize("value", ["1772000000000", True, [], 0, 1_772_000_000, 1_772_000_000_000.5])
def test_session_ids_that_are_no_time(value: object) -> None:
    assert counts(heard(entry(part(value)))) == {"session-id-malformed": 1}


@pytest.mark.parametrize("device", ["", "abc", "null", "a/b/c/d/e", "00000000-0000-0000-0000-000000000000", "é" * 9])
def test_device_ids_that_amplitude_refuses(device: str) -> None:
    assert counts(heard(entry(part(device=device)))) == {"device-id-unusable": 1}


def test_a_device_id_that_changes() -> None:
    assert counts(heard(entry(part(number=1)), entry(part(number=2, device="e" * 40), pid=4300))) == {
        "random-device-id": 1
    }


@pytest.mark.parametrize("integrations", [{"Actions Amplitude": False}, {"All": False}])
def test_a_destination_that_is_switched_off(integrations: dict[str, object]) -> None:
    assert counts(heard(entry(part(integrations=integrations)))) == {"destination-off": 1}


def test_default_settings_keep_the_destination_on() -> None:
    said = "Could not receive settings from Segment. Will use the default settings."
    assert heard(entry(said), entry(part(), 2)) == []


def test_a_silent_app_is_told_only_when_it_had_the_time() -> None:
    began = entry('Running "Shop"')
    assert heard(began, entry("tick", 5.0)) == []
    assert counts(heard(began, entry("tick", 7.0))) == {"logger-silenced": 1}
    started = entry(f"Start proc 4242:{PACKAGE}/u0a231 for top-activity", uid=1000, tag="ActivityManager", pid=900)
    assert counts(heard(started, entry("tick", 7.0, uid=1000, tag="Other"))) == {"logger-silenced": 1}
    others = entry("Start proc 4242:com.example.other/u0a9 for x", uid=1000, tag="ActivityManager", pid=900)
    assert heard(others, entry("tick", 7.0, uid=1000, tag="Other")) == []


def test_an_app_that_was_started_anew_had_only_the_time_until_then() -> None:
    def started(pid: int, second: float) -> LogEntry:
        return entry(f"Start proc {pid}:{PACKAGE}/u0a231 for x", second, uid=1000, tag="ActivityManager", pid=900)

    assert heard(started(1, 1.0), started(2, 3.0), started(3, 5.5), entry("tick", 8.0, pid=3)) == []


def test_a_log_that_fell_behind() -> None:
    stamp = Stamp(1, 1)
    assert counts(heard(Gap(stamp, stamp, "log", "overrun", "Unexpected EOF!"))) == {"log-overrun": 1}
    assert heard(Gap(stamp, stamp, "screen", "ScreenBlocked")) == []


def test_a_very_long_line_is_bounded_between_two_words() -> None:
    secret = "4539578763621486"
    text = "x" * (MAX_TEXT - 8) + " " + secret
    (finding,) = heard(entry(f"Invalid URL has been passed {text}"))
    assert len(finding.proof) < MAX_TEXT + 40
    assert secret[:6] not in finding.proof


def test_memory_is_bounded() -> None:
    doctor, sniffer = Doctor(PACKAGE), Sniffer(UID)
    for number in range(3 * MAX_LINES):
        examine(doctor, sniffer, entry(part(number=number, device=f"device-{number}"), number, pid=number), UID)
    for _ in range(3 * MAX_SAME):
        examine(doctor, sniffer, entry(part(-1), 9999), UID)
    assert len(doctor._lines) <= MAX_LINES
    assert max(map(len, doctor._lines.values())) <= MAX_SAME
    assert len(doctor._processes) <= 64
    assert all(len(app.devices) <= 64 for app in doctor._apps.values())
    assert len(doctor.findings) <= len(RULES)


@given(
    st.lists(
        st.text(max_size=200) | st.sampled_from([part(), part(-1), part("x"), "'TRACK event saved', { type"]),
        max_size=20,
    )
)
def test_no_text_breaks_it(texts: list[str]) -> None:
    for finding in heard(*(entry(text, number) for number, text in enumerate(texts))):
        assert finding.rule in RULES
        assert finding.count >= 1


@pytest.mark.parametrize("quoted", ["Invalid URL has been passed", "Dropped 2 events due to permanent errors"])
def test_what_an_event_quotes_is_not_said_by_the_sdk(quoted: str) -> None:
    assert heard(entry(part(properties={"note": quoted}))) == []
    assert heard(entry(f"the test said: {quoted}")) == []


def test_lines_that_a_text_format_runs_together() -> None:
    said = "Could not receive settings from Segment. Device mode destinations will be ignored."
    both = entry(f"'An internal error occurred: ', {{}}\n{said}\nDestination undefined failed to execute: {{}}")
    assert counts(heard(both)) == {"destination-off": 1, "plugin-failed": 1}


def test_the_proof_of_a_missing_id_is_an_event_that_has_none() -> None:
    own = {"integrations": {}, "properties": {"session_id": SESSION}}
    identify = {"type": "identify", "userId": "u-1", "traits": {}, "integrations": {}}
    found = {
        finding.rule: finding
        for finding in heard(
            entry(part(number=1, **own), 1),
            entry(part(number=2, **identify), 2),
            entry(part(number=3, **own), 3),
        )
    }
    assert "m-2 " in found["negative-session-id"].proof
    assert "m-1 " in found["no-session-plugin"].proof
    assert found["no-session-plugin"].stamp.wall_ms == SESSION + 3000
