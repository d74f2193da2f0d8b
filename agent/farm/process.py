"""A device's consumer process as its host sees it: what it is told, what it says, its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import orjson

from agent.errors import ConfigError
from agent.farm.job import Outcome
from agent.farm.lease import kill_marked
from agent.farm.rack import Say
from agent.farm.status import DeviceState


@dataclass(frozen=True, slots=True)
class Spec:
    """What a consumer process is told on its standard input, the broker's password included: no argument and no
    variable of a process holds that."""

    url: str
    host: str
    serial: str
    tags: tuple[str, ...]
    folder: str
    leases: str
    prefix: tuple[str, ...]

    def line(self) -> bytes:
        return orjson.dumps(asdict(self)) + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Spec:
        """Raises ConfigError."""
        try:
            found = orjson.loads(line)
            return cls(**{**found, "tags": tuple(found["tags"]), "prefix": tuple(found["prefix"])})
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError("A consumer is started by `android-replay farm host` alone.", "") from error


class ConsumerProcess:
    """A device's consumer in a process of its own, seen from the host: a `Worker` of the rack."""

    def __init__(
        self, command: Sequence[str], spec: Spec, ended: Callable[[], None], news: Callable[[], None], say: Say
    ) -> None:
        """`news` is called when its state has changed. Raises OSError when it cannot be started."""
        self._told = ended
        self._news = news
        self._say = say
        self._lock = threading.Lock()
        self._state: tuple[DeviceState, str, str] = ("starting", "", "")
        own = {name: value for name, value in os.environ.items() if not name.upper().startswith("ANDROID_REPLAY_FARM_")}
        self._process = subprocess.Popen(  # noqa: S603 - it starts this same program
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own, start_new_session=True
        )
        self._over = threading.Event()
        self._send(spec.line())
        self._reader = threading.Thread(target=self._read, name=f"farm-consumer:{spec.serial}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    @property
    def state(self) -> tuple[DeviceState, str, str]:
        return self._state

    def end(self, outcome: Outcome | None, reason: str) -> None:
        self._send(orjson.dumps({"end": outcome, "reason": reason}) + b"\n")

    def end_job(self, job: str, outcome: Outcome, reason: str) -> None:
        self._send(orjson.dumps({"job": job, "end": outcome, "reason": reason}) + b"\n")

    def join(self, seconds: float) -> bool:
        return self._over.wait(seconds)

    def kill(self) -> None:
        self._process.kill()
        kill_marked(self._state[1])

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        # One that has ended hears nothing.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    said = orjson.loads(line)
                    self._state = (said["state"], str(said["job"]), str(said["why"]))
                    self._news()
                    if said.get("say"):
                        self._say(str(said["say"]))
        self._process.wait()
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(OSError):
            self._process.stdin.close()
        self._over.set()
        self._told()
