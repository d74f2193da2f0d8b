from __future__ import annotations

import pytest

from agent.analytics import gate as words
from agent.analytics.gate import Gate
from agent.analytics.remote import CAPTURE_OFF, Remote
from agent.analytics.sampling import in_sample

SESSION = 1_760_000_000_123
SESSIONS = range(SESSION, SESSION + 400)


@pytest.mark.parametrize("session", [0, -1, -5])
def test_no_session_is_never_recorded(session: int) -> None:
    assert Gate().refusal(session) == words.NO_ID


def test_the_sample_is_that_of_the_hash() -> None:
    gate = Gate(sample_rate=0.5)
    taken = [session for session in SESSIONS if not gate.refusal(session)]
    assert taken == [session for session in SESSIONS if in_sample(session, 0.5)]
    assert 100 < len(taken) < 300
    web = Gate(sample_rate=0.5, variant="web")
    assert [s for s in SESSIONS if not web.refusal(s)] == [s for s in SESSIONS if in_sample(s, 0.5, "web")]
    assert {gate.refusal(s) for s in SESSIONS} == {"", words.NOT_SAMPLED}


def test_a_decision_is_kept_for_the_session() -> None:
    gate = Gate(sample_rate=1.0)
    assert gate.refusal(SESSION) == ""
    gate.configure(Remote("", 0.0))
    assert gate.refusal(SESSION) == ""
    assert gate.refusal(SESSION + 1) == words.NOT_SAMPLED
    gate.configure(Remote("", 1.0))
    assert gate.refusal(SESSION + 1) == words.NOT_SAMPLED


def test_the_remote_rate_beats_the_local_one_while_there_is_one() -> None:
    gate = Gate(sample_rate=0.0)
    gate.configure(Remote("", 1.0))
    assert gate.refusal(SESSION) == ""
    gate.configure(Remote())
    assert gate.refusal(SESSION + 1) == words.NOT_SAMPLED


def test_the_least_length_of_a_session_is_the_remote_config_s() -> None:
    gate = Gate()
    assert gate.min_seconds == 0
    gate.configure(Remote(min_seconds=5))
    assert gate.min_seconds == 5
    gate.configure(Remote())
    assert gate.min_seconds == 0


def test_nothing_is_captured_until_the_remote_config_has_come() -> None:
    gate = Gate(remote=True)
    assert gate.closed == words.NOT_LOADED
    assert gate.refusal(SESSION) == words.NOT_LOADED
    gate.configure(Remote())
    assert gate.closed == ""
    assert gate.refusal(SESSION) == ""


def test_capture_off_closes_all() -> None:
    gate = Gate()
    gate.configure(Remote(CAPTURE_OFF))
    assert gate.closed == gate.refusal(SESSION) == CAPTURE_OFF


def test_start_and_stop() -> None:
    gate = Gate(auto_start=False)
    assert gate.closed == words.NOT_STARTED
    gate.start()
    assert gate.closed == ""
    gate.stop()
    assert gate.closed == words.STOPPED
    gate.start()
    assert gate.refusal(SESSION) == ""


def test_opting_out_beats_all() -> None:
    gate = Gate(opt_out=True)
    gate.start()
    gate.configure(Remote("", 1.0))
    assert gate.closed == gate.refusal(SESSION) == words.OPTED_OUT


def test_the_server_s_word_ends_one_session() -> None:
    gate = Gate()
    assert gate.refusal(SESSION) == ""
    gate.end(SESSION, "capture is switched off")
    assert gate.refusal(SESSION) == "capture is switched off"
    assert gate.refusal(SESSION + 1) == ""


def test_each_session_is_told_once() -> None:
    seen: list[int] = []
    gate = Gate(sample_rate=0.5, on_session=lambda: seen.append(1))
    for session in (SESSION, SESSION, SESSION + 1, SESSION, 0):
        gate.refusal(session)
    assert len(seen) == 2


def test_a_session_that_begins_while_capture_is_off_is_told_too() -> None:
    seen: list[int] = []
    gate = Gate(on_session=lambda: seen.append(1))
    gate.configure(Remote(CAPTURE_OFF))
    assert gate.refusal(SESSION) == gate.refusal(SESSION) == CAPTURE_OFF
    assert len(seen) == 1
    gate.configure(Remote())
    assert gate.refusal(SESSION) == ""
    assert len(seen) == 1


def test_the_rate_in_force_is_the_remote_one() -> None:
    gate = Gate(sample_rate=0.0)
    gate.configure(Remote("", 0.25))
    assert gate.sample_rate == 0.25
    gate.configure(Remote())
    assert gate.sample_rate == 0.0


def test_it_remembers_a_bounded_number_of_sessions() -> None:
    gate = Gate(sample_rate=0.5)
    for session in range(1, 3 * words.MAX_SESSIONS):
        gate.refusal(session)
    assert len(gate._decisions) == len(gate._met) == words.MAX_SESSIONS
