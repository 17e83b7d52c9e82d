"""T-SQL's types and conversions in DuckDB.

Owns: which type stands for which, and what a conversion does beyond DuckDB's: cut texts to their
length, drop the fraction of a number that becomes whole, read dates without separators.
"""

from __future__ import annotations

import functools
from typing import Any

from quire_runtime.sql.lexer import words
from quire_runtime.sql.tsql.functions import PREFIX
from quire_runtime.sql.tsql.refusals import not_supported

__all__ = [
    "as_integer",
    "change",
    "parsed_literal",
    "plain_sum",
    "variable_conversion",
]

_CAST_LENGTH = 30  # of a text whose length a conversion does not give
_TYPES = {
    "BIT": "BOOLEAN",
    "MONEY": "DECIMAL(19, 4)",
    "SMALLMONEY": "DECIMAL(10, 4)",
    "FLOAT": "DOUBLE",
    "DATETIME": "TIMESTAMP",
    "DATETIME2": "TIMESTAMP",
    "SMALLDATETIME": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMPTZ",
    "TIME": "TIME",
    "CHAR": "VARCHAR",
    "NCHAR": "VARCHAR",
    "VARCHAR": "VARCHAR",
    "NVARCHAR": "VARCHAR",
    "TEXT": "VARCHAR",
    "XML": "VARCHAR",
    "BINARY": "BLOB",
    "VARBINARY": "BLOB",
    "IMAGE": "BLOB",
}
_USER_TYPES = {"SYSNAME": "VARCHAR"}
_REFUSED = words("VARIANT ROWVERSION GEOGRAPHY GEOMETRY VECTOR HLLSKETCH CURSOR")
_WHOLE = words("INT INTEGER BIGINT SMALLINT UTINYINT TINYINT")


def change(node: Any) -> None:
    """Change a type, or a conversion whose type has been changed."""
    from sqlglot import exp

    if isinstance(node, exp.DataType):
        _change_type(node)
    elif isinstance(node, exp.TryCast):
        inner = _converted(node.this.copy(), node.args["to"])
        node.replace(exp.Anonymous(this="TRY", expressions=[inner]))
    elif isinstance(node, exp.Cast):
        node.replace(_converted(node.this.copy(), node.args["to"]))


def _change_type(node: Any) -> None:
    from sqlglot import exp

    if node.meta.get("changed"):
        return
    name = node.this.name if hasattr(node.this, "name") else str(node.this)
    parameters = [each.name for each in node.expressions]
    if name == "USERDEFINED":
        kind = str(node.args.get("kind") or "").upper()
        if kind not in _USER_TYPES:
            raise not_supported(f"the type {kind}.")
        made = _USER_TYPES[kind]
    elif name in _REFUSED:
        raise not_supported(f"the type {name}.")
    elif name == "DECIMAL":
        precision, scale = ([*parameters, "0"] if parameters else ["18", "0"])[:2]
        made = f"DECIMAL({precision}, {scale})"
    else:
        made = _TYPES.get(name, name)
    changed = exp.DataType.build(made, dialect="duckdb", udt=True)
    changed.meta.update(changed=True, name=name, length=parameters[0] if parameters else "")
    node.replace(changed)


def _converted(value: Any, to: Any) -> Any:
    """A conversion to a changed type, as T-SQL does it."""
    from sqlglot import exp

    name, length = to.meta.get("name", ""), to.meta.get("length", "")
    if name in ("CHAR", "NCHAR", "VARCHAR", "NVARCHAR", "TEXT"):
        text = exp.Anonymous(this=PREFIX + "text", expressions=[value])
        return _cut(text, name, length or ("MAX" if name == "TEXT" else str(_CAST_LENGTH)))
    if name in _WHOLE:
        value = exp.Anonymous(this=PREFIX + "whole", expressions=[value])
    elif name in ("DATE", "DATETIME", "DATETIME2", "SMALLDATETIME"):
        value = exp.Anonymous(this=PREFIX + "moment", expressions=[value])
    return exp.Cast(this=value, to=to.copy())


def _cut(text: Any, name: str, length: str) -> Any:
    from sqlglot import exp

    if not length.isdigit():
        return text
    cut = exp.Anonymous(this="left", expressions=[text, exp.Literal.number(length)])
    if name in ("CHAR", "NCHAR"):
        return exp.Anonymous(
            this="rpad", expressions=[cut, exp.Literal.number(length), exp.Literal.string(" ")]
        )
    return cut


def parsed_literal(text: str) -> Any:
    """DuckDB's own text, put where it stands without being read again."""
    from sqlglot import exp

    return exp.Var(this=text)


def as_integer(node: Any) -> Any:
    """A whole number, as functions that make intervals want it."""
    from sqlglot import exp

    whole = exp.Anonymous(this=PREFIX + "whole", expressions=[node.copy()])
    kind = exp.DataType.build("INTEGER", dialect="duckdb")
    kind.meta.update(changed=True, name="", length="")
    return exp.Cast(this=whole, to=kind)


def plain_sum(first: Any, second: Any) -> Any:
    """An addition that stays DuckDB's own, in parentheses."""
    from sqlglot import exp

    node = exp.Add(this=first, expression=second)
    node.meta["plain"] = True
    return exp.Paren(this=node)


@functools.lru_cache(maxsize=512)
def variable_conversion(type_text: str) -> tuple[str, str, int | None]:
    """DuckDB's type of a variable, T-SQL's name of it, and its length if it is a text's."""
    made, name, length = _parsed_type(type_text)
    if name in ("CHAR", "NCHAR", "VARCHAR", "NVARCHAR"):
        if not length:
            return made, name, 1
        return made, name, int(length) if length.isdigit() else None
    return made, name, None


def _parsed_type(type_text: str) -> tuple[str, str, str]:
    from sqlglot import exp, parse_one
    from sqlglot.errors import ParseError

    try:
        tree: Any = parse_one(f"SELECT CAST(NULL AS {type_text})", read="tsql")
    except ParseError:
        raise not_supported(f"the type {type_text}.") from None
    _change_type(tree.find(exp.DataType))
    kind = tree.find(exp.DataType)
    return kind.sql(dialect="duckdb"), kind.meta["name"], kind.meta["length"]
