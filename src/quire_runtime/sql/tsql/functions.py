"""T-SQL's functions in DuckDB.

Owns: the macros and functions a connection gets before its first T-SQL statement, and which call
becomes what. A macro with several heads is chosen by the types of its arguments, which is how ``+``
joins texts and adds numbers, and how ``7 / 2`` stays a whole number. What is not named here is
DuckDB's function of the same name, or its error that there is none.
"""

from __future__ import annotations

from typing import Any

from quire_runtime.sql.lexer import words
from quire_runtime.sql.tsql.formats import (
    format_moment,
    format_number,
    number_text,
    pattern_index,
)

__all__ = ["DATE_PARTS", "MACROS", "PREFIX", "RENAMED", "UNSUPPORTED", "install"]

PREFIX = "tsql_"

# T-SQL name in lower case -> heads of the macro.
MACROS = {
    "len": "(x) AS length(rtrim(CAST(x AS VARCHAR), ' '))",
    "datalength": "(x BLOB) AS octet_length(x), (x VARCHAR) AS strlen(x)",
    "charindex": "(s, t) AS strpos(CAST(t AS VARCHAR), CAST(s AS VARCHAR)), "
    "(s, t, n) AS CASE WHEN strpos(substr(t, greatest(n, 1)), s) = 0 THEN 0 "
    "ELSE strpos(substr(t, greatest(n, 1)), s) + greatest(n, 1) - 1 END",
    "stuff": "(s, n, k, r) AS CASE WHEN n < 1 OR n > length(s) OR k < 0 THEN NULL ELSE "
    "substr(s, 1, CAST(n AS BIGINT) - 1) || coalesce(r, '') || "
    "substr(s, CAST(n + k AS BIGINT)) END",
    "replicate": "(s, n) AS CASE WHEN n < 0 THEN NULL ELSE "
    "repeat(CAST(s AS VARCHAR), CAST(n AS BIGINT)) END",
    "space": "(n) AS repeat(' ', CAST(n AS BIGINT))",
    "quotename": "(s) AS '[' || replace(s, ']', ']]') || ']', (s, q) AS CASE q "
    "WHEN '''' THEN '''' || replace(s, '''', '''''') || '''' "
    "WHEN '\"' THEN '\"' || replace(s, '\"', '\"\"') || '\"' "
    "ELSE '[' || replace(s, ']', ']]') || ']' END",
    "str": "(x) AS tsql_number_text(CAST(x AS DOUBLE), 10, 0), "
    "(x, n) AS tsql_number_text(CAST(x AS DOUBLE), CAST(n AS INTEGER), 0), "
    "(x, n, d) AS tsql_number_text(CAST(x AS DOUBLE), CAST(n AS INTEGER), CAST(d AS INTEGER))",
    "patindex": "(p, s) AS tsql_pattern_index(CAST(p AS VARCHAR), CAST(s AS VARCHAR))",
    "format": "(x DATE, f) AS tsql_format_moment(CAST(x AS TIMESTAMP), f), "
    "(x TIMESTAMP, f) AS tsql_format_moment(x, f), "
    "(x TIMESTAMPTZ, f) AS tsql_format_moment(CAST(x AS TIMESTAMP), f), "
    "(x TIME, f) AS tsql_format_moment(DATE '1900-01-01' + x, f), "
    "(x, f) AS tsql_format_number(CAST(x AS VARCHAR), f)",
    "log": "(x) AS ln(x), (x, b) AS ln(x) / ln(b)",
    "square": "(x) AS pow(x, 2)",
    "power": "(x BIGINT, y) AS CAST(pow(x, y) AS BIGINT), (x, y) AS pow(x, y)",
    "rand": "() AS random(), (x) AS random()",
    "round": "(x, n) AS round(x, n), (x, n, f) AS CASE WHEN f = 0 THEN round(x, n) "
    "ELSE trunc(x, n) END",
    "isnumeric": "(x) AS CASE WHEN TRY_CAST(x AS DOUBLE) IS NULL THEN 0 ELSE 1 END",
    "isdate": "(x) AS CASE WHEN TRY_CAST(x AS TIMESTAMP) IS NULL AND "
    "try_strptime(CAST(x AS VARCHAR), '%Y%m%d') IS NULL THEN 0 ELSE 1 END",
    "isjson": "(x) AS CASE WHEN x IS NULL THEN NULL WHEN json_valid(x) THEN 1 ELSE 0 END",
    "nchar": "(n) AS chr(n)",
    "datetimefromparts": "(y, m, d, h, i, s, k) AS make_timestamp(y, m, d, h, i, s + k / 1000.0)",
    "avg": "(x BIGINT) AS CAST(trunc(avg(x)) AS BIGINT), (x) AS avg(x)",
    # Helpers without a name in T-SQL.
    "add": "(a VARCHAR, b VARCHAR) AS a || b, (a TIMESTAMP, b INTEGER) AS a + to_days(b), "
    "(a VARCHAR, b BIGINT) AS CAST(a AS BIGINT) + b, "
    "(a BIGINT, b VARCHAR) AS a + CAST(b AS BIGINT), "
    "(a BLOB, b BLOB) AS a || b, (a, b) AS a + b",
    "subtract": "(a TIMESTAMP, b INTEGER) AS a - to_days(b), (a, b) AS a - b",
    "window_average": "(a, x BIGINT) AS CAST(trunc(a) AS BIGINT), (a, x) AS a",
    "whole": "(x DOUBLE) AS trunc(x), (x BIGINT) AS x, (x HUGEINT) AS x, (x VARCHAR) AS x, "
    "(x) AS x",
    "moment": "(x VARCHAR) AS CASE WHEN regexp_full_match(x, '\\d{8}( .*)?') THEN "
    "CAST(substr(x, 1, 4) || '-' || substr(x, 5, 2) || '-' || substr(x, 7) AS TIMESTAMP) "
    "ELSE CAST(x AS TIMESTAMP) END, (x DATE) AS CAST(x AS TIMESTAMP), "
    "(x INTEGER) AS TIMESTAMP '1900-01-01' + to_days(x), (x) AS x",
    # Weeks begin on Sunday; DuckDB's on Monday.
    "weeks_between": "(a, b) AS date_diff('day', date_trunc('week', a + to_days(1)), "
    "date_trunc('week', b + to_days(1))) // 7",
    "same_kind": "(d DATE, r) AS CAST(r AS DATE), (d, r) AS r",
    "date_text": "(d DATE, f) AS strftime(d, f), (d TIMESTAMP, f) AS strftime(d, f), "
    "(d TIMESTAMPTZ, f) AS strftime(d, f), "
    "(d BLOB, f) AS CASE f WHEN '%m/%d/%y' THEN '0x' || hex(d) ELSE hex(d) END, "
    "(d, f) AS CAST(d AS VARCHAR)",
    "date_of": "(x VARCHAR, f) AS strptime(x, f), (x, f) AS x",
    "try_date_of": "(x VARCHAR, f) AS try_strptime(x, f), (x, f) AS x",
    "text": "(x BOOLEAN) AS CASE WHEN x THEN '1' ELSE '0' END, (x) AS CAST(x AS VARCHAR)",
    "week": "(d) AS CAST((date_part('doy', d) - 1 + "
    "date_part('dow', make_date(CAST(year(d) AS BIGINT), 1, 1))) // 7 + 1 AS INTEGER)",
}

