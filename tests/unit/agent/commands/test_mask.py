from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

APP = "com.example.shop"
WIDTH, HEIGHT = 1080, 2400
SECRET = (10, 200, 30)


def node(bounds: tuple[int, int, int, int], cls: str, text: str = "", inner: str = "", **more: str) -> str:
    left, top, right, bottom = bounds
    flags = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return (
        f'<node class="{cls}" package="{APP}" text="{text}" bounds="[{left},{top}][{right},{bottom}]"{flags}>'
        f"{inner}</node>"
    )


def dump(*children: str, rotation: int = 0, width: int = WIDTH, height: int = HEIGHT) -> str:
    root = node((0, 0, width, height), "android.widget.FrameLayout", inner="".join(children))
    return f'<?xml version="1.0"?><hierarchy rotation="{rotation}">{root}</hierarchy>'


TITLE = node((0, 200, 1080, 300), "android.widget.TextView", "Checkout")
NAME = node((40, 400, 1040, 500), "android.widget.EditText", "Anna Bell", resource_id=f"{APP}:id/name")
CARD = node((40, 600, 1040, 700), "android.widget.TextView", "•••• 1111", resource_id="card_number")
FORM = dump(TITLE, NAME, CARD)


@pytest.fixture
def form(tmp_path: Path) -> Path:
    file = tmp_path / "form.xml"
    file.write_text(FORM)
    return file


