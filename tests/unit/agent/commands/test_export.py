from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from fakes import patterned
from fakes.patterned import DEVICE, LENGTH_MS, OTHER_SESSION, SESSION
from fakes.segments import segment

from agent.commands import export as module
from agent.commands.export import Format, export
from agent.errors import BuildError, ConfigError, RecordingError
from agent.runtime.signals import ending
from agent.store.recording import Recording


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return patterned.record(tmp_path_factory.mktemp("export") / "shop").path


@pytest.fixture(autouse=True)
def own_signal() -> object:
    """The command sets what signals do."""
    before = {number: signal.getsignal(number) for number in ending()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent.cli", "export", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_session_as_an_event_list(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "list.json"
    done = run(str(shop), "--format", "rrweb", "-o", str(out), "--session", str(SESSION), "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    events = orjson.loads(out.read_bytes())
    assert row == {
        "file": str(out),
        "format": "rrweb",
        "session_id": SESSION,
        "device_id": DEVICE,
        "from_ms": SESSION + 1000,
        "to_ms": SESSION + 751_000,
        "events": len(events),
        "bytes": out.stat().st_size,
    }
    assert "750.0 s of session" in done.stderr


def test_several_sessions_go_to_a_folder(shop: Path, tmp_path: Path) -> None:
    export(shop, Format.RRWEB, tmp_path / "lists")
    names = sorted(file.name for file in (tmp_path / "lists").iterdir())
    assert names == [f"{SESSION}-{DEVICE}.json", f"{OTHER_SESSION}-{DEVICE}.json"]
    # A name without a suffix is a folder for one session, too.
    export(shop, Format.RRWEB, tmp_path / "one", session=SESSION)
    assert [file.name for file in (tmp_path / "one").iterdir()] == names[:1]
    with pytest.raises(ConfigError) as told:
        export(shop, Format.RRWEB, tmp_path / "list.json")
    assert str(OTHER_SESSION) in told.value.hint
    assert not (tmp_path / "list.json").exists()


def test_sessions_of_device_ids_alike_do_not_write_over_each_other(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "alike")
    devices = ["a/b", "a_b", "a b", "else"]
    for device in devices:
        recording.write(segment(device_id=device))
    export(recording.path, Format.RRWEB, tmp_path / "lists", force=True)
    written = {file.name: orjson.loads(file.read_bytes()) for file in (tmp_path / "lists").iterdir()}
    assert sorted(events[-1]["data"]["payload"]["device_id"] for events in written.values()) == sorted(devices)
    assert written[f"{SESSION}-else.json"][-1]["data"]["payload"]["device_id"] == "else"


def test_a_part_as_a_video(shop: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    export(shop, Format.MP4, tmp_path / "a.mp4", session=OTHER_SESSION, begin="2", end="0:05")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert 2.5 < container.duration / 1e6 < 3.5


def test_the_recording_as_a_page(shop: Path, tmp_path: Path) -> None:
    export(shop, Format.HTML, tmp_path)
    page = (tmp_path / "shop.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    with pytest.raises(ConfigError, match="whole sessions"):
        export(shop, Format.HTML, tmp_path / "b.html", begin="5")


def test_a_page_of_one_session_holds_nothing_of_another(shop: Path, tmp_path: Path) -> None:
    export(shop, Format.HTML, tmp_path / "one.html", session=SESSION)
    page = (tmp_path / "one.html").read_text()
    recording = Recording.open(shop)
    for manifest in recording.manifests():
        own = manifest.session_id == SESSION
        assert (f"segment-{manifest.id}" in page) is own
        assert all((f"picture-{digest}" in page) is own for digest in manifest.pictures)
    assert str(OTHER_SESSION) not in page


def test_the_steps_as_markdown(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "steps.md"
    done = run(str(shop), "--format", "steps", "-o", str(out), "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row == {"file": str(out), "format": "steps", "steps": 4, "bytes": out.stat().st_size}
    page = out.read_text()
    assert "\n1. `0:02` Press and hold at 180, 160 dp, where no view is known\n" in page
    assert f"Session `{OTHER_SESSION}`" not in page
    # A part of it.
    export(shop, Format.STEPS, tmp_path / "part.md", session=SESSION, begin="5:00")
    assert "1. `7:22`" in (tmp_path / "part.md").read_text()
    assert "2. " not in (tmp_path / "part.md").read_text()


def test_nothing_is_written_over_without_leave(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    out.write_text("mine")
    with pytest.raises(ConfigError, match="there already"):
        export(shop, Format.RRWEB, out, session=SESSION)
    assert out.read_text() == "mine"
    export(shop, Format.RRWEB, out, session=SESSION, force=True)
    assert out.read_text().startswith("[")
    # One of several in the way: none is written.
    (tmp_path / f"{OTHER_SESSION}-{DEVICE}.json").write_text("mine")
    with pytest.raises(ConfigError, match="there already"):
        export(shop, Format.RRWEB, tmp_path)
    assert not (tmp_path / f"{SESSION}-{DEVICE}.json").exists()


def test_a_damaged_segment_is_left_out_and_told(shop: Path, tmp_path: Path) -> None:
    recording = patterned.record(tmp_path / "shop")
    first, _, _, other = recording.manifests()
    (recording.path / "segments" / f"{first.id}.jsonl").write_bytes(b"")
    (recording.path / "segments" / f"{other.id}.jsonl").write_bytes(b"")
    out = tmp_path / "a.json"
    done = run(str(recording.path), "--format", "rrweb", "-o", str(out), "--session", str(SESSION))
    assert done.returncode == 11
    assert "1 damaged segment" in done.stderr
    assert len(orjson.loads(out.read_bytes())) > 100
    with pytest.raises(RecordingError, match="Nothing of session"):
        export(recording.path, Format.RRWEB, tmp_path / "b.json", session=OTHER_SESSION)
    assert not (tmp_path / "b.json").exists()


def test_without_pyav_the_next_step_is_named(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BuildError) as told:
        export(shop, Format.MP4, tmp_path / "a.mp4", session=SESSION)
    assert "pip install" in told.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_no_file(tmp_path: Path, number: signal.Signals) -> None:
    pytest.importorskip("av")
    recording = Recording.create(tmp_path / "long")
    for seq in range(50):
        recording.write(patterned.segment(seq, SESSION + seq * LENGTH_MS, range(1, 11)))
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-m", "agent.cli", "export", str(recording.path), "--format", "mp4", "-o", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # The file aside is there as soon as the work begins.
        while process.poll() is None and not any(out.iterdir()):
            os.sched_yield()
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert list(out.iterdir()) == []


def test_an_interrupt_that_was_lost_counts_at_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised while a callback of C code runs, or an object is collected, ends there."""
    monkeypatch.setattr(module, "_interrupted", threading.Event())
    with module._progress("a.mp4") as tell:
        tell(0.5)
    with suppress(KeyboardInterrupt):
        module._interrupt()
    with pytest.raises(KeyboardInterrupt), module._progress("a.mp4") as tell:
        tell(0.5)
    with pytest.raises(KeyboardInterrupt), module._progress("a.mp4"):
        pass


@pytest.mark.parametrize("damaged", ["json", "jsonl"])
@pytest.mark.parametrize("form", ["rrweb", "html"])
def test_what_cannot_be_read_is_told_whatever_is_made_of_the_rest(tmp_path: Path, form: str, damaged: str) -> None:
    recording = patterned.record(tmp_path / "shop")
    name = f"{recording.manifests()[0].id}.{damaged}"
    (recording.path / "segments" / name).write_bytes(b"{")
    out = tmp_path / "made"
    done = run(str(recording.path), "--format", form, "-o", str(out))
    assert done.returncode == 11
    assert "1 damaged segment" in done.stderr
    assert name in done.stderr
    assert list(out.iterdir())


@pytest.mark.parametrize("data", [b"x", None], ids=["damaged", "missing"])
@pytest.mark.parametrize("form", Format)
def test_a_picture_that_cannot_be_read_is_named(call, tmp_path: Path, form: Format, data: bytes | None) -> None:
    """In the first segment alone. A .replay file, and with it a bundle, is whole or not there."""
    pytest.importorskip("av")
    recording = patterned.record(tmp_path / "shop")
    first, second, *_ = recording.manifests()
    digest = next(digest for digest in first.pictures if digest not in second.pictures)
    file = recording.path / "pictures" / recording.picture_name(digest)
    file.unlink()
    if data is not None:
        file.write_bytes(data)
    out = tmp_path / f"out{module.SUFFIXES[form]}"
    one = () if form in (Format.REPLAY, Format.BUNDLE) else ("--session", str(SESSION))
    ended = call("export", str(recording.path), "--format", form.value, "-o", str(out), *one)
    assert ended.code == 11
    assert digest in ended.err
    whole = form in (Format.REPLAY, Format.BUNDLE)
    assert ("segments/" in ended.err) is whole
    assert ("The rest was written" in ended.err) is not whole
    assert out.exists() is not whole


@pytest.mark.parametrize(
    "words", [("audit",), ("view", "--check"), *(("export", "--format", form.value) for form in Format)]
)
def test_where_nothing_was_recorded_yet_the_next_step_is_named(call, tmp_path: Path, words: tuple[str, ...]) -> None:
    """A recorder that was killed leaves its last, and perhaps its only, segment in the spool."""
    recording = Recording.create(tmp_path / "shop")
    out = ("-o", str(tmp_path / "out.zip")) if words[0] == "export" else ()
    ended = call(*words, str(recording.path), *out)
    assert (ended.code, ended.out) == (2, "")
    assert f"{recording.path} holds no readable segment" in ended.err
    assert "`android-replay upload` brings what waits in the spool" in ended.err
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize("times", [{"start_ms": -(10**15), "end_ms": 10**17}, {"end_ms": 0}])
def test_times_that_no_calendar_tells_cost_their_segment_alone(tmp_path: Path, times: dict[str, int]) -> None:
    recording = patterned.record(tmp_path / "shop")
    name = f"{recording.manifests()[0].id}.json"
    file = recording.path / "segments" / name
    file.write_text(json.dumps(json.loads(file.read_text()) | times))
    out = tmp_path / "steps.md"
    done = run(str(recording.path), "--format", "steps", "-o", str(out), "--session", str(OTHER_SESSION))
    assert (done.returncode, "Traceback" in done.stderr) == (11, False)
    assert name in done.stderr
    assert out.read_text().startswith("#")
    done = run(str(recording.path), "--format", "bundle", "-o", str(tmp_path / "bug"))
    assert (done.returncode, "Traceback" in done.stderr) == (11, False)
    assert name in done.stderr


def test_a_file_is_known_by_its_own_name(call, shop: Path, tmp_path: Path) -> None:
    """Not by that of the folder it is unpacked into."""
    file = tmp_path / "one.replay"
    assert call("export", str(shop), "--format", "replay", "-o", str(file)).code == 0
    ended = call("export", str(file), "--format", "steps", "-o", str(tmp_path / "a.md"), "--session", "9")
    assert (ended.code, f"{file} holds no such session" in ended.err) == (2, True)
    with zipfile.ZipFile(file) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    names = [name for name in sorted(files) if name.endswith(".jsonl")]
    with zipfile.ZipFile(file, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, b"{}\n" if name == names[0] else data)
    for words in (
        ("view", str(file), "--check"),
        ("audit", str(file)),
        ("export", str(file), "--format", "rrweb", "-o", str(tmp_path / "lists")),
    ):
        ended = call(*words)
        assert f"{file}/{names[0]}" in ended.out + ended.err
        assert tempfile.gettempdir() + "/android-replay-" not in ended.out + ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "rrweb", "-o", "-"),
        ("--format", "steps", "-o", "a.md", "--title", "Wrong total"),
        ("--format", "replay", "-o", "shop.zip"),
    ],
)
def test_what_would_be_ignored_is_refused(
    call, shop: Path, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("export", str(shop), *words).code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_recording_of_which_nothing_can_be_read_is_damaged_and_not_empty(call, tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "shop")
    recording.write(segment(0))
    (manifest,) = (tmp_path / "shop" / "segments").glob("*.json")
    manifest.write_bytes(b"{")
    for form in ("rrweb", "steps", "mp4"):
        ended = call("export", str(tmp_path / "shop"), "--format", form, "-o", str(tmp_path / "out"))
        assert ended.code == 11
        assert manifest.name in ended.err


@pytest.mark.parametrize("form", ["html", "steps", "bundle"])
def test_a_folder_whose_name_is_no_text_is_exported(tmp_path: Path, form: str) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/sh\xffop"))
    Recording.create(folder).write(segment(0))
    ended = run(str(folder), "--format", form, "-o", str(tmp_path / "made"))
    assert ended.returncode == 0, ended.stderr
