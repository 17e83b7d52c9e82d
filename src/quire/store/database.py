"""Connections and transactions: one code path for SQLite and PostgreSQL.

``with database.read() as connection`` looks at what is committed; ``with database.write() as
connection`` is one transaction, committed at its end and rolled back by an exception. On SQLite a
write takes the database's single write lock at its start, so what it read stays true.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Dialect, Engine, create_engine, event, insert, update
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection

from quire.errors import Unavailable
from quire.store.tables import counters

__all__ = ["Database", "after_commit", "next_number"]

_AFTER_COMMIT = "quire_after_commit"
_NO_DATABASE = "file is not a database"  # in SQLite's words
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """The database of one server."""

    def __init__(self, url: str) -> None:
        """Open ``url`` (SQLAlchemy form). Nothing is contacted before the first use."""
        self.url = _with_driver(url)
        self.is_sqlite = self.url.startswith("sqlite")
        if self.is_sqlite:
            self.engine = create_engine(
                self.url,
                pool_size=16,
                max_overflow=48,
                connect_args={"check_same_thread": False},
            )
            _prepare_sqlite(self.engine)
        else:
            self.engine = create_engine(
                self.url, pool_size=16, max_overflow=16, pool_pre_ping=True, pool_timeout=10
            )
        self._writer = self.engine.execution_options(quire_write=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A look at what is committed. Raises Unavailable when the database is away."""
        with _translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction. Raises Unavailable when the database is away."""
        callbacks: list[Callable[[], None]] = []
        with _translated(), self._writer.begin() as connection:
            info = connection.info
            info[_AFTER_COMMIT] = callbacks
            try:
                yield connection
            finally:
                # Asked for anew, a connection that was lost would try to come back instead.
                del info[_AFTER_COMMIT]
        for callback in dict.fromkeys(callbacks):
            callback()

    def migrate(self) -> None:
        """Bring the database to the shape :mod:`quire.store.tables` describes."""
        self._make_private_file()
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with self.write() as connection:
            if not self.is_sqlite:
                # Replicas that start together migrate one after another.
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7181829)")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def migrations(self) -> tuple[str | None, str]:
        """The migration the database is at (None: it is empty) and the newest one."""
        newest = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
        assert newest is not None
        with self.read() as connection:
            return MigrationContext.configure(connection).get_current_revision(), newest

    def _make_private_file(self) -> None:
        """An SQLite file holds what signs in: only the server's own user may read it."""
        if self.is_sqlite and (file := self.engine.url.database):
            with suppress(FileExistsError):
                os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))

    def close(self) -> None:
        self.engine.dispose()


def after_commit(connection: Connection, callback: Callable[[], None]) -> None:
    """Call something once this write transaction is committed, and not if it is rolled back."""
    connection.info[_AFTER_COMMIT].append(callback)


def next_number(connection: Connection, counter: str) -> int:
    """The next number of a counter that never goes back; starts at 1."""
    advance = (
        update(counters)
        .where(counters.c.name == counter)
        .values(value=counters.c.value + 1)
        .returning(counters.c.value)
    )
    value = connection.execute(advance).scalar()
    if value is None:
        connection.execute(insert(counters).values(name=counter, value=1))
        return 1
    return int(value)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise Unavailable(f"The database does not answer: {error.orig}") from error
    except (PendingRollbackError, PoolTimeout) as error:
        raise Unavailable(f"The database does not answer: {error}") from error
    except DBAPIError as error:
        if str(error.orig) == _NO_DATABASE:
            raise Unavailable(f"The database cannot be used: {error.orig}.") from error
        if not error.connection_invalidated:
            raise
        raise Unavailable(f"The database has gone away: {error.orig}") from error


def _with_driver(url: str) -> str:
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "do_connect")
    def on_do_connect(_: Dialect, __: Any, arguments: list[Any], ___: dict[str, Any]) -> None:
        # SQLite would let every user read it, kernels' too; its side files follow its mode.
        file = Path(arguments[0])
        if arguments[0] != ":memory:" and file.parent.is_dir() and not file.exists():
            file.touch(mode=0o600)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: PoolProxiedConnection) -> None:
        connection.isolation_level = None  # SQLAlchemy's begin event below decides instead
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout=30000")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("quire_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
