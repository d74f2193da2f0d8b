from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import dumpsys
from bridge.dumpsys import Front
from bridge.types import Condition, DisplayInfo, Rotation, Size

ANDROID_8 = """\
WINDOW MANAGER DISPLAY CONTENTS (dumpsys window displays)
  Display: mDisplayId=0
    mRotation=0 mAltOrientation=false
  mCurrentFocus=Window{41b37570 u0 com.shop/com.shop.MainActivity}
  mFocusedApp=AppWindowToken{3f1 token=Token{2ab ActivityRecord{77 u0 com.shop/.MainActivity t12}}}
"""
ANDROID_11 = """\
  mCurrentFocus=null
  mFocusedApp=ActivityRecord{7f u0 com.shop/.ui.Cart$Inner t7}
    DisplayRotation
      mRotation=3 mDeferredRotationPauseCount=0
  imeControlTarget=null
"""
ANDROID_14 = """\
  mGlobalConfiguration={1.0 310mcc260mnc [en_US] ldltr sw411dp w411dp h842dp 420dpi rotation=ROTATION_0}
    DisplayFrames w=2400 h=1080 r=1
  Display: mDisplayId=2
  mCurrentFocus=null
  Display: mDisplayId=0
  mCurrentFocus=Window{e1 u0 com.shop/com.shop.MainActivity}
  mCurrentRotation=ROTATION_90
"""
POPUP = """\
  mCurrentFocus=Window{e1 u0 PopupWindow:1f2e}
  mFocusedApp=ActivityRecord{7f u0 com.shop/com.shop.MainActivity t7}
"""
SHADE = """\
  mCurrentFocus=Window{e1 u0 NotificationShade}
  topResumedActivity=ActivityRecord{7f u0 com.shop/.MainActivity t7}
"""
LOCKED = "  mCurrentFocus=Window{e1 u0 StatusBar}\n  mFocusedApp=null\n"
MAIN = Front("com.shop", "com.shop.MainActivity", 0)


@pytest.mark.parametrize(
    ("dump", "front"),
    [
        (ANDROID_8, MAIN),
        (ANDROID_11, Front("com.shop", "com.shop.ui.Cart$Inner", 0)),
        (ANDROID_14.replace(" u0 ", " u10 "), replace(MAIN, user=10)),
        (ANDROID_14, MAIN),
        (POPUP, MAIN),
        (SHADE, MAIN),
        (LOCKED, Front()),
        ("", Front()),
    ],
)
def test_front(dump: str, front: Front) -> None:
    assert dumpsys.front(dump) == front


@pytest.mark.parametrize(
    ("dump", "rotation"),
    [
        (ANDROID_8, 0),
        (ANDROID_11, 3),
        (ANDROID_14, 1),
        ("DisplayFrames w=1080 h=2400 r=2", 2),
        ('mBaseDisplayInfo=DisplayInfo{"Built-in Screen", displayId 0, rotation 1, state ON}', 1),
        ("SurfaceOrientation: 3", 3),
        ("mRotation=ROTATION_270", 3),
        ("mRotation=7", None),
        ("", None),
    ],
)
def test_rotation(dump: str, rotation: Rotation | None) -> None:
    assert dumpsys.rotation(dump) == rotation


@pytest.mark.parametrize(
    ("dump", "shown"),
    [
        ("  mShowRequested=true mInputShown=true\n", True),
        ("  mInputShown=false\n  mIsInputViewShown=true\n", False),
        ("  mIsInputViewShown=true\n", True),
        ("  mShowRequested=true mInputShown=true\n    mIsInputViewShown=true\n", True),
        # A test runner's, which types without keys.
        ("  mShowRequested=true mInputShown=true\n    mIsInputViewShown=false\n", False),
        ("", False),
    ],
)
def test_keyboard(dump: str, shown: bool) -> None:
    assert dumpsys.keyboard_shown(dump) is shown


def test_override_wins() -> None:
    assert dumpsys.size("Physical size: 1080x2400\n") == Size(1080, 2400)
    assert dumpsys.size("Physical size: 1080x2400\r\nOverride size: 720x1600\r\n") == Size(720, 1600)
    assert dumpsys.size("Physical size: 0x0") is None
    assert dumpsys.size("cmd: Can't find service: window") is None
    assert dumpsys.density("Physical density: 420\nOverride density: 360\n") == 360
    assert dumpsys.density("Physical density: 420") == 420
    assert dumpsys.density("") is None


