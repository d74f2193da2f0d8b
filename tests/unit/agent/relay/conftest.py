from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.segment_api import SegmentApi

from agent.relay.server import RelayServer


@dataclass(slots=True)
class Running:
    """A relay, a client of one of its doors, and what it told."""

    server: RelayServer
    client: httpx.Client
    told: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def post(self, content: bytes | str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post("/v1/b", content=content, headers=named)


@pytest.fixture
def segment() -> Iterator[SegmentApi]:
    with SegmentApi() as segment:
        yield segment


@pytest.fixture
def start(tmp_path: Path, segment: SegmentApi) -> Iterator[Callable[..., Running]]:
    """Starts a relay before `segment`; options are RelayServer's."""
    with ExitStack() as stack:

        def begin(**options: Any) -> Running:
            told: list[tuple[str, Mapping[str, object]]] = []

            def tell(door: str, events: Sequence[Mapping[str, object]]) -> None:
                told.extend((door, event) for event in events)

            given = {"upstream": segment.url, "answer_seconds": 5.0, **options}
            server = stack.enter_context(RelayServer(tmp_path / "relay", tell, **given))
            port = server.open("PHONE")
            client = stack.enter_context(httpx.Client(base_url=f"http://localhost:{port}", timeout=20))
            return Running(server, client, told)

        yield begin


@pytest.fixture
def relay(start: Callable[..., Running]) -> Running:
    return start()
