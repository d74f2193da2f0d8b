from __future__ import annotations

import json

import pytest

from agent.analytics.remote import Remote, read
from agent.collector.config import RemoteConfig
from agent.model import MaskLevel, RemoteForm


def test_a_new_project_captures_everything() -> None:
    assert RemoteConfig() == RemoteConfig(capture_enabled=True, sample_rate=1.0, mask_level="medium")


@pytest.mark.parametrize("form", ["android", "web"])
@pytest.mark.parametrize("level", ["light", "medium", "conservative"])
def test_both_platforms_find_their_names(form: RemoteForm, level: MaskLevel) -> None:
    served = json.loads(json.dumps(RemoteConfig(sample_rate=0.25, mask_level=level).document()))
    assert read(served, form) == Remote("", 0.25, level)
    assert read(RemoteConfig(capture_enabled=False).document(), form).off


def test_the_document_as_it_is_sent() -> None:
    sampling = {"capture_enabled": False, "sample_rate": 0.5}
    privacy = {"defaultMaskLevel": "light"}
    assert RemoteConfig(False, 0.5, "light").document() == {
        "configs": {
            "sessionReplay": {
                "sr_android_sampling_config": sampling,
                "sr_android_privacy_config": privacy,
                "sr_sampling_config": sampling,
                "sr_privacy_config": privacy,
            }
        }
    }
