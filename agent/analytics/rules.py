"""The rules of the instrumentation doctor: what each one is called, how bad it is, what it means and what mends it.

Sources: `@segment/analytics-react-native` and its Amplitude session plugin (what they print and when), Amplitude's
Segment Session Replay plugin (which ids it takes), liblog and logd (what a log loses).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.model import Severity

# From the worst down; `--fail-on` and the tables follow this order.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its name is stable, people and pipelines rely on it."""

    name: str
    severity: Severity
    meaning: str
    fix: str


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "negative-session-id", "error",
            "The event carries no session id (-1), so no replay can be joined to it.",
            "Add the Amplitude session plugin, and see that the source has the Amplitude (Actions) destination on.",
        ),
        Rule(
            "no-session-plugin", "error",
            "No event carries a session id, and nothing in the log shows the Amplitude session plugin.",
            "Add AmplitudeSessionPlugin of @segment/analytics-react-native-plugin-amplitude-session to the client; if"
            " it is there, log events from a plugin of type `after`.",
        ),
        Rule(
            "plugin-order", "warning",
            "Events are logged before the session plugin has stamped them: their own session id is not in the log.",
            "Make the logging plugin one of type `after`.",
        ),
        Rule(
            "duplicate-session-start", "warning",
            "One session is started more than once, so it is counted more than once.",
            "Update the session plugin to 0.4.2 or newer, and add it to one client only.",
        ),
        Rule(
            "session-id-in-properties", "warning",
            "The session id stands in the properties only: identify, group and alias have none and drop to -1.",
            "Let the session plugin put it at integrations['Actions Amplitude'].session_id.",
        ),
        Rule(
            "session-id-malformed", "error",
            "The session id is no time in milliseconds as a plain number; the recorder in the app refuses it.",
            "Give the session's start as a number of milliseconds, as Date.now() returns it.",
        ),
        Rule(
            "session-id-under-other-key", "error",
            "The session id stands under another integration than 'Actions Amplitude', where nobody looks for it.",
            "Use the key 'Actions Amplitude' exactly; the classic Amplitude destination does not count.",
        ),
        Rule(
            "event-before-session", "info",
            "The event is older than the session it is stamped with: it waited for the settings, or met a new session.",
            "Nothing to mend when it is the first seconds of a start; else track after the client is ready.",
        ),
        Rule(
            "device-id-fallback", "info",
            "There is no context.device.id, so the anonymous id is the device id and changes at each reset().",
            "Create the client with collectDeviceId: true if one device should stay one device.",
        ),
        Rule(
            "random-device-id", "warning",
            "The device id is made at random at each start of the app: every start looks like another device.",
            "The phone has no DRM id to take; set context.device.id yourself from a stored value.",
        ),
        Rule(
            "device-id-unusable", "error",
            "Amplitude refuses such a device id, or cannot match a replay by it.",
            "Use at least 5 characters of a-z A-Z 0-9 _ - . | @ : = that are the device's own.",
        ),
        Rule(
            "destination-off", "error",
            "The Amplitude (Actions) destination is off in this process, so the session plugin does nothing.",
            "Switch the destination on in Segment; give defaultSettings for a first start without network.",
        ),
        Rule(
            "logger-silenced", "warning",
            "The app runs and its log shows no Segment event at all.",
            "Add the ReplayLog plugin (`after`); keep console calls in the build, or set debug: true.",
        ),
        Rule(
            "raw-events-only", "warning",
            "The log holds only the SDK's own \"saved\" lines: they have neither ids nor context, ids are inferred.",
            "Add the ReplayLog plugin (`after`), which logs the whole event in numbered parts.",
        ),
        Rule(
            "event-cut", "warning",
            "The event is longer than a log entry can be (4,052 bytes) and the rest of it is lost.",
            "Log events in numbered parts of 3,000 ASCII characters, as the ReplayLog plugin does.",
        ),
        Rule(
            "event-abridged", "warning",
            "The console left a part of the event out: it stops at 200 values and at the 12th level.",
            "Log JSON.stringify(event) as one string, or use the ReplayLog plugin.",
        ),
        Rule(
            "event-unreadable", "warning",
            "A line looks like an event and cannot be read, or a numbered part of one never came.",
            "Log events with the ReplayLog plugin, one string a part.",
        ),
        Rule(
            "lines-folded", "warning",
            "The log daemon folded equal lines of the app into one: events may be among them.",
            "Log the messageId with each event (ReplayLog does): lines that differ are not folded.",
        ),
        Rule(
            "log-overrun", "warning",
            "The log's buffer was too small and lines were thrown away before they were read.",
            "Make it larger with `adb logcat -G 16M`, and log less.",
        ),
        Rule(
            "several-apps", "info",
            "Another app logs Segment events under the same tag.",
            "Name the app with --app, so that only its own process is read.",
        ),
        Rule(
            "api-key-logged", "error",
            "An API key or write key is printed in the log, where every tool with log access reads it.",
            "Lower the log level of the SDK in release builds, and do not log its configuration.",
        ),
        Rule(
            "key-mismatch", "error",
            "Two different Amplitude API keys are in use: replays and events go to different projects.",
            "Give the replay SDK, this recorder and the Amplitude (Actions) destination the same key.",
        ),
        Rule(
            "plugin-failed", "warning",
            "A plugin of the client threw; the event went on without what the plugin adds.",
            "Look at the error in the lines before, and mend the plugin.",
        ),
        Rule(
            "events-dropped", "error",
            "The SDK threw events away for good because Segment refused them.",
            "Look at the write key, and at events over 32 KB.",
        ),
        Rule(
            "proxy-refused", "warning",
            "The SDK refused the proxy's URL and sends to Segment directly.",
            "Give a full URL; since 2.24.1 http:// needs allowInsecureProxy: true.",
        ),
    )
}  # fmt: skip
