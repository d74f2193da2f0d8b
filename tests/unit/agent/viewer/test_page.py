from __future__ import annotations

import base64
import gzip
import hashlib
import html.parser
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from fakes.segments import segment

from agent.errors import BuildError
from agent.replay import rrweb
from agent.store.recording import Recording
from agent.viewer import assets
from agent.viewer.page import single_file

HOSTILE = "</script><script>alert(1)</script><!--<script>"


class Blocks(html.parser.HTMLParser):
    """The script elements of a page: (attributes, text) each; `styles` and `links` beside."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag == "script"
        if self._open:
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self._open:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def block(self, name: str) -> tuple[dict[str, str | None], str]:
        (found,) = [script for script in self.scripts if script[0].get("id") == name]
        return found


@pytest.fixture(autouse=True)
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the page's files with a stand-in for the player, so that no build is needed."""
    folder = tmp_path / "static"
    (folder / "vendor").mkdir(parents=True)
    for name in [*assets.FILES, assets.PAGE]:
        text = "'</script>';" if name in assets.PLAYER else assets.read(name)
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(assets, "STATIC", folder)
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    made = Recording.create(tmp_path / "shop")
    hostile = {"event": HOSTILE, "messageId": HOSTILE}
    made.write(segment(0, extra=[rrweb.custom(1_760_000_003_000, "segment:track", hostile)]))
    other = segment(1, shades=(10, 77))
    made.write(replace(other, manifest=replace(other.manifest, device={"model": HOSTILE})))
    return made


def page(recording: Recording) -> str:
    return b"".join(single_file(recording)).decode()


def test_all_of_the_recording_is_inside_each_picture_once(recording: Recording) -> None:
    blocks = Blocks(page(recording))
    assert orjson.loads(blocks.block("recording")[1])["name"] == "shop"
    digests = set()
    for manifest in recording.manifests():
        events = gzip.decompress(base64.b64decode(blocks.block(f"segment-{manifest.id}")[1]))
        assert orjson.loads(events) == [orjson.loads(line) for line in recording.events(manifest.id)]
        digests |= set(manifest.pictures)
    for digest in digests:
        attributes, text = blocks.block(f"picture-{digest}")
        assert attributes["type"] == "image/webp"
        assert base64.b64decode(text) == recording.picture(digest).data


def test_only_its_own_two_scripts_may_run_and_nothing_is_loaded(recording: Recording) -> None:
    blocks = Blocks(page(recording))
    run = [text for attributes, text in blocks.scripts if "type" not in attributes]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in run]
    (policy,) = [tag["content"] for _, tag in blocks.tags if tag.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts["default-src"] == "'none'"
    assert parts["script-src"].split() == hashes
    assert len(hashes) == 2
    assert parts["img-src"] == "data:"
    assert not [tag for tag in blocks.tags if "src" in tag[1] or tag[1].get("rel") == "stylesheet"]
    names = [name for name, _ in blocks.tags]
    assert names.index("meta") < names.index("title") < names.index("script")


def test_the_policy_stands_before_what_it_is_about(recording: Recording) -> None:
    text = page(recording)
    assert text.index("Content-Security-Policy") < text.index("<link") < text.index("<style")


def test_a_name_cannot_leave_its_block(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "shop").rename(tmp_path / "<!--<script>")
    blocks = Blocks(page(Recording.open(tmp_path / "<!--<script>")))
    assert orjson.loads(blocks.block("recording")[1])["name"] == "<!--<script>"
    assert [attributes for attributes, _ in blocks.scripts if "type" not in attributes] == [{}, {}]
    assert orjson.loads(blocks.block("recording")[1])["segments"][1]["device"]["model"] == HOSTILE


def test_what_cannot_be_read_is_named_and_the_rest_stays(recording: Recording) -> None:
    first, second = recording.manifests()
    (recording.path / "segments" / f"{first.id}.jsonl").write_bytes(b"{}\n")
    (recording.path / "pictures" / f"{second.pictures[1]}.webp").write_bytes(b"")
    blocks = Blocks(page(recording))
    reason = orjson.loads(blocks.block(f"failure-{first.id}")[1])
    assert "Damaged" in reason
    assert str(recording.path) not in reason
    assert blocks.block(f"picture-{second.pictures[0]}")
    assert not [
        attributes for attributes, _ in blocks.scripts if attributes.get("id") == f"picture-{second.pictures[1]}"
    ]


def test_without_the_player_it_is_not_made(recording: Recording, static: Path) -> None:
    (static / "vendor/rrweb-player.js").unlink()
    with pytest.raises(BuildError):
        next(single_file(recording))


def test_what_is_shown_first_stands_before_the_scripts(recording: Recording) -> None:
    recording.write(segment(0, session_id=1_770_000_000_000))
    recording.write(segment(1, session_id=1_770_000_000_000))
    names = [attributes.get("id") for attributes, _ in Blocks(page(recording)).scripts]
    early = names[: names.index(None)]
    newest = [manifest for manifest in recording.manifests() if manifest.session_id == 1_770_000_000_000]
    assert early == ["recording", *(f"picture-{digest}" for digest in newest[0].pictures), f"segment-{newest[0].id}"]
    assert len(names) == len(set(names)) + 1


def test_an_empty_recording_has_a_page(tmp_path: Path) -> None:
    blocks = Blocks(page(Recording.create(tmp_path / "none")))
    assert orjson.loads(blocks.block("recording")[1])["segments"] == []
