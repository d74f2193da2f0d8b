from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.collecting import Collecting, Host, hosted, hosting


@pytest.fixture(scope="package")
def host() -> Iterator[Host]:
    with hosting() as running:
        yield running


@pytest.fixture
def collector(host: Host, tmp_path: Path) -> Iterator[Collecting]:
    """A collector whose key is "key"."""
    with hosted(host, tmp_path / "collected", api_key="key") as running:
        yield running
