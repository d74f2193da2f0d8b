"""`app_process`: the uiautomator2 server (u2.jar 0.4.1) as its client meets it, HTTP on the phone's port 9008."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io as bytesio
import json
import math
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

from PIL import Image

from bridge.emulated.phone import Phone
from bridge.emulated.program import Io, Writer
from bridge.emulated.programs.selector import NotFound, View, find, info, views

MAIN = "com.wetest.uia2.Main"
LISTEN = "tcp:9008"
STARTED = b"[server] INFO: [UiAutomator2Server] Starting Server\n"
TAKEN = (
    b"java.lang.IllegalStateException: UiAutomationService android.accessibilityservice."
    b"IAccessibilityServiceClient$Stub$Proxy@5deffd5already registered!\n"
)
MAX_BODY = 1 << 20
STEP_SECONDS = 0.005  # UiAutomator's pause between two injected moves (AOSP InteractionController)
POLL_SECONDS = 0.05
KEYS = {"home": 3, "back": 4, "enter": 66, "delete": 67, "del": 67}
ROTATIONS = {"natural": 0, "left": 1, "upsidedown": 2, "right": 3, "n": 0, "l": 1, "u": 2, "r": 3}
_DUMP_FAULTS = {
    "stack-overflow": ("java.lang.StackOverflowError: stack size 1039KB", "at android.view.accessibility"),
    "dead-object": ("android.os.DeadObjectException", "at android.os.BinderProxy.transactNative"),
    "not-connected": ("java.lang.IllegalStateException: UiAutomation not connected!", "at android.app.UiAutomation"),
}


class RpcError(Exception):
    """What a method throws on the phone: the Java exception's text and its stack."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(message)


async def app_process(io: Io, phone: Phone) -> int:
    """Serves until its stream is closed. A second one, or one while another tool holds UiAutomation, ends at once."""
    if MAIN not in io.argv:
        name = next((word for word in io.argv[1:] if "." in word), "")
        await io.error(f"Error: could not find class '{name}'\n".encode())
        return 1
    port = LISTEN
    if "-p" in io.argv:
        port = f"tcp:{io.argv[io.argv.index('-p') + 1]}"
    jar = io.env.get("CLASSPATH", "")
    try:
        phone.files.read(jar)
    except OSError:
        await io.error(f"Error: could not find class '{MAIN}' in {jar}\n".encode())
        return 1
    await phone.delay("u2-start")
    await io.write(STARTED)
    if phone.faults.u2_taken or any(address.startswith("tcp:9008") for address in phone.ports):
        await io.write(TAKEN)
        return 1
    server = Server(phone)
    phone.ports[port] = server.serve
    try:
        await io.hangup.wait()
    finally:
        if phone.ports.get(port) == server.serve:
            del phone.ports[port]
        server.close()
    return 0


