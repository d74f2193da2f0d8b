"""Real dumps of public repositories, judged by the levels as Amplitude documents them, read here a second time.

light: password, e-mail, phone and card inputs, web and map views; medium: every editable text; conservative: every
text. What more is hidden must be of a kind that any level hides: what looks like an address or a number, a keypad,
what repeats an input.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree as ET

import pytest

from agent.model import MaskLevel, Snapshot
from agent.replay.canvas import RgbaCanvas
from agent.replay.mask import Masker
from agent.replay.verdicts import Verdict, verdicts
from agent.replay.wireframe import wireframe
from bridge.hierarchy import parse
from bridge.types import Frame, Hierarchy, Size, Stamp

FIXTURES = Path(__file__).parents[5] / "shared" / "fixtures" / "hierarchies"
NAMES = [entry["file"] for entry in json.loads((FIXTURES / "index.json").read_text())["files"]] if (
    FIXTURES / "index.json"
).is_file() else []  # fmt: skip
LEVELS: tuple[MaskLevel, ...] = get_args(MaskLevel)
SYSTEM = {"com.android.systemui", "android", "com.android.phone"}
INPUTS = re.compile(r"(EditText|AutoCompleteTextView|TextInput\w*|TextField|SearchAutoComplete)$")
TEXTS = re.compile(r"(TextView|Button|Chip|CheckBox|Switch)$")
PRIVATE_INPUT = re.compile(r"mail|phone|mobile|telefone|celular|card|cvv|cvc|pass|senha|pin\b", re.IGNORECASE)

pytestmark = pytest.mark.skipif(not NAMES, reason="the fixtures are not here")


def text_of(name: str) -> str:
    data = (FIXTURES / name).read_bytes()
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    return text[text.index("<hierarchy") : text.rindex("</hierarchy>")] + "</hierarchy>"


def read(data: bytes) -> Hierarchy:
    return parse(data, Stamp(0, 0), 0)


def judged(tree: Hierarchy, level: MaskLevel) -> list[Verdict]:
    size = Size(max(r.bounds.right for r in tree.roots), max(r.bounds.bottom for r in tree.roots))
    masker = Masker(level, None)
    frame = Frame(tree.stamp, 0, size, size, tree.rotation, "image/x-rgba", b"", 0, "file")
    result = masker.snapshot(Snapshot(frame, tree, tree), RgbaCanvas(wireframe(tree, size)), 420)
    return list(verdicts(tree, masker.judged(tree, size, 420).rows, result))


def said(element: ET.Element) -> str:
    return element.get("text", "") or element.get("content-desc", "")


def class_of(element: ET.Element) -> str:
    return element.get("class") or element.tag


def walk(element: ET.Element, above: tuple[ET.Element, ...] = ()) -> list[tuple[ET.Element, tuple[ET.Element, ...]]]:
    found = []
    for child in element:
        found += [(child, above), *walk(child, (*above, child))]
    return found


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_every_view_that_says_something_is_decided_as_the_level_says(name: str, level: MaskLevel) -> None:
    elements = walk(ET.fromstring(text_of(name)))
    found = judged(read((FIXTURES / name).read_bytes()), level)
    assert len(found) == len(elements)
    packages = {element.get("package", "") for element, _ in elements}
    typed = [element.get("text", "") for element, _ in elements if INPUTS.search(class_of(element))]
    worded = 0
    for (element, above), verdict in zip(elements, found, strict=True):
        if not said(element):
            continue
        worded += 1
        about = (name, level, element.attrib, verdict)
        owner = (above[0] if above else element).get("package", "")
        within = [class_of(each) for each in (*above, element)]
        if packages <= SYSTEM or owner in SYSTEM or element.get("package", "") in SYSTEM:
            assert verdict.decision == "block", about
            assert not verdict.label, about
            continue
        editable = any(INPUTS.search(cls) for cls in within)
        if any(each.get("password") == "true" for each in (*above, element)):
            assert verdict.decision == "mask", about
        elif any(cls.endswith(("WebView", "MapView")) for cls in within):
            assert verdict.decision == "block", about
        elif editable and level != "light":
            assert verdict.decision == "mask", about
        elif editable:
            about_it = " ".join(element.get(key, "") for key in ("resource-id", "hint", "content-desc"))
            if PRIVATE_INPUT.search(about_it):
                assert verdict.decision == "mask", about
        elif level == "conservative":
            if element.get("text") or TEXTS.search(class_of(element)):
                assert verdict.decision == "mask", about
            assert verdict.label in ("*****", ""), about
        elif verdict.decision != "show" and verdict.itself:
            reasons = {
                "pattern": bool(re.search(r"@|\d[\d .-]{6,}|token: ", said(element))),
                "echo": any(text and text in said(element) for text in typed),
                "keypad": len(said(element)) <= 3,
            }
            assert reasons.get(verdict.rule), about
        if verdict.decision == "mask" and verdict.itself:
            assert verdict.label in ("*****", ""), about
            assert verdict.covered == 1 or verdict.node.bounds.empty, about
    assert worded > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_dialect_of_a_dump_is_read_and_judged_alike(name: str) -> None:
    text = text_of(name)
    root = ET.fromstring(text)
    for element in list(root.iter()):
        if element is not root:
            element.tag = class_of(element).replace("$", "_")
            element.set("displayed", "true")
            element.set("a11y-important", "true")
    forms = {
        "plain": text.encode(),
        "words around": b"WARNING: linker: libfoo.so\r\n" + text.encode() + b"UI hierchary dumped to: /dev/tty\n",
        "utf-16": ("﻿" + text).encode("utf-16-le"),
        "utf-16 be": text.encode("utf-16-be"),
        "appium": ET.tostring(root, encoding="utf-8", xml_declaration=True),
    }
    told = {
        form: [
            (verdict.decision, verdict.rule, verdict.name, verdict.label) for verdict in judged(read(data), "medium")
        ]
        for form, data in forms.items()
    }
    assert all(told[form] == told["plain"] for form in forms), [form for form in forms if told[form] != told["plain"]]
