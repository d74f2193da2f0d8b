"""How commands talk: human words on stderr, facts on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from agent.settings import Settings

_told: list[Callable[[str], None]] = []
_logged: list[bool] = []
# What a terminal obeys, what ends a line for many a reader of lines (Python's `splitlines` among them) and what turns
# the direction of what follows.
_OBEYED = (
    *range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
)  # fmt: skip
_IN_A_LINE = dict.fromkeys(_OBEYED, " ")
_IN_LINES = {code: text for code, text in _IN_A_LINE.items() if code != 0x0A}
_IN_JSON = {code: f"\\u{code:04x}" for code in _OBEYED if code >= 0x20}


def say(text: str) -> None:
    """Words for a person; a record of the log where that is what standard error carries.

    Ids and texts of others' recordings may be among them: nothing in them steers the terminal.
    """
    text = text.translate(_IN_LINES)
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
def logged(settings: Settings, level: int | None = None, hide: Iterable[str] = ()) -> Iterator[None]:
    """Our log goes where the settings say, without our secrets and `hide`, and so does what is said if that is JSON on
    standard error: then an error that ends the block is told there, too, and ends the program with its exit code.
    `level` counts before that of the settings. In such a block another one changes nothing. Raises StorageDenied."""
    import logging

    from agent import log
    from agent.errors import AgentError, exit_code, worded
    from bridge.errors import BridgeError

    if _logged:
        yield
        return
    broker = settings.farm.broker.get_secret_value()
    secrets = [*hide]
    secrets += [secret.get_secret_value() for secret in (settings.upload.api_key, settings.metrics.token)]
    secrets += [broker, broker.partition("://")[2].rpartition("@")[0].partition(":")[2]]
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


def taken() -> BinaryIO:
    """Standard input. Raises ConfigError where it is closed."""
    from agent.errors import ConfigError

    if sys.stdin is None:
        raise ConfigError("Standard input is closed.", "Name a file instead of -, or pipe something into it.")
    return sys.stdin.buffer


def lively() -> bool:
    """Whether standard error is a terminal on which a line can be written anew: on a dumb one it would not be seen."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def structured() -> bool:
    """Whether what is said becomes records."""
    return bool(_told)


def put(*lines: str) -> None:
    """Lines of data, each one line whatever is in it; see `say`. Raises StorageError when standard output cannot take
    them, BrokenPipeError when nobody reads."""
    _write("".join(line.translate(_IN_A_LINE) + "\n" for line in lines))


def _write(text: str) -> None:
    if sys.stdout is None:
        raise _unwritable("it was closed when the program started")
    try:
        sys.stdout.write(text)
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


def put_json(value: Any) -> None:
    """One value as one line of JSON, whatever the reader takes for a line end and whatever a terminal obeys."""
    import json

    import orjson

    from agent.replay import rrweb

    try:
        data = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str)
    except orjson.JSONEncodeError:
        # What cannot be written as it is comes out as it does in a recording.
        data = rrweb.dumps(value)
    text = data.decode().translate(_IN_JSON)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(orjson.loads(data))
    _write(text + "\n")


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as aligned lines; the last column is left as it is."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        for row in rows
    ]