class Server:
    """The HTTP side: one request a connection; UiAutomation is one lock."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._lock = asyncio.Lock()
        self._writers: set[Writer] = set()
        self._rpc = Rpc(phone)

    def close(self) -> None:
        """The process is gone: so are its connections."""
        for writer in self._writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
                await self._exchange(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        verb, path, *_ = [*(await reader.readline()).decode("latin-1").split(" "), "", ""]
        length = 0
        while (line := await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "content-length":
                length = int(value)
        if length > MAX_BODY:
            await self._answer(writer, 413, b"too large", "text/plain")
            return
        body = await reader.readexactly(length)
        if self._phone.faults.u2_stall:
            await asyncio.sleep(self._phone.faults.u2_stall)
        if path == "/ping":
            await self._answer(writer, 200, b"pong", "text/plain")
        elif path == "/jsonrpc/0" and verb == "POST":
            await self._answer(writer, 200, await self._call(body), "application/json")
        elif path.startswith("/screenshot/0"):
            async with self._lock:
                await self._answer(writer, 200, await self._rpc.png(), "image/png")
        else:
            await self._answer(writer, 404, b"Not Found", "text/plain")

    async def _answer(self, writer: Writer, status: int, body: bytes, kind: str) -> None:
        reason = {200: "OK", 404: "Not Found", 413: "Payload Too Large"}[status]
        writer.write(
            f"HTTP/1.1 {status} {reason} \r\nContent-Type: {kind}\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()

    async def _call(self, body: bytes) -> bytes:
        number: object = None
        try:
            request = json.loads(body)
            number = request.get("id")
            method, params = str(request["method"]), list(request.get("params") or [])
        except (ValueError, KeyError, TypeError, AttributeError):
            return _error(number, -32700, "JSON parse error", "")
        act = self._rpc.methods.get(method)
        if act is None:
            self._phone.gaps.append(f"u2 {method}")
            return _error(number, -32601, "method not found", "")
        try:
            if method in ("waitForExists", "waitUntilGone"):
                result = await act(*params)
            else:
                async with self._lock:
                    result = await act(*params)
        except RpcError as error:
            return _error(number, error.code, error.message, error.data)
        except NotFound as error:
            message = f"androidx.test.uiautomator.UiObjectNotFoundException: {error}"
            return _error(number, -32002, message, "at androidx.test.uiautomator.UiObject")
        except (TypeError, ValueError, KeyError) as error:
            return _error(number, -32602, f"method parameters invalid: {error}", "")
        return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}, ensure_ascii=False).encode()


class Rpc:
    """The methods by name."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._world = phone.world
        self._clipboard = ""
        self.methods: dict[str, Callable[..., Awaitable[Any]]] = {
            "deviceInfo": self.device_info,
            "dumpWindowHierarchy": self.dump,
            "takeScreenshot": self.screenshot,
            "click": self.click,
            "longClick": self.long_click,
            "swipe": self.swipe,
            "swipePoints": self.swipe_points,
            "drag": self.swipe,
            "injectInputEvent": self.inject,
            "pressKey": self.press_key,
            "pressKeyCode": self.press_key_code,
            "wakeUp": self.nothing,
            "sleep": self.nothing,
            "setOrientation": self.set_orientation,
            "freezeRotation": self.nothing,
            "openNotification": self.accepted,
            "openQuickSettings": self.accepted,
            "makeToast": self.accepted,
            "getLastToast": self.nothing,
            "clearLastToast": self.nothing,
            "getClipboard": self.get_clipboard,
            "setClipboard": self.set_clipboard,
            "pasteClipboard": self.paste_clipboard,
            "clearInputText": self.clear_input,
            "exist": self.exist,
            "count": self.count,
            "objInfo": self.obj_info,
            "objInfoOfAllInstances": self.obj_info_all,
            "getText": self.get_text,
            "setText": self.set_text,
            "clearTextField": self.clear_text_field,
            "waitForExists": self.wait_for_exists,
            "waitUntilGone": self.wait_until_gone,
        }

    async def device_info(self) -> dict[str, Any]:
        world, profile = self._world, self._phone.profile
        size = world.size
        return {
            "currentPackageName": world.foreground[0],
            "displayHeight": size.height,
            "displayWidth": size.width,
            "displayRotation": world.rotation,
            "displaySizeDpX": round(size.width / world.scale),
            "displaySizeDpY": round(size.height / world.scale),
            "productName": self._phone.props.get("ro.product.name", ""),
            "screenOn": True,
            "sdkInt": profile.api_level,
            "naturalOrientation": world.rotation in (0, 2),
        }

    async def dump(self, compressed: bool = False, max_depth: int = 50, only_active: bool = False) -> str:
        fault = self._phone.faults.u2_dump
        if fault in _DUMP_FAULTS:
            raise RpcError(-32001, *_DUMP_FAULTS[fault])
        if fault == "empty":
            return (
                "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\r\n"
                f'<hierarchy rotation="{self._world.rotation}" />'
            )
        data = self._world.dump_xml(int(max_depth), bool(only_active))
        if self._phone.second is not None and not only_active:
            # The windows of all displays, the default one's first.
            more = self._phone.second.dump_xml(int(max_depth))
            data = data.removesuffix(b"</hierarchy>") + more[more.index(b"<node ") :]
        await self._phone.delay("u2-dump", self._phone.profile.latency("u2-node") * data.count(b"<node "))
        return data.decode()

    async def screenshot(self, scale: float = 1.0, quality: int = 80) -> str | None:
        await self._phone.delay("u2-screenshot")
        fault = self._phone.faults.u2_screenshot
        if fault == "null" or (self._world.secure and not fault):
            return None
        pixels = self._world.pixels()
        if fault == "black":
            pixels = pixels * 0

        def encode() -> bytes:
            picture = Image.fromarray(pixels).convert("RGB")
            if scale != 1:
                picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
            file = bytesio.BytesIO()
            picture.save(file, "JPEG", quality=int(quality))
            return file.getvalue()

        return base64.b64encode(await asyncio.get_running_loop().run_in_executor(None, encode)).decode()

    async def png(self) -> bytes:
        """The picture that /screenshot/0 gives."""
        file = bytesio.BytesIO()
        Image.fromarray(self._world.pixels()).save(file, "PNG", compress_level=1)
        return file.getvalue()

    async def click(self, x: Any, y: Any = None, milliseconds: float = 0) -> bool:
        if isinstance(x, dict):
            x, y = self._one(x).centre
        await self._phone.delay("u2-input")
        self._world.touch("down", 0, float(x), float(y))
        await asyncio.sleep(max(milliseconds / 1000, STEP_SECONDS))
        self._world.touch("up", 0, float(x), float(y))
        return True

    async def long_click(self, selector: dict[str, Any]) -> bool:
        return await self.click(*self._one(selector).centre, 600)

    async def swipe(self, x1: float, y1: float, x2: float, y2: float, steps: int = 20) -> bool:
        return await self.swipe_points([x1, y1, x2, y2], steps)

    async def swipe_points(self, points: list[float], steps: int = 20) -> bool:
        world, steps = self._world, max(1, int(steps))
        pairs = [(float(points[i]), float(points[i + 1])) for i in range(0, len(points) - 1, 2)]
        world.touch("down", 0, *pairs[0])
        for (x1, y1), (x2, y2) in pairwise(pairs):
            for step in range(1, steps + 1):
                await asyncio.sleep(STEP_SECONDS)
                world.touch("move", 0, x1 + (x2 - x1) * step / steps, y1 + (y2 - y1) * step / steps)
        world.touch("up", 0, *pairs[-1])
        return True

    async def inject(self, action: int, x: float, y: float, meta: int = 0) -> bool:
        self._world.touch({0: "down", 1: "up", 2: "move", 3: "cancel"}[int(action)], 0, float(x), float(y))
        return True

    async def press_key(self, name: str) -> bool:
        if name not in KEYS:
            return False
        self._world.key(KEYS[name])
        return True

    async def press_key_code(self, code: int, meta: int = 0) -> bool:
        self._world.key(int(code))
        return True

    async def set_orientation(self, name: str) -> bool:
        self._world.rotate(1 if ROTATIONS[name] in (1, 3) else 0)
        return True

    async def nothing(self, *ignored: Any) -> None:
        return None

    async def accepted(self, *ignored: Any) -> bool:
        return True

    async def get_clipboard(self) -> str:
        return self._clipboard

    async def set_clipboard(self, label: str | None, text: str) -> None:
        self._clipboard = text

    async def paste_clipboard(self) -> None:
        self._world.type_text(self._clipboard)

    async def clear_input(self) -> None:
        focused = [view for view in views(self._world.dump_xml()) if view.attributes["focused"] == "true"]
        self._erase(len(focused[0].attributes["text"]) if focused else 0)

    async def exist(self, selector: dict[str, Any]) -> bool:
        return bool(self._all(selector))

    async def count(self, selector: dict[str, Any]) -> int:
        return len(self._all({**selector, "instance": 0, "mask": selector["mask"] & ~0x01000000}))

    async def obj_info(self, selector: dict[str, Any]) -> dict[str, Any]:
        return info(self._one(selector))

    async def obj_info_all(self, selector: dict[str, Any]) -> list[dict[str, Any]]:
        return [info(view) for view in self._all(selector)]

    async def get_text(self, selector: dict[str, Any]) -> str:
        return self._one(selector).attributes["text"]

    async def set_text(self, selector: dict[str, Any], text: str) -> bool:
        await self.clear_text_field(selector)
        self._world.type_text(text)
        return True

    async def clear_text_field(self, selector: dict[str, Any]) -> None:
        view = self._one(selector)
        if view.attributes["focused"] != "true":
            await self.click(*view.centre)
            view = self._one(selector)
        self._erase(len(view.attributes["text"]))

    async def wait_for_exists(self, selector: dict[str, Any], milliseconds: float) -> bool:
        return await self._wait(lambda: bool(self._all(selector)), milliseconds)

    async def wait_until_gone(self, selector: dict[str, Any], milliseconds: float) -> bool:
        return await self._wait(lambda: not self._all(selector), milliseconds)

    async def _wait(self, condition: Callable[[], bool], milliseconds: float) -> bool:
        for _ in range(math.ceil(milliseconds / 1000 / POLL_SECONDS)):
            if condition():
                return True
            await asyncio.sleep(POLL_SECONDS)
        return condition()

    def _all(self, selector: dict[str, Any]) -> list[View]:
        return find(views(self._world.dump_xml()), selector)

    def _one(self, selector: dict[str, Any]) -> View:
        found = self._all(selector)
        if not found:
            raise NotFound(str({name: value for name, value in selector.items() if value not in ([], 0)}))
        return found[0]

    def _erase(self, characters: int) -> None:
        for _ in range(characters):
            self._world.key(67)


def _error(number: object, code: int, message: str, data: str) -> bytes:
    answer = {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message, "data": data}}
    return json.dumps(answer).encode()
