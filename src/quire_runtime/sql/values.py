"""Python values as SQL takes them.

Owns: what a notebook's value is for a database (numpy and pandas scalars included), and its type
and literal in DuckDB's words.
"""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from typing import Any

__all__ = ["as_list", "as_value", "literal", "type_of"]

_INT_LIMIT = 2**31
_BIGINT_LIMIT = 2**63


def as_list(value: Any) -> list[Any] | None:
    """The items of a list of values (list, tuple, set, range, array, series); None for no list."""
    if isinstance(value, (str, bytes, bytearray, dict)):
        return None
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [as_value(item) for item in value]
    to_list = getattr(value, "tolist", None)
    if callable(to_list) and getattr(value, "shape", ()) != ():
        items = to_list()
        return [as_value(item) for item in items]
    return None


def as_value(value: Any) -> Any:
    """A value a database driver takes: None, bool, int, float, Decimal, str, bytes, date, UUID.

    Raises TypeError for anything else.
    """
    if value is None or isinstance(value, (bool, int, str, bytes, decimal.Decimal, uuid.UUID)):
        return None if type(value).__name__ == "NaTType" else value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, bytearray):
        return bytes(value)
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    to_datetime = getattr(value, "to_pydatetime", None)
    if callable(to_datetime):
        return to_datetime()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)):
        return value
    item = getattr(value, "item", None)  # a scalar of numpy
    if callable(item) and getattr(value, "shape", None) == ():
        return as_value(item())
    raise TypeError(
        f"a {type(value).__name__} cannot be passed to SQL; text, numbers, booleans, dates, None "
        "and lists of these can"
    )


def type_of(value: Any) -> str:
    """The type a value has in DuckDB."""
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        if -_INT_LIMIT <= value < _INT_LIMIT:
            return "INTEGER"
        return "BIGINT" if -_BIGINT_LIMIT <= value < _BIGINT_LIMIT else "HUGEINT"
    if isinstance(value, float):
        return "DOUBLE"
    if isinstance(value, decimal.Decimal):
        _, digits, exponent = value.as_tuple()
        scale = max(0, -exponent) if isinstance(exponent, int) else 0
        return f"DECIMAL({max(len(digits), scale, 1)}, {scale})"
    if isinstance(value, bytes):
        return "BLOB"
    if isinstance(value, datetime.datetime):
        return "TIMESTAMP" if value.tzinfo is None else "TIMESTAMP WITH TIME ZONE"
    if isinstance(value, datetime.date):
        return "DATE"
    if isinstance(value, datetime.time):
        return "TIME"
    if isinstance(value, datetime.timedelta):
        return "INTERVAL"
    return "UUID" if isinstance(value, uuid.UUID) else "VARCHAR"


def literal(value: Any, type_name: str | None = None) -> str:
    """A value as a literal of DuckDB with a type, its own where none is given."""
    kind = type_name or type_of(value)
    if value is None:
        return f"CAST(NULL AS {kind})"
    if isinstance(value, bytes):
        return f"CAST(unhex('{value.hex()}') AS {kind})"
    if isinstance(value, bool):
        text = "TRUE" if value else "FALSE"
    elif isinstance(value, float):
        text = repr(value) if math.isfinite(value) else f"'{value}'"
    elif isinstance(value, decimal.Decimal):
        text = f"{value:f}"
    elif isinstance(value, int):
        text = str(value)
    elif isinstance(value, datetime.timedelta):
        microseconds = value // datetime.timedelta(microseconds=1)
        text = f"to_microseconds({microseconds})"
    else:
        text = "'" + str(value).replace("'", "''") + "'"
    return f"CAST({text} AS {kind})"
