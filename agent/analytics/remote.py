"""What a project's remote configuration says of session replay, read as Amplitude's clients read it.

Sources: amplitude/Amplitude-TypeScript, `config/joined-config.ts` and `config/types.ts` of the browser package ("web");
amplitude/Amplitude-Kotlin, `remoteconfig/RemoteConfigClient.kt` ("android"). Any level of the document may be null or
of a wrong type, which means absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.model import MaskLevel, RemoteForm

_MASK_LEVELS: tuple[MaskLevel, ...] = ("light", "medium", "conservative")
# No session is held back for longer, whatever is asked for.
LONGEST_MS = 60_000
_PREFIX: Mapping[RemoteForm, str] = {"android": "sr_android_", "web": "sr_"}

CAPTURE_OFF = "capture switched off by remote config"
INCOMPLETE = "remote config sets sampling without capture_enabled"
UNAVAILABLE = "remote config not available"


@dataclass(frozen=True, slots=True)
class Remote:
    """The decisions of a remote configuration; None = not decided there.

    `off` is the reason why nothing may be captured, "" when capture is on. Sessions shorter than `min_seconds` are left
    out.
    """

    off: str = ""
    sample_rate: float | None = None
    mask_level: MaskLevel | None = None
    min_seconds: float = 0.0


def read(document: object, form: RemoteForm) -> Remote:
    """The decisions in a configuration document; a None document is one that could not be had.

    Enabled but not available means that nothing is captured: the server may have said so. So does, for the browser
    SDK, a sampling object that says anything but `capture_enabled`.
    """
    replay = _below(_below(document, "configs"), "sessionReplay")
    if replay is None:
        return Remote(UNAVAILABLE)
    sampling = _below(replay, f"{_PREFIX[form]}sampling_config") or {}
    privacy = _below(replay, f"{_PREFIX[form]}privacy_config") or {}
    enabled = sampling.get("capture_enabled")
    off = ""
    if isinstance(enabled, bool):
        off = "" if enabled else CAPTURE_OFF
    elif sampling and form == "web":
        off = INCOMPLETE
    level = privacy.get("defaultMaskLevel")
    # Only the browser SDK knows of a least length.
    least_ms = _number(sampling.get("min_session_duration_ms")) or 0.0 if form == "web" else 0.0
    return Remote(
        off,
        _number(sampling.get("sample_rate")),
        next((known for known in _MASK_LEVELS if known == level), None),
        min(max(least_ms, 0.0), LONGEST_MS) / 1000,
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value == value else None


def _below(tree: object, name: str) -> Mapping[str, object] | None:
    value = tree.get(name) if isinstance(tree, Mapping) else None
    return value if isinstance(value, Mapping) else None
