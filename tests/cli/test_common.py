from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quire.cli.common import open_stored, parse_lifetime, print_table, settings_of, shown_time
from quire.errors import InvalidState, InvalidValue, NotFound, Unavailable


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("12h", 43_200),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        (" 1D ", 86_400),
    ],
)
def test_reads_lifetimes(text: str, seconds: int) -> None:
    assert parse_lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5h", "1y", "1d1h", "٣d"])
def test_refuses_other_lifetimes(text: str) -> None:
    with pytest.raises(InvalidValue, match="--expires-in"):
        parse_lifetime(text)


def test_shows_times_to_the_second() -> None:
    assert shown_time(datetime(2026, 3, 1, 12, 0, 5, 999, tzinfo=UTC)) == "2026-03-01 12:00:05Z"
    assert shown_time(None, "never") == "never"


def test_prints_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["ID", "NAME"], [(1, "ann"), (100, "b")])
    assert capsys.readouterr().out == "ID   NAME\n1    ann\n100  b\n"


def test_opens_only_what_exists_unless_told_to_make_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data", None)
    with pytest.raises(NotFound, match="quire serve"), open_stored(settings):
        pass
    assert list(tmp_path.iterdir()) == []
    with open_stored(settings, make=True) as database:
        assert database.migrations()[0] == database.migrations()[1]
    with open_stored(settings):
        pass


def test_nobody_else_reads_the_database(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data", None)
    with open_stored(settings, make=True) as database, database.write():
        modes = {each.name: each.stat().st_mode & 0o777 for each in settings.data_dir.iterdir()}
    assert "quire.db" in modes
    assert set(modes.values()) == {0o600}


def test_refuses_a_database_of_another_version(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, None)
    with open_stored(settings, make=True) as database, database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for make in (True, False):
        with pytest.raises(InvalidState, match="9999"), open_stored(settings, make=make):
            pass


@pytest.mark.parametrize("url", ["nonsense", "mysterydb://host/x"])
def test_refuses_urls_that_name_no_database(tmp_path: Path, url: str) -> None:
    with (
        pytest.raises(InvalidValue, match="database_url"),
        open_stored(settings_of(tmp_path, url)),
    ):
        pass


def test_says_when_a_database_is_away_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://quire:hush@127.0.0.1:1/quire"
    with pytest.raises(Unavailable) as caught, open_stored(settings_of(tmp_path, url)):
        pass
    assert "hush" not in str(caught.value)


def test_says_when_the_data_directory_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = settings_of(tmp_path / "file" / "data", None)
    with pytest.raises(Unavailable, match="data directory"), open_stored(settings, make=True):
        pass
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_is_no_database_is_named_as_such(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to be taken for the head of one" * 20)
    settings = settings_of(None, f"sqlite:///{file}")
    with pytest.raises(Unavailable, match="not a database"), open_stored(settings):
        pass
