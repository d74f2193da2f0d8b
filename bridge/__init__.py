"""Facts from Android devices over ADB: frames, hierarchies, log entries, touches, clocks.

This package knows devices. It has never heard of Segment, sessions or HTTP uploads; `agent` gives its facts meaning.
"""

OWNER = "android-replay-agent"
