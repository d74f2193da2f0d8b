from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.errors import ConfigError
from agent.outbox.sink import KINDS, parse_sink
from agent.settings import Upload


def test_specs_name_sinks() -> None:
    assert parse_sink("dir:/tmp/out").name == "dir:/tmp/out"
    sink = parse_sink("collector:http://127.0.0.1:8377/", Upload(api_key=SecretStr("key")))
    assert sink.name == "collector:http://127.0.0.1:8377"
    sink.close()


def test_a_folder_means_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_sink("dir:out").name == f"dir:{tmp_path / 'out'}"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_sink("dir:~/out").name == f"dir:{tmp_path / 'out'}"


def test_a_home_folder_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigError, match="no such home folder") as told:
        parse_sink("dir:~nobody-of-this-name/out")
    assert "HOME" in told.value.hint


@pytest.mark.parametrize("spec", ["", "dir", "dir:", "ftp:host", "http://127.0.0.1", "C:", ":x"])
def test_other_specs_get_the_list_of_kinds(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sink(spec)
    for kind in KINDS:
        assert f"{kind}:" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8377",
        "ftp://127.0.0.1",
        "http://",
        "http://host:99999",
        "http://host:0",
        "http://user:secret@host",
        "http://host/?a=1",
        "http://[::1",
        "http://a b/",
        "http://ho\nst/",
    ],
)
def test_a_bad_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sink(f"collector:{url}")
    assert "secret" not in str(caught.value)


def test_a_key_that_no_header_can_carry_is_refused_unsaid() -> None:
    for key in ("schlüssel", "a\nb"):
        with pytest.raises(ConfigError) as caught:
            parse_sink("collector:http://127.0.0.1:1", Upload(api_key=SecretStr(key)))
        assert key not in str(caught.value)


def test_amplitude_is_one_of_two_hosts_or_a_proxy_and_wants_a_key() -> None:
    upload = Upload(api_key=SecretStr("key-4711"))
    for spec in ("amplitude:us", "amplitude:eu", "amplitude:https://replays.example/track"):
        sink = parse_sink(spec, upload)
        assert sink.name == spec
        sink.close()
    with pytest.raises(ConfigError, match="API key") as caught:
        parse_sink("amplitude:us")
    assert "UPLOAD__API_KEY" in caught.value.hint
    for spec in ("amplitude:mars", "amplitude:http://replays.example/track"):
        with pytest.raises(ConfigError) as caught:
            parse_sink(spec, upload)
        assert "key-4711" not in str(caught.value)


def test_the_browser_sdk_sends_one_request_at_a_time() -> None:
    for conformance, parallel in (("lossless", 4), ("strict", 1)):
        upload = Upload(api_key=SecretStr("k"), conformance=conformance)  # type: ignore[arg-type]
        sink = parse_sink("amplitude:us", upload)
        assert sink.parallel == parallel
        sink.close()


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"absent\.pem"):
        parse_sink("collector:https://127.0.0.1:1", Upload(ca_file=tmp_path / "absent.pem"))
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ConfigError, match=r"empty\.pem"):
        parse_sink("collector:https://127.0.0.1:1", Upload(ca_file=tmp_path / "empty.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        parse_sink("collector:https://127.0.0.1:1")