# Functions DuckDB has under another name.
RENAMED = {
    "stdevp": "stddev_pop",
    "stdev": "stddev_samp",
    "varp": "var_pop",
    "var": "var_samp",
    "atn2": "atan2",
    "count_big": "count",
    "newid": "uuid",
    "newsequentialid": "uuid",
    "datefromparts": "make_date",
    "ceiling": "ceil",
    "char": "chr",
    "unicode": "unicode",
    "pi": "pi",
}

UNSUPPORTED = words(
    "openjson openrowset openquery opendatasource openxml checksum binary_checksum contains "
    "freetext "
    "json_modify formatmessage soundex difference columnproperty objectproperty "
    "parsename compress decompress encryptbykey is_member is_rolemember fulltextserviceproperty "
    "identity checksum_agg grouping_id"
)

# What a part of a date may be called -> DuckDB's word for it.
DATE_PARTS = {
    name: part
    for part, names in {
        "year": "year yy yyyy",
        "quarter": "quarter qq q",
        "month": "month mm m",
        "dayofyear": "dayofyear dy y",
        "day": "day dd d",
        "week": "week wk ww",
        "weekday": "weekday dw w",
        "isoweek": "iso_week isowk isoww",
        "hour": "hour hh",
        "minute": "minute mi n",
        "second": "second ss s",
        "millisecond": "millisecond ms",
        "microsecond": "microsecond mcs",
        "nanosecond": "nanosecond ns",
    }.items()
    for name in names.split()
}


def install(connection: Any) -> None:
    """Give a DuckDB connection T-SQL's functions; they last as long as the connection."""
    connection.execute("SET integer_division=true")
    for name, function, kinds in (
        ("format_moment", format_moment, ["TIMESTAMP", "VARCHAR"]),
        ("format_number", format_number, ["VARCHAR", "VARCHAR"]),
        ("number_text", number_text, ["DOUBLE", "INTEGER", "INTEGER"]),
    ):
        connection.create_function(PREFIX + name, function, kinds, "VARCHAR")
    connection.create_function(
        PREFIX + "pattern_index", pattern_index, ["VARCHAR", "VARCHAR"], "INTEGER"
    )
    for name, heads in MACROS.items():
        connection.execute(f"CREATE OR REPLACE TEMP MACRO {PREFIX}{name}{heads}")
