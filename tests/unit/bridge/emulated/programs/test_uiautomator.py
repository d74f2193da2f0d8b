"""The uiautomator2 server as its client meets it: HTTP over a connection of the phone."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from fakes.adb_host import run, until
from fakes.programs import phone_with_screen, ran, running
from PIL import Image

from bridge.emulated.phone import Phone
from bridge.emulated.programs.uiautomator import LISTEN, MAIN, MAX_BODY, STARTED, TAKEN, app_process
from bridge.emulated.world.shop import PACKAGE

JAR = "/data/local/tmp/u2.jar"
WORDS = f"app_process / {MAIN}"
"""What starts the server."""


async def exchange(phone: Phone, request: bytes) -> tuple[int, bytes]:
    """Status and body of one raw request."""
    reader, writer = await phone.connect(LISTEN)
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


async def post(phone: Phone, body: bytes) -> dict[str, Any]:
    head = f"POST /jsonrpc/0 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    status, answer = await exchange(phone, head + body)
    assert status == 200
    told = json.loads(answer)
    assert isinstance(told, dict)
    return told


async def call(phone: Phone, method: str, *params: object) -> Any:
    told = await post(phone, json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode())
    assert (told["jsonrpc"], told["id"]) == ("2.0", 7)
    return told.get("result", told.get("error"))


def selector(**fields: object) -> dict[str, object]:
    return {**fields, "mask": 0, "childOrSibling": [], "childOrSiblingSelector": []}


def served(body: Callable[[Phone], Awaitable[None]]) -> None:
    """Run `body` with a phone on which the server listens; nothing is asked that the phone has not."""

    async def work() -> None:
        phone = phone_with_screen()
        phone.files.write(JAR, b"jar")
        async with running(app_process, phone, WORDS, CLASSPATH=JAR) as started:
            assert await started.saw(len(STARTED)) == STARTED
            await until(lambda: LISTEN in phone.ports)
            await body(phone)
            assert phone.gaps == []
            started.hangup.set()
            assert await started.task == 0
        assert phone.ports == {}

    run(work())


async def logged_in(phone: Phone) -> None:
    """The app's sign-in page is shown."""
    phone.world.act("launch")
    phone.world.act("go:login")


def test_what_it_needs_to_start() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        assert await ran(app_process, phone, "app_process / com.other.Main") == (
            "",
            "Error: could not find class 'com.other.Main'\n",
            1,
        )
        assert (await ran(app_process, phone, WORDS))[1:] == (f"Error: could not find class '{MAIN}' in \n", 1)
        assert phone.ports == {}

    run(work())


def test_there_is_one_at_a_time() -> None:
    async def second(phone: Phone) -> None:
        async with running(app_process, phone, WORDS, CLASSPATH=JAR) as other:
            assert await other.task == 1
            assert other.take() == STARTED + TAKEN
        assert LISTEN in phone.ports

    served(second)


def test_another_tool_may_hold_it() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        phone.files.write(JAR, b"jar")
        phone.faults.u2_taken = True
        async with running(app_process, phone, WORDS, CLASSPATH=JAR) as started:
            assert await started.task == 1
            assert started.take() == STARTED + TAKEN

    run(work())


def test_its_port_and_connections_go_with_it() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        phone.files.write(JAR, b"jar")
        async with running(app_process, phone, f"{WORDS} -p 9010", CLASSPATH=JAR):
            await until(lambda: "tcp:9010" in phone.ports)
            reader, writer = await phone.connect("tcp:9010")
            writer.write(b"GET /ping HTTP/1.1\r\n")
            await asyncio.sleep(0)
        assert phone.ports == {}
        assert await reader.read() == b""
        writer.close()

    run(work())


