"""The phone's screen and the app behind it, on the phone's own clock."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import Record, Value, printed
from bridge.emulated.world import paint, shop, system
from bridge.emulated.world.analytics import Analytics, Sent
from bridge.emulated.world.autopilot import SCENARIOS, Autopilot
from bridge.emulated.world.faulty import FAULTY
from bridge.emulated.world.views import View, Window, dump, place
from bridge.types import Bounds, Rotation, Size

APP_UID, OTHER_UID, OTHER_PID = 10231, 10260, 9411
SYSTEM_PID, SYSTEM_UID, LMKD_UID = 1432, 1000, 1069
LAUNCHER_UID, PERMISSION_UID = 10120, 10142
FRAME_NS = 33_000_000
# How long the activity manager collects traces of an app that hangs, and how long its user then waits.
TRACES_S, PATIENCE_S = 0.8, 2.0
FLING_TAU_S = 0.35
NOISE_S = 0.4
TAP_SLOP = 12.0
TouchCallback = Callable[[str, int, float, float], None]
_NOISE = (
    (1432, 1432, 1000, 4, "WifiService", "getConnectionInfo uid=10212"),
    (733, 801, 1000, 4, "hwcomposer", "[HWC] vsync period 11111111"),
    (3310, 3310, 10133, 3, "Auth", "[GoogleAccountDataServiceImpl] getToken() -> NETWORK_ERROR"),
    (1432, 1501, 1000, 4, "ActivityManager", "Background start not allowed: service Intent { cmp=com.example/.Sync }"),
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A rectangle in which private content is drawn, and the private words."""

    bounds: Bounds
    text: str


@dataclass(frozen=True, slots=True)
class TruthFrame:
    """What the screen showed from `wall_ns` on. `code` is the value of the strip in the picture."""

    wall_ns: int
    mono_ns: int
    code: int
    screen: str
    secure: bool
    secrets: tuple[Secret, ...]


