from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.server import ServerProcess


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path that kernels, which run as another user, may write below."""
    with tempfile.TemporaryDirectory(prefix="qf", dir="/tmp", ignore_cleanup_errors=True) as name:
        place = Path(name)
        place.chmod(0o755)
        shared = place / "shared"
        shared.mkdir()
        os.chmod(shared, 0o777)
        yield place


@pytest.fixture
def server(place: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(place / "data", slots="4")
    try:
        server.start()
        yield server
    finally:
        server.close()
