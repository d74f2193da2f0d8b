from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes.certificates import self_signed
from fakes.rawserver import Connection, raw_server
from fakes.wait import until

from agent.analytics.remote import CAPTURE_OFF, UNAVAILABLE, Remote
from agent.collector.app import make_app
from agent.collector.config import RemoteConfig
from agent.collector.server import Server
from agent.errors import ConfigError
from agent.model import RemoteForm
from agent.outbox.exchange import trust
from agent.outbox.remoteconfig import RemoteConfigClient
from agent.store.recording import Recording

GOOD = json.dumps(RemoteConfig(sample_rate=0.25, mask_level="conservative").document()).encode()
FORMS: tuple[RemoteForm, ...] = ("android", "web")


@contextmanager
def client(
    url: str, folder: Path, form: RemoteForm = "android", key: str = "key"
) -> Iterator[tuple[RemoteConfigClient, list[Remote]]]:
    told: list[Remote] = []
    made = RemoteConfigClient(url, key, form, folder, told.append, jitter=lambda: 0.0)
    made.start()
    try:
        yield made, told
    finally:
        made.close()
        assert not made._thread.is_alive()


def answering(*answers: bytes) -> tuple[Callable[[Connection], None], list[bytes]]:
    """A server that gives these bodies (or whole answers) in turn, the last for ever; and what it was asked."""
    asked: list[bytes] = []

    def script(connection: Connection) -> None:
        while request := connection.request():
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append(request)
            if not answer.startswith(b"HTTP/"):
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer)
            connection.send(answer)

    return script, asked


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % code


@pytest.mark.parametrize("form", FORMS)
def test_our_collector_is_asked_and_understood(tmp_path: Path, form: RemoteForm) -> None:
    config = RemoteConfig(sample_rate=0.5, mask_level="light")
    app = make_app(Recording.create(tmp_path / "r"), api_key="key", config=config)
    with Server(app) as server, client(f"{server.url}/config", tmp_path / "c", form) as (_, told):
        until(lambda: told, "the config")
        assert told == [Remote("", 0.5, "light")]
    app.state.collector.close()


def test_the_android_request_is_the_kotlin_client_s(tmp_path: Path) -> None:
    script, asked = answering(GOOD)
    with raw_server(script) as url, client(f"{url}/config", tmp_path, "android", "a key/1") as (_, told):
        until(lambda: told, "the config")
    head = asked[0].decode().lower()
    assert head.startswith("get /config?api_key=a+key%2f1&config_group=android http/1.1")
    for line in ("authorization: bearer a key/1", "x-client-platform: android", "x-client-version: 2",
                 "x-client-library: amplitude-kotlin/", "accept: application/json"):  # fmt: skip
        assert f"\r\n{line}" in head


def test_the_web_request_is_the_browser_sdk_s(tmp_path: Path) -> None:
    script, asked = answering(GOOD)
    with raw_server(script) as url, client(f"{url}/config", tmp_path, "web", "a key/1") as (_, told):
        until(lambda: told, "the config")
    head = asked[0].decode().lower()
    assert head.startswith("get /config/a%20key%2f1?config_group=browser http/1.1")
    assert "authorization" not in head


def test_the_key_is_in_no_file(tmp_path: Path) -> None:
    script, _ = answering(GOOD)
    with raw_server(script) as url, client(f"{url}/config", tmp_path, "android", "s3cret-key") as (_, told):
        until(lambda: told, "the config")
    (file,) = tmp_path.iterdir()
    assert "s3cret" not in file.name
    assert b"s3cret" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


def test_web_tries_three_times_and_then_captures_nothing(tmp_path: Path) -> None:
    script, asked = answering(status(503))
    with raw_server(script) as url, client(f"{url}/config", tmp_path, "web") as (_, told):
        until(lambda: told, "the verdict")
        assert len(asked) == 3
        assert told[0].off.startswith(UNAVAILABLE)
        assert "503" in told[0].off


def test_web_a_later_attempt_counts(tmp_path: Path) -> None:
    script, asked = answering(status(429), status(500), GOOD)
    with raw_server(script) as url, client(f"{url}/config", tmp_path, "web") as (_, told):
        until(lambda: told, "the config")
        assert told == [Remote("", 0.25, "conservative")]
        assert len(asked) == 3


@pytest.mark.parametrize("answer", [status(404), status(400), b"<html>", b"[]", b'{"configs":{}}', b""])
def test_web_what_will_not_get_better_is_not_tried_again_and_clears_the_cache(tmp_path: Path, answer: bytes) -> None:
    good, _ = answering(GOOD)
    bad, asked = answering(answer)
    served: list[Callable[[Connection], None]] = [good]
    with raw_server(lambda connection: served[0](connection)) as url:
        with client(f"{url}/config", tmp_path, "web") as (_, told):
            until(lambda: told, "the config")
        served[0] = bad
        with client(f"{url}/config", tmp_path, "web") as (_, told):
            until(lambda: told, "the verdict")
            assert len(asked) == 1
            assert told[0].off.startswith(UNAVAILABLE)
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_bytes())["document"] is None


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize("form", FORMS)
def test_a_refused_key_is_said(tmp_path: Path, code: int, form: RemoteForm) -> None:
    script, asked = answering(status(code))
    with raw_server(script) as url, client(f"{url}/config", tmp_path, form) as (made, told):
        until(lambda: told, "the verdict")
        assert "right API key" in told[0].off
        if form == "web":
            made._thread.join(5)
            assert not made._thread.is_alive(), "it must never ask again"
        assert len(asked) == 1


