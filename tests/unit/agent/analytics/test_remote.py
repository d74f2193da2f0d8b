from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.remote import CAPTURE_OFF, INCOMPLETE, UNAVAILABLE, Remote, read
from agent.collector.config import RemoteConfig
from agent.model import RemoteForm

FORMS: tuple[RemoteForm, ...] = ("android", "web")


def document(prefix: str, sampling: Any, privacy: Any = None) -> dict[str, Any]:
    return {"configs": {"sessionReplay": {f"{prefix}sampling_config": sampling, f"{prefix}privacy_config": privacy}}}


@pytest.mark.parametrize("form", FORMS)
def test_what_our_collector_serves_is_read(form: RemoteForm) -> None:
    served = RemoteConfig(capture_enabled=True, sample_rate=0.25, mask_level="conservative").document()
    assert read(served, form) == Remote("", 0.25, "conservative")
    assert read(RemoteConfig(capture_enabled=False).document(), form).off == CAPTURE_OFF


def test_each_form_reads_its_own_names() -> None:
    android = document("sr_android_", {"capture_enabled": False, "sample_rate": 0.5})
    web = document("sr_", {"capture_enabled": False, "sample_rate": 0.5})
    assert read(android, "web") == Remote()
    assert read(web, "android") == Remote()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "nothing", [None, [], "x", 5, {}, {"configs": None}, {"configs": []}, {"configs": {"sessionReplay": None}}]
)
def test_no_configuration_means_no_capture(nothing: object, form: RemoteForm) -> None:
    assert read(nothing, form) == Remote(UNAVAILABLE)


@pytest.mark.parametrize("sampling", [None, {}, [], "x", 3])
@pytest.mark.parametrize("form", FORMS)
def test_an_empty_sampling_object_decides_nothing(sampling: object, form: RemoteForm) -> None:
    prefix = "sr_" if form == "web" else "sr_android_"
    assert read(document(prefix, sampling), form) == Remote()


def test_a_sampling_object_without_capture_enabled_closes_the_browser_s() -> None:
    assert read(document("sr_", {"sample_rate": 0.5}), "web") == Remote(INCOMPLETE, 0.5)
    assert read(document("sr_", {"capture_enabled": None}), "web").off == INCOMPLETE
    assert read(document("sr_android_", {"sample_rate": 0.5}), "android") == Remote("", 0.5)


@pytest.mark.parametrize("rate", ["0.5", None, True, [], float("nan")])
def test_a_rate_of_a_wrong_type_is_absent(rate: object) -> None:
    assert read(document("sr_", {"capture_enabled": True, "sample_rate": rate}), "web").sample_rate is None


@pytest.mark.parametrize("level", ["", "LIGHT", None, 5, ["light"]])
def test_a_mask_level_that_is_none_is_absent(level: object) -> None:
    assert read(document("sr_", {}, {"defaultMaskLevel": level}), "web").mask_level is None


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(5000, 5), (60_001, 60), (1e300, 60), (0, 0), (-5, 0), (None, 0), (True, 0), ("5000", 0), (float("nan"), 0)],
)
def test_the_browser_s_sessions_have_a_least_length(asked: object, seconds: float) -> None:
    sampling = {"capture_enabled": True, "min_session_duration_ms": asked}
    assert read(document("sr_", sampling), "web") == Remote(min_seconds=seconds)
    assert read(document("sr_android_", sampling), "android") == Remote()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "configs",
                    "sessionReplay",
                    "sr_sampling_config",
                    "sr_android_sampling_config",
                    "capture_enabled",
                    "min_session_duration_ms",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from(FORMS))
def test_any_document_is_read(tree: object, form: RemoteForm) -> None:
    assert isinstance(read(tree, form), Remote)
