"""A recording as one HTML file that opens from disk: the page, its player, the data.

The scripts are those of the served page; `source.js` finds the recording in the document instead of asking a server.
The policy lets exactly these two scripts run (CSP Level 3, hash sources; Chromium and Firefox hold to it in a page
from `file:`, too) and nothing be loaded but data URIs. Data stands in script elements of a type that no browser runs.
Events are gzip in base64, one block per segment, so that a page need only unpack what it shows. The segment that is
shown first stands before the scripts, all others after them: the page shows it while a browser still reads the rest.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence

import orjson

from agent.errors import RecordingError
from agent.model import SegmentManifest
from agent.store.recording import Recording
from agent.viewer import assets
from agent.viewer.overview import overview, told
from agent.viewer.script import linked

_LINK = re.compile(r'<link rel="stylesheet" href="static/([\w./-]+)">\n')
_SCRIPT = re.compile(r'<script (?:type="module" )?src="static/([\w./-]+)"(?: defer)?></script>\n')
_GZIP_LEVEL = 6


def single_file(recording: Recording, failed: Callable[[str], None] = lambda reason: None) -> Iterator[bytes]:
    """The file in pieces. What cannot be read is told to `failed`; segments are named in the page, too.

    Raises BuildError when this installation lacks the player.
    """
    assets.check_build()
    player, viewer = (
        assets.read("vendor/rrweb-player.js"),
        f"(async () => {{\n{linked(assets.ENTRY, assets.read)}}})();",
    )
    player, viewer = _inert(player), _inert(viewer)
    styles = "\n".join(_inert(assets.read(name)) for name in _LINK.findall(assets.read(assets.PAGE)))
    before, after = _skeleton()
    # The policy must stand before what it is about.
    head, rest = before.split('<meta charset="utf-8">\n', 1)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_policy(player, viewer)}">\n'
    policy += '<meta http-equiv="x-dns-prefetch-control" content="off">\n'
    yield f'{head}<meta charset="utf-8">\n{policy}{rest}<style>\n{styles}</style>\n{after}'.encode()
    yield _data("recording", orjson.dumps(overview(recording)).decode(), "application/json")
    manifests, written = recording.manifests(), set[str]()
    first = _first(manifests)
    for manifest in manifests:
        if manifest is first:
            yield from _segment(recording, manifest, written, failed)
    yield f"<script>{player}</script>\n<script>{viewer}</script>\n".encode()
    for manifest in manifests:
        if manifest is not first:
            yield from _segment(recording, manifest, written, failed)
    yield b"</body>\n</html>\n"


def _first(manifests: Sequence[SegmentManifest]) -> SegmentManifest | None:
    """Where the page begins: with the newest session's first segment."""
    begins: dict[tuple[int, str], SegmentManifest] = {}
    for manifest in manifests:
        key = manifest.session_id, manifest.device_id
        begins[key] = min(begins.get(key, manifest), manifest, key=lambda each: each.start_ms)
    return max(begins.values(), key=lambda each: each.start_ms, default=None)


def _skeleton() -> tuple[str, str]:
    """The page without what it loads, parted at the end of its head; its end is left off."""
    page = _SCRIPT.sub("", _LINK.sub("", assets.read(assets.PAGE)))
    before, _, after = page.removesuffix("</body>\n</html>\n").partition("</head>\n")
    return before, f"</head>\n{after}"


def _segment(
    recording: Recording, manifest: SegmentManifest, written: set[str], failed: Callable[[str], None]
) -> Iterator[bytes]:
    """A segment's pictures, unless they are `written` already, then its events: where these are, all is there."""
    try:
        events = b"[" + b",".join(recording.events(manifest.id)) + b"]"
    except RecordingError as error:
        failed(error.message)
        yield _data(f"failure-{manifest.id}", orjson.dumps(told(recording, error.message)).decode())
        return
    for digest in manifest.pictures:
        if digest in written:
            continue
        written.add(digest)
        try:
            picture = recording.picture(digest)
        except RecordingError as error:
            # The page shows the place as empty, as it does with a served picture that fails.
            failed(error.message)
            continue
        yield _data(f"picture-{digest}", base64.b64encode(picture.data).decode(), picture.media_type)
    packed = gzip.compress(events, _GZIP_LEVEL, mtime=0)
    yield _data(f"segment-{manifest.id}", base64.b64encode(packed).decode())


def _data(name: str, text: str, media_type: str = "text/plain") -> bytes:
    """A block that is never run. `type` is one that no browser takes for a script."""
    return f'<script id="{name}" type="{media_type}">{_escaped(text)}</script>\n'.encode()


def _escaped(text: str) -> str:
    """JSON in which nothing can end the element that it stands in: `<` occurs only inside of its strings."""
    return text.replace("<", "\\u003c")


def _inert(text: str) -> str:
    """A script or style that cannot end its element by what stands in one of its strings, templates or patterns."""
    return re.sub(r"<(?=/script|/style|!--)", r"\\x3c", text, flags=re.IGNORECASE)


def _policy(*scripts: str) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {hashes}",
            # The replay's own style is inline.
            "style-src 'unsafe-inline'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
