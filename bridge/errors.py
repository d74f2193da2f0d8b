"""The error tree of the bridge: every failure names the device and the operation.

BridgeError                 anything a device or its adb server did not do
├── DeviceGone              not listed, offline, unplugged, transport closed under us
├── DeviceUnauthorized      the phone has not accepted this host's key
├── DeviceBusy              another tool holds UiAutomation (one per device)
├── BridgeTimeout           the deadline of the call passed
├── ServiceRefused          the device has no such service, or closed it before an answer
├── CommandFailed           a shell command ended with another status than 0, or printed what is no answer to it
├── CaptureFailed           no usable picture or tree
│   ├── ScreenBlocked       the device refuses the picture (secure window, screen off)
│   ├── FrameMalformed      the bytes are not the picture they claim to be
│   ├── StreamRestarting    a picture stream has none to tell yet: it begins anew, or is late
│   ├── HierarchyEmpty      the dump has no node
│   └── HierarchyMalformed  the dump is not a view hierarchy
├── TooManyFiles            this process, or this host, may open no more files and connections
└── AdbServerError          the host's adb server: absent, wrong version, protocol fault
    ├── AdbMissing          there is no adb program on this host
    └── ServerPortTaken     another program listens where an adb server should

Misuse (use after close, a second owner thread) is `RuntimeError`, outside the tree.
"""

from __future__ import annotations


class BridgeError(Exception):
    """A device, or the adb server in front of it, did not do what was asked.

    `serial` is what adb lists ("" when no device is concerned), `op` the operation in the words of the caller,
    `detail` the peer's own words.
    """

    def __init__(self, serial: str, op: str, detail: str = "") -> None:
        self.serial = serial
        self.op = op
        self.detail = detail
        super().__init__(serial, op, detail)

    def __str__(self) -> str:
        where = f"{self.serial}: " if self.serial else ""
        tail = f": {self.detail}" if self.detail else ""
        return f"{where}{self.op}{tail}"


class DeviceGone(BridgeError):
    """The device is not listed, is offline, or its transport closed during the call."""


class DeviceUnauthorized(BridgeError):
    """The phone has not accepted this host's adb key."""


class DeviceBusy(BridgeError):
    """Another tool holds the device's single UiAutomation connection."""


class BridgeTimeout(BridgeError):
    """The deadline of the call passed before the device answered in full."""


class ServiceRefused(BridgeError):
    """The device refused or closed the service before it answered."""


class CommandFailed(BridgeError):
    """A shell command ended with an exit status other than 0, or what it printed is no answer or has no end."""


class CaptureFailed(BridgeError):
    """No usable picture or tree could be taken."""


class ScreenBlocked(CaptureFailed):
    """The device refuses to give the picture."""


class FrameMalformed(CaptureFailed):
    """The bytes received are not the picture that they claim to be."""


class StreamRestarting(CaptureFailed):
    """A stream of pictures has none to tell yet: it begins anew (the screen turned, its time ran out), or this host is
    behind what has come."""


class HierarchyEmpty(CaptureFailed):
    """The dump holds no node."""


class HierarchyMalformed(CaptureFailed):
    """The dump is not a view hierarchy, or passes the size or depth limit."""


class TooManyFiles(BridgeError):
    """This process, or this host, has as many files and connections open as it may."""


class AdbServerError(BridgeError):
    """The adb server of this host is absent, of another version, or broke its protocol."""


class AdbMissing(AdbServerError):
    """There is no adb program on this host."""


class ServerPortTaken(AdbServerError):
    """Another program listens on the port where an adb server should."""
