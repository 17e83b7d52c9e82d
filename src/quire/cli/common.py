"""What commands share: where the server's data is, its stores, lifetimes, tables.

Nothing heavy is imported before a command needs it, so that ``quire --help`` answers at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quire.clock import Clock
    from quire.identity.models import Principal
    from quire.settings import Settings
    from quire.store.database import Database

__all__ = [
    "BlobUrl",
    "DataDir",
    "DatabaseUrl",
    "is_missing",
    "make_directory",
    "open_as_administrator",
    "open_stored",
    "operator",
    "parse_lifetime",
    "print_table",
    "settings_of",
    "shown_time",
]

DataDir = Annotated[
    Path | None,
    typer.Option(help="The server's data directory [env: QUIRE_DATA_DIR; default: quire-data]."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help="The server's database [env: QUIRE_DATABASE_URL; default: SQLite in the data "
        "directory]."
    ),
]
BlobUrl = Annotated[
    str | None,
    typer.Option(
        help="The server's blob store [env: QUIRE_BLOB_URL; default: a folder in the data "
        "directory]."
    ),
]

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LIFETIME = re.compile(r"([0-9]{1,9})([smhdw])")


def settings_of(
    data_dir: Path | None, database_url: str | None, blob_url: str | None = None
) -> Settings:
    """The settings of the environment; what a flag says wins."""
    from quire.settings import load_settings

    return load_settings(data_dir=data_dir, database_url=database_url, blob_url=blob_url)


@contextmanager
def open_stored(settings: Settings, *, make: bool = False) -> Iterator[Database]:
    """The server's database; with ``make``, a new one where there is none.

    Raises NotFound when there is none, InvalidState when it is of another version of Quire,
    Unavailable when it does not answer, InvalidValue for a URL that names no database.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from quire.errors import InvalidState, InvalidValue, NotFound
    from quire.store.database import Database

    try:
        shown = make_url(settings.database_location).render_as_string(hide_password=True)
        missing = NotFound(
            "database",
            shown,
            f"There is no Quire database at {shown}. Name the server's with --data-dir or "
            "--database-url, or start a server with: quire serve",
        )
        if not make and is_missing(settings):
            raise missing
        if not settings.database_url:
            make_directory(settings.data_dir)
        database = Database(settings.database_location)
    except (ArgumentError, NoSuchModuleError) as error:
        raise InvalidValue("database_url", f"it names no database: {error}.") from error
    try:
        present, newest = database.migrations()
        if present is None and make:
            database.migrate()
        elif present is None:
            raise missing
        elif present != newest:
            raise InvalidState(
                f"The database is of another version of Quire (it is at {present}, this is "
                f"{newest}). Start the server of this version once; it brings the database up to "
                "date."
            )
        yield database
    finally:
        database.close()


@contextmanager
def open_as_administrator(settings: Settings) -> Iterator[tuple[Database, Clock, Principal]]:
    """The database for commands that store things in the name of the user ``admin``.

    Raises as open_stored does.
    """
    from quire.clock import SystemClock
    from quire.identity.principals import Principals
    from quire.identity.tokens import ADMINISTRATOR, ensure_administrator

    clock = SystemClock()
    with open_stored(settings) as database:
        ensure_administrator(database, clock)
        yield database, clock, Principals(database, clock).get_by_name(ADMINISTRATOR)


def operator() -> Principal:
    """Whoever can open the database, and so may do everything; no user the server knows."""
    from quire.identity.models import Principal, PrincipalKind, Role
    from quire.ids import PrincipalId

    return Principal(PrincipalId(0), PrincipalKind.SERVICE, "the operator", Role.ADMIN)


def is_missing(settings: Settings) -> bool:
    """Whether the database is an SQLite file that does not exist yet."""
    from sqlalchemy import make_url

    url = make_url(settings.database_location)
    file = url.database if url.get_backend_name() == "sqlite" else None
    return file is not None and not Path(file).exists()


def make_directory(directory: Path) -> None:
    """Raises Unavailable when it cannot be made."""
    from quire.errors import Unavailable

    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"The data directory cannot be made: {error}") from error


def parse_lifetime(text: str, field: str = "--expires-in") -> int:
    """Seconds of a lifetime such as ``90s``, ``30m``, ``12h``, ``30d`` or ``2w``.

    Raises InvalidValue naming ``field``.
    """
    from quire.errors import InvalidValue

    found = _LIFETIME.fullmatch(text.strip().lower())
    if found is None or int(found[1]) == 0:
        raise InvalidValue(field, f"{text!r} is no lifetime; write 90s, 30m, 12h, 30d or 2w.")
    return int(found[1]) * _UNIT_SECONDS[found[2]]


def shown_time(moment: datetime | None, absent: str = "-") -> str:
    """A moment for people, to the second, UTC."""
    return absent if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns under titles, wide enough for what they hold."""
    lines = [[str(title) for title in titles], *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