def test_properties() -> None:
    text = "[ro.product.model]: [Pixel 7]\n[ro.empty]: []\n[odd]: [one\ntwo]\r\n[last]: [a [b] c]\n"
    assert dumpsys.properties(text) == {
        "ro.product.model": "Pixel 7",
        "ro.empty": "",
        "odd": "one\ntwo",
        "last": "a [b] c",
    }


def test_uid_of_the_very_package() -> None:
    listing = "package:com.shop.extra uid:10200\npackage:com.shop uid:10123\n"
    assert dumpsys.listed_uid(listing, "com.shop") == 10123
    assert dumpsys.listed_uid(listing, "com.sho") is None
    assert dumpsys.listed_uid("Error: Unknown option: -U", "com.shop") is None
    dump = (
        "Packages:\n  Package [com.shop.extra] (1a):\n    userId=10200\n  Package [com.shop] (2b):\n    userId=10123\n"
    )
    assert dumpsys.package_uid(dump, "com.shop") == 10123
    assert dumpsys.package_uid("Unable to find package: com.shop", "com.shop") is None
    assert dumpsys.package_uid("  Package [com.shop] (2b):\n    appId=10123\n", "com.shop") == 10123


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    dumpsys.front(text)
    dumpsys.rotation(text)
    dumpsys.keyboard_shown(text)
    dumpsys.size(text)
    dumpsys.density(text)
    dumpsys.properties(text)
    dumpsys.listed_uid(text, "a")
    dumpsys.package_uid(text, "a")


@pytest.mark.parametrize(
    ("dump", "on"),
    [
        ("    mAwake=true mScreenOnEarly=true mScreenOnFully=false", True),
        ("    mAwake=false mScreenOnEarly=false", False),
        ("mScreenOnEarly=true mScreenOnFully=true mWindowManagerDrawComplete=true", True),
        ("      screenState=SCREEN_STATE_OFF", False),
        ("      screenState=SCREEN_STATE_TURNING_ON", True),
        ("  mCurrentFocus=null", None),
    ],
)
def test_awake(dump: str, on: bool | None) -> None:
    assert dumpsys.awake(dump) is on


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("  Display: mDisplayId=0\n    init=1080x2400 420dpi cur=2400x1080 app=2274x1080", Size(2400, 1080)),
        ("    init=1440x3040 560dpi base=1080x2280 420dpi cur=1080x2280 app=1080x2148", Size(1080, 2280)),
        ("  cur=10x20\n  Display: mDisplayId=2\n   cur=30x40", Size(10, 20)),
        ("    init=1080x2400 420dpi", None),
        ("  mCurFoo=1x2 recur=3x4", None),
        # While a display is being configured; that of the next one is not its own.
        ("    init=0x0 0dpi cur=0x0 app=0x0\n  Display: mDisplayId=2\n   cur=30x40", None),
        ("    init=1080x2400 420dpi cur=1080x0", None),
    ],
)
def test_the_size_that_is_shown(text: str, size: Size | None) -> None:
    assert dumpsys.shown_size(text) == size


DISPLAY_14 = """\
Logical Displays: size=2
  Display 0:
    mDisplayId=0
    mIsEnabled=true
    mBaseDisplayInfo=DisplayInfo{"Built-in Screen", displayId 0, displayGroupId 0, FLAG_SECURE, real 1812 x 2176, \
largest app 2176 x 2176, mode 1, defaultMode 1, rotation 0, state ON, committedState ON, type INTERNAL, \
uniqueId "local:4619827259835644672", app 1812 x 2176, density 420 (397.5 x 397.9) dpi, layerStack 0}
    mOverrideDisplayInfo=DisplayInfo{"Built-in Screen", displayId 0, real 2176 x 1812, rotation 3, state ON, \
uniqueId "local:4619827259835644672", app 2176 x 1812, density 380 (397.5 x 397.9) dpi}
  Display 7:
    mDisplayId=7
    mBaseDisplayInfo=DisplayInfo{"Overlay #1", displayId 7, real 720 x 480, rotation 0, state OFF, type OVERLAY, \
uniqueId "overlay:1", app 720 x 480, density 142 (142.0 x 142.0) dpi, layerStack 7}
"""
DISPLAY_9 = """\
Logical Displays: size=1
  Display 0:
    mDisplayId=0
    mBaseDisplayInfo=DisplayInfo{"Built-in Screen", uniqueId "local:0", app 1080 x 1794, real 1080 x 1920, largest app \
1794 x 1731, rotation 0, density 420 (422.03 x 424.069) dpi, layerStack 0, type BUILT_IN, state ON, owner android}
"""


