"""T-SQL on DuckDB: values of expressions, control flow, tables, errors, refusals."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from quire_runtime.sql import SqlError, SqlSession, SqlUnsupported, last_frame
from quire_runtime.sql.tsql.interpreter import Interpreter

D = datetime.date
T = pd.Timestamp


@pytest.fixture
def session() -> Iterator[SqlSession]:
    session = SqlSession()
    yield session
    session.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[SqlSession]:
    """For statements that leave nothing behind."""
    session = SqlSession()
    yield session
    session.close()


def rows(session: SqlSession, text: str, **more: Any) -> list[list[Any]]:
    """The rows of the last result of a text."""
    frame = last_frame(session.run(text, more.pop("variables", {}), dialect="tsql", **more))
    return [
        [None if value is pd.NA else value for value in row]
        for row in frame.itertuples(index=False, name=None)
    ]


def said(session: SqlSession, text: str) -> list[str]:
    """The messages of a text."""
    return [each.message for each in session.run(text, dialect="tsql") if each.message is not None]


EXPRESSIONS: list[tuple[str, Any]] = [
    # Numbers: whole ones stay whole.
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("7.0 / 2", 3.5),
    ("7 % 3", 1),
    ("1 + 2 * 3", 7),
    ("CAST(1.9 AS INT)", 1),
    ("CAST(-1.9 AS INT)", -1),
    ("CAST(2.345 AS DECIMAL(5, 2))", 2.35),
    ("CAST(2.5 AS DECIMAL)", 3),  # without a scale there is none
    ("ROUND(1.259, 2)", 1.26),
    ("ROUND(1.259, 2, 1)", 1.25),
    ("POWER(2, 10)", 1024),
    ("SQUARE(3)", 9.0),
    ("LOG(8, 2)", 3.0),
    ("CEILING(1.2)", 2),
    ("FLOOR(-1.2)", -2),
    ("ABS(-5)", 5),
    ("SIGN(-5)", -1),
    ("5 & 3", 1),
    ("5 | 3", 7),
    ("5 ^ 3", 6),
    ("$5.20", 5.2),
    ("ISNUMERIC('1.5')", 1),
    ("ISNUMERIC('x')", 0),
    # Texts.
    ("'a' + 'b'", "ab"),
    ("N'it''s'", "it's"),
    ("'a' + NULL", None),
    ("CONCAT('a', NULL, 1)", "a1"),
    ("LEN('ab  ')", 2),
    ("DATALENGTH('ab  ')", 4),
    ("CHARINDEX('b', 'abcb')", 2),
    ("CHARINDEX('b', 'abcb', 3)", 4),
    ("CHARINDEX('z', 'abcb')", 0),
    ("PATINDEX('%[0-9]%', 'ab3')", 3),
    ("PATINDEX('b%', 'ab')", 0),
    ("SUBSTRING('hello', 2, 3)", "ell"),
    ("LEFT('abc', 2) + RIGHT('abc', 1)", "abc"),
    ("STUFF('abcdef', 2, 3, 'XY')", "aXYef"),
    ("STUFF('abc', 9, 1, 'x')", None),
    ("REPLICATE('ab', 2)", "abab"),
    ("'x' + SPACE(2) + 'y'", "x  y"),
    ("REVERSE('abc')", "cba"),
    ("UPPER('a') + LOWER('B')", "Ab"),
    ("REPLACE('aab', 'a', 'x')", "xxb"),
    ("LTRIM('  a') + RTRIM('b  ') + TRIM(' c ')", "abc"),
    ("CHAR(65)", "A"),
    ("NCHAR(233)", "é"),
    ("ASCII('A')", 65),
    ("UNICODE('é')", 233),
    ("QUOTENAME('a]b')", "[a]]b]"),
    ("QUOTENAME('a', '''')", "'a'"),
    ("STR(5.6)", "         6"),
    ("STR(3.14159, 6, 2)", "  3.14"),
    ("STR(1234, 2)", "**"),
    ("TRANSLATE('2*[3]', '[]', '()')", "2*(3)"),
    ("CAST('abcdef' AS VARCHAR(3))", "abc"),
    ("LEN(CAST(REPLICATE('x', 40) AS VARCHAR))", 30),  # T-SQL's own default length
    ("CAST('ab' AS CHAR(4)) + '|'", "ab  |"),
    ("CAST(CAST(1 AS BIT) AS VARCHAR(5))", "1"),
    ("CONCAT_WS('-', 'a', NULL, 'b')", "a-b"),
    # Conditions.
    ("ISNULL(NULL, 0)", 0),
    ("COALESCE(NULL, NULL, 'z')", "z"),
    ("NULLIF(1, 1)", None),
    ("IIF(1 = 2, 'x', 'y')", "y"),
    ("CHOOSE(2, 'a', 'b')", "b"),
    ("CHOOSE(9, 'a', 'b')", None),
    ("CASE WHEN 'abc' LIKE '[a-b]bc' THEN 1 ELSE 0 END", 1),
    ("CASE WHEN 'abc' NOT LIKE '[^a]%' THEN 1 ELSE 0 END", 1),
    ("CASE WHEN 'a%c' LIKE 'a!%c' ESCAPE '!' THEN 1 ELSE 0 END", 1),
    ("CASE WHEN '[x]' LIKE '![x]' ESCAPE '!' THEN 1 ELSE 0 END", 1),
    ("CASE WHEN 'a' COLLATE Latin1_General_CI_AS = 'A' THEN 1 ELSE 0 END", 1),
    ("CASE WHEN 'a' = 'A' THEN 1 ELSE 0 END", 0),
    # Dates.
    ("CAST('20240131' AS DATE)", D(2024, 1, 31)),
    ("CAST('2024-01-31 10:20:30' AS DATETIME)", T("2024-01-31 10:20:30")),
    ("DATEADD(day, 1, CAST('2024-01-31' AS DATE))", D(2024, 2, 1)),
    ("DATEADD(month, 1, '2024-01-31')", T("2024-02-29")),
    ("DATEADD(qq, -1, CAST('2024-05-01' AS DATETIME2))", T("2024-02-01")),
    ("DATEADD(hour, 25, '20240101')", T("2024-01-02 01:00")),
    ("DATEDIFF(month, '2024-01-31', '2024-02-01')", 1),
    ("DATEDIFF(year, '2023-12-31', '2024-01-01')", 1),
    ("DATEDIFF(week, '2024-01-06', '2024-01-07')", 1),  # weeks begin on Sunday
    ("DATEDIFF(day, CAST('2024-01-01' AS DATE), '20240301')", 60),
    ("DATEPART(weekday, '2024-01-07')", 1),
    ("DATEPART(week, '2024-01-07')", 2),
    ("DATEPART(iso_week, '2024-01-07')", 1),
    ("DATEPART(dayofyear, '2024-02-01')", 32),
    ("DATEPART(ms, CAST('2024-01-01 10:00:00.123' AS DATETIME2))", 123),
    ("YEAR('2024-02-03') * 10000 + MONTH('2024-02-03') * 100 + DAY('2024-02-03')", 20240203),
    ("DATENAME(month, '2024-01-01') + ' ' + DATENAME(dw, '2024-01-01')", "January Monday"),
    ("EOMONTH('2024-02-01')", D(2024, 2, 29)),
    ("EOMONTH('2024-02-01', 1)", D(2024, 3, 31)),
    ("DATEFROMPARTS(2024, 2, 29)", D(2024, 2, 29)),
    ("DATETIMEFROMPARTS(2024, 1, 2, 3, 4, 5, 6)", T("2024-01-02 03:04:05.006")),
    ("DATETRUNC(month, CAST('2024-02-05' AS DATE))", D(2024, 2, 1)),
    ("DATEDIFF(day, GETDATE() - 7, GETDATE())", 7),
    ("ISDATE('20240230')", 0),
    ("CONVERT(VARCHAR(10), CAST('2024-01-02 03:04:05' AS DATETIME), 120)", "2024-01-02"),
    ("CONVERT(VARCHAR, CAST('2024-01-02 15:04:05' AS DATETIME), 108)", "15:04:05"),
    ("CONVERT(VARCHAR(8), CAST('2024-01-02' AS DATE), 112)", "20240102"),
    ("CONVERT(DATE, '31/12/2024', 103)", D(2024, 12, 31)),
    ("TRY_CONVERT(DATE, '31/13/2024', 103)", None),
    ("CONVERT(INT, '5')", 5),
    ("TRY_CONVERT(INT, 'x')", None),
    ("TRY_CAST('2024-13-01' AS DATE)", None),
    (
        "FORMAT(CAST('2024-03-05 14:05:06' AS DATETIME), 'dd/MM/yyyy hh:mm tt')",
        "05/03/2024 02:05 PM",
    ),
    ("FORMAT(1234567.891, 'N2')", "1,234,567.89"),
    ("FORMAT(CAST(-5 AS INT), '0.0')", "-5.0"),
    # Others.
    ("JSON_VALUE('{\"a\": {\"b\": 5}}', '$.a.b')", "5"),
    ("ISJSON('{')", 0),
    ("LEN(NEWID())", 36),
    ("CONVERT(VARCHAR(8), HASHBYTES('MD5', 'a'), 2)", "0CC175B9"),
    ("CONVERT(VARCHAR(8), HASHBYTES('SHA2_256', 'a'), 1)", "0xCA9781"),
    ("DB_NAME()", "memory"),
    ("@@TRANCOUNT", 0),
]


@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS, ids=[e for e, _ in EXPRESSIONS])
def test_expressions(shared: SqlSession, expression: str, expected: Any) -> None:
    ((value,),) = rows(shared, f"SELECT {expression} AS v")
    assert value == expected
    # What a variable is given is the same.
    if isinstance(expected, str):
        assert rows(shared, f"DECLARE @v NVARCHAR(MAX) = {expression}; SELECT @v") == [[expected]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT TOP 2 a FROM {t} ORDER BY a DESC", [[3], [2]]),
        ("SELECT TOP (1) WITH TIES a FROM (VALUES (1), (1), (2)) q(a) ORDER BY a", [[1], [1]]),
        ("SELECT TOP 50 PERCENT a FROM (VALUES (1), (2)) q(a) ORDER BY a", [[1]]),
        ("SELECT a FROM {t} ORDER BY a OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY", [[2]]),
        ("SELECT AVG(a) AS v FROM (VALUES (1), (2)) q(a)", [[1]]),
        ("SELECT AVG(a) AS v FROM (VALUES (1.0), (2.0)) q(a)", [[1.5]]),
        ("SELECT SUM(a), COUNT(*), COUNT_BIG(a), MIN(a), MAX(a) FROM {t}", [[6, 3, 3, 1, 3]]),
        ("SELECT DISTINCT AVG(a) OVER (PARTITION BY b) AS v FROM {t} ORDER BY v", [[1], [3]]),
        (
            "SELECT STDEV(a), VARP(a) FROM (VALUES (1), (3)) q(a)",
            [[2**0.5, 1.0]],
        ),
        ("SELECT STRING_AGG(b, ',') WITHIN GROUP (ORDER BY a DESC) AS v FROM {t}", [["y,x,x"]]),
        ("SELECT STRING_AGG(a, '-') WITHIN GROUP (ORDER BY a) AS v FROM {t}", [["1-2-3"]]),
        ("SELECT b, COUNT(*) AS n FROM {t} GROUP BY b HAVING COUNT(*) > 1", [["x", 2]]),
        ("SELECT a, LAG(a) OVER (ORDER BY a) AS p FROM {t} WHERE a = 1", [[1, None]]),
        (
            "WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 4) "
            "SELECT SUM(i) AS s FROM n OPTION (MAXRECURSION 100)",
            [[10]],
        ),
        (
            "SELECT t.a, s.value FROM {t} t CROSS APPLY STRING_SPLIT(t.b + ',z', ',') s "
            "WHERE t.a = 1 ORDER BY s.value",
            [[1, "x"], [1, "z"]],
        ),
        (
            "SELECT t.a, x.n FROM {t} t OUTER APPLY (SELECT TOP 1 5 AS n WHERE t.a = 2) x "
            "WHERE t.a < 3 ORDER BY t.a",
            [[1, None], [2, 5]],
        ),
        ("SELECT value FROM GENERATE_SERIES(1, 3) ORDER BY value", [[1], [2], [3]]),
        (
            "SELECT [x], [y] FROM (SELECT b, a FROM {t}) s PIVOT (SUM(a) FOR b IN ([x], [y])) p",
            [[3, 3]],
        ),
        ("SELECT a = 1, [b c] = 'z'", [[1, "z"]]),
        ("SELECT a FROM {t} EXCEPT SELECT a FROM {t} WHERE a < 3", [[3]]),
        ("SELECT a FROM {t} ORDER BY CASE WHEN a = 2 THEN NULL ELSE a END", [[2], [1], [3]]),
    ],
)
def test_queries(shared: SqlSession, query: str, expected: Any) -> None:
    table = "(SELECT * FROM (VALUES (1, 'x'), (2, 'x'), (3, 'y')) v(a, b))"
    text = query.replace("{t} t", f"{table} t").replace("{t} AS", f"{table} AS")
    assert rows(shared, text.replace("{t}", f"{table} tt")) == expected


def test_columns_without_a_name(shared: SqlSession) -> None:
    frame = last_frame(shared.run("SELECT 1, 'x', 2 AS n", dialect="tsql"))
    assert list(frame.columns) == ["(No column name)", "(No column name)", "n"]


# -- control flow -------------------------------------------------------------------------------


def test_loops_and_branches(shared: SqlSession) -> None:
    assert said(
        shared,
        """
        DECLARE @i INT = 0, @text NVARCHAR(20)
        WHILE @i < 10
        BEGIN
            SET @i += 1
            IF @i = 2 CONTINUE
            IF @i = 5 BREAK
            ELSE IF @i = 3 SET @text = 'three'
            ELSE BEGIN SET @text = NULL; PRINT 'not three' END
            PRINT CONCAT(@i, ' ', @text)
        END
        IF NOT EXISTS (SELECT 1 WHERE 1 = 0) PRINT 'none' ELSE PRINT 'some'
        RETURN
        PRINT 'never'
        """,
    ) == ["not three", "1 ", "3 three", "not three", "4 ", "none"]


def test_variables(shared: SqlSession) -> None:
    text = """
    DECLARE @d DATE = '20240131', @b BIT = 7, @f FLOAT = 1, @m DECIMAL(10, 2) = 1.239,
            @c CHAR(3) = 'ab', @v VARCHAR(2) = 'abcd', @one VARCHAR = 'abc', @i INT = 7.9, @n INT
    SELECT @d, @b, @f / 2, @m, @c + '|', @v, @one, @i, @n
    """
    assert rows(shared, text) == [[D(2024, 1, 31), True, 0.5, 1.24, "ab |", "ab", "a", 7, None]]


def test_assigning_by_select(shared: SqlSession) -> None:
    text = """
    DECLARE @a INT = 5, @b VARCHAR(50) = '', @n INT
    SELECT @a = x FROM (VALUES (1)) q(x) WHERE x > 9      -- no row: unchanged
    SELECT @b += x + ',' FROM (VALUES ('p'), ('q')) q(x)  -- row by row
    SELECT @n = COUNT(*) FROM (VALUES (1), (2)) q(x)
    SELECT @a, @b, @n, @@ROWCOUNT
    """
    assert rows(shared, text) == [[5, "p,q,", 2, 1]]


def test_variables_end_with_their_batch(session: SqlSession) -> None:
    with pytest.raises(SqlError, match='scalar variable "@x"') as caught:
        session.run("DECLARE @x INT = 1\nGO\n\nSELECT @x", dialect="tsql")
    assert (caught.value.number, caught.value.line) == (137, 4)
    assert [r.frame.iloc[0, 0] for r in session.run("SELECT 3\nGO 2", dialect="tsql")] == [3, 3]
    with pytest.raises(SqlError, match="already been declared"):
        session.run("DECLARE @x INT, @X INT", dialect="tsql")


def test_waiting_asks_the_clock(session: SqlSession) -> None:
    waited: list[float] = []
    from quire_runtime.sql.duck import DuckDatabase

    interpreter = Interpreter(DuckDatabase(), sleep=waited.append)
    interpreter.run("WAITFOR DELAY '00:01:02.5'", {})
    assert waited == [62.005]  # as SQL Server reads it: five thousandths


def test_errors_can_be_caught(shared: SqlSession) -> None:
    text = """
    BEGIN TRY
        SELECT 1 / 0
        PRINT 'never'
    END TRY
    BEGIN CATCH
        SELECT ERROR_NUMBER() AS n, ERROR_MESSAGE() AS m, ERROR_LINE() AS l, ERROR_SEVERITY() AS s
    END CATCH
    """
    assert rows(shared, text) == [[8134, "Divide by zero error encountered.", 3, 16]]


def test_throwing(shared: SqlSession) -> None:
    with pytest.raises(SqlError, match="mine") as caught:
        shared.run(
            "BEGIN TRY\nTHROW 50123, 'mine', 4\nEND TRY\n"
            "BEGIN CATCH\nPRINT 'seen'; THROW\nEND CATCH",
            dialect="tsql",
        )
    assert (caught.value.number, caught.value.state, caught.value.line) == (50123, 4, 2)
    assert [each.message for each in caught.value.results] == ["seen"]
    with pytest.raises(SqlError, match="5 items of it's"):
        shared.run("RAISERROR('%d items of %s', 16, 1, 5, 'it''s')", dialect="tsql")
    assert said(shared, "RAISERROR('only %s', 10, 1, 'told')") == ["only told"]
    with pytest.raises(SqlError, match="inside a CATCH"):
        shared.run("THROW", dialect="tsql")


@pytest.mark.parametrize(
    ("statement", "number", "reason"),
    [
        ("SELECT * FROM missing", 208, "Invalid object name 'missing'."),
        ("SELECT missing FROM (VALUES (1)) t(a)", 207, "Invalid column name 'missing'."),
        ("SELECT missing(1)", 195, "'missing' is not a recognized built-in function name."),
        ("SELECT CONVERT(INT, 'x')", 245, "Could not convert string 'x'"),
        ("SELECT a FROM", 102, "Incorrect syntax"),
        ("SELECT DATEADD(fortnight, 1, '2024-01-01')", 155, "'fortnight' is not a recognized"),
        ("IF 1 = 1", 102, "Incorrect syntax at the end: a statement is expected."),
        ("BEGIN SELECT 1", 102, "END is expected"),
        ("END", 102, "there is no BEGIN for it"),
        ("BREAK", 135, "WHILE loops only"),
        ("COMMIT", 3902, "no corresponding BEGIN TRANSACTION"),
        ("USE nowhere", 911, "Database 'nowhere' does not exist"),
        ("DECLARE @a INT SELECT @a = 1, 2", 141, "must not be combined"),
        ("EXEC missing 1", 2812, "Could not find stored procedure 'missing'."),
    ],
)
def test_errors_have_numbers(shared: SqlSession, statement: str, number: int, reason: str) -> None:
    with pytest.raises(SqlError) as caught:
        shared.run(f"SELECT 1 AS first\n\n{statement}", dialect="tsql")
    assert (caught.value.number, caught.value.line) == (number, 3)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DECLARE c CURSOR FOR SELECT 1", "cursors (DECLARE CURSOR)"),
        ("OPEN c", "cursors (OPEN)"),
        ("CREATE TRIGGER t ON x AFTER INSERT AS SELECT 1", "CREATE TRIGGER"),
        ("CREATE FUNCTION f() RETURNS INT AS BEGIN RETURN 1 END", "CREATE FUNCTION"),
        ("CREATE TYPE t FROM INT", "CREATE TYPE"),
        ("GRANT SELECT ON t TO u", "GRANT"),
        ("SAVE TRANSACTION s", "SAVE TRANSACTION"),
        ("BACKUP DATABASE d TO DISK = 'x'", "BACKUP"),
        ("DBCC CHECKDB", "DBCC"),
        ("SELECT a FROM t FOR JSON PATH", "FOR JSON"),
        ("SELECT a FROM t FOR XML PATH('')", "FOR XML"),
        ("SELECT x FROM OPENJSON(@j) WITH (x INT '$.x')", "OPENJSON"),
        ("SET ROWCOUNT 5", "SET ROWCOUNT"),
        ("SELECT @@CURSOR_ROWS", "@@CURSOR_ROWS"),
        ("SELECT CHECKSUM(1)", "CHECKSUM"),
        ("CREATE TABLE t (a GEOGRAPHY)", "GEOGRAPHY"),
        ("CREATE CLUSTERED COLUMNSTORE INDEX i ON t", "columnstore"),
        ("UPDATE STATISTICS t", "UPDATE STATISTICS"),
        ("WAITFOR TIME '10:00'", "WAITFOR"),
        ("EXEC sp_rename 'a', 'b'", "sp_rename"),
    ],
)
def test_what_is_not_carried_out_is_refused_by_name(
    session: SqlSession, statement: str, named: str
) -> None:
    with pytest.raises(SqlError) as caught:
        session.run(f"DECLARE @j VARCHAR(9) = '{{}}'\n{statement}", dialect="tsql")
    assert named in caught.value.reason
    assert caught.value.line == 2
    if "sp_rename" not in statement:
        assert isinstance(caught.value, SqlUnsupported)


def test_a_refusal_is_not_caught(session: SqlSession) -> None:
    with pytest.raises(SqlUnsupported, match="CHECKSUM"):
        session.run(
            "BEGIN TRY SELECT CHECKSUM(1) END TRY BEGIN CATCH SELECT 1 END CATCH", dialect="tsql"
        )


# -- tables -------------------------------------------------------------------------------------


def test_a_table_with_all_its_parts(session: SqlSession) -> None:
    text = """
    CREATE TABLE [dbo].[People] (
        [Id] INT IDENTITY(10, 5) NOT NULL PRIMARY KEY CLUSTERED,
        [Name] NVARCHAR(50) COLLATE Latin1_General_CI_AS NOT NULL,
        [Since] DATETIME2(6) CONSTRAINT df DEFAULT GETDATE(),
        [Pay] MONEY NULL DEFAULT ((0)),
        [Twice] AS ([Id] * 2) PERSISTED,
        CONSTRAINT uq UNIQUE NONCLUSTERED ([Name] ASC)
    ) ON [PRIMARY]
    INSERT INTO People (Name, Pay) VALUES (N'Ada', $5.20), ('Bob', 1)
    INSERT People VALUES ('Cy', '2024-01-01', 3)
    SELECT @@ROWCOUNT AS n, SCOPE_IDENTITY() AS last, @@IDENTITY AS again
    """
    assert rows(session, text) == [[1, 20, 20]]
    assert rows(session, "SELECT Id, Name, Pay, Twice FROM People WHERE name = 'ADA'") == [
        [10, "Ada", 5.2, 20]
    ]
    with pytest.raises(SqlError, match="IDENTITY_INSERT is set to OFF") as caught:
        session.run("INSERT INTO People (Id, Name) VALUES (1, 'Di')", dialect="tsql")
    assert caught.value.number == 544
    session.run(
        "SET IDENTITY_INSERT dbo.People ON; INSERT INTO People (Id, Name) VALUES (1, 'Di')",
        dialect="tsql",
    )
    assert rows(session, "SELECT COUNT(*) FROM dbo.People AS p WITH (NOLOCK)") == [[4]]


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("INSERT t VALUES (1, 'x', 1)", 2627),
        ("INSERT t VALUES (2, NULL, 1)", 515),
        ("INSERT t VALUES (2, 'x', -1)", 547),
        ("CREATE TABLE t (a INT)", 2714),
    ],
)
def test_constraints(session: SqlSession, statement: str, number: int) -> None:
    with pytest.raises(SqlError) as caught:
        session.run(
            "CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(9) NOT NULL, c INT CHECK (c > 0));"
            f"INSERT t VALUES (1, 'x', 1);{statement}",
            dialect="tsql",
        )
    assert caught.value.number == number


def test_temporary_tables_end_with_the_run(session: SqlSession) -> None:
    text = """
    CREATE TABLE #t (id INT IDENTITY, n VARCHAR(10)); CREATE TABLE t (other INT)
    INSERT INTO #T SELECT 'a' UNION ALL SELECT 'b'
    SELECT n INTO #u FROM #t WHERE id = 2
    DROP TABLE IF EXISTS #t, #nothing
    IF OBJECT_ID('tempdb..#t') IS NULL AND OBJECT_ID('tempdb..#u') IS NOT NULL SELECT * FROM #u
    """
    assert rows(session, text) == [["b"]]
    with pytest.raises(SqlError, match="Invalid object name"):
        session.run("SELECT * FROM #u", dialect="tsql")
    assert rows(session, "SELECT COUNT(*) FROM t") == [[0]]
    # The number begins again with a new table.
    assert rows(
        session, "CREATE TABLE #t (i INT IDENTITY, n INT); INSERT #t VALUES (7); SELECT * FROM #t"
    ) == [[1, 7]]


def test_table_variables(session: SqlSession) -> None:
    text = """
    DECLARE @t TABLE (id INT IDENTITY, n NVARCHAR(10) DEFAULT 'z')
    DECLARE @out TABLE (id INT)
    INSERT INTO @t (n) OUTPUT inserted.id INTO @out VALUES ('a'), ('b')
    UPDATE x SET x.n = 'c' FROM @t x WHERE x.id = 1
    DELETE FROM @t WHERE n = 'b'
    SELECT t.id, t.n, (SELECT COUNT(*) FROM @out) AS returned FROM @t t
    """
    assert rows(session, text) == [[1, "c", 2]]


def test_merge_update_and_delete_over_joins(session: SqlSession) -> None:
    session.run(
        "CREATE TABLE t (id INT, v INT); CREATE TABLE s (id INT, v INT);"
        "INSERT t VALUES (1, 1), (2, 2), (4, 4); INSERT s VALUES (2, 20), (3, 30), (4, 40)",
        dialect="tsql",
    )
    results = session.run(
        """
        MERGE INTO dbo.t AS target USING (SELECT * FROM s WHERE id < 4) AS source
        ON target.id = source.id
        WHEN MATCHED AND source.v > 1 THEN UPDATE SET target.v = source.v
        WHEN NOT MATCHED BY TARGET THEN INSERT (id, v) VALUES (source.id, source.v)
        WHEN NOT MATCHED BY SOURCE AND target.id = 1 THEN DELETE
        OUTPUT $action AS done, inserted.id;
        """,
        dialect="tsql",
    )
    assert sorted(last_frame(results)["done"]) == ["DELETE", "INSERT", "UPDATE"]
    assert results[-1].row_count == 3
    assert rows(session, "SELECT * FROM t ORDER BY id") == [[2, 20], [3, 30], [4, 4]]
    assert rows(
        session,
        "UPDATE a SET a.v += s.v, id = a.id FROM t AS a JOIN s ON s.id = a.id WHERE s.v = 40;"
        "SELECT v FROM t WHERE id = 4",
    ) == [[44]]
    assert rows(
        session, "DELETE a FROM t a INNER JOIN s ON s.id = a.id AND s.v < 40; SELECT * FROM t"
    ) == [[4, 44]]
    assert rows(session, "UPDATE t SET v = 9 OUTPUT inserted.v, inserted.id WHERE id = 4") == [
        [9, 4]
    ]
    assert rows(session, "DELETE FROM t OUTPUT deleted.v WHERE id = 4") == [[9]]


def test_changing_tables(session: SqlSession) -> None:
    session.run(
        """
        CREATE TABLE z (a INT NULL)
        ALTER TABLE z ADD b INT NULL, c INT NOT NULL DEFAULT 0
        ALTER TABLE z ALTER COLUMN a BIGINT
        ALTER TABLE z DROP COLUMN b
        INSERT z VALUES (1, 2)
        CREATE NONCLUSTERED INDEX ix ON dbo.z (a DESC) INCLUDE (c) WITH (FILLFACTOR = 80)
        DROP INDEX ix ON dbo.z
        """,
        dialect="tsql",
    )
    assert rows(session, "SELECT * FROM z") == [[1, 2]]
    assert rows(session, "TRUNCATE TABLE z; SELECT COUNT(*) FROM z") == [[0]]
    assert said(
        session, "ALTER TABLE z ADD CONSTRAINT pk PRIMARY KEY NONCLUSTERED (a) NOT ENFORCED"
    ) == ["A constraint that is NOT ENFORCED is not kept here."]
    session.run(
        "CREATE OR ALTER VIEW v AS WITH q AS (SELECT a FROM z) SELECT a + 1 AS b FROM q",
        dialect="tsql",
    )
    session.run("INSERT z VALUES (4, 0)", dialect="tsql")
    assert rows(session, "SELECT b FROM dbo.v") == [[5]]
    assert rows(
        session, "CREATE TABLE y WITH (DISTRIBUTION = HASH(a)) AS SELECT a FROM z; SELECT a FROM y"
    ) == [[4]]


def test_the_catalogue(session: SqlSession) -> None:
    text = """
    CREATE TABLE tt (a INT, b NVARCHAR(5)); CREATE SCHEMA other
    IF NOT EXISTS (SELECT 1 FROM sys.tables WHERE name = 'tt') SELECT 'no' ELSE SELECT 'yes'
    """
    assert rows(session, text) == [["yes"]]
    assert rows(session, "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES") == [["tt"]]
    assert rows(
        session, "SELECT c.name FROM sys.columns c JOIN sys.tables t ON t.object_id = c.object_id"
    ) == [["a"], ["b"]]
    assert rows(
        session,
        "IF OBJECT_ID('dbo.tt', 'U') IS NOT NULL DROP TABLE dbo.tt;SELECT COUNT(*) FROM sys.tables",
    ) == [[0]]


def test_names_of_other_databases(tmp_path: Any) -> None:
    path = tmp_path / "sales.duckdb"
    session = SqlSession(attached={"Sales Data": (str(path), False)})
    session.run(
        "CREATE TABLE here (a INT); INSERT here VALUES (1)\n"
        "USE [Sales Data]\nCREATE TABLE main.there (a INT, b INT); INSERT main.there VALUES (1, 2)",
        dialect="tsql",
    )
    assert rows(
        session,
        "SELECT t.b, DB_NAME() FROM [Sales Data].main.there t JOIN memory..here h ON h.a = t.a",
    ) == [[2, "Sales Data"]]
    session.close()


def test_transactions(session: SqlSession) -> None:
    session.run("CREATE TABLE t (a INT PRIMARY KEY)", dialect="tsql")
    text = """
    BEGIN TRAN; INSERT t VALUES (1); BEGIN TRAN; INSERT t VALUES (2); COMMIT
    SELECT @@TRANCOUNT AS open_ones
    ROLLBACK
    SELECT COUNT(*) AS n FROM t
    """
    assert rows(session, text) == [[0]]
    with pytest.raises(SqlError) as caught:
        session.run(
            """
            BEGIN TRY
                BEGIN TRANSACTION; INSERT t VALUES (1); INSERT t VALUES (1); COMMIT
            END TRY
            BEGIN CATCH
                IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION;
                THROW
            END CATCH
            """,
            dialect="tsql",
        )
    assert caught.value.number == 2627
    assert rows(session, "SELECT COUNT(*) AS n FROM t") == [[0]]
    assert said(session, "BEGIN TRAN; INSERT t VALUES (5)") == [
        "The transaction that was left open has been rolled back."
    ]
    assert rows(session, "SELECT COUNT(*) AS n FROM t") == [[0]]


def test_row_counts_are_told_unless_not_wanted(session: SqlSession) -> None:
    counted = session.run("CREATE TABLE t (a INT); INSERT t VALUES (1), (2)", dialect="tsql")
    assert [each.row_count for each in counted] == [2]
    silent = session.run("SET NOCOUNT ON; DELETE FROM t; SELECT @@ROWCOUNT AS n", dialect="tsql")
    assert [each.row_count for each in silent] == [None]
    assert last_frame(silent)["n"].tolist() == [2]


# -- procedures and texts -----------------------------------------------------------------------


def test_procedures(session: SqlSession) -> None:
    session.run(
        "CREATE PROCEDURE dbo.AddUp @a INT, @b INT = 2, @sum INT OUTPUT AS\n"
        "BEGIN\n  SET @sum = @a + @b\n  RETURN 7\nEND\nGO\n"
        "CREATE OR ALTER PROC twice (@word VARCHAR(20)) AS SELECT @word + @word AS said",
        dialect="tsql",
    )
    assert rows(
        session, "DECLARE @r INT, @o INT; EXEC @r = addup 1, @sum = @o OUTPUT; SELECT @r, @o"
    ) == [[7, 3]]
    assert rows(session, "EXEC twice ho") == [["hoho"]]
    assert rows(
        session,
        "CREATE TABLE t (w VARCHAR(20)); INSERT INTO t EXEC twice @word = 'x'; SELECT w FROM t",
    ) == [["xx"]]
    for call, number in (("addup", 201), ("twice 'a', 'b'", 8144), ("twice @x = 'a'", 8145)):
        with pytest.raises(SqlError) as caught:
            session.run(f"EXEC {call}", dialect="tsql")
        assert caught.value.number == number
    with pytest.raises(SqlError, match="already an object named"):
        session.run("CREATE PROC twice AS SELECT 1", dialect="tsql")
    session.run("DROP PROCEDURE IF EXISTS twice, nothing", dialect="tsql")
    with pytest.raises(SqlError, match="'twice'"):
        session.run("EXEC twice 1", dialect="tsql")
    with pytest.raises(SqlError, match="nesting level"):
        session.run("CREATE PROC again AS EXEC again\nGO\nEXEC again", dialect="tsql")


def test_texts(shared: SqlSession) -> None:
    assert rows(shared, "DECLARE @q NVARCHAR(50) = 'SELECT 4 AS n'; EXEC (@q)") == [[4]]
    text = """
    DECLARE @total INT
    EXEC sp_executesql N'SET @sum = @a * 2', N'@a INT, @sum INT OUTPUT', @a = 21, @sum = @total OUT
    SELECT @total
    """
    assert rows(shared, text) == [[42]]


# -- the notebook -------------------------------------------------------------------------------


def test_the_notebook_reaches_in(shared: SqlSession) -> None:
    variables = {
        "frame": pd.DataFrame({"a": [1, 2, 3]}),
        "least": 2,
        "wanted": [1, 3],
        "none": [],
        "text": "it's",
    }
    assert rows(
        shared,
        "SELECT a, {text} AS t FROM frame WHERE a >= {least} AND a IN ({wanted}) AND "
        "a NOT IN ({none})",
        variables=variables,
    ) == [[3, "it's"]]


def test_parameters_of_the_run_are_variables(shared: SqlSession) -> None:
    given = {"Day": "20240105", "n": 7, "flag": True}
    assert rows(shared, "SELECT @n + 1 AS a, @flag AS f", parameters=given) == [[8, True]]
    # A text that declares one keeps its own type, and gets the value all the same.
    assert rows(shared, "DECLARE @day DATE = '2020-01-01'; SELECT @day AS d", parameters=given) == [
        [D(2024, 1, 5)]
    ]
