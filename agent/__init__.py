"""Meaning for device facts: identity, masking, replay segments, delivery, viewer, command line.

It sees devices through the protocols of `bridge.ports`; only `agent.commands` and `agent.runtime` know that there is an
adb server.
"""

OWNER = "android-replay-agent"
__version__ = "0.1.0"
