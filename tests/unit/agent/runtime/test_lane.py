from __future__ import annotations

import asyncio
import threading

import pytest

from agent.runtime.lane import start_lane


def test_each_lane_has_its_own_thread_and_name() -> None:
    names = []
    together = threading.Barrier(3, timeout=5)

    def work() -> None:
        names.append(threading.current_thread().name)
        together.wait()

    async def run() -> None:
        await asyncio.gather(*(start_lane(f"lane{i}", work) for i in range(3)))

    asyncio.run(run())
    assert sorted(name.split("_")[0] for name in names) == ["lane0", "lane1", "lane2"]


def test_what_the_work_raises_arrives() -> None:
    def work() -> None:
        raise ValueError("lost")

    async def run() -> None:
        await start_lane("lane", work)

    with pytest.raises(ValueError, match="lost"):
        asyncio.run(run())
