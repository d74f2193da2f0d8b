"""The scripted world of an emulated phone: an app, its screens, their pixels, the logs they write."""

from bridge.emulated.world.analytics import Sent
from bridge.emulated.world.autopilot import SCENARIOS, SECRETS
from bridge.emulated.world.world import Secret, TruthFrame, World

__all__ = ["SCENARIOS", "SECRETS", "Secret", "Sent", "TruthFrame", "World"]
