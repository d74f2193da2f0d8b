"""Whether a session is in the sample: the hash rules of Amplitude's SDKs.

Sources: `Sample.kt` of Amplitude-Kotlin and `Sample.swift` of AmplitudeCore-Swift ("mobile"), `sampling.ts` of the
browser SDK ("web"). The two disagree on most ids.
"""

from __future__ import annotations

from typing import Literal

import xxhash

BUCKETS = 1_000_000


def bucket(session_id: int | str, variant: Literal["mobile", "web"] = "mobile") -> int:
    """The bucket, 0 to BUCKETS - 1, of a session id in its decimal text."""
    value = xxhash.xxh32_intdigest(str(session_id).encode(), seed=0)
    return (value * 31 if variant == "mobile" else value) % BUCKETS


def in_sample(session_id: int | str, rate: float, variant: Literal["mobile", "web"] = "mobile") -> bool:
    """Whether a session is recorded at a rate of 0 (never) to 1 (always). The caller refuses ids of 0 and below."""
    return bucket(session_id, variant) / BUCKETS < rate
