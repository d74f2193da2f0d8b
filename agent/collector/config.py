"""The remote configuration that the collector serves, in the form that Amplitude's Kotlin core and browser SDK read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.model import MaskLevel


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """What a project's settings page decides: whether to capture, which share of sessions (0..1), how to mask."""

    capture_enabled: bool = True
    sample_rate: float = 1.0
    mask_level: MaskLevel = "medium"

    def document(self) -> dict[str, Any]:
        """The answer for every `config_group`: clients look for the names of their own platform."""
        sampling = {"capture_enabled": self.capture_enabled, "sample_rate": self.sample_rate}
        privacy = {"defaultMaskLevel": self.mask_level}
        return {
            "configs": {
                "sessionReplay": {
                    "sr_android_sampling_config": sampling,
                    "sr_android_privacy_config": privacy,
                    "sr_sampling_config": sampling,
                    "sr_privacy_config": privacy,
                }
            }
        }