def test_displays() -> None:
    inner, overlay = dumpsys.displays(DISPLAY_14)
    assert inner == DisplayInfo(0, "Built-in Screen", Size(1812, 2176), 3, 380, "4619827259835644672", True)
    assert overlay == DisplayInfo(7, "Overlay #1", Size(720, 480), 0, 142, "", False)
    assert dumpsys.displays(DISPLAY_9) == (DisplayInfo(0, "Built-in Screen", Size(1080, 1920), 0, 420, "0", True),)
    assert dumpsys.displays("Can't find service: display") == ()
    assert dumpsys.displays(DISPLAY_9.replace("real 1080 x 1920", "real 0 x 0")) == ()


WINDOW = """\
  Display: mDisplayId=0 (organized)
    init=1812x2176 420dpi base=900x1080 210dpi cur=900x1080 app=900x1080
  mRotation=1
  mCurrentFocus=Window{1 u0 com.shop/.Main}
  Display: mDisplayId=7 (organized)
    init=720x480 142dpi cur=480x720
  mRotation=3
  mCurrentFocus=Window{2 u0 com.other/.Clock}
"""


def test_one_of_several_displays_in_the_window_manager_s_words() -> None:
    first, second = (dumpsys.display_part(WINDOW, number) for number in (0, 7))
    assert dumpsys.front(first).package == "com.shop"
    assert (dumpsys.front(second).package, dumpsys.rotation(second)) == ("com.other", 3)
    assert (dumpsys.shown_size(first), dumpsys.shown_size(second)) == (Size(900, 1080), Size(480, 720))
    assert dumpsys.display_part(WINDOW, 3) == ""
    # What came later is told first.
    head, sign, rest = WINDOW.partition("  Display: mDisplayId=7")
    later = sign + rest
    first, second = (dumpsys.display_part(later + head, number) for number in (0, 7))
    assert (dumpsys.front(first).package, dumpsys.shown_size(first)) == ("com.shop", Size(900, 1080))
    assert (dumpsys.front(second).package, dumpsys.shown_size(second)) == ("com.other", Size(480, 720))
    # Between two windows the other display's are not the default one's.
    nothing = head.replace("Window{1 u0 com.shop/.Main}", "null")
    assert dumpsys.front(dumpsys.display_part(later + nothing, 0)) == Front()
    # Before Android 10 the focus was told at the end, of all together.
    old = "  Display: mDisplayId=7\n    cur=480x720\n  Display: mDisplayId=0\n    cur=1080x2400\n"
    old += "  Display: mDisplayId=8\n    cur=9x9\n  mCurrentFocus=Window{1 u0 com.shop/.Main}\n"
    whole = dumpsys.display_part(old, 0)
    assert (dumpsys.front(whole).package, dumpsys.shown_size(whole)) == ("com.shop", Size(1080, 2400))


def test_what_was_kept_of_an_app_that_did_not_answer_is_not_of_now() -> None:
    then = """\
WINDOW MANAGER LAST ANR (dumpsys window lastanr)
  ANR time: Nov 27, 2026 9:12:03 AM
  Application at fault: ActivityRecord{1 u0 com.bank/.Main t42}
Last ANR continued
WINDOW MANAGER DISPLAY CONTENTS (dumpsys window displays)
  Display: mDisplayId=0
    init=1080x2400 420dpi cur=2400x1080
  mRotation=1
  mCurrentFocus=Window{9f8e u0 com.bank/com.bank.Main}
    mAwake=false
"""
    now = "WINDOW MANAGER POLICY STATE (dumpsys window policy)\n    mAwake=true\n" + WINDOW
    said = dumpsys.current(then + now)
    assert (dumpsys.front(said).package, dumpsys.awake(said)) == ("com.shop", True)
    assert dumpsys.display_part(said, 0) == dumpsys.display_part(WINDOW, 0)
    for text in (now, WINDOW, then, ""):
        assert dumpsys.current(text) == text


def test_which_display_a_touch_panel_is_of() -> None:
    text = """\
Event Hub State:
  Devices:
    -1: Virtual
    3: sec_touchscreen
      Path: /dev/input/event4
    4: sec_touchscreen2
      Path: /dev/input/event5
    5: pen
      Path: /dev/input/event6
Input Reader State:
  Device 3: sec_touchscreen
    Touch Input Mapper (mode - DIRECT):
      Viewport INTERNAL: displayId=0, uniqueId=local:46, port=0, orientation=0, logicalFrame=[0, 0, 1080, 2400]
  Device 4: sec_touchscreen2
      Viewport: displayId=-1
  Device 9: gone
      Viewport: displayId=3
"""
    assert dumpsys.touch_displays(text) == {"/dev/input/event4": 0, "/dev/input/event5": -1}
    # From Android 11 on each has numbers of its own.
    later = text.replace("Device 3: sec_touchscreen\n", "Device 5: sec_touchscreen\n    EventHub Devices: [ 3 ]\n")
    later = later.replace("Device 4: sec_touchscreen2\n", "Device 3: sec_touchscreen2\n    EventHub Devices: [ 4 7 ]\n")
    later = later.replace("Device 9: gone\n", "Device 4: keys\n    EventHub Devices: [ 1 ]\n      0: of another list\n")
    assert dumpsys.touch_displays(later) == {"/dev/input/event4": 0, "/dev/input/event5": -1}


