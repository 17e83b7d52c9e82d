"""What a kernel is told to execute for a cell.

Mostly its source. Cells of another language than the kernel's go through a magic of the runtime,
and so do cells that are sent to a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quire.workspace.cells import CellKind, kind_of, query_facts

__all__ = ["code_of"]


def code_of(cell: Mapping[str, Any], magic: str | None) -> str:
    """The code of a cell, for a Python kernel.

    ``magic``: the cell magic of the notebook's own language; None: that is Python.
    """
    source = "".join(cell["source"])
    if kind_of(cell) is CellKind.QUERY:
        return _query(source, *query_facts(cell))
    if magic is not None and source.lstrip()[:1] not in ("%", "!"):
        return f"%%{magic}\n{source}"
    return source


def _query(source: str, database: str | None, variable: str | None) -> str:
    """Send SQL to a database and put what it gives into a variable."""
    options = ""
    if database:
        options += f" -connection {_quoted(database)}"
    if variable:
        options += f" -bind {_quoted(variable)}"
    return f"%%database{options}\n{source}"


def _quoted(value: str) -> str:
    """A value of an option. What no name holds is replaced, so that it stays one value."""
    return '"' + "".join(" " if each in '"\\\r\n' else each for each in value) + '"'
