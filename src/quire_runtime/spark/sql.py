"""SQL cells through Spark: statement by statement, the last result shown (Databricks, 10.6)."""

from __future__ import annotations

from typing import Any

from quire_runtime import tables
from quire_runtime.spark.frames import read_frame
from quire_runtime.spark.statements import Lookup, split_statements

__all__ = ["RESULT_NAME", "run_sql"]

RESULT_NAME = "_sqldf"


def run_sql(shell: Any, spark: Any, text: str, lookup: Lookup) -> None:
    """Run the statements of a text; show the last one's rows, and leave them as ``_sqldf``.

    Raises what Spark raises; the statement that failed is the last one begun.
    """
    __tracebackhide__ = True
    frame = table = None
    for statement in split_statements(text, lookup):
        frame = spark.sql(statement.text, args=statement.arguments or None)
        table = read_frame(frame) if frame.columns else None  # runs a query, as its author meant
    if frame is None:
        return
    shell.push({RESULT_NAME: frame}, interactive=False)
    _show(table)


def _show(table: tables.Table | None) -> None:
    from IPython.display import display

    if table is None:
        display({"text/plain": "OK"}, raw=True)  # type: ignore[no-untyped-call]
    else:
        display(table.bundle(), raw=True)  # type: ignore[no-untyped-call]
