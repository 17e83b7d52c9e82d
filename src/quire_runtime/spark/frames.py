"""Spark's frames as tables: the first rows, with a word when there are more."""

from __future__ import annotations

import json
import sys
from typing import Any

from quire_runtime import tables
from quire_runtime.tables import ROW_LIMIT, Table

__all__ = ["is_frame", "read_frame", "register"]

BARE_ROW_LIMIT = 1000  # of a frame that merely stands at the end of a cell
KINDS = (
    ("pyspark.sql.classic.dataframe", "DataFrame"),
    ("pyspark.sql.connect.dataframe", "DataFrame"),
)


def is_frame(value: Any) -> bool:
    """Whether this is a frame of Spark's; pyspark is not imported to find out."""
    module = sys.modules.get("pyspark.sql.dataframe")
    return module is not None and isinstance(value, module.DataFrame)


def read_frame(frame: Any, row_limit: int = ROW_LIMIT) -> Table | None:
    """The first rows of a frame; None for one that has no end. Runs its plan as far as needed."""
    if frame.isStreaming:
        return None
    rows = frame.limit(row_limit + 1).collect()
    return tables.build(
        frame.columns,
        ([_plain(cell) for cell in row] for row in rows[:row_limit]),
        more=len(rows) > row_limit,
    )


def register(shell: Any) -> None:
    """Have the shell show a frame at the end of a cell as a table."""
    formatter = shell.display_formatter.mimebundle_formatter
    for module, name in KINDS:
        formatter.for_type_by_name(module, name, _bundle)


def _bundle(frame: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    try:
        table = read_frame(frame, BARE_ROW_LIMIT)
    except Exception as error:  # noqa: BLE001 - the cell itself has done what it should
        message = str(error).strip().partition("\n")[0]
        return {"text/plain": f"{frame!r}\nIts rows cannot be shown: {message}"}
    return {"text/plain": repr(frame)} if table is None else table.bundle()


def _plain(cell: Any) -> Any:
    """Rows, lists and maps within a cell as JSON, as far as they can be."""
    if hasattr(cell, "asDict"):
        cell = cell.asDict(recursive=True)
    if isinstance(cell, (list, tuple, dict)):
        return json.dumps(cell, ensure_ascii=False, default=_text)
    if isinstance(cell, (bytes, bytearray)):
        return bytes(cell).hex()
    return cell


def _text(value: Any) -> Any:
    return value.asDict(recursive=True) if hasattr(value, "asDict") else str(value)
