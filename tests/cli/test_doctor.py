from __future__ import annotations

import os
import pwd
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from quire.cli.common import open_stored, settings_of
from quire.cli.doctor import Finding, examine
from quire.settings import Settings
from tests.cli.conftest import Quire


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return replace(settings_of(data_dir, None), port=_free_port())


def _finding(settings: Settings, subject: str) -> Finding:
    return next(each for each in examine(settings) if each.subject == subject)


def test_all_is_well_before_the_first_start_and_nothing_is_made(
    quire: Quire, data_dir: Path
) -> None:
    result = quire("doctor", "--port", str(_free_port()))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 9
    assert all(line.startswith("ok ") for line in lines)
    assert "a Python kernel starts and runs code" in result.stdout
    assert not data_dir.exists()


def test_all_is_well_after_it(settings: Settings) -> None:
    with open_stored(settings, make=True):
        pass
    settings.blobs_dir.mkdir()
    assert "up to date" in _finding(settings, "database").detail
    assert "takes and gives" in _finding(settings, "blob store").detail
    assert list(settings.blobs_dir.rglob("*")) == []


def test_finds_a_port_that_is_taken(quire: Quire) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = quire("doctor", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "BAD  port: cannot listen on 127.0.0.1:" in result.stdout
    assert "-> Name another with --host and --port" in result.stdout
    assert result.stderr == "quire: 1 of the checks failed.\n"


def test_finds_a_database_that_is_away(settings: Settings) -> None:
    away = replace(settings, database_url="postgresql://quire:hush@127.0.0.1:1/quire")
    finding = _finding(away, "database")
    assert not finding.good
    assert "does not answer" in finding.detail
    assert "hush" not in finding.detail
    assert "--database-url" in finding.advice


def test_finds_a_database_of_another_version(settings: Settings) -> None:
    with open_stored(settings, make=True) as database, database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    finding = _finding(settings, "database")
    assert not finding.good
    assert "0000" in finding.detail


def test_finds_a_migrated_postgresql(settings: Settings, postgresql_url: str) -> None:
    finding = _finding(replace(settings, database_url=postgresql_url), "database")
    assert finding.good
    assert "up to date" in finding.detail


def test_finds_a_data_directory_that_is_none(settings: Settings) -> None:
    settings.data_dir.touch()
    finding = _finding(settings, "data directory")
    assert not finding.good
    assert "not a directory" in finding.detail


def test_finds_a_blob_store_that_is_away(settings: Settings) -> None:
    url = (
        f"s3://bucket?endpoint=http://127.0.0.1:{_free_port()}&allow_http=true"
        "&access_key_id=a&secret_access_key=hush&region=us-east-1"
    )
    finding = _finding(replace(settings, blob_url=url), "blob store")
    assert not finding.good
    assert "hush" not in finding.detail


def test_finds_what_keeps_the_kernel_user_out(settings: Settings) -> None:
    found = _finding(settings, "kernel user")
    assert found.good
    if os.geteuid() != 0:
        assert found.detail == "kernels run as the user of the server, which is not root"
        return
    missing = _finding(replace(settings, kernel_user="nobody-like-this"), "kernel user")
    assert (missing.good, missing.detail) == (False, "there is no user nobody-like-this")
    none = _finding(replace(settings, kernel_user=""), "kernel user")
    assert (none.good, none.detail) == (False, "kernels would run as root")
    assert pwd.getpwnam("nobody").pw_uid != 0


def test_tells_which_spark_and_java_are_found(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _finding(settings, "Spark")
    assert found.good
    assert "on Java" in found.detail
    trouble = _finding(replace(settings, java_home=str(tmp_path)), "Spark")
    assert not trouble.good
    assert "QUIRE_JAVA_HOME names no Java" in trouble.advice
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'quire[spark]'" in _finding(settings, "Spark").detail
