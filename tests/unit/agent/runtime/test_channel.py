from __future__ import annotations

import asyncio
import threading

import pytest

from agent.runtime.channel import Channel, ChannelClosed


def test_items_come_in_order_from_another_thread_and_then_the_end() -> None:
    async def run() -> list[int]:
        channel: Channel[int] = Channel(asyncio.get_running_loop(), 4)

        def feed() -> None:
            for i in range(100):
                channel.put(i)

        thread = threading.Thread(target=feed)
        thread.start()
        got: list[int] = []
        while len(got) < 100:
            got += await channel.take(7)
        thread.join()
        channel.close()
        assert await channel.take() == []
        return got

    assert asyncio.run(run()) == list(range(100))


def test_a_full_channel_blocks_and_close_wakes_the_putter() -> None:
    async def run() -> list[int]:
        channel: Channel[int] = Channel(asyncio.get_running_loop(), 2)
        refused = threading.Event()
        full = threading.Event()

        def feed() -> None:
            try:
                channel.put(0)
                channel.put(1)
                full.set()
                channel.put(2)
            except ChannelClosed:
                refused.set()

        thread = threading.Thread(target=feed)
        thread.start()
        assert full.wait(5)
        assert thread.is_alive()
        channel.close()
        thread.join(5)
        assert refused.is_set()
        return await channel.take()

    assert asyncio.run(run()) == [0, 1]


def test_put_after_close_is_refused() -> None:
    async def run() -> None:
        channel: Channel[int] = Channel(asyncio.get_running_loop(), 2)
        channel.close()
        with pytest.raises(ChannelClosed):
            channel.put(1)

    asyncio.run(run())
