from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from agent.collector.answers import Answer, Answers, Seen


def seen(number: int = 0) -> Seen:
    return Seen({"x-number": str(number)}, {}, b"")


def test_first_come_first_served_then_none() -> None:
    answers = Answers(Answer(500), Answer(429))
    answers.add(Answer(413), Answer(200))
    taken = [answers.take(seen(number)) for number in range(6)]
    assert [answer and answer.status for answer in taken] == [500, 429, 413, 200, None, None]
    assert answers.seen == tuple(seen(number) for number in range(6))


def test_an_answer_says_ok_and_keeps_nothing() -> None:
    assert Answer() == Answer(200, {}, '{"code":200}', 0.0, False)


def test_what_was_seen_is_a_copy() -> None:
    answers = Answers()
    before = answers.seen
    answers.take(seen())
    assert (before, answers.seen) == ((), (seen(),))


def test_each_answer_is_given_once_whoever_asks() -> None:
    answers = Answers(*(Answer(number) for number in range(500)))
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: answers.take(seen(number)), range(600)))
    assert sorted(answer.status for answer in taken if answer is not None) == list(range(500))
    assert len(answers.seen) == 600
