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
_PREFIX: Mapping[RemoteForm, str] = {"android": "sr_android_", "web": "sr_"}

CAPTURE_OFF = "capture switched off by remote config"
INCOMPLETE = "remote config sets sampling without capture_enabled"
UNAVAILABLE = "remote config not available"


@dataclass(frozen=True, slots=True)
class Remote:
    """The decisions of a remote configuration; None = not decided there.

    `off` is the reason why nothing may be captured, "" when capture is on.
    """

    off: str = ""
    sample_rate: float | None = None
    mask_level: MaskLevel | None = None


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
    rate = sampling.get("sample_rate")
    level = privacy.get("defaultMaskLevel")
    return Remote(
        off,
        float(rate) if isinstance(rate, int | float) and not isinstance(rate, bool) and rate == rate else None,
        next((known for known in _MASK_LEVELS if known == level), None),
    )


def _below(tree: object, name: str) -> Mapping[str, object] | None:
    value = tree.get(name) if isinstance(tree, Mapping) else None
    return value if isinstance(value, Mapping) else None
