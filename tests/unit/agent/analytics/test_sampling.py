from __future__ import annotations

import json
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.sampling import BUCKETS, bucket, in_sample

VECTORS = Path(__file__).parents[5] / "shared" / "reference" / "sampling_vectors.json"


def test_the_browser_sdk_s_own_spot_check() -> None:
    """amplitude/Amplitude-TypeScript, `session-replay-browser/e2e/sampling.spec.ts`."""
    assert bucket(1719847315013, "web") == 109_684
    assert in_sample(1719847315013, 0.2, "web")
    assert not in_sample(1719847315013, 0.1, "web")


@pytest.mark.parametrize(("variant", "expected"), [("web", 628_616), ("mobile", 487_096)])
def test_minus_one_hashes_like_any_text(variant: object, expected: int) -> None:
    assert bucket(-1, variant) == expected  # type: ignore[arg-type]


@given(st.integers(1, 2**63 - 1))
def test_the_mobile_rule_is_the_hash_times_31_in_64_bits(session: int) -> None:
    value = xxhash.xxh32(str(session).encode(), seed=0).intdigest()
    assert bucket(session, "web") == value % BUCKETS
    assert bucket(session, "mobile") == value * 31 % BUCKETS
    assert bucket(str(session), "web") == bucket(session, "web")


@given(st.integers(1, 2**63 - 1), st.sampled_from(["mobile", "web"]))
def test_nobody_at_0_and_everybody_at_1(session: int, variant: object) -> None:
    assert not in_sample(session, 0.0, variant)  # type: ignore[arg-type]
    assert in_sample(session, 1.0, variant)  # type: ignore[arg-type]


@given(st.integers(1, 2**63 - 1), st.floats(0, 1), st.floats(0, 1))
def test_who_is_in_at_a_rate_is_in_at_a_higher_one(session: int, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert in_sample(session, high) or not in_sample(session, low)


def test_a_bucket_on_the_edge_is_out() -> None:
    at = bucket(1719847315013, "web") / BUCKETS
    assert not in_sample(1719847315013, at, "web")


@pytest.mark.skipif(not VECTORS.is_file(), reason="the shared vectors are not here")
def test_the_shared_vectors() -> None:
    compared = 0
    for row in json.loads(VECTORS.read_text())["vectors"]:
        session = row["session_id"]
        assert bucket(session, "web") == row["browser_bucket"]
        assert bucket(session, "mobile") == row["mobile_bucket"]
        for variant, name in (("web", "browser_in_sample"), ("mobile", "mobile_in_sample")):
            for rate, expected in row[name].items():
                assert in_sample(session, float(rate), variant) is expected, (session, variant, rate)  # type: ignore[arg-type]
                compared += 1
    assert compared >= 47 * 14 * 2