def test_http() -> None:
    async def body(phone: Phone) -> None:
        assert await exchange(phone, b"GET /ping HTTP/1.1\r\n\r\n") == (200, b"pong")
        assert (await exchange(phone, b"GET /nothing HTTP/1.1\r\n\r\n"))[0] == 404
        assert (await exchange(phone, b"GET /jsonrpc/0 HTTP/1.1\r\n\r\n"))[0] == 404
        large = f"POST /jsonrpc/0 HTTP/1.1\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode()
        assert (await exchange(phone, large))[0] == 413
        status, picture = await exchange(phone, b"GET /screenshot/0 HTTP/1.1\r\n\r\n")
        assert status == 200
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture))), phone.world.pixels())
        for broken in (b"GET /ping HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"\r\n\r\n"):
            assert (await exchange(phone, broken))[0] in (0, 404)

    served(body)


def test_requests_that_are_none() -> None:
    async def body(phone: Phone) -> None:
        for data in (b"", b"{", b"[]", b"7", b"{}", b'{"method":"x","params":7}'):
            assert (await post(phone, data))["error"]["code"] == -32700
        assert (await call(phone, "click", "a", "b"))["code"] == -32602
        assert (await call(phone, "click"))["code"] == -32602
        assert (await call(phone, "injectInputEvent", 9, 1, 1))["code"] == -32602
        assert (await call(phone, "setOrientation", "sideways"))["code"] == -32602
        assert (await call(phone, "noSuchMethod"))["code"] == -32601
        assert phone.gaps == ["u2 noSuchMethod"]
        phone.gaps.clear()

    served(body)


def test_what_it_knows_of_the_device() -> None:
    async def body(phone: Phone) -> None:
        told = await call(phone, "deviceInfo")
        assert (told["displayWidth"], told["displayHeight"], told["displayRotation"]) == (540, 1200, 0)
        assert (told["sdkInt"], told["naturalOrientation"]) == (34, True)
        assert await call(phone, "setOrientation", "left") is True
        told = await call(phone, "deviceInfo")
        assert (told["displayWidth"], told["displayHeight"], told["displayRotation"]) == (1200, 540, 1)
        assert (told["displaySizeDpX"], told["naturalOrientation"]) == (914, False)

    served(body)


def test_the_dump_is_the_screens_tree() -> None:
    async def body(phone: Phone) -> None:
        await logged_in(phone)
        whole = await call(phone, "dumpWindowHierarchy", False, 50)
        assert whole.encode() == phone.world.dump_xml()
        active = await call(phone, "dumpWindowHierarchy", False, 50, True)
        assert f'package="{PACKAGE}"' in active
        assert "systemui" not in active
        assert (await call(phone, "dumpWindowHierarchy", False, 1)).count("<node") == len(phone.world.windows())

    served(body)


def test_faults_of_the_dump() -> None:
    async def body(phone: Phone) -> None:
        phone.faults.u2_dump = "stack-overflow"
        told = await call(phone, "dumpWindowHierarchy", False, 50)
        assert told["code"] == -32001
        assert "StackOverflowError" in told["message"]
        phone.faults.u2_dump = "dead-object"
        assert "DeadObject" in (await call(phone, "dumpWindowHierarchy"))["message"]
        phone.faults.u2_dump = "not-connected"
        assert "not connected" in (await call(phone, "dumpWindowHierarchy"))["message"]
        phone.faults.u2_dump = "empty"
        assert "<node" not in await call(phone, "dumpWindowHierarchy")

    served(body)


def test_screenshots() -> None:
    async def shot(phone: Phone, *params: object) -> Image.Image:
        picture = Image.open(io.BytesIO(base64.b64decode(await call(phone, "takeScreenshot", *params))))
        assert picture.format == "JPEG"
        return picture

    async def body(phone: Phone) -> None:
        picture = await shot(phone, 1, 95)
        assert picture.size == (540, 1200)
        apart = np.abs(np.asarray(picture).astype(int) - phone.world.pixels()[..., :3])
        assert apart.mean() < 3
        assert (await shot(phone, 0.5, 80)).size == (270, 600)
        phone.faults.u2_screenshot = "black"
        assert np.asarray(await shot(phone)).max() == 0
        phone.faults.u2_screenshot = "null"
        assert await call(phone, "takeScreenshot", 1, 80) is None
        phone.faults.u2_screenshot = ""
        phone.world.act("launch")
        phone.world.act("pay")
        assert await call(phone, "takeScreenshot", 1, 80) is None

    served(body)


def test_fingers_and_keys() -> None:
    async def body(phone: Phone) -> None:
        world = phone.world
        await logged_in(phone)
        where = world.find("email")
        assert where is not None
        x, y = (where.left + where.right) / 2, (where.top + where.bottom) / 2
        assert await call(phone, "click", x, y) is True
        assert world.keyboard_shown
        assert await call(phone, "pressKey", "back") is True
        assert not world.keyboard_shown
        assert await call(phone, "pressKey", "nonsense") is False
        for action in (0, 2, 1):
            await call(phone, "injectInputEvent", action, x, y, 0)
        assert world.keyboard_shown
        assert await call(phone, "pressKeyCode", 3) is True
        assert world.foreground[0] != PACKAGE
        world.act("launch")
        world.act("go:list")
        before = world.find("product-2")
        assert await call(phone, "swipe", 270, 900, 270, 600, 2) is True
        after = world.find("product-2")
        assert before is not None
        assert after is not None
        assert before.top - after.top == 300
        assert await call(phone, "swipePoints", [270, 600, 270, 700, 270, 900], 1) is True
        again = world.find("product-2")
        assert again is not None
        assert again.top == before.top

    served(body)


def test_views_by_selector() -> None:
    async def body(phone: Phone) -> None:
        await logged_in(phone)
        email = selector(resourceId="email")
        assert await call(phone, "exist", email) is True
        assert await call(phone, "exist", selector(text="nothing")) is False
        assert await call(phone, "count", selector(className="android.widget.EditText")) == 2
        assert (await call(phone, "objInfo", email))["className"] == "android.widget.EditText"
        assert len(await call(phone, "objInfoOfAllInstances", selector(className="android.widget.EditText"))) == 2
        assert await call(phone, "setText", email, "nora") is True
        assert await call(phone, "getText", email) == "nora"
        assert await call(phone, "setText", email, "x") is True
        assert await call(phone, "getText", email) == "x"
        await call(phone, "clearInputText")
        assert await call(phone, "getText", email) == ""
        await call(phone, "setClipboard", None, "pasted")
        assert await call(phone, "getClipboard") == "pasted"
        await call(phone, "pasteClipboard")
        assert await call(phone, "getText", email) == "pasted"
        told = await call(phone, "getText", selector(text="nothing"))
        assert told["code"] == -32002
        assert "UiObjectNotFoundException" in told["message"]
        assert "nothing" in told["message"]
        assert await call(phone, "click", selector(resourceId="sign-in")) is True
        assert await call(phone, "exist", selector(resourceId="product-list")) is True

    served(body)


def test_waiting_lets_others_through() -> None:
    async def body(phone: Phone) -> None:
        await logged_in(phone)
        shown = asyncio.ensure_future(call(phone, "waitForExists", selector(resourceId="product-list"), 5000))
        gone = asyncio.ensure_future(call(phone, "waitUntilGone", selector(resourceId="email"), 5000))
        for _ in range(3):
            # Both wait by now.
            assert (await exchange(phone, b"GET /ping HTTP/1.1\r\n\r\n"))[0] == 200
        assert not shown.done()
        assert await call(phone, "click", selector(resourceId="sign-in")) is True
        assert (await shown, await gone) == (True, True)
        assert await call(phone, "waitForExists", selector(text="nothing"), 1) is False

    served(body)


def test_a_stall_is_before_the_answer() -> None:
    async def body(phone: Phone) -> None:
        phone.faults.u2_stall = 30
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await exchange(phone, b"GET /ping HTTP/1.1\r\n\r\n")

    served(body)