def test_physical_displays() -> None:
    text = 'Display 46 (HWC display 0): port=0\nDisplay 47 (HWC display 1): port=1 displayName=""\n'
    assert dumpsys.physical(text) == ("46", "47")


@pytest.mark.parametrize(
    "text",
    [
        "  Display: mDisplayId={}\n",
        "  Display {}:\n" + DISPLAY_9.partition("mDisplayId=0\n")[2],
        "  {}: a\n    Path: /dev/input/event1\n",
        "  Device {}: a\n",
        "  1: a\n    Path: /dev/input/event1\n  Device 1: a\n    Viewport: displayId={}\n",
        "package:com.shop uid:{}\n",
        "Package [com.shop] (1):\n    userId={}\n",
    ],
)
def test_numbers_that_no_device_has_are_not_read(text: str) -> None:
    said = text.replace("{}", "9" * 5000)
    assert dumpsys.display_part(said, 7) == ""
    assert dumpsys.displays(said) == ()
    assert dumpsys.touch_displays(said) == {}
    assert dumpsys.listed_uid(said, "com.shop") is None
    assert dumpsys.package_uid(said, "com.shop") is None


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("", 1),
        ("animator_duration_scale=10.0\nx_scale=99\n", 10),
        ("animator_duration_scale=0.0\r\ntransition_animation_scale=0\r\nwindow_animation_scale=0.5\r\n", 0.5),
        ("animator_duration_scale=0.0\n", 1),
        ("animator_duration_scale=null\nwindow_animation_scale=-3\ntransition_animation_scale=nan\n", 1),
        ("window_animation_scale=9999", dumpsys.MAX_SCALE),
        ("usage: settings [--user USER_ID | current] get namespace key", 1),
    ],
)
def test_how_slow_animations_are(text: str, scale: float) -> None:
    assert dumpsys.animations(text) == scale


def test_accessibility_services() -> None:
    talkback = "com.google.android.marvin.talkback/com.google.android.marvin.talkback.TalkBackService"
    text = f"x_scale=1\nenabled_accessibility_services={talkback}:a.b/.C:a.b/.D\n"
    assert dumpsys.services(text) == ("com.google.android.marvin.talkback", "a.b")
    for text in ("", "enabled_accessibility_services=null", "enabled_accessibility_services=", "usage: settings"):
        assert dumpsys.services(text) == ()


def test_numbers_of_properties() -> None:
    assert [dumpsys.number(text) for text in ("34", "", "REL", "-1", "\u00b2", "9" * 5000)] == [34, *[None] * 5]


@given(st.text(max_size=300) | st.sampled_from([DISPLAY_14[:400], WINDOW[:90]]))
def test_no_answer_breaks_the_readers_of_displays(text: str) -> None:
    dumpsys.displays(text)
    dumpsys.touch_displays(text)
    dumpsys.display_part(text, 7)


@pytest.mark.parametrize(
    ("battery", "disk", "condition"),
    [
        ("  level: 83\n  scale: 100\n  temperature: 287\n", "", Condition(83, 28.7, None)),
        # What a vendor adds comes after; some count to 255.
        ("  level: 51\r\n  scale: 255\r\n  temperature: -15\r\n  other\n  level: 1\n", "", Condition(20, -1.5, None)),
        ("Can't find service: battery", "df: /data: No such file or directory", Condition()),
        ("  level: -1\n  scale: 0\n", "", Condition()),
        (
            "",
            "Filesystem  1K-blocks  Used Available Use% Mounted on\n/dev/dm-5  112000000 40000000 72000000 36% /data\n",
            Condition(free_bytes=72_000_000 * 1024),
        ),
        (
            "",
            "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/block/bootdevice/by-name/userdata\n"
            "           112000000 40000000 72000000  36% /data/user/0\n",
            Condition(free_bytes=72_000_000 * 1024),
        ),
    ],
)
def test_the_condition(battery: str, disk: str, condition: Condition) -> None:
    assert dumpsys.condition(battery, disk) == condition
