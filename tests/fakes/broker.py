"""A Redis of the test's own, where there is one to be had."""

from __future__ import annotations

from pathlib import Path

import pytest
from farming.redis_server import PROGRAM, RedisServer


def redis_server(folder: Path, durable: bool = False) -> RedisServer:
    """Running; skips the test where Redis or Celery is not installed."""
    require_redis()
    return RedisServer(folder, durable)


def require_redis() -> None:
    pytest.importorskip("celery", reason="Celery (extra `farm`) is not installed")
    if PROGRAM is None:
        pytest.skip("redis-server is not installed")