def test_web_a_slow_server_leaves_the_cache_in_force(tmp_path: Path) -> None:
    good, _ = answering(GOOD)

    def hang(connection: Connection) -> None:
        connection.request()
        connection.ended.wait(30)

    served: list[Callable[[Connection], None]] = [good]
    with raw_server(lambda connection: served[0](connection)) as url:
        with client(f"{url}/config", tmp_path, "web") as (_, told):
            until(lambda: told, "the config")
        served[0] = hang
        with client(f"{url}/config", tmp_path, "web") as (_, told):
            began = time.monotonic()
            until(lambda: told, "the cached config")
            assert time.monotonic() - began < 4
            assert told == [Remote("", 0.25, "conservative")]


def test_android_a_failed_fetch_leaves_the_last_good_one(tmp_path: Path) -> None:
    script, asked = answering(GOOD, status(500))
    with raw_server(script) as url:
        with client(f"{url}/config", tmp_path) as (_, told):
            until(lambda: told, "the config")
        (file,) = tmp_path.iterdir()
        held = json.loads(file.read_bytes())
        file.write_text(json.dumps({**held, "at": held["at"] - 4000}))
        with client(f"{url}/config", tmp_path) as (made, told):
            until(lambda: told, "the last good one")
            assert told == [Remote("", 0.25, "conservative")]
            assert "500" in made.problem
    assert len(asked) == 2


def test_android_a_fresh_cache_is_not_asked_again(tmp_path: Path) -> None:
    script, asked = answering(GOOD)
    with raw_server(script) as url:
        for _ in range(2):
            with client(f"{url}/config", tmp_path) as (_, told):
                until(lambda told=told: told, "the config")
    assert len(asked) == 1


def test_android_no_config_at_all_means_no_capture(tmp_path: Path) -> None:
    with client("http://127.0.0.1:9/config", tmp_path) as (_, told):
        until(lambda: told, "the verdict")
        assert told[0].off.startswith(UNAVAILABLE)


@pytest.mark.parametrize("held", [b"", b"{", b"[]", b'{"at":"x","document":{}}', b'{"at":1}', b"\xff"])
def test_a_damaged_cache_is_none(tmp_path: Path, held: bytes) -> None:
    script, _ = answering(GOOD)
    with raw_server(script) as url:
        with client(f"{url}/config", tmp_path) as (_, told):
            until(lambda: told, "the config")
        (file,) = tmp_path.iterdir()
        file.write_bytes(held)
        with client(f"{url}/config", tmp_path) as (_, told):
            until(lambda: told, "the config")
            assert told == [Remote("", 0.25, "conservative")]


def test_closing_ends_a_request_in_flight(tmp_path: Path) -> None:
    entered = threading.Event()

    def hang(connection: Connection) -> None:
        connection.request()
        entered.set()
        connection.ended.wait(30)

    with raw_server(hang) as url, client(f"{url}/config", tmp_path) as (made, told):
        assert entered.wait(10)
        began = time.monotonic()
        made.close()
        assert time.monotonic() - began < 3
        assert told == []


def test_a_new_session_asks_again_only_after_five_minutes(tmp_path: Path) -> None:
    script, asked = answering(json.dumps(RemoteConfig(capture_enabled=False).document()).encode())
    with raw_server(script) as url, client(f"{url}/config", tmp_path) as (made, told):
        until(lambda: told, "the config")
        assert told == [Remote(CAPTURE_OFF, 1.0, "medium")]
        made.refresh()
        made.refresh()
        assert len(asked) == 1


@pytest.mark.parametrize("form", FORMS)
def test_after_a_failure_it_asks_again_by_itself(
    tmp_path: Path, form: RemoteForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outbox.remoteconfig.REFRESH_SECONDS", 0.2)
    script, asked = answering(status(404), GOOD)
    with raw_server(script) as url, client(f"{url}/config", tmp_path, form) as (_, told):
        until(lambda: len(told) == 2, "the config")
        assert told[0].off.startswith(UNAVAILABLE)
        assert told[1] == Remote("", 0.25, "conservative")
        assert len(asked) == 2


@pytest.mark.parametrize("url", ["", "nowhere", "ftp://host/config", "http://host/config?x=1", "http://u:p@host/c"])
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError):
        RemoteConfigClient(url, "k", "web", tmp_path, lambda remote: None)


def test_a_certificate_counts_when_the_settings_vouch_for_it(tmp_path: Path) -> None:
    script, asked = answering(GOOD)
    certificate, tls = self_signed(tmp_path)
    for trusted, problem in ((None, "CERTIFICATE_VERIFY_FAILED"), (certificate, "")):
        told: list[Remote] = []
        folder = tmp_path / f"cache-{trusted is not None}"
        with raw_server(script, tls) as url:
            made = RemoteConfigClient(f"{url}/config", "key", "android", folder, told.append, tls=trust(trusted))
            made.start()
            until(lambda told=told: told, "an answer")
            made.close()
        assert problem in made.problem
        assert (told[0].off == "") is (problem == "")
    assert len(asked) == 1
