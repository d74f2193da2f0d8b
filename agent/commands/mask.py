"""`android-replay mask`: what would be masked of one screen, and why."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands.masking import Block, Mask, Unmask, rules

if TYPE_CHECKING:
    from agent.model import Canvas, MaskedSnapshot
    from agent.replay.verdicts import Verdict
    from bridge.types import Frame, Hierarchy, Size

MAX_PICTURE_BYTES = 100_000_000
NARROW_DP = 411
FORMS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
TAKE = "Take both at the same moment: `adb exec-out screencap -p` and `adb exec-out uiautomator dump /dev/tty`."


def mask(
    dump: Annotated[str, typer.Argument(metavar="DUMP.xml", help="A dump of the view tree, or - for standard input.")],
    screenshot: Annotated[
        Path | None, typer.Option(help="The picture of the same moment (PNG or JPEG); the views are drawn without it.")
    ] = None,
    level: Annotated[str | None, typer.Option(help="light, medium or conservative.")] = None,
    app: Annotated[str | None, typer.Option(help="The app's package; the largest app when left out.")] = None,
    block: Block = None,
    mask: Mask = None,
    unmask: Unmask = None,
    config: Annotated[
        Path | None, typer.Option("--config", "--rules", help="A settings file (TOML) with level and rules.")
    ] = None,
    density: Annotated[
        int | None, typer.Option(min=60, max=1000, help="Dots per inch; guessed from the width when left out.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write the masked picture here: NAME.png, .webp or .jpg.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with every view and cover.")] = False,
) -> None:
    """Show what a recording would mask of one screen, view by view, by which rule and why; write the masked picture.

    It is decided and drawn by what masks a recording, so what is seen here is what would be stored. Dumps of
    `uiautomator dump`, uiautomator2 and Appium are read, in UTF-8 or UTF-16.

    Example: android-replay mask screen.xml --screenshot screen.png --block 'id=card_*' -o masked.png
    """
    from agent.commands.console import put, put_json, say
    from agent.errors import ConfigError
    from agent.model import Snapshot
    from agent.privacy import Rules
    from agent.replay.behind import filled
    from agent.replay.mask import Masker
    from agent.replay.verdicts import reason, verdicts
    from agent.settings import load

    if out is not None:
        _check_out(out, (Path(dump), screenshot), force)
    elif force:
        raise ConfigError("--force is for the file of -o.", "Give -o, too, or leave it away.")
    settings = load({"privacy.level": level, "privacy.rules": rules(block, mask, unmask)}, config).settings
    tree = _tree(dump)
    extent = _extent(tree, dump)
    width = settings.capture.width
    frame, canvas = _drawn(tree, extent) if screenshot is None else _picture(screenshot, tree, extent, width)
    screen, scale = frame.screen, frame.size.width / frame.screen.width
    dpi = density or max(120, min(screen.width, screen.height) * 160 // NARROW_DP)
    masker = Masker(settings.privacy.level, app, width, Rules(settings.privacy.rules))
    result = masker.snapshot(Snapshot(frame, tree, tree), canvas, dpi)
    judged = masker.judged(tree, screen, dpi)
    found = list(verdicts(tree, judged.rows, result))
    if out is not None:
        _write(out, result)
    if as_json:
        put_json({
            "level": settings.privacy.level,
            "app": judged.package or None,
            "screen": [screen.width, screen.height],
            "scale": round(scale, 4),
            "blocked": result.blocked or None,
            "why": reason(result.blocked) or None,
            "covers": [
                {"bounds": _edges(cover.bounds), "kind": cover.kind, "rule": cover.rule} for cover in result.covers
            ],
            "nodes": [_fact(verdict) for verdict in found],
        })  # fmt: skip
    else:
        for line in _table(found):
            put(line)
    if scale != 1:
        say(f"The picture is {scale:.3g} times the size of the screen that the dump tells of: read as that screen.")
    if result.blocked:
        say(f"The whole picture is blocked ({result.blocked}): {reason(result.blocked)}.")
    elif not filled(judged):
        say("The dump tells of a part of the screen only; what is seen around it a recording judges by earlier dumps.")
    counts = [sum(verdict.decision == what for verdict in found) for what in ("show", "mask", "block")]
    say(f"{len(found)} views at {settings.privacy.level}: {counts[0]} shown, {counts[1]} masked, {counts[2]} blocked.")
    if out is not None:
        say(f"Wrote {out}.")


def _tree(dump: str) -> Hierarchy:
    from agent.commands.console import taken
    from agent.errors import ConfigError
    from bridge.errors import HierarchyEmpty, HierarchyMalformed
    from bridge.hierarchy import MAX_BYTES, parse
    from bridge.types import Stamp

    hint = "Give what `adb exec-out uiautomator dump /dev/tty` prints, or an Appium page source."
    try:
        if dump == "-":
            data = taken().read(MAX_BYTES + 1)
        else:
            with Path(dump).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        return parse(data, Stamp(0, 0), 0)
    except OSError as error:
        raise ConfigError(f"{dump} cannot be read: {error.strerror}.", hint) from error
    except ValueError as error:
        raise ConfigError(f"{dump!r} is no file name: {error}.", hint) from error
    except (HierarchyEmpty, HierarchyMalformed) as error:
        raise ConfigError(f"{dump} is no view hierarchy: {error.detail}.", hint) from error


def _extent(tree: Hierarchy, dump: str) -> Size:
    """The screen as far as the windows of the dump reach. Raises ConfigError for one that no screen has."""
    from agent.errors import ConfigError
    from bridge.types import Size

    width, height = max(r.bounds.right for r in tree.roots), max(r.bounds.bottom for r in tree.roots)
    if width <= 0 or height <= 0:
        raise ConfigError(f"{dump} has no view on the screen.", "Dump again while the app is in front.")
    screen = Size(width, height)
    if not screen.possible:
        raise ConfigError(f"{dump} tells of a screen of {width}x{height}, which none is.", "Dump again.")
    return screen


def _drawn(tree: Hierarchy, screen: Size) -> tuple[Frame, Canvas]:
    from agent.replay.canvas import RgbaCanvas
    from agent.replay.wireframe import wireframe
    from bridge.types import Frame

    frame = Frame(tree.stamp, 0, screen, screen, tree.rotation, "image/x-rgba", b"", 0, "drawn")
    return frame, RgbaCanvas(wireframe(tree, screen))


def _picture(file: Path, tree: Hierarchy, extent: Size, width: int) -> tuple[Frame, Canvas]:
    """The picture of a screen that is as large as it, or as the dump says where it is a reduced one.

    One that is smaller than the dump's windows is taken for a reduced one when both sides fit exactly, else refused:
    masks at guessed places are none.
    """
    from agent.errors import ConfigError
    from agent.replay.canvas import canvas
    from bridge.errors import FrameMalformed
    from bridge.picture import JPEG_MAGIC, jpeg, png
    from bridge.types import Frame, MediaType, Size

    hint = "Give a screenshot as PNG or JPEG."
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_PICTURE_BYTES)
        kind: MediaType = "image/jpeg" if data.startswith(JPEG_MAGIC) else "image/png"
        size, body = jpeg(data) if kind == "image/jpeg" else png(data)
        screen = size if size.width >= extent.width and size.height >= extent.height else extent
        frame = Frame(tree.stamp, 0, size, screen, tree.rotation, kind, body, 0, "file")
        pixels = canvas(frame, width)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.", hint) from error
    except FrameMalformed as error:
        raise ConfigError(f"{file} is no picture that can be read: {error.detail}.", hint) from error
    across, down = size.width / screen.width, size.height / screen.height
    if abs(size.height - screen.height * across) <= 1 and abs(size.width - screen.width * down) <= 1:
        return frame, pixels
    turned = Size(size.height, size.width)
    words = f"{file} has {size.width}x{size.height} pixels and the dump tells of {extent.width}x{extent.height}"
    if turned.width >= extent.width and turned.height >= extent.height:
        words += ": they were taken in different rotations"
    raise ConfigError(f"{words}.", TAKE)


def _check_out(out: Path, inputs: Iterable[Path | None], force: bool) -> None:
    """Raises ConfigError when the picture would be written over what was given, or over anything without leave, where
    it cannot be a file, or in a form that its name does not tell."""
    from agent.errors import ConfigError
    from agent.export.output import check_free

    for given in inputs:
        if given is not None and out.is_file() and given.exists() and out.samefile(given):
            raise ConfigError(f"-o {out} would be written over what was given.", "Give another name.")
    check_free(out, force)
    if out.suffix.lower() not in FORMS:
        raise ConfigError(f"{out} names no form of picture.", f"End it in one of: {', '.join(FORMS)}.")


def _write(out: Path, result: MaskedSnapshot) -> None:
    from PIL import Image

    from agent.store.disk import write_files

    assert result.canvas is not None
    data = io.BytesIO()
    Image.fromarray(result.canvas.rgb()).save(data, FORMS[out.suffix.lower()], quality=90)
    write_files(out.parent, [(out.name, [data.getvalue()])])


def _fact(verdict: Verdict) -> dict[str, Any]:
    from agent.replay.verdicts import reason

    node = verdict.node
    return {
        "class": node.cls,
        "id": verdict.name if verdict.told else "",
        "package": node.package,
        "bounds": _edges(node.bounds),
        "decision": verdict.decision,
        "rule": verdict.rule or None,
        "why": reason(verdict.rule) or None,
        "covered": round(verdict.covered, 3),
        "itself": verdict.itself,
        "in_tree": verdict.told,
        "label": verdict.label,
        "worded": bool(node.text or node.desc),
    }


def _edges(bounds: Any) -> list[int]:
    return [bounds.left, bounds.top, bounds.right, bounds.bottom]


def _table(found: Iterable[Verdict]) -> list[str]:
    """The views that say something or are hidden; what they say as a recording tells it."""
    from agent.commands.console import table
    from agent.replay.verdicts import reason

    rows = []
    for verdict in found:
        node = verdict.node
        if not (node.text or node.desc or (verdict.rule and verdict.itself)):
            continue
        b = node.bounds
        label = " ".join(verdict.label.split())
        rows.append((
            verdict.decision,
            verdict.rule or "-",
            f"[{b.left},{b.top}][{b.right},{b.bottom}]",
            node.cls.rpartition(".")[2],
            verdict.name.rpartition(":id/")[2] or "-",
            (label if len(label) <= 60 else label[:59] + "…") or "-",
            reason(verdict.rule),
        ))  # fmt: skip
    return table(rows)
