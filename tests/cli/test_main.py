from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quire import __version__
from tests.cli.conftest import Quire

_QUIRE = Path(sys.executable).with_name("quire")


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["serve"],
        ["user"],
        ["user", "create"],
        ["group"],
        ["token"],
        ["token", "create"],
        ["share"],
        ["destination"],
        ["destination", "create"],
        ["doctor"],
    ],
)
def test_every_command_explains_itself(quire: Quire, command: list[str]) -> None:
    for flag in ("--help", "-h"):
        result = quire(*command, flag)
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: ")


def test_knows_its_version(quire: Quire) -> None:
    assert quire("--version").stdout == f"quire {__version__}\n"


def test_refuses_what_it_does_not_know(quire: Quire) -> None:
    for arguments in (["fly"], ["user", "fly"], ["serve", "--fly"], ["serve", "--port", "70000"]):
        assert quire(*arguments).exit_code == 2


def test_a_setting_that_cannot_be_read_is_one_line(
    quire: Quire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUIRE_PORT", "many")
    result = quire("user", "list")
    assert result.exit_code == 1
    assert result.stderr == "quire: Invalid value for QUIRE_PORT: 'many' is not a number.\n"


def test_the_installed_command(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "QUIRE_DATA_DIR": str(tmp_path / "data")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_QUIRE, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    missing = run("user", "list")
    assert missing.returncode == 1
    assert missing.stdout == ""
    assert missing.stderr.startswith("quire: There is no Quire database at ")
    assert missing.stderr.count("\n") == 1
    assert run("user", "create", "ann").returncode == 0
    token = run("token", "create", "--user", "ann")
    assert (token.returncode, token.stdout[:6]) == (0, "quire_")
    assert "ann" in run("user", "list").stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; import quire.cli.main; "
        "print([m for m in ('sqlalchemy','fastapi','obstore','nbformat','pydantic') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
