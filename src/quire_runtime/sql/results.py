"""What statements give: rows as a pandas frame, counts of changed rows, messages.

Owns: the record of one result, and frames from rows without losing digits: whole numbers with gaps
stay whole (``Int64``), decimals with more digits than a float holds stay decimals.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from quire_runtime.sql.errors import SqlError

__all__ = ["SqlResult", "frame_of", "keeping", "last_frame"]

_FLOAT_DIGITS = 15
_LONG_LIMIT = 2**63


@dataclass(frozen=True)
class SqlResult:
    """One result of one statement; exactly one of the first three is not None.

    ``frame`` holds the rows of a query, ``row_count`` how many rows a statement changed,
    ``message`` a text (``PRINT``, a notice of the database).
    """

    frame: Any = None
    row_count: int | None = None
    message: str | None = None
    line: int | None = None


def last_frame(results: Sequence[SqlResult]) -> Any:
    """The rows of the last query among these; None when there was none."""
    for result in reversed(results):
        if result.frame is not None:
            return result.frame
    return None


@contextmanager
def keeping(results: Sequence[SqlResult]) -> Iterator[None]:
    """Give the results so far to an error that ends a run of statements."""
    try:
        yield
    except SqlError as error:
        error.results = results
        raise


def frame_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """Rows as a pandas frame; columns keep their order and their names, repeated ones too."""
    import pandas as pd

    columns = list(zip(*rows)) if rows else [()] * len(names)
    series = [_column(values) for values in columns]
    frame = pd.concat(series, axis=1) if series else pd.DataFrame(index=range(len(rows)))
    frame.columns = pd.Index([str(name) for name in names], dtype=object)
    return frame


def _column(values: Sequence[Any]) -> Any:
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    gaps = any(value is None for value in values)
    if not kinds:
        return pd.Series(list(values), dtype=object)
    if kinds == {bool}:
        return pd.Series(list(values), dtype="boolean" if gaps else "bool")
    if kinds == {int}:
        if all(value is None or -_LONG_LIMIT <= value < _LONG_LIMIT for value in values):
            return pd.Series(list(values), dtype="Int64" if gaps else "int64")
        return pd.Series(list(values), dtype=object)
    if kinds == {decimal.Decimal}:
        if all(value is None or _fits_float(value) for value in values):
            return pd.Series([None if v is None else float(v) for v in values], dtype="float64")
        return pd.Series(list(values), dtype=object)
    if kinds <= {str, bytes, dict, list}:
        return pd.Series(list(values), dtype=object)
    return pd.Series(list(values))


def _fits_float(value: decimal.Decimal) -> bool:
    return len(value.as_tuple().digits) <= _FLOAT_DIGITS
