"""Calls of functions: which become macros, literals of the session, or other expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from quire_runtime.sql.errors import SqlError
from quire_runtime.sql.lexer import words
from quire_runtime.sql.tsql import types
from quire_runtime.sql.tsql.functions import (
    DATE_PARTS,
    MACROS,
    PREFIX,
    RENAMED,
    UNSUPPORTED,
)
from quire_runtime.sql.tsql.refusals import not_supported

__all__ = ["change", "own_functions", "table_function", "table_query"]

SessionCall = Callable[[str, Sequence[Any]], Any]

_SESSION = words(
    "getdate sysdatetime getutcdate sysutcdatetime sysdatetimeoffset error_message error_number "
    "error_line error_severity error_state error_procedure xact_state scope_identity ident_current "
    "db_name db_id object_id schema_name schema_id suser_sname suser_name user_name user_id "
    "original_login system_user host_name app_name serverproperty current_request_id"
)
_DATES = words("dateadd datediff datediff_big datepart datename datetrunc eomonth day month year")
_OTHERS = words("choose hashbytes parse try_parse isnull string_split generate_series")
_NOW = "make_timestamp(epoch_us(now()))"
_HASHES = {"MD5": "md5", "SHA": "sha1", "SHA1": "sha1", "SHA2_256": "sha256"}
_ADDERS = {
    "year": "to_years",
    "month": "to_months",
    "week": "to_weeks",
    "day": "to_days",
    "hour": "to_hours",
    "minute": "to_minutes",
    "second": "to_seconds",
    "millisecond": "to_milliseconds",
    "microsecond": "to_microseconds",
}
# Style of CONVERT -> strftime's format.
_STYLES = {
    "0": "%b %-d %Y %-I:%M%p",
    "100": "%b %-d %Y %-I:%M%p",
    "1": "%m/%d/%y",
    "101": "%m/%d/%Y",
    "2": "%y.%m.%d",
    "102": "%Y.%m.%d",
    "3": "%d/%m/%y",
    "103": "%d/%m/%Y",
    "4": "%d.%m.%y",
    "104": "%d.%m.%Y",
    "5": "%d-%m-%y",
    "105": "%d-%m-%Y",
    "6": "%d %b %y",
    "106": "%d %b %Y",
    "7": "%b %d, %y",
    "107": "%b %d, %Y",
    "8": "%H:%M:%S",
    "24": "%H:%M:%S",
    "108": "%H:%M:%S",
    "10": "%m-%d-%y",
    "110": "%m-%d-%Y",
    "11": "%y/%m/%d",
    "111": "%Y/%m/%d",
    "12": "%y%m%d",
    "112": "%Y%m%d",
    "113": "%d %b %Y %H:%M:%S.%g",
    "114": "%H:%M:%S:%g",
    "20": "%Y-%m-%d %H:%M:%S",
    "120": "%Y-%m-%d %H:%M:%S",
    "21": "%Y-%m-%d %H:%M:%S.%g",
    "25": "%Y-%m-%d %H:%M:%S.%g",
    "121": "%Y-%m-%d %H:%M:%S.%g",
    "23": "%Y-%m-%d",
    "126": "%Y-%m-%dT%H:%M:%S",
    "127": "%Y-%m-%dT%H:%M:%SZ",
}


def own_functions() -> frozenset[str]:
    """Names, in lower case, of the functions that this package reads itself."""
    return frozenset[str]().union(MACROS, RENAMED, UNSUPPORTED, _SESSION, _DATES, _OTHERS) - {"avg"}


def change(node: Any, session_call: SessionCall) -> None:
    """Change one call, if it is one."""
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        _change_named(node, session_call)
    elif isinstance(node, exp.Convert):
        _change_convert(node)
    elif isinstance(node, (exp.CurrentTimestamp, exp.CurrentDatetime)):
        node.replace(_now(node, session_call))
    elif isinstance(node, exp.CurrentUser):
        node.replace(exp.Literal.string("dbo"))
    elif isinstance(node, exp.Avg):
        _change_average(node)
    elif isinstance(node, exp.GroupConcat):
        _as_text(node.this.this if isinstance(node.this, exp.Order) else node.this)
    elif isinstance(node, exp.NextValueFor):
        name = node.this.sql(dialect="duckdb")
        node.replace(exp.Anonymous(this="nextval", expressions=[exp.Literal.string(name)]))
    elif isinstance(node, (exp.OpenJSON, exp.XMLTable)):
        raise not_supported("OPENJSON.")


def _as_text(node: Any) -> None:
    from sqlglot import exp

    node.replace(exp.Anonymous(this=PREFIX + "text", expressions=[node.copy()]))


def _change_named(node: Any, session_call: SessionCall) -> None:
    from sqlglot import exp

    name = node.name.lower()
    arguments = node.expressions
    if name in UNSUPPORTED:
        raise not_supported(f"the function {name.upper()}.")
    if name in ("getdate", "sysdatetime", "getutcdate", "sysutcdatetime", "sysdatetimeoffset"):
        node.replace(_now(node, session_call))
        return
    if name in _SESSION:
        texts = [each.name if _is_text(each) else None for each in arguments]
        value = session_call(name, texts)
        if value is None:
            raise not_supported(f"the function {name.upper()}.")
        node.replace(types.parsed_literal(value))
    elif name in _DATES:
        node.replace(_date_call(name, arguments))
    elif name == "choose":
        cases = [
            exp.If(this=exp.Literal.number(number), true=value.copy())
            for number, value in enumerate(arguments[1:], start=1)
        ]
        node.replace(exp.Case(this=arguments[0].copy(), ifs=cases))
    elif name == "isnull":
        node.replace(exp.Coalesce(this=arguments[0].copy(), expressions=[arguments[1].copy()]))
    elif name == "hashbytes":
        algorithm = _HASHES.get(arguments[0].name.upper())
        if algorithm is None:
            raise not_supported(f"HASHBYTES with {arguments[0].name}.")
        hashed = exp.Anonymous(this=algorithm, expressions=[arguments[1].copy()])
        node.replace(exp.Anonymous(this="unhex", expressions=[hashed]))
    elif name in ("parse", "try_parse"):
        raise not_supported(f"{name.upper()}; use CAST.")
    elif name in RENAMED:
        node.set("this", RENAMED[name])
    elif name in MACROS:
        node.set("this", PREFIX + name)


def _is_text(node: Any) -> bool:
    from sqlglot import exp

    return isinstance(node, exp.National) or (isinstance(node, exp.Literal) and node.is_string)


def _now(node: Any, session_call: SessionCall) -> Any:
    """The present moment: one for the whole statement, but a function in definitions."""
    from sqlglot import exp

    if node.find_ancestor(exp.Create, exp.Alter, exp.ColumnDef) is not None:
        return types.parsed_literal(_NOW)
    return types.parsed_literal(session_call("getdate", []))


def _change_average(node: Any) -> None:
    """An average of whole numbers is a whole number."""
    from sqlglot import exp

    window = node.parent
    if isinstance(window, exp.Window):
        value = node.this.copy()
        replaced = exp.Anonymous(this=PREFIX + "window_average", expressions=[window.copy(), value])
        window.replace(replaced)
    elif isinstance(node.this, exp.Distinct) or isinstance(node.parent, exp.Filter):
        return
    else:
        node.replace(exp.Anonymous(this=PREFIX + "avg", expressions=[node.this.copy()]))


def _change_convert(node: Any) -> None:
    from sqlglot import exp

    value, to, style = node.args["expression"].copy(), node.this.copy(), node.args.get("style")
    kind = to.this.name
    is_text = kind in ("CHAR", "NCHAR", "VARCHAR", "NVARCHAR", "TEXT")
    is_date = kind in ("DATE", "DATETIME", "DATETIME2", "SMALLDATETIME")
    if style is not None and (is_text or is_date):
        form = _STYLES.get(style.name)
        if form is None:
            raise not_supported(f"style {style.sql()} of CONVERT.")
        name = "date_text" if is_text else "date_of"
        if is_date and node.args.get("safe"):
            name = "try_date_of"
        value = exp.Anonymous(this=PREFIX + name, expressions=[value, exp.Literal.string(form)])
    kind_of_cast = exp.TryCast if node.args.get("safe") else exp.Cast
    node.replace(kind_of_cast(this=value, to=to))


# -- dates ----------------------------------------------------------------------------------


def _part(node: Any) -> str:
    part = DATE_PARTS.get(node.name.lower())
    if part is None:
        raise SqlError(f"'{node.name}' is not a recognized date part.", number=155)
    return part


def _moment(node: Any) -> Any:
    from sqlglot import exp

    return exp.Anonymous(this=PREFIX + "moment", expressions=[node.copy()])


def _function(name: str, *arguments: Any) -> Any:
    from sqlglot import exp

    return exp.Anonymous(this=name, expressions=[each.copy() for each in arguments])


def _date_call(name: str, arguments: Sequence[Any]) -> Any:
    from sqlglot import exp

    if name in ("day", "month", "year"):
        return _part_of(name, arguments[0])
    if name == "eomonth":
        moment = _moment(arguments[0])
        if len(arguments) > 1:
            moment = types.plain_sum(moment, _function("to_months", types.as_integer(arguments[1])))
        return _function("last_day", moment)
    part = _part(arguments[0])
    if name == "dateadd":
        return _date_add(part, arguments[1], arguments[2])
    if name in ("datediff", "datediff_big"):
        first, second = _moment(arguments[1]), _moment(arguments[2])
        if part == "week":
            return _function(PREFIX + "weeks_between", first, second)
        unit = {"weekday": "day", "dayofyear": "day", "isoweek": "week"}.get(part, part)
        return _function("date_diff", exp.Literal.string(unit), first, second)
    if name == "datepart":
        return _part_of(part, arguments[1])
    if name == "datename":
        if part in ("month", "weekday"):
            return _function("monthname" if part == "month" else "dayname", _moment(arguments[1]))
        return _function(PREFIX + "text", _part_of(part, arguments[1]))
    unit = "week" if part == "isoweek" else part
    truncated = _function("date_trunc", exp.Literal.string(unit), _moment(arguments[1]))
    return _function(PREFIX + "same_kind", arguments[1], truncated)


def _date_add(part: str, count: Any, moment: Any) -> Any:
    from sqlglot import exp

    if part == "nanosecond":
        raise not_supported("DATEADD of nanoseconds.")
    unit = {"weekday": "day", "dayofyear": "day", "isoweek": "week"}.get(part, part)
    amount = types.as_integer(count)
    if unit == "quarter":
        unit = "month"
        amount = exp.Mul(this=exp.Literal.number(3), expression=exp.Paren(this=amount))
    moved = types.plain_sum(_moment(moment), _function(_ADDERS[unit], amount))
    return _function(PREFIX + "same_kind", moment, moved)


def _part_of(part: str, value: Any) -> Any:
    from sqlglot import exp

    moment = _moment(value)
    if part == "weekday":
        day = _function("date_part", exp.Literal.string("dow"), moment)
        return types.plain_sum(day, exp.Literal.number(1))
    if part == "week":
        return _function(PREFIX + "week", moment)
    word = {"dayofyear": "doy", "isoweek": "week"}.get(part, part)
    if part in ("millisecond", "microsecond"):
        found = _function("date_part", exp.Literal.string(part), moment)
        size = 1_000 if part == "millisecond" else 1_000_000
        return exp.Paren(this=exp.Mod(this=found, expression=exp.Literal.number(size)))
    return _function("date_part", exp.Literal.string(word), moment)


# -- functions that give tables -------------------------------------------------------------


def table_query(call: Any) -> Any:
    """The query that stands for a call in FROM; None when the function gives no table."""
    from sqlglot import exp, parse_one

    name = call.name.lower()
    if name == "string_split":
        split: Any = parse_one("SELECT UNNEST(STRING_SPLIT(a, b)) AS value", read="duckdb")
        inner = split.find(exp.Split) or split.find(exp.Anonymous)
        arguments = [each.copy() for each in call.expressions[:2]]
        made = exp.Anonymous(this="string_split", expressions=arguments)
        inner.replace(made)
        return split
    if name == "generate_series":
        made = exp.Anonymous(
            this="generate_series", expressions=[each.copy() for each in call.expressions]
        )
        unnested = exp.Anonymous(this="unnest", expressions=[made])
        return exp.Select(expressions=[exp.alias_(unnested, "value")])
    return None


def table_function(table: Any) -> None:
    """A function in FROM as the query that stands for it."""
    from sqlglot import exp

    if not isinstance(table.this, exp.Anonymous):
        return
    name = table.this.name.lower()
    made = table_query(table.this)
    if made is None:
        raise not_supported(f"the table function {name.upper()}.")
    alias = table.alias or name
    table.replace(exp.Subquery(this=made, alias=exp.TableAlias(this=exp.to_identifier(alias))))
