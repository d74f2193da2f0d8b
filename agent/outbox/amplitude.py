"""The sink that posts segments to Amplitude, or to a proxy before it.

Addresses: @amplitude/session-replay-browser, constants.ts and utils/server-url.ts. A track server of one's own
(`trackServerUrl` there) replaces the whole address; the query is appended to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from agent.errors import ConfigError, SinkError
from agent.outbox.exchange import address, is_loopback, words
from agent.outbox.track import Posting, TrackSink

ZONES: Mapping[str, str] = {
    "us": "https://api-sr.amplitude.com/sessions/v2/track",
    "eu": "https://api-sr.eu.amplitude.com/sessions/v2/track",
}
CHECK_SECONDS = 5.0
HINT = "Write the sink as amplitude:us or amplitude:eu, or name your proxy: amplitude:https://HOST/PATH."


class AmplitudeSink(TrackSink):
    """Posts to one of Amplitude's hosts, or to what stands for it."""

    def __init__(self, zone: str, posting: Posting) -> None:
        """`zone` is one of ZONES or an address. Raises ConfigError when it is none, or without a key."""
        if not posting.key:
            raise ConfigError(
                "Amplitude takes nothing without the project's API key, and none is set.",
                "Set ANDROID_REPLAY_UPLOAD__API_KEY to the key of the project's Amplitude destination in Segment.",
            )
        url = ZONES.get(zone.lower(), zone)
        parts = address(url, "The address of a track server", HINT)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ConfigError(f"{url!r} would send the API key and the replays unencrypted.", "Use an https address.")
        shown = zone.lower() if zone.lower() in ZONES else url
        super().__init__(f"amplitude:{shown}", url, parts.hostname or "", posting)

    def check(self) -> str:
        """Whether the host answers at all. No replay is sent, and no key. Raises SinkError when it does not."""
        parts = urlsplit(self._url)
        url = f"{parts.scheme}://{parts.netloc}/"
        try:
            answer = self._ask("HEAD", url, {"Accept-Encoding": "identity"}, b"", CHECK_SECONDS)
        except httpx.HTTPError as error:
            raise SinkError(
                f"{parts.netloc} does not answer: {words(error)}.",
                "Check the network, HTTPS_PROXY, and upload.ca_file where a proxy has a certificate of its own.",
            ) from error
        secure = "over TLS " if parts.scheme == "https" else ""
        return f"answers {secure}({answer.status}); whether it takes the key shows with the first upload"
