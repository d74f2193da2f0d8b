"""The pytest plugin: tells a run of `android-replay run` which test starts and ends, in which attempt.

Installed as the entry point `pytest11`. Silent and without effect unless ANDROID_REPLAY_RUN_URL is set. Uses what comes
with Python alone, so that a test's environment stays as it is. A run that does not answer never fails a test.

Of pytest-rerunfailures each attempt is told, of pytest-xdist by the workers, of pytest-forked by the parent; a worker
that dies is told by the controller.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

URL = "ANDROID_REPLAY_RUN_URL"
TOKEN = "ANDROID_REPLAY_RUN_TOKEN"  # noqa: S105 - the name of a variable
SECONDS = 5.0
# After so many failures in a row nobody is there any more.
PATIENCE = 3
# 409: the end of a test that had begun before anybody heard.
HEARD = (200, 409)


def pytest_configure(config: Any) -> None:
    """Tells from here on, when there is somebody to tell."""
    url = os.environ.get(URL)
    if url:
        teller = Teller(url, os.environ.get(TOKEN, ""), lambda: config.pluginmanager.has_plugin("dsession"))
        config.pluginmanager.register(teller)


class Teller:
    """Tells of the tests that run in this process. `elsewhere` says that they run in workers, which tell themselves."""

    def __init__(self, url: str, token: str, elsewhere: Callable[[], bool] = lambda: False) -> None:
        self._url = url
        self._token = token
        self._elsewhere = elsewhere
        self._running: dict[str, tuple[str, str]] = {}
        self._failures = 0
        self._refused = False

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._start(nodeid)

    def pytest_runtest_setup(self, item: Any) -> None:
        # Another attempt begins without a word to the log.
        self._start(item.nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid
        if report.when not in ("setup", "call", "teardown"):
            # What is said in the name of a process that has died.
            self._running.pop(name, None)
            self._tell(name, "finished", "crashed", _words(report))
            return
        if name not in self._running:
            return
        if report.failed or report.outcome == "rerun":
            outcome = "failed" if report.when == "call" else "error"
            if self._running[name][0] not in ("failed", "error"):
                self._running[name] = outcome, _words(report)
        elif report.skipped:
            self._running[name] = "skipped", _words(report)
        if report.when == "teardown" or report.outcome == "rerun":
            outcome, message = self._running.pop(name)
            self._tell(name, "finished", outcome, message)

    def _start(self, name: str) -> None:
        if name not in self._running and not self._elsewhere():
            self._running[name] = "passed", ""
            self._tell(name, "started", "", "")

    def _tell(self, name: str, event: str, outcome: str, message: str) -> None:
        """Wait until it is heard, so that no test runs before its start is known."""
        import http.client
        import json
        from urllib.parse import urlsplit

        if self._failures >= PATIENCE:
            return
        # Half a character of a test's own would be no JSON.
        name, message = (text.encode("utf-8", "replace").decode() for text in (name, message))
        body = {
            "name": name, "event": event, "outcome": outcome, "message": message, "source": "pytest",
            "serial": os.environ.get("ANDROID_SERIAL", ""), "by": os.environ.get("PYTEST_XDIST_WORKER", ""),
        }  # fmt: skip
        address = urlsplit(self._url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=SECONDS)
        try:
            connection.request(
                "POST",
                address.path.rstrip("/") + "/tests",
                json.dumps(body),
                {"Authorization": f"Bearer {self._token}"},
            )
            answer = connection.getresponse()
            answer.read()
            self._failures = 0
            if answer.status not in HEARD and not self._refused:
                self._refused = True
                sys.stderr.write(f"android-replay run: {name[:200]} is not noted (HTTP {answer.status}).\n")
        except (OSError, http.client.HTTPException, ValueError):
            self._failures += 1
        finally:
            connection.close()


def _words(report: Any) -> str:
    """Why a test did not pass, in a line: of a traceback the message of its end."""
    told = report.longrepr
    if told is None:
        return ""
    if isinstance(told, tuple):
        return str(told[-1])[:500]
    crash = getattr(told, "reprcrash", None)
    lines = str(getattr(crash, "message", "") or told).strip().splitlines()
    return lines[0][:500] if lines else ""
