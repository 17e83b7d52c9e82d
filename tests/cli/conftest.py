"""What tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quire.cli.main import app

Quire = Callable[..., Result]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def quire(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Quire:
    """Runs ``quire`` with some arguments on a data directory of its own."""
    for name in ("QUIRE_DATABASE_URL", "QUIRE_BLOB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUIRE_DATA_DIR", str(data_dir))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, [str(each) for each in arguments])

    return run
