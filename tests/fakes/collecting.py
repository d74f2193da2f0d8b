"""Collectors on loopback, for tests that talk to one over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from agent.collector.answers import Answers
from agent.collector.app import make_app
from agent.collector.server import Server
from agent.store.recording import Recording


@dataclass(frozen=True, slots=True)
class Collecting:
    url: str
    port: int
    recording: Recording
    answers: Answers
    app: Starlette


class Host:
    """A running server whose application is changed from test to test: to start and end one takes half a second."""

    def __init__(self) -> None:
        self.app: Starlette | None = None
        self.server = Server(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@contextmanager
def hosting() -> Iterator[Host]:
    host = Host()
    with host.server:
        yield host


@contextmanager
def hosted(host: Host, folder: Path, api_key: str = "") -> Iterator[Collecting]:
    """A collector on a server that is running already."""
    with _made(folder, api_key) as (app, recording, answers):
        host.app = app
        yield Collecting(host.server.url, host.server.port, recording, answers, app)


@contextmanager
def collecting(folder: Path, api_key: str = "", port: int = 0) -> Iterator[Collecting]:
    """A collector with a server of its own."""
    with _made(folder, api_key) as (app, recording, answers), Server(app, port=port) as server:
        yield Collecting(server.url, server.port, recording, answers, app)


@contextmanager
def _made(folder: Path, api_key: str) -> Iterator[tuple[Starlette, Recording, Answers]]:
    recording, answers = Recording.create(folder), Answers()
    app = make_app(recording, api_key=api_key, answers=answers)
    try:
        yield app, recording, answers
    finally:
        app.state.collector.close()