class World:
    """One phone's screen, app and user. Belongs to the lab's event loop.

    `revision` changes with the pixels. `on_touch` callbacks get (kind, pointer, x, y) of human touches in pixels.
    """

    def __init__(
        self,
        clock: DeviceClock,
        size: Size,
        density: int,
        scenario: str = "shop",
        seed: int = 1,
        log: Callable[[Record], None] = lambda record: None,
        autopilot: bool = True,
    ) -> None:
        self._clock = clock
        self._natural = size
        self.display = 0
        self.shut = False
        self.scale = density / 160
        self._log = log
        self._rng = random.Random(seed)
        self.rotation: Rotation = 0
        self.revision = 0
        self.on_touch: list[TouchCallback] = []
        self.actions: list[tuple[int, str]] = []
        self._state = shop.State(screen="splash")
        self._front: Literal["app", "launcher"] = "launcher"
        self._asking = False
        self._granted = False
        self._notice = ""
        self.awake = True
        self._pid = 0
        self._next_pid = 14000 + self._rng.randrange(800)
        self._analytics = FAULTY.get(scenario, Analytics)(
            shop.PACKAGE,
            self._now_ms,
            self._console,
            self._rng,
            collect_device_id=scenario == "instrumented" or (scenario in FAULTY and scenario != "device-id-fallback"),
        )
        self._due: list[tuple[int, Callable[[], None]]] = []
        self._fling: tuple[int, float, float] | None = None
        self._down: dict[int, tuple[float, float, float, int]] = {}
        self._noise_ns = clock.boot_ns()
        self._truth: deque[TruthFrame] = deque(maxlen=100_000)
        self._pixels: NDArray[np.uint8] | None = None
        self._code = 0
        self._pilot = Autopilot(self, SCENARIOS[scenario], seed) if autopilot else None
        self._changed()

    @property
    def size(self) -> Size:
        """The display in the current rotation."""
        w, h = self._natural.width, self._natural.height
        return Size(h, w) if self.rotation % 2 else Size(w, h)

    @property
    def natural(self) -> Size:
        """The display at rotation 0."""
        return self._natural

    @property
    def foreground(self) -> tuple[str, str]:
        """Package and activity in front."""
        if self._front == "launcher":
            return system.LAUNCHER, f"{system.LAUNCHER}.NexusLauncherActivity"
        if self._asking:
            return system.PERMISSION, "com.android.permissioncontroller.permission.ui.GrantPermissionsActivity"
        return shop.PACKAGE, shop.ACTIVITY

    @property
    def keyboard_shown(self) -> bool:
        return self.awake and self._front == "app" and self._state.keyboard

    @property
    def secure(self) -> bool:
        return self._front == "app" and self._state.screen == "pin"

    @property
    def app_pid(self) -> int:
        """The app's process, 0 while it does not run."""
        return self._pid

    @property
    def drawn_ns(self) -> int:
        """When the screen began to show what it shows, CLOCK_MONOTONIC."""
        return self._truth[-1].mono_ns

    @property
    def animating(self) -> bool:
        return self._fling is not None

    def tick(self) -> None:
        """Bring everything up to the clock's now."""
        now = self._clock.boot_ns()
        while self._noise_ns <= now:
            self._noise_ns += int(NOISE_S * 1e9 * self._rng.uniform(0.5, 1.5))
            pid, tid, uid, prio, tag, text = self._rng.choice(_NOISE)
            self._write(pid, tid, uid, prio, tag, text)
        for due in sorted((d for d in self._due if d[0] <= now), key=lambda d: d[0]):
            self._due.remove(due)
            due[1]()
        if self._fling is not None:
            started, origin, speed = self._fling
            age = (now - started) / 1e9
            self._scroll_to(origin + speed * FLING_TAU_S * (1 - math.exp(-age / FLING_TAU_S)))
            if age > 5 * FLING_TAU_S:
                self._fling = None
        if self._pilot is not None:
            self._pilot.tick(now)

    def next_due_ns(self) -> int | None:
        """The boottime at which `tick` has something to do next."""
        times = [self._noise_ns, *(at for at, _ in self._due)]
        if self._fling is not None:
            times.append(self._clock.boot_ns() + FRAME_NS)
        if self._pilot is not None and self._pilot.due_ns is not None:
            times.append(self._pilot.due_ns)
        return min(times)

    def pixels(self) -> NDArray[np.uint8]:
        """RGBA of the display, (height, width, 4); black while a secure window is in front, or the screen is off."""
        if self._pixels is None:
            if self.secure or not self.awake:
                self._pixels = np.zeros((self.size.height, self.size.width, 4), np.uint8)
                self._pixels[..., 3] = 255
            else:
                self._pixels = paint.screen(self.drawn(), self.size, self.scale, self._code)
        return self._pixels

    def dump_xml(self, max_depth: int = 50, only_active: bool = False) -> bytes:
        """The view hierarchy; `only_active` leaves out all windows but the one with the focus."""
        windows = self.windows()
        if only_active:
            package = self.foreground[0]
            windows = [window for window in windows if window.package == package][-1:]
        return dump(windows, self.scale, self._screen(), self.rotation, max_depth, self.display)

    def windows(self) -> list[Window]:
        """The windows in drawing order, lowest first."""
        width, height = self.size.width / self.scale, self.size.height / self.scale
        shown: list[Window] = []
        if self._front == "launcher":
            shown.append(system.launcher(width, height, "Northbay"))
        else:
            shown.append(Window(shop.PACKAGE, self._app_screen(width, height), self.secure))
        shown.append(system.status_bar(width, self._clock_text()))
        shown.append(system.navigation_bar(width, height))
        if self.keyboard_shown:
            shown.append(system.keyboard(width, height))
        if self._asking and self._front == "app":
            shown.append(system.permission_dialog(width, height))
        if self._notice:
            shown.append(system.notification(width, self._notice))
        return shown

    def drawn(self) -> list[Window]:
        """The windows as they are drawn, lowest first: here, where the tree says."""
        return self.windows()

    def touch(self, kind: str, pointer: int, x: float, y: float, injected: bool = True) -> None:
        """A finger, in pixels of the current rotation. `kind` is down, move, up or cancel. A dark screen feels none."""
        if not self.awake:
            return
        now = self._clock.boot_ns()
        if not injected:
            for callback in list(self.on_touch):
                callback(kind, pointer, x, y)
        if kind == "down":
            self._fling = None
            self._down[pointer] = (x, y, self._state.scroll, now)
        elif pointer in self._down:
            start_x, start_y, scroll, since = self._down[pointer]
            dragged = abs(y - start_y) > TAP_SLOP * self.scale or abs(x - start_x) > TAP_SLOP * self.scale
            if dragged and self._front == "app":
                self._scroll_to(scroll + (start_y - y) / self.scale)
            if kind in ("up", "cancel"):
                del self._down[pointer]
                if kind == "up" and not dragged:
                    self._tapped(x, y)
                elif kind == "up":
                    seconds = max((now - since) / 1e9, 0.02)
                    self._fling = (now, self._state.scroll, (start_y - y) / self.scale / seconds)

    def find(self, name: str) -> Bounds | None:
        """Where the view with this resource id, or with this tap, stands on the screen."""
        for window in reversed(self.windows()):
            for placed in place(window.root, self.scale, self._screen()):
                if name in (placed.view.res, placed.view.tap) and name:
                    return placed.bounds
        return None

    def type_text(self, text: str) -> None:
        for character in text:
            self.act(f"key:{character}")

    def key(self, code: int) -> None:
        """An Android key code: 3 home, 4 back, 66 enter, 67 delete; others do nothing."""
        if code == 3:
            self.act("home")
        elif code == 4:
            self.act(
                "key:done"
                if self.keyboard_shown
                else "go:list"
                if self._state.screen not in ("list", "login")
                else "home"
            )
        elif code in (66, 67):
            self.act("key:done" if code == 66 else "key:del")

    def launch(self, package: str) -> bool:
        """Start or bring up the app; False for a package that is not installed."""
        if package != shop.PACKAGE:
            return False
        self.act("launch")
        return True

    def stop(self, package: str) -> None:
        """End the app's process."""
        if package == shop.PACKAGE and self._pid:
            self._killed(f"stop {package}")

    def crash(self) -> None:
        """The app dies of an uncaught exception."""
        if not self._pid:
            return
        where = f"Process: {shop.PACKAGE}, PID: {self._pid}"
        error = "java.lang.IllegalStateException", "cart is null"
        text = f"FATAL EXCEPTION: mqt_v_native\n{where}\n{': '.join(error)}\n\tat com.northbay.Cart.total(Cart.kt:41)"
        self._write(self._pid, self._pid, APP_UID, 6, "AndroidRuntime", text, "crash")
        self._event("am_crash", 0, self._pid, shop.PACKAGE, 552091206, *error, "Cart.kt", 41)
        self._died()

    def crash_native(self) -> None:
        """The app dies of a signal; the handler, a process of its own with the app's uid, writes what it found."""
        if not self._pid:
            return
        signal = "signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0000000000000018"
        thread = self._pid + 29
        self._write(
            self._pid, thread, APP_UID, 7, "libc",
            f"Fatal {signal} in tid {thread} (mqt_v_js), pid {self._pid} ({shop.PACKAGE})", "crash",
        )  # fmt: skip
        for line in (
            "*** *** *** *** *** *** *** *** *** *** *** *** *** *** *** ***",
            f"pid: {self._pid}, tid: {thread}, name: mqt_v_js  >>> {shop.PACKAGE} <<<",
            signal,
            "backtrace:",
            "      #00 pc 000000000004fa10  /data/app/base.apk!libreanimated.so (offset 0x12c000)",
        ):
            self._write(self._pid + 211, self._pid + 211, APP_UID, 7, "DEBUG", line, "crash")
        error = "Native crash", "Segmentation fault", "unknown", 0
        self._event("am_crash", 0, self._pid, shop.PACKAGE, 552091206, *error)
        self._died()

    def hang(self) -> None:
        """The app does not answer its input; its user waits for a while and closes it."""
        pid = self._pid
        if not pid:
            return
        window = f"{shop.PACKAGE}/{shop.ACTIVITY} (server)"
        reason = f"Input dispatching timed out ({window} is not responding. Waited 5003ms for MotionEvent)"
        self._event("am_anr", 0, pid, shop.PACKAGE, 552091206, reason)

        def traced() -> None:
            text = f"ANR in {shop.PACKAGE} ({shop.PACKAGE}/.MainActivity)\nPID: {pid}\nReason: {reason}\n"
            text += "Load: 4.1 / 3.2\nCPU usage from 0ms to 5012ms later:\n  12% 9411/com.example.diary: 8% user"
            self._write(SYSTEM_PID, 1501, SYSTEM_UID, 6, "ActivityManager", text, "system")

        self._later(TRACES_S, traced)
        self._later(PATIENCE_S, lambda: self._killed("user request after error") if self._pid == pid else None)

    def run_out(self) -> None:
        """The phone has no memory left and ends the app for it."""
        pid = self._pid
        if not pid:
            return
        why = "low watermark is breached and swap is low (812kB < 104856kB)"
        text = f"Kill '{shop.PACKAGE}' ({pid}), uid {APP_UID}, oom_score_adj 700 to free 183456kB rss, 91234kB swap"
        self._write(391, 391, LMKD_UID, 4, "lowmemorykiller", f"{text}; reason: {why}")
        self._event("killinfo", pid, APP_UID, 700, 700, 183456, 3, pid=391, uid=LMKD_UID)
        self._died()

    def test(self, on: bool) -> None:
        """An instrumented test of the app begins or ends, by what it leaves in the log."""
        words = "start instr" if on else "finished inst"
        text = f"Force stopping {shop.PACKAGE} appid={APP_UID} user=0: {words}"
        run = "run started: 20 tests" if on else "run finished: 20 tests, 0 failed, 0 ignored"
        if not on:
            self._write(self._pid, self._pid + 16, APP_UID, 4, "TestRunner", run)
        self._write(SYSTEM_PID, 1501, SYSTEM_UID, 4, "ActivityManager", text, "system")
        if on:
            self._write(self._pid, self._pid + 16, APP_UID, 4, "TestRunner", run)

    def switch(self, on: bool) -> None:
        """The screen goes on or off."""
        if on == self.awake:
            return
        self.awake = on
        text = "Waking up from Asleep" if on else "Going to sleep due to power_button"
        self._write(SYSTEM_PID, 1501, SYSTEM_UID, 4, "PowerManagerService", f"{text} (uid 1000)...", "system")
        self._event("screen_toggled", int(on))
        self._changed()

    def rotate(self, rotation: Rotation) -> None:
        self.rotation = rotation
        self._fling = None
        self._changed()

    def resize(self, size: Size) -> None:
        """The screen has another natural size: by `wm size`, or by a fold."""
        self._natural = size
        self._fling = None
        self._changed()

    def fold(self, natural: Size, *, shut: bool) -> None:
        """The phone is shut or opened: the same windows on a panel of another size."""
        self.shut = shut
        self.resize(natural)

    def notify(self, words: str) -> None:
        """A heads-up notification drops in; "" takes it away."""
        self._notice = words
        self._changed()

    def skip(self, seconds: float) -> None:
        """The time of day jumps ahead, as if nothing had happened for so long."""
        self._clock.step(seconds)
        self._changed()

    def truth(self) -> list[TruthFrame]:
        """Every state of the screen so far, oldest first."""
        return list(self._truth)

    def sent(self) -> list[Sent]:
        """Every event that the app sent so far, oldest first."""
        return list(self._analytics.sent)

    def _screen(self) -> Bounds:
        return Bounds(0, 0, self.size.width, self.size.height)

    def _tapped(self, x: float, y: float) -> None:
        for window in reversed(self.windows()):
            hit: View | None = None
            inside = False
            for placed in place(window.root, self.scale, self._screen()):
                if placed.bounds.contains(x, y):
                    inside = inside or placed.view.look != "none"
                    if placed.view.tap:
                        hit = placed.view
            if hit is not None:
                self.act(hit.tap)
            if inside:
                return

    def act(self, action: str) -> None:
        """Do what a tap on the view with this `tap` does."""
        self.actions.append((self._clock.wall_ns(), action))
        name, _, value = action.partition(":")
        state = self._state
        if name == "launch":
            self._launch()
        elif name == "home":
            self._front = "launcher"
            self._resumed()
            if self._pid:
                self._analytics.track("Application Backgrounded")
        elif name == "permission":
            self._asking, self._granted = False, True
            self._resumed()
        elif name == "focus":
            state.focus = value
        elif name == "key" and state.focus:
            self._typed(value)
        elif name == "signin":
            self._go("list")
            self._analytics.identify("user-20417", {"email": state.typed.get("email", ""), "plan": "plus"})
            self._analytics.track("Signed In", {"method": "password"})
        elif name == "product":
            state.product, state.picture = int(value), 0
            self._go("product")
            product, price, _ = shop.PRODUCTS[state.product]
            self._analytics.track("Product Viewed", {"product": product, "price": price, "currency": "USD"})
        elif name == "picture":
            state.picture = (state.picture + 1) % 3
        elif name == "add":
            state.cart.append(state.product)
            product, price, _ = shop.PRODUCTS[state.product]
            self._analytics.track("Product Added", {"product": product, "price": price, "quantity": 1})
        elif name == "go":
            self._go(value)
        elif name == "pay":
            self._go("pin")
        elif name == "approve":
            total = sum(shop.PRODUCTS[index][1] for index in state.cart)
            self._go("done")
            self._analytics.track("Order Completed", {"order_id": "NB-58213", "total": total, "items": len(state.cart)})
            state.cart.clear()
        elif name == "logout":
            self._analytics.reset()
            state.typed.clear()
            self._go("list")
        self._changed()

    def _launch(self) -> None:
        self._front = "app"
        if self._pid:
            self._resumed()
            self._analytics.track("Application Opened", {"from_background": True})
            return
        self._next_pid += 37
        self._pid = self._next_pid
        self._state = shop.State(screen="splash", typed=self._state.typed)
        self._analytics.start_process()
        self._write(
            1432, 1501, 1000, 4, "ActivityManager",
            f"Start proc {self._pid}:{shop.PACKAGE}/u0a231 for next-top-activity {{{shop.PACKAGE}/{shop.ACTIVITY}}}",
            "system",
        )  # fmt: skip
        component = f"{{{shop.PACKAGE}/{shop.ACTIVITY}}}"
        self._event("am_proc_start", 0, self._pid, APP_UID, shop.PACKAGE, "next-top-activity", component)
        self._later(0.5, self._started)

    def _started(self) -> None:
        if not self._pid:
            return
        self._resumed()
        self._console('Running "Northbay" with {"rootTag":1,"initialProps":{}}')
        self._analytics.create_client()
        self._write(
            1432,
            1480,
            1000,
            4,
            "ActivityTaskManager",
            f"Displayed {shop.PACKAGE}/.MainActivity for user 0: +842ms",
            "system",
        )
        self._analytics.track("Application Opened", {"from_background": False, "version": "4.12.0", "build": "412"})
        self._asking = not self._granted
        if self._asking:
            self._resumed()
        self._go("login" if self._analytics.user_id is None else "list")
        self._changed()

    def _killed(self, reason: str) -> None:
        text = f"Killing {self._pid}:{shop.PACKAGE}/u0a231 (adj 0): {reason}"
        self._write(SYSTEM_PID, 1501, SYSTEM_UID, 4, "ActivityManager", text, "system")
        self._event("am_kill", 0, self._pid, shop.PACKAGE, 0, reason, 183456)
        self._gone()

    def _died(self) -> None:
        text = f"Process {shop.PACKAGE} (pid {self._pid}) has died: fg  TOP"
        self._write(SYSTEM_PID, 1501, SYSTEM_UID, 4, "ActivityManager", text, "system")
        self._event("am_proc_died", 0, self._pid, shop.PACKAGE, 0, 2)
        self._gone()

    def _gone(self) -> None:
        self._pid = 0
        self._front = "launcher"
        self._resumed()
        self._changed()

    def _resumed(self) -> None:
        """The activity in front says so, from its own process."""
        package, activity = self.foreground
        pid, uid = {shop.PACKAGE: (self._pid, APP_UID), system.PERMISSION: (2711, PERMISSION_UID)}.get(
            package, (2203, LAUNCHER_UID)
        )
        self._event("wm_task_moved", 214, 1, 0)
        self._event("wm_on_resume_called", 166741920, activity, "RESUME_ACTIVITY", pid=pid, uid=uid)

    def _go(self, screen: str) -> None:
        self._state.screen = screen
        self._state.focus = ""
        self._state.scroll = 0.0
        self._fling = None
        self._analytics.screen(screen.capitalize())

    def _typed(self, key: str) -> None:
        state = self._state
        if key == "done":
            state.focus = ""
        elif key == "del":
            state.typed[state.focus] = state.typed.get(state.focus, "")[:-1]
        elif len(key) == 1:
            state.typed[state.focus] = state.typed.get(state.focus, "") + key

    def _app_screen(self, width: float, height: float) -> View:
        return shop.screen(self._state, width, height)

    def _scroll_range(self) -> float:
        return shop.scroll_range(self._state, self.size.height / self.scale)

    def _scroll_to(self, offset: float) -> None:
        limit = self._scroll_range()
        bounded = min(max(0.0, offset), limit)
        if round(bounded * self.scale) != round(self._state.scroll * self.scale):
            self._state.scroll = bounded
            self._changed()

    def _changed(self) -> None:
        self.revision += 1
        self._pixels = None
        wall = self._clock.wall_ns()
        self._code = wall // 1_000_000
        secrets = tuple(
            Secret(placed.bounds, placed.view.private)
            for window in self.drawn()
            for placed in place(window.root, self.scale, self._screen())
            if placed.view.private
        )
        self._truth.append(
            TruthFrame(wall, self._clock.mono_ns(), self._code, self._state.screen, self.secure, secrets)
        )

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._due.append((self._clock.boot_ns() + int(seconds * 1e9), action))

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000

    def _clock_text(self) -> str:
        return datetime.fromtimestamp(self._clock.wall_ns() // 1_000_000_000, UTC).strftime("%H:%M")

    def _console(self, text: str, tag: str = "ReactNativeJS", prio: int = 4, *, other_app: bool = False) -> None:
        pid, uid = (OTHER_PID, OTHER_UID) if other_app else (self._pid, APP_UID)
        self._write(pid, pid + 29, uid, prio, tag, text)

    def _write(self, pid: int, tid: int, uid: int, prio: int, tag: str, text: str, buffer: str = "main") -> None:
        self._log(Record(self._clock.wall_ns(), self._clock.mono_ns(), pid, tid, uid, prio, tag, text.encode(), buffer))

    def _event(self, tag: str, *values: Value, pid: int = SYSTEM_PID, uid: int = SYSTEM_UID) -> None:
        now = self._clock.wall_ns(), self._clock.mono_ns()
        text = printed(values if len(values) > 1 else values[0]).encode()
        self._log(Record(*now, pid, pid, uid, 4, tag, text, "events", values))
