from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import orjson
import pytest
from fakes.segments import DEVICE, SESSION, segment
from starlette.types import ASGIApp

from agent.store.recording import Recording
from agent.viewer import assets
from agent.viewer.app import HEADERS, make_app
from agent.viewer.assets import FILES, PLAYER


class Client:
    """Asks an application without a socket."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def get(self, path: str, host: str = "127.0.0.1:8000") -> httpx.Response:
        return self.request("GET", path, host)

    def request(self, method: str, path: str, host: str = "127.0.0.1:8000") -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, headers={"host": host})

        return asyncio.run(ask())


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    made = Recording.create(tmp_path / "shop")
    for seq in range(2):
        made.write(segment(seq))
    return made


@pytest.fixture
def client(recording: Recording) -> Client:
    return Client(make_app(recording))


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the page's files with a stand-in for the player, so that no build is needed."""
    folder = tmp_path / "static"
    (folder / "vendor").mkdir(parents=True)
    for name in [*FILES, "index.html"]:
        source = assets.STATIC / name
        (folder / name).write_bytes(b"stand-in" if name in PLAYER else source.read_bytes())
    monkeypatch.setattr(assets, "STATIC", folder)
    return folder


def test_the_page_loads_only_files_that_are_served(client: Client, static: Path) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page.text
    for name in FILES:
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == FILES[name]
        assert answer.content == (static / name).read_bytes()


@pytest.mark.parametrize(
    "path", ["/", "/static/viewer.js", "/static/none.js", "/api/recording", "/api/segments/0/events", "/api/pictures/0"]
)
def test_every_answer_carries_the_headers(client: Client, static: Path, path: str) -> None:
    answer = client.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS)


def test_the_policy_names_no_host_and_allows_no_inline_script() -> None:
    policy = dict(part.split(" ", 1) for part in HEADERS["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not any("//" in sources or "*" in sources for sources in policy.values())


@pytest.mark.parametrize(
    "name",
    ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "vendor/../../app.py", "/etc/passwd", "index.html", "vendor", ""],
)
def test_nothing_else_is_served(client: Client, static: Path, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_the_overview_lists_the_manifests(client: Client) -> None:
    answer = client.get("/api/recording").json()
    assert answer["name"] == "shop"
    assert answer["problems"] == []
    assert [row["seq"] for row in answer["segments"]] == [0, 1]
    assert answer["segments"][0]["session_id"] == SESSION
    assert answer["segments"][0]["device_id"] == DEVICE
    assert answer["segments"][0]["counts"]["frames"] == 3


def test_a_session_id_that_javascript_cannot_hold_travels_as_text(recording: Recording, client: Client) -> None:
    recording.write(segment(0, session_id=2**53 + 1))
    ids = [row["session_id"] for row in client.get("/api/recording").json()["segments"]]
    assert str(2**53 + 1) in ids


def test_a_damaged_manifest_is_named_and_the_others_stay(recording: Recording, client: Client) -> None:
    victim = recording.manifests()[0].id
    (recording.path / "segments" / f"{victim}.json").write_bytes(b"{")
    fresh = Client(make_app(Recording.open(recording.path))).get("/api/recording").json()
    assert [row["seq"] for row in fresh["segments"]] == [1]
    assert fresh["problems"][0]["file"] == f"{victim}.json"


def test_events_name_their_pictures_and_these_are_served(client: Client, recording: Recording) -> None:
    first = recording.manifests()[0]
    answer = client.get(f"/api/segments/{first.id}/events")
    assert answer.status_code == 200
    events = answer.json()
    assert events == [orjson.loads(line) for line in recording.events(first.id)]
    assert [event["type"] for event in events[:2]] == [4, 2]
    for digest in first.pictures:
        assert f'"picture:{digest}"'.encode() in answer.content
        shown = client.get(f"/api/pictures/{digest}")
        assert shown.headers["content-type"] == "image/webp"
        assert shown.content == recording.picture(digest).data


def test_a_damaged_picture_is_not_shown(client: Client, recording: Recording) -> None:
    digest = recording.manifests()[0].pictures[0]
    (recording.path / "pictures" / f"{digest}.webp").write_bytes(b"other")
    answer = client.get(f"/api/pictures/{digest}")
    assert answer.status_code == 404
    assert "Damaged" in answer.text
    assert str(recording.path) not in answer.text


@pytest.mark.parametrize("name", ["0" * 32, "..", "%2e%2e%2fa", "a/b", "x" * 5000])
def test_an_unknown_picture_is_none(client: Client, name: str) -> None:
    assert client.get(f"/api/pictures/{name}").status_code == 404


@pytest.mark.parametrize("name", ["0" * 32, "..", "%2e%2e%2f", "a/b", "x" * 5000])
def test_an_unknown_segment_is_no_page(client: Client, name: str) -> None:
    assert client.get(f"/api/segments/{name}/events").status_code == 404


def test_a_damaged_segment_is_named(recording: Recording, client: Client) -> None:
    first = recording.manifests()[0]
    (recording.path / "segments" / f"{first.id}.jsonl").write_bytes(b"{}\n")
    answer = client.get(f"/api/segments/{first.id}/events")
    assert answer.status_code == 500
    assert "Damaged" in answer.json()["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_only_reads(client: Client, method: str) -> None:
    assert client.request(method, "/api/recording").status_code == 405


def test_a_foreign_host_name_gets_nothing(client: Client, recording: Recording) -> None:
    for path in ("/", "/api/recording", f"/api/segments/{recording.manifests()[0].id}/events", "/static/viewer.js"):
        answer = client.get(path, host="rebound.example:8080")
        assert answer.status_code == 421
        assert "shop" not in answer.text


def test_with_a_token_nothing_is_shown_without_it(recording: Recording, static: Path) -> None:
    client = Client(make_app(recording, token="right"))
    for path in ("/", "/api/recording", "/static/viewer.js", "/api/pictures/" + "0" * 32):
        assert client.get(path).status_code == 401
    assert client.get("/?token=right").status_code == 303


def test_a_configured_name_is_answered(recording: Recording) -> None:
    client = Client(make_app(recording, ["lab.example"]))
    assert client.get("/api/recording", host="LAB.example:80").status_code == 200


def test_without_the_player_the_page_says_what_to_do(client: Client, static: Path) -> None:
    (static / "vendor/rrweb-player.js").unlink()
    page = client.get("/")
    assert page.status_code == 503
    assert "pip install" in page.text
    assert client.get("/static/vendor/rrweb-player.js").status_code == 404
