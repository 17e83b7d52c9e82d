"""Databases elsewhere: a real PostgreSQL; of SQL Server what needs no server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from quire_runtime.sql import SqlError, SqlSession, last_frame
from quire_runtime.sql.connections import parse_url


@pytest.fixture
def postgresql(postgresql_server: str) -> Iterator[SqlSession]:
    session = SqlSession(connections={"warehouse": postgresql_server}.__getitem__)
    yield session
    session.close()


def test_postgresql_by_name(postgresql: SqlSession) -> None:
    results = postgresql.run(
        "CREATE TEMP TABLE t (a INT, b NUMERIC(20, 2));\n"
        "INSERT INTO t VALUES (1, 2.5), (2, {big});\n"
        "DO $$ BEGIN RAISE NOTICE 'said; so'; END $$;\n"
        "SELECT a, b FROM t WHERE a IN ({numbers}) AND 'a%' LIKE 'a%' ORDER BY a",
        {"numbers": [1, 2], "big": Decimal("123456789012345678.12")},
        connection="warehouse",
    )
    assert [each.row_count for each in results if each.row_count is not None] == [2]
    assert [each.message for each in results if each.message] == ["said; so"]
    frame = last_frame(results)
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].tolist() == [Decimal("2.50"), Decimal("123456789012345678.12")]


def test_an_error_of_postgresql_has_line_and_statement(postgresql: SqlSession) -> None:
    with pytest.raises(SqlError, match='relation "nope" does not exist') as caught:
        postgresql.run("SELECT 1 AS a;\nSELECT * FROM nope", connection="warehouse")
    assert (caught.value.line, caught.value.statement) == (2, "SELECT * FROM nope")
    assert len(caught.value.results) == 1
    # The connection goes on.
    assert last_frame(postgresql.run("SELECT 5 AS a", connection="warehouse"))["a"].tolist() == [5]


def test_a_password_is_in_no_error(postgresql_server: str) -> None:
    host = parse_qs(urlsplit(postgresql_server).query)["host"][0]
    session = SqlSession()
    with pytest.raises(SqlError) as caught:
        session.run("SELECT 1", connection=f"postgresql://nobody:hush-hush@/hush-hush?host={host}")
    assert "hush-hush" not in str(caught.value)
    assert "hush-hush" not in repr(parse_url("postgresql://u:hush-hush@h/d"))


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymssql", None)
    with pytest.raises(SqlError, match=r"install quire\[sqlserver\]"):
        SqlSession().run("SELECT 1", connection="sqlserver://u:p@127.0.0.1/d")


def test_sql_server_that_is_away() -> None:
    with pytest.raises(SqlError, match="Unable to connect") as caught:
        SqlSession().run("SELECT 1", connection="sqlserver://u:hush-hush@127.0.0.1:9/d")
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "host", "port", "database", "user", "password"),
    [
        ("postgres://u:p%40%2F@h:5433/d", "postgresql", "h", 5433, "d", "u", "p@/"),
        ("sqlserver://u:p@h/d%20b", "sqlserver", "h", None, "d b", "u", "p"),
        (
            "Server=tcp:h.example.com,1444;Initial Catalog=d;User Id=u;Password=a=b;Encrypt=yes",
            "sqlserver",
            "h.example.com",
            1444,
            "d",
            "u",
            "a=b",
        ),
        ("duckdb:////data/x.duckdb", "duckdb", "", None, "/data/x.duckdb", "", ""),
        ("duckdb:///x.duckdb", "duckdb", "", None, "x.duckdb", "", ""),
        ("duckdb://", "duckdb", "", None, "", "", ""),
    ],
)
def test_addresses(
    text: str, kind: str, host: str, port: int | None, database: str, user: str, password: str
) -> None:
    url = parse_url(text)
    assert (url.kind, url.host, url.port, url.database, url.user, url.password) == (
        kind,
        host,
        port,
        database,
        user,
        password,
    )


@pytest.mark.parametrize(
    "text", ["mysql://u:hush@h/d", "postgresql://u:hush@h:port/d", "Database=x;Password=hush", "x"]
)
def test_addresses_that_cannot_be_read(text: str) -> None:
    with pytest.raises(SqlError) as caught:
        parse_url(text)
    assert "hush" not in str(caught.value)
