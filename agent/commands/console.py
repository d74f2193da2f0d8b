"""How commands talk: human words on stderr, facts on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.settings import Settings

_told: list[Callable[[str], None]] = []
_logged: list[bool] = []


def say(text: str) -> None:
    """One line for a person; a record of the log where that is what standard error carries."""
    if _told:
        _told[-1](text.strip("\n"))
        return
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def saying(told: Callable[[str], None]) -> Iterator[None]:
    """What is said in the block goes there."""
    _told.append(told)
    try:
        yield
    finally:
        _told.pop()


@contextmanager
def logged(settings: Settings, level: int | None = None) -> Iterator[None]:
    """Our log goes where the settings say, without our secrets, and so does what is said if that is JSON on standard
    error: then an error that ends the block is told there, too, and ends the program with its exit code. `level` counts
    before that of the settings. In such a block another one changes nothing. Raises StorageDenied."""
    import logging
    from urllib.parse import urlsplit

    from agent import log
    from agent.errors import AgentError, exit_code, worded
    from bridge.errors import BridgeError

    if _logged:
        yield
        return
    broker = settings.farm.broker.get_secret_value()
    secrets = [secret.get_secret_value() for secret in (settings.upload.api_key, settings.metrics.token)]
    secrets += [broker, urlsplit(broker).password or ""]
    wanted = settings.log
    with ExitStack() as stack:
        _logged.append(True)
        stack.callback(_logged.pop)
        told = stack.enter_context(
            log.shown(
                settings.plugin.log_level if level is None else level,
                secrets, wanted.format, wanted.file, wanted.repeat_seconds,
            )
        )  # fmt: skip
        if wanted.format != "json" or wanted.file is not None:
            yield
            return
        stack.enter_context(saying(told))
        try:
            yield
        except (AgentError, BridgeError) as error:
            told(" ".join(worded(error).split()), logging.ERROR)
            raise SystemExit(exit_code(error)) from error


def structured() -> bool:
    """Whether what is said becomes records."""
    return bool(_told)


def put(text: str) -> None:
    """One line of data. Raises StorageError when standard output cannot take it, BrokenPipeError when nobody reads."""
    if sys.stdout is None:
        raise _unwritable("it was closed when the program started")
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What could not be written would be tried again, and fail again, when the program ends.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise _unwritable(error.strerror or str(error)) from error


def _unwritable(words: str) -> Exception:
    from agent.errors import StorageError

    return StorageError(f"The output cannot be written: {words}.", "Send it to a file or a terminal with room.")


# Valid inside a JSON text, but a line end to many a reader of lines (Python's `splitlines` among them).
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def put_json(value: Any) -> None:
    """One value as one line of JSON, whatever the reader takes for a line end."""
    import orjson

    from agent.replay import rrweb

    try:
        data = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str)
    except orjson.JSONEncodeError:
        # What cannot be written as it is comes out as it does in a recording.
        data = rrweb.dumps(value)
    put(data.decode().translate(_LINE_ENDS))


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as aligned lines; the last column is left as it is."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        for row in rows
    ]
