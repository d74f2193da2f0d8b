"""Small valid replay segments, as the recorder would seal them."""

from __future__ import annotations

import io
import operator
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import orjson
import xxhash
from PIL import Image

from agent.model import Counts, Loss, Picture, SealedSegment, SegmentManifest

SESSION = 1_760_000_000_000
DEVICE = "6c1b8a52-9f1d-4a07-8a8c-0f6f4a1c2d3e"
SERIAL = "emulated-1"
STYLE = (
    "html,body{margin:0;background:#111;overflow:hidden}"
    "#s{position:absolute;left:0;top:0;width:100vw;height:100vh}.v{position:absolute}"
)


@cache
def picture(shade: int, size: tuple[int, int] = (54, 120)) -> Picture:
    """A flat WebP picture; each shade 0..255 has its own digest."""
    out = io.BytesIO()
    Image.new("RGB", size, (shade, 255 - shade, (shade * 7) % 256)).save(out, "WEBP", quality=60, method=0)
    data = out.getvalue()
    return Picture(xxhash.xxh3_128_hexdigest(data), "image/webp", data)


def segment_id(session_id: int = SESSION, device_id: str = DEVICE, seq: int = 0) -> str:
    return xxhash.xxh3_128_hexdigest(f"{device_id}/{session_id}/{seq}".encode())


def segment(
    seq: int = 0,
    session_id: int = SESSION,
    device_id: str = DEVICE,
    serial: str = SERIAL,
    shades: Iterable[int] = (10, 60, 110),
    extra: Iterable[dict[str, object]] = (),
) -> SealedSegment:
    """Meta, FullSnapshot, one picture a second, a tap, a Segment event, a log line, a gap, `extra` events, the end."""
    # A session id need not be a time.
    start = (session_id if session_id < 10**13 else SESSION) + 1000 + seq * 30_000
    pictures = [picture(shade) for shade in shades]
    events: list[dict[str, Any]] = [_meta(start), _full(start + 1, pictures[0])]
    events += [_swap(start + 1000 * n, shown) for n, shown in enumerate(pictures[1:], 1)]
    events += [
        {
            "type": 3,
            "timestamp": start + 1200,
            "data": {"source": 2, "type": 7, "id": 7, "x": 200, "y": 450, "pointerType": 2},
        },
        {
            "type": 3,
            "timestamp": start + 1300,
            "data": {"source": 2, "type": 9, "id": 7, "x": 200, "y": 450, "pointerType": 2},
        },
        custom(
            start + 1350,
            "segment:track",
            {
                "event": "Order Completed",
                "messageId": f"message-{session_id}-{seq}",
                "session_id": session_id,
                "device_id": device_id,
                "session_from": "integrations",
                "device_from": "context.device.id",
                "stage": "after",
                "complete": True,
                "missing": [],
                "properties": {"total": 12.5, "note": 'naïve "quoted" 🛒'},
            },
        ),
        {
            "type": 6,
            "timestamp": start + 1400,
            "data": {
                "plugin": "rrweb/console@1",
                "payload": {"level": "info", "payload": ["I/ReactNativeJS: paid"], "trace": []},
            },
        },
        custom(
            start + 1500,
            "gap",
            {
                "stage": "screen",
                "reason": "ScreenBlocked",
                "detail": "",
                "from_ms": start + 1500,
                "to_ms": start + 1800,
            },
        ),
        *extra,
    ]
    end = start + 29_000
    counts = Counts(frames=len(pictures), touches=2, events=1, logs=1, gaps=1)
    losses = (Loss("screen", "superseded", 2),)
    device = {"model": "Pixel 7", "android": "14", "screen": "screencap"}
    manifest = SegmentManifest(
        id=segment_id(session_id, device_id, seq),
        session_id=session_id,
        device_id=device_id,
        serial=serial,
        seq=seq,
        start_ms=start,
        end_ms=end,
        reason="time",
        counts=counts,
        pictures=tuple(dict.fromkeys(shown.digest for shown in pictures)),
        bytes=0,
        losses=losses,
        device=device,
        session_from="integrations",
        device_from="context.device.id",
    )
    events.append(
        custom(
            end,
            "end",
            {
                "id": manifest.id,
                "seq": seq,
                "session_id": session_id,
                "device_id": device_id,
                "serial": serial,
                "reason": manifest.reason,
                "counts": {name: getattr(counts, name) for name in Counts.__slots__},
                "losses": [{"stage": loss.stage, "reason": loss.reason, "count": loss.count} for loss in losses],
                "start_ms": start,
                "end_ms": end,
                "device": device,
                "session_from": manifest.session_from,
                "device_from": manifest.device_from,
            },
        )
    )
    lines = tuple(orjson.dumps(event) for event in sorted(events, key=operator.itemgetter("timestamp")))
    by_digest = {shown.digest: shown for shown in pictures}
    size = sum(map(len, lines)) + sum(len(shown.data) for shown in by_digest.values())
    return SealedSegment(replace(manifest, bytes=size), lines, by_digest)


def custom(timestamp: int, tag: str, payload: dict[str, object]) -> dict[str, object]:
    return {"type": 5, "timestamp": timestamp, "data": {"tag": tag, "payload": payload}}


def _meta(at: int) -> dict[str, object]:
    href = "android-app://com.example.shop/.CheckoutActivity"
    return {"type": 4, "timestamp": at, "data": {"href": href, "width": 412, "height": 916}}


def _full(at: int, shown: Picture) -> dict[str, object]:
    image = {"id": "s", "src": f"picture:{shown.digest}", "width": "412", "height": "916", "alt": "screen"}
    view = {
        "class": "v",
        "data-class": "android.widget.Button",
        "data-res": "com.example.shop:id/pay",
        "aria-label": "Pay",
        "style": "left:16px;top:430px;width:380px;height:48px",
    }
    body = [
        _element(10, "img", image),
        _element(12, "div", {"id": "views"}, [_element(100, "div", view)]),
    ]
    style = _element(5, "style", {"type": "text/css"}, [{"type": 3, "id": 6, "textContent": STYLE}])
    html = _element(3, "html", {}, [_element(4, "head", {}, [style]), _element(7, "body", {}, body)])
    doctype = {"type": 1, "id": 2, "name": "html", "publicId": "", "systemId": ""}
    node = {"type": 0, "id": 1, "childNodes": [doctype, html]}
    return {"type": 2, "timestamp": at, "data": {"node": node, "initialOffset": {"top": 0, "left": 0}}}


def _element(
    node_id: int, tag: str, attributes: dict[str, str], children: list[dict[str, object]] | None = None
) -> dict[str, object]:
    return {"type": 2, "id": node_id, "tagName": tag, "attributes": attributes, "childNodes": children or []}


def _swap(at: int, shown: Picture) -> dict[str, object]:
    change = {"id": 10, "attributes": {"src": f"picture:{shown.digest}"}}
    return {
        "type": 3,
        "timestamp": at,
        "data": {"source": 0, "texts": [], "removes": [], "adds": [], "attributes": [change]},
    }
