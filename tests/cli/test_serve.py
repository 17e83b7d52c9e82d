from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest

from quire.errors import Unavailable
from quire.settings import Settings
from tests.cli.conftest import Quire


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings that a server was started with; it listens for a moment instead of for good."""
    seen: list[Settings] = []

    def serve(settings: Settings) -> None:
        seen.append(settings)
        socket.create_server((settings.host, settings.port)).close()
        if settings.database_url == "postgresql://away":
            raise Unavailable("The database does not answer:\n\tno route")

    application = ModuleType("quire.app")
    application.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "quire.app", application)
    return seen


def test_flags_win_over_the_environment(
    quire: Quire, served: list[Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUIRE_PORT", "1")
    monkeypatch.setenv("QUIRE_SLOTS", "3")
    result = quire(
        "serve", "--host", "localhost", "--port", "0", "--data-dir", str(tmp_path / "here"),
        "--database-url", "sqlite:////x", "--blob-url", "file:///y",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (settings,) = served
    assert (settings.host, settings.port, settings.slots) == ("localhost", 0, 3)
    assert (settings.database_url, settings.blob_url) == ("sqlite:////x", "file:///y")
    assert settings.data_dir == tmp_path / "here"
    assert settings.data_dir.is_dir()


def test_a_port_that_is_taken_is_one_line(quire: Quire, served: list[Settings]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = quire("serve", "--port", str(port))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"quire: Cannot listen on 127.0.0.1:{port}: Address already")
    assert result.stderr.count("\n") == 1


def test_a_host_that_is_none_is_one_line(quire: Quire, served: list[Settings]) -> None:
    result = quire("serve", "--host", "no.such.host.invalid", "--port", "0")
    assert result.exit_code == 1
    assert result.stderr.startswith("quire: Cannot listen on no.such.host.invalid:0: ")


def test_a_database_that_is_away_is_one_line(quire: Quire, served: list[Settings]) -> None:
    result = quire("serve", "--port", "0", "--database-url", "postgresql://away")
    assert result.exit_code == 1
    assert result.stderr == "quire: The database does not answer: no route\n"
