"""`python -m fuzzing.by_hypothesis TARGET SECONDS`: bytes made of pieces that matter, until the time is over."""

from __future__ import annotations

import sys
import time

from fakes.hostile import BOMBS, MESSAGES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing.targets import TARGETS, seeds, within_limit


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    target = TARGETS[name]
    pieces = st.one_of(
        st.binary(max_size=40),
        MESSAGES.map(str.encode),
        st.sampled_from([*seeds(name), *(text.encode() for text in BOMBS.values())]),
    )

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(pieces, max_size=12), st.sampled_from([b"", b"\0", b"\n", b"\0\x08"]))
    def fuzz(parts: list[bytes], between: bytes) -> None:
        within_limit(target, between.join(parts))

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        fuzz()


if __name__ == "__main__":
    main()
