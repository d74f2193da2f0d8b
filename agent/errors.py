"""The error tree of the agent: a class answers "who acts next?". Exit codes map 1:1 from it (`EXIT_CODES`).

AgentError
├── ConfigError      the user: a setting or argument is wrong
├── StorageError     the operator: the disk
│   ├── StorageFull      no room, or the byte budget is used up
│   ├── StorageDenied    the folder cannot be written
│   └── RecordingError   a stored recording cannot be read (damaged, or newer than this program)
├── MaskingError     nobody: the frame is blocked (fail closed)
├── SinkError        the operator: a sink's address or credentials are unusable
├── AddressTaken     the user: the port to listen on is in use
├── NoDevice         the user: no device fits, or more than one does
├── NoCommand        the user: the command to run cannot be started
├── GateShut         the tests' owner: a run breaks what --gate asks for
├── FaultsFound      the app's developer: the instrumentation has faults of the level that --fail-on names
├── FarmError        the operator: the farm's broker cannot be reached, or does not do what is asked
├── JobsFailed       the caller: jobs of the farm did not pass
├── InvalidReplay    whoever wrote the replay: it breaks rules of rrweb's player
└── BuildError       the packager: a built part (the viewer's player) is missing from the installation
"""

from __future__ import annotations

from bridge.errors import (
    AdbMissing,
    AdbServerError,
    BridgeError,
    BridgeTimeout,
    CaptureFailed,
    CommandFailed,
    DeviceBusy,
    DeviceGone,
    DeviceUnauthorized,
    ScreenBlocked,
    ServerPortTaken,
    TooManyFiles,
)


class AgentError(Exception):
    """A failure that a person can act on. `hint` is the next step, in one sentence."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)


class ConfigError(AgentError):
    """A setting or an argument is wrong."""


class StorageError(AgentError):
    """The disk does not do what is needed."""


class StorageFull(StorageError):
    """No room is left, or the byte budget is used up."""


class StorageDenied(StorageError):
    """The folder cannot be made or written."""


class RecordingError(StorageError):
    """A stored recording is damaged, or newer than this program."""


class MaskingError(AgentError):
    """A frame could not be masked; it is blocked whole."""


class SinkError(AgentError):
    """A sink's address or credentials are unusable."""


class AddressTaken(AgentError):
    """Another program listens on the wanted port."""


class BuildError(AgentError):
    """A part made at build time is missing from this installation."""


class NoDevice(AgentError):
    """No device fits, or more than one does."""


class NoCommand(AgentError):
    """The command to run beside a recording cannot be started."""


class GateShut(AgentError):
    """A run of tests breaks what the caller asked for by --gate."""


class FaultsFound(AgentError):
    """The app's instrumentation has faults, and the caller asked to fail on them."""


class FarmError(AgentError):
    """The farm's broker cannot be reached, or does not do what is asked."""


class JobsFailed(AgentError):
    """Jobs of the farm did not pass."""


class InvalidReplay(AgentError):
    """A replay breaks rules of rrweb's player, and the caller asked for a check."""


EXIT_CODES: dict[type[BaseException], int] = {
    ConfigError: 2,
    NoDevice: 3,
    DeviceGone: 4,
    DeviceUnauthorized: 5,
    DeviceBusy: 6,
    BridgeTimeout: 7,
    AdbMissing: 8,
    AdbServerError: 9,
    BridgeError: 10,
    StorageError: 11,
    SinkError: 12,
    AddressTaken: 13,
    BuildError: 14,
    AgentError: 15,
    FaultsFound: 16,
    InvalidReplay: 17,
    GateShut: 18,
    FarmError: 20,
    JobsFailed: 21,
    # As shells have it.
    NoCommand: 127,
}

_STEPS: dict[type[BaseException], str] = {
    DeviceUnauthorized: "Unlock the phone and accept the question about USB debugging.",
    DeviceBusy: "Stop the other tool that drives the phone's UI (Appium, Maestro, a UI test).",
    DeviceGone: "Check the cable, then `android-replay devices`.",
    BridgeTimeout: "Is the phone locked up or the link slow? `android-replay doctor` checks both.",
    ScreenBlocked: "Unlock the phone, leave the protected screen, then try again.",
    CaptureFailed: "Try again; if it stays so, restart the phone.",
    CommandFailed: "Try the command with `adb shell`; the phone may miss it or forbid it.",
    AdbMissing: "Install the Android platform tools, or set ADBUTILS_ADB_PATH to an adb program.",
    ServerPortTaken: "Set ANDROID_ADB_SERVER_PORT to the port on which your adb server listens.",
    TooManyFiles: "Record fewer phones with one program, or raise the limit, then start again.",
    AdbServerError: "Start it with `adb start-server`, or check ANDROID_ADB_SERVER_PORT.",
}


def exit_code(error: BaseException) -> int:
    """The documented exit code of an error: that of the nearest class of the tree, 1 outside it."""
    for cls in type(error).__mro__:
        if cls in EXIT_CODES:
            return EXIT_CODES[cls]
    return 1


def next_step(error: BridgeError) -> str:
    """What a person does about a bridge error, in one sentence."""
    for cls in type(error).__mro__:
        if cls in _STEPS:
            return _STEPS[cls]
    return "Run `android-replay doctor` for a check of every part."


def worded(error: AgentError | BridgeError) -> str:
    """What is said of an error: what it is and, in a line of its own, what to do."""
    hint = error.hint if isinstance(error, AgentError) else next_step(error)
    return f"{error}\n  {hint}" if hint else str(error)
