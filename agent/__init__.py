"""Meaning for device facts: identity, masking, replay segments, delivery, viewer, command line.

This package has never heard of adb; it sees devices through the protocols of `bridge.ports`.
"""

OWNER = "android-replay-agent"
__version__ = "0.1.0"