def screenshot(folder: Path, size: tuple[int, int] = (WIDTH, HEIGHT), form: str = "PNG") -> Path:
    """White, with the input in a colour of its own."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    image.paste(SECRET, (40, 400, 1040, 500))
    file = folder / f"screen.{form.lower()}"
    image.resize(size).save(file, form)
    return file


def secret_pixels(file: Path) -> int:
    return int((np.abs(pixels_of(file).astype(int) - SECRET).sum(axis=2) < 60).sum())


def pixels_of(file: Path) -> NDArray[np.uint8]:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def test_every_view_with_its_rule_and_reason(call, form: Path) -> None:
    ended = call("mask", str(form), "--block", "id=card_*")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].split()[:2] == ["show", "-"]
    assert "Checkout" in lines[0]
    assert "editable" in lines[1]
    assert "masked from medium up" in lines[1]
    assert lines[2].startswith("block  block id=card_*")
    assert "a rule of yours" in lines[2]
    assert "Anna" not in ended.out + ended.err
    assert "4 views at medium: 2 shown, 1 masked, 1 blocked." in ended.err


def test_the_same_as_json(call, form: Path) -> None:
    told = json.loads(
        call("mask", str(form), "--json", "--level", "conservative", "--unmask", "testid=card_number").out
    )
    assert (told["level"], told["app"], told["screen"], told["blocked"]) == ("conservative", APP, [WIDTH, HEIGHT], None)
    assert [(n["decision"], n["rule"], n["label"]) for n in told["nodes"]] == [
        ("show", None, ""),
        ("mask", "text", "*****"),
        ("mask", "editable", "*****"),
        ("show", "unmask testid=card_number", "•••• 1111"),
    ]
    assert {cover["rule"] for cover in told["covers"]} == {"text", "editable", "status-bar", "navigation-bar"}
    assert "Anna" not in json.dumps(told)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (540, 1200)])
def test_the_picture_is_what_a_recording_stores(
    call, form: Path, tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    shot = screenshot(tmp_path, size, kind)
    out = tmp_path / "masked.png"
    assert secret_pixels(shot) > 10_000
    ended = call("mask", str(form), "--screenshot", str(shot), "-o", str(out))
    assert ended.code == 0
    assert pixels_of(out).shape == (1200, 540, 3)
    assert secret_pixels(out) == 0
    assert ("0.5 times" in ended.err) == (size[0] == 540)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_without_a_screenshot_the_views_are_drawn(call, form: Path, tmp_path: Path) -> None:
    out = tmp_path / "masked.png"
    assert call("mask", str(form), "-o", str(out)).code == 0
    pixels = pixels_of(out)
    assert (pixels[205:245, 25:515] == 0x80).all()
    assert not (pixels[105:145] == 0x80).all()


def test_rules_and_level_come_from_a_settings_file(call, form: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[privacy]\nlevel = "light"\n[[privacy.rules]]\naction = "mask"\ntext = "Checkout"\n')
    ended = call("mask", str(form), "--rules", str(file))
    assert "mask text=*****" in ended.out
    assert "at light" in ended.err


@pytest.mark.parametrize(
    "data", [FORM.encode("utf-16"), FORM.encode("utf-16-be"), b"WARNING: linker\n" + FORM.encode() + b"UI dumped\n"]
)
def test_other_encodings_and_words_around_it(call, tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "dump.xml"
    file.write_bytes(data)
    assert "4 views" in call("mask", str(file)).err


def test_standard_input() -> None:
    command = [sys.executable, "-m", "agent.cli", "mask", "-", "--json"]
    done = subprocess.run(command, input=FORM.encode(), capture_output=True, timeout=60)
    assert done.returncode == 0
    assert json.loads(done.stdout)["app"] == APP


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "nothing was sent"),
        (b"\x89PNG", "is no view hierarchy"),
        (b"<hierarchy rotation='0'></hierarchy>", "holds no view"),
        (b"<hierarchy rotation='0'><node", "is no view hierarchy"),
        (b'<?xml version="1.0"?><!DOCTYPE h [<!ENTITY a "b">]><hierarchy rotation="0"/>', "document type"),
        (dump(width=100_000, height=10).encode(), "which none is"),
        (dump(width=0, height=0).encode(), "no view on the screen"),
    ],
)
def test_a_dump_that_is_none(call, tmp_path: Path, data: bytes, named: str) -> None:
    file = tmp_path / "dump.xml"
    file.write_bytes(data)
    ended = call("mask", str(file))
    assert ended.code == 2
    assert named in ended.err
    assert len(ended.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("absent.png", "No such file"),
        ("cut.png", "cut off"),
        ("broken.png", "no picture that can be read"),
        ("text.png", "no picture"),
        ("wide.png", "different rotations"),
        ("odd.png", "700x1200 pixels and the dump tells of 1080x2400"),
    ],
)
def test_a_picture_that_does_not_fit(call, form: Path, tmp_path: Path, name: str, named: str) -> None:
    good = screenshot(tmp_path).read_bytes()
    (tmp_path / "cut.png").write_bytes(good[:-20])
    (tmp_path / "broken.png").write_bytes(good[:60] + bytes(40) + good[100:])
    (tmp_path / "text.png").write_text("not a picture")
    Image.new("RGB", (2400, 1080)).save(tmp_path / "wide.png")
    Image.new("RGB", (700, 1200)).save(tmp_path / "odd.png")
    ended = call("mask", str(form), "--screenshot", str(tmp_path / name), "-o", str(tmp_path / "out.png"))
    assert ended.code == 2
    assert named in ended.err
    assert not (tmp_path / "out.png").exists()


def test_the_picture_is_not_written_over_what_was_given(call, form: Path, tmp_path: Path) -> None:
    shot = screenshot(tmp_path)
    (tmp_path / "other.xml").symlink_to(form)
    for out in (form, shot, tmp_path / "other.xml", tmp_path):
        before = [form.read_bytes(), shot.read_bytes()]
        ended = call("mask", str(form), "--screenshot", str(shot), "-o", str(out))
        assert ended.code == 2
        assert str(out) in ended.err
        assert [form.read_bytes(), shot.read_bytes()] == before


def test_an_app_that_is_not_there_blocks_all_and_says_so(call, form: Path, tmp_path: Path) -> None:
    out = tmp_path / "masked.png"
    ended = call("mask", str(form), "--app", "com.other", "-o", str(out))
    assert ended.code == 0
    assert "The whole picture is blocked (not-app)" in ended.err
    assert (pixels_of(out) == 0x80).all()


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--level", "none"], 2, "privacy.level (flag)"),
        (["--mask", "x"], 2, "--mask 'x'"),
        (["--rules", "nowhere.toml"], 2, "nowhere.toml"),
        (["-o", "nowhere/out.png"], 11, "nowhere"),
        (["--density", "5"], 2, "60"),
    ],
)
def test_wrong_options_are_named(call, form: Path, words: list[str], code: int, named: str) -> None:
    ended = call("mask", str(form), *words)
    assert ended.code == code
    assert named in ended.err


def test_a_dump_of_a_part_of_the_screen_says_that_it_is_one(call, form: Path, tmp_path: Path) -> None:
    assert "a part of the screen only" in call("mask", str(form)).err
    full = tmp_path / "full.xml"
    full.write_text(dump(TITLE, node((0, 1900, 1080, 2300), "android.widget.Button", "Pay")))
    assert "a part of the screen only" not in call("mask", str(full)).err


@pytest.mark.parametrize(
    ("name", "kind"), [("a.PNG", "PNG"), ("a.webp", "WEBP"), ("a.jpg", "JPEG"), ("a.jpeg", "JPEG")]
)
def test_the_picture_has_the_form_that_its_name_tells(call, form: Path, tmp_path: Path, name: str, kind: str) -> None:
    out = tmp_path / name
    assert call("mask", str(form), "--out", str(out)).code == 0
    with Image.open(out) as picture:
        assert picture.format == kind
    ended = call("mask", str(form), "--out", str(out))
    assert (ended.code, "--force" in ended.err) == (2, True)
    assert call("mask", str(form), "--out", str(out), "--force").code == 0


def test_a_name_of_no_form_of_picture_is_refused(call, form: Path, tmp_path: Path) -> None:
    ended = call("mask", str(form), "-o", str(tmp_path / "a.txt"))
    assert (ended.code, ".webp" in ended.err, (tmp_path / "a.txt").exists()) == (2, True, False)
