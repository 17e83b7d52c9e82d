"""SQL on the kernel's own database."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quire_runtime.sql import SqlError, SqlSession, last_frame


@pytest.fixture
def session() -> Iterator[SqlSession]:
    session = SqlSession()
    yield session
    session.close()


def values(session: SqlSession, text: str, **variables: Any) -> Any:
    frame = last_frame(session.run(text, variables))
    return frame.to_dict("split")["data"]


def test_several_statements_give_their_results_in_order(session: SqlSession) -> None:
    results = session.run(
        "CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'x'), (NULL, NULL);\n"
        "SELECT * FROM t ORDER BY a; UPDATE t SET b = 'y' WHERE a = 1; SELECT 2 AS n"
    )
    assert [(each.row_count, each.line) for each in results] == [
        (2, 1),
        (None, 2),
        (1, 2),
        (None, 2),
    ]
    rows, two = results[1].frame, results[3].frame
    assert rows.dtypes.astype(str).tolist() == ["Int32", "object"]
    assert rows.iloc[0].tolist() == [1, "x"]
    assert rows.iloc[1, 0] is pd.NA
    assert rows.iloc[1, 1] is None
    assert two.to_dict("records") == [{"n": 2}]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("9007199254740993::BIGINT", 9007199254740993),
        ("sum(a) FROM (VALUES (1), (2)) t(a)", 3),
        ("1.50::DECIMAL(5, 2)", 1.5),
        ("12345678901234567.89::DECIMAL(20, 2)", Decimal("12345678901234567.89")),
        ("DATE '2026-03-01'", datetime.date(2026, 3, 1)),
        ("TIMESTAMP '2026-03-01 10:00'", pd.Timestamp("2026-03-01 10:00")),
        ("'é'", "é"),
        ("[1, 2]", [1, 2]),
        ("NULL", None),
        ("TRUE", True),
    ],
)
def test_values_lose_nothing(session: SqlSession, expression: str, value: Any) -> None:
    assert values(session, f"SELECT {expression}") == [[value]]


def test_a_whole_number_with_gaps_stays_whole(session: SqlSession) -> None:
    frame = last_frame(session.run("SELECT * FROM (VALUES (9007199254740993), (NULL)) t(a)"))
    assert frame["a"].tolist() == [9007199254740993, pd.NA]


def test_repeated_names_keep_their_columns(session: SqlSession) -> None:
    frame = last_frame(session.run("SELECT 1 AS a, 'x' AS a"))
    assert list(frame.columns) == ["a", "a"]
    assert frame.iloc[0].tolist() == [1, "x"]


def test_frames_of_the_notebook_are_tables(session: SqlSession) -> None:
    frame = pd.DataFrame({"a": [1, 2], 3: ["x", "y"]})
    assert values(session, 'SELECT "3" FROM frame WHERE a = 2', frame=frame) == [["y"]]
    # A frame that took another's name is read in its place, and one that went is no table any more.
    assert values(session, "SELECT a FROM frame", frame=pd.DataFrame({"a": [7]})) == [[7]]
    with pytest.raises(SqlError, match="frame does not exist"):
        session.run("SELECT * FROM frame", {"frame": 5})
    # What the database has under a name wins.
    session.run("CREATE TABLE frame AS SELECT 'table' AS a")
    assert values(session, "SELECT a FROM frame", frame=frame) == [["table"]]


def test_local_names_of_the_server_code_are_no_tables(session: SqlSession) -> None:
    with pytest.raises(SqlError, match="statement does not exist"):
        session.run("SELECT * FROM statement")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("it's -- x", "it's -- x"),
        (5, 5),
        (2.5, 2.5),
        (True, True),
        (None, None),
        (datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        (np.int64(4), 4),
        (float("nan"), None),
        (pd.NaT, None),
        (pd.Timestamp("2026-01-02 03:04"), pd.Timestamp("2026-01-02 03:04")),
    ],
)
def test_placeholders_are_bound(session: SqlSession, value: Any, expected: Any) -> None:
    assert values(session, "SELECT {value} AS v, '{value}' AS t -- {nothing}", value=value) == [
        [expected, "{value}"]
    ]


def test_lists_become_several_parameters(session: SqlSession) -> None:
    query = "SELECT a FROM (VALUES (1), (2), (3)) t(a) WHERE a {} ({{names}}) ORDER BY a"
    assert values(session, query.format("IN"), names=[1, 3]) == [[1], [3]]
    assert values(session, query.format("IN"), names=np.array([2])) == [[2]]
    assert values(session, query.format("IN"), names=[]) == []
    assert values(session, query.format("NOT IN"), names=()) == [[1], [2], [3]]
    assert values(session, "SELECT 2 IN {names} AS v", names=pd.Series([1, 2])) == [[True]]


def test_placeholders_that_cannot_be_bound_are_named(session: SqlSession) -> None:
    with pytest.raises(SqlError, match=r"no variable named 'nope'.*line 2"):
        session.run("SELECT\n{nope}")
    with pytest.raises(SqlError, match="'thing' cannot be used in SQL: a object cannot be passed"):
        session.run("SELECT {thing}", {"thing": object()})


def test_an_error_names_line_and_statement_and_keeps_earlier_results(session: SqlSession) -> None:
    with pytest.raises(SqlError) as caught:
        session.run("SELECT 1 AS a;\n\nSELECT *\nFROM missing;\nSELECT 2")
    error = caught.value
    assert "missing does not exist" in error.reason
    assert (error.line, error.statement) == (3, "SELECT *\nFROM missing")
    assert [each.frame["a"].tolist() for each in error.results] == [[1]]
    assert "(line 3)\nStatement: SELECT *\nFROM missing" in str(error)


def test_a_database_in_a_file_lasts_and_others_are_attached(tmp_path: Path) -> None:
    first = SqlSession(str(tmp_path / "one.duckdb"))
    first.run("CREATE TABLE t AS SELECT 42 AS a")
    first.close()
    second = SqlSession(attached={"One Of": (str(tmp_path / "one.duckdb"), True)})
    assert values(second, 'SELECT a FROM "One Of".main.t') == [[42]]
    with pytest.raises(SqlError, match="read-only"):
        second.run('CREATE TABLE "One Of".main.u (a INT)')
    second.close()
    by_url = SqlSession()
    assert last_frame(
        by_url.run("SELECT a FROM t", connection=f"duckdb:///{tmp_path}/one.duckdb?read_only=true")
    )["a"].tolist() == [42]
    by_url.close()


def test_unknown_dialects_and_connections_are_refused(session: SqlSession) -> None:
    with pytest.raises(SqlError, match="'mysql' is not known"):
        session.run("SELECT 1", dialect="mysql")
    with pytest.raises(SqlError, match="no connection named 'x'"):
        session.run("SELECT 1", connection="x")
