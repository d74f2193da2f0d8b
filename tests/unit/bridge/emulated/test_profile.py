import pytest

from bridge.emulated.profile import FEATURES, PROFILES, Profile


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_a_profile_is_sound(profile: Profile) -> None:
    assert PROFILES[profile.name] is profile
    assert profile.size.width > 0 < profile.size.height
    assert 100 <= profile.density <= 640
    assert min(profile.panel) > 0
    assert profile.screencap_header in (12, 16)
    assert set(profile.latencies) == set(PROFILES["pixel7"].latencies)
    assert all(seconds >= 0 for seconds in profile.latencies.values())
    # adb compresses, or changes the meaning of OKAY, when a phone claims these.
    assert not {"sendrecv_v2_brotli", "sendrecv_v2_lz4", "sendrecv_v2_zstd", "delayed_ack"} & set(profile.features)


def test_the_models_of_the_command() -> None:
    pixel, old, small = PROFILES["pixel7"], PROFILES["old"], PROFILES["small"]
    assert (pixel.size.width, pixel.size.height, pixel.density, pixel.api_level) == (1080, 2400, 420, 34)
    assert (old.api_level, old.max_payload) == (28, 256 * 1024)
    assert (small.size.width, small.size.height, small.density) == (540, 1200, 210)
    assert pixel.features == FEATURES
    assert set(old.features) < set(FEATURES)


def test_latencies() -> None:
    assert PROFILES["pixel7"].latency("screencap") == pytest.approx(0.120)
    assert PROFILES["old"].latency("screencap-png") > PROFILES["pixel7"].latency("screencap-png")
    assert PROFILES["small"].latency("screencap") == 0
    assert PROFILES["pixel7"].latency("no such command") == 0


def test_properties() -> None:
    props = PROFILES["pixel7"].properties("SER1")
    assert props["ro.product.model"] == "Pixel 7"
    assert props["ro.build.version.sdk"] == "34"
    assert props["ro.serialno"] == props["ro.boot.serialno"] == "SER1"
    assert props["ro.build.fingerprint"].startswith("google/panther/panther:14/")
    assert all(isinstance(value, str) for value in props.values())
