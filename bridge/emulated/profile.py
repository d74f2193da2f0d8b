"""What kind of phone is emulated: its identity, its panel and how long its commands take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.types import Size

FEATURES = (
    "shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "apex", "abb", "fixed_push_symlink_timestamp",
    "abb_exec", "remount_shell", "sendrecv_v2",
)  # fmt: skip

# Seconds. The model of a recent phone: medians from public reports, not a measurement of one device.
_PHONE = {
    "shell": 0.015,  # start of a shell process
    "spawn": 0.005,  # start of a native program inside it
    "screencap": 0.120,  # raw
    "screencap-png": 0.700,
    "u2-start": 0.600,
    "u2-screenshot": 0.090,
    "u2-dump": 0.060,
    "u2-node": 0.001,  # added for each node of a dump
    "u2-input": 0.030,
    "input": 0.250,
    "am": 0.250,
    "pm": 0.200,
    "wm": 0.030,
    "settings": 0.030,
    "dumpsys": 0.060,
    "screenrecord": 0.150,
    "scrcpy": 0.800,
}
_FAST = dict.fromkeys(_PHONE, 0.0)


@dataclass(frozen=True, slots=True)
class Profile:
    """One model. `size` is the natural size (rotation 0), `density` dpi, `panel` the maxima that the touch panel
    reports (`getevent -lp`: its coordinates run from 0 to these inclusive), `encoders` how many videos it encodes at
    once, `latencies` seconds by name."""

    name: str
    manufacturer: str
    model: str
    product: str
    device: str
    api_level: int
    android: str
    size: Size
    density: int
    panel: tuple[int, int]
    build: str = "AP1A.240505.005"
    abi: str = "arm64-v8a"
    features: tuple[str, ...] = FEATURES
    wire_version: int = 0x01000001
    max_payload: int = 1024 * 1024
    screencap_header: int = 16
    encoders: int = 4
    latencies: Mapping[str, float] = field(default_factory=lambda: dict(_PHONE))
    cover: Size | None = None
    second: Size | None = None

    def latency(self, name: str) -> float:
        """Seconds that `name` takes on this model; 0 for a name without an entry."""
        return self.latencies.get(name, 0.0)

    @property
    def fingerprint(self) -> str:
        return (
            f"{self.manufacturer.lower()}/{self.product}/{self.device}:{self.android}/{self.build}/1:user/release-keys"
        )

    def properties(self, serial: str) -> dict[str, str]:
        """What `getprop` lists on a fresh phone."""
        return {
            "init.svc.adbd": "running",
            "persist.sys.locale": "en-US",
            "persist.sys.timezone": "UTC",
            "ro.boot.serialno": serial,
            "ro.build.characteristics": "default",
            "ro.build.fingerprint": self.fingerprint,
            "ro.build.id": self.build,
            "ro.build.type": "user",
            "ro.build.version.release": self.android,
            "ro.build.version.sdk": str(self.api_level),
            "ro.debuggable": "0",
            "ro.product.brand": self.manufacturer.lower(),
            "ro.product.cpu.abi": self.abi,
            "ro.product.cpu.abilist": self.abi,
            "ro.product.device": self.device,
            "ro.product.manufacturer": self.manufacturer,
            "ro.product.model": self.model,
            "ro.product.name": self.product,
            "ro.secure": "1",
            "ro.serialno": serial,
            "ro.sf.lcd_density": str(self.density),
            "sys.boot_completed": "1",
        }


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("pixel7", "Google", "Pixel 7", "panther", "panther", 34, "14", Size(1080, 2400), 420, (1079, 2399)),
        Profile(
            "old", "Sony", "G8141", "G8141", "G8141", 28, "9", Size(1080, 1920), 420, (1079, 1919),
            build="47.2.A.11.228", features=("shell_v2", "cmd", "stat_v2"), max_payload=256 * 1024,
            screencap_header=16, encoders=1, latencies={**_PHONE, "screencap": 0.250, "screencap-png": 1.2},
        ),
        Profile(
            "small", "Emulated", "Small", "small", "small", 34, "14", Size(540, 1200), 210, (4095, 4095),
            latencies=_FAST,
        ),
        Profile(
            "fold", "Emulated", "Fold", "fold", "fold", 34, "14", Size(900, 1080), 210, (4095, 4095),
            latencies=_FAST, cover=Size(540, 1260),
        ),
        Profile(
            "desk", "Emulated", "Desk", "desk", "desk", 34, "14", Size(540, 1200), 210, (4095, 4095),
            latencies=_FAST, second=Size(720, 960),
        ),
    )
}  # fmt: skip
