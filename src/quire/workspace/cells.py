"""Cells of a notebook: found, made, changed and taken away, one at a time.

All here alter a canonical notebook in place and store nothing; ``Workspace.edit_notebook`` does.
Controls and worksheets have modules of their own, which these use.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from quire.errors import InvalidValue, NotFound
from quire.workspace.controls import (
    CONTROL_TYPE,
    METADATA_KEY,
    Control,
    control_metadata,
    control_of,
    source_of,
)
from quire.workspace.formats.document import code_cell, markdown_cell
from quire.workspace.layouts import forget_cell
from quire.workspace.worksheets import cells_on, put_on, worksheet_of, worksheets_of

__all__ = [
    "CellKind",
    "QUERY_TYPE",
    "add_cell",
    "delete_cell",
    "find_cell",
    "kind_of",
    "new_cell_id",
    "new_code_cell",
    "new_control_cell",
    "new_query_cell",
    "new_text_cell",
    "query_facts",
    "set_control",
    "set_query_facts",
]

QUERY_TYPE = "SQL"
"""What the metadata of a cell say whose source is SQL that is sent to a database."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 22


class CellKind(StrEnum):
    """What a cell is to those who edit it."""

    CODE = "code"
    TEXT = "text"  # Markdown, or raw
    QUERY = "query"  # SQL, whose result becomes a variable
    CONTROL = "control"


def new_cell_id() -> str:
    """An id that no other cell has."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))


def kind_of(cell: Mapping[str, Any]) -> CellKind:
    """What a cell is."""
    if cell["cell_type"] != "code":
        return CellKind.TEXT
    if control_of(cell) is not None:
        return CellKind.CONTROL
    return CellKind.QUERY if _own(cell).get("type") == QUERY_TYPE else CellKind.CODE


def find_cell(notebook: Mapping[str, Any], cell_id: str) -> dict[str, Any]:
    """Raises NotFound."""
    for cell in notebook["cells"]:
        if cell["id"] == cell_id:
            found: dict[str, Any] = cell
            return found
    raise NotFound("cell", cell_id)


# New ones, which are on no notebook yet


def new_code_cell(source: str) -> dict[str, Any]:
    """A cell of code that never ran."""
    return code_cell(source, id=new_cell_id())


def new_text_cell(source: str) -> dict[str, Any]:
    """A Markdown cell."""
    return markdown_cell(source, id=new_cell_id())


def new_query_cell(source: str, database: str | None, variable: str | None) -> dict[str, Any]:
    """A cell of SQL. database: None for the server's own; variable: None for no variable."""
    cell = new_code_cell(source)
    set_query_facts(cell, database, variable)
    return cell


def new_control_cell(control: Control) -> dict[str, Any]:
    """A cell that is this control."""
    return code_cell(source_of(control), id=new_cell_id(), metadata=control_metadata(control))


# What particular cells hold


def query_facts(cell: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The database and the variable of a cell of SQL."""
    own = _own(cell)
    database, variable = own.get("databaseId"), own.get("variableName")
    return (
        database if isinstance(database, str) else None,
        variable if isinstance(variable, str) else None,
    )


def set_query_facts(cell: dict[str, Any], database: str | None, variable: str | None) -> None:
    """Say what a cell of SQL asks and what takes its result. Raises InvalidValue."""
    if variable is not None and not variable.isidentifier():
        raise InvalidValue("data.variableName", f"{variable!r} is no name of a variable.")
    cell["metadata"][METADATA_KEY] = {
        **_own(cell),
        "type": QUERY_TYPE,
        "databaseId": database,
        "variableName": variable,
    }


def set_control(cell: dict[str, Any], control: Control) -> None:
    """Give a control cell another control of the same kind. Raises InvalidValue."""
    present = control_of(cell)
    if present is None:
        raise InvalidValue("cellId", f"cell {cell['id']} is not a control.")
    if present.kind is not control.kind:
        raise InvalidValue(
            "control.controlType", "a control keeps its kind.", allowed=[present.kind]
        )
    own = {**_own(cell), "type": CONTROL_TYPE, "control": dict(control.data)}
    cell["metadata"][METADATA_KEY] = own
    cell["source"] = source_of(control)


# Places


def add_cell(
    notebook: dict[str, Any],
    cell: dict[str, Any],
    *,
    after: str | None = None,
    before: str | None = None,
) -> None:
    """Put a cell after or before another, on that one's sheet, or at the end of the first sheet.

    Raises NotFound for a cell that is not there, InvalidValue when both are named.
    """
    if after is not None and before is not None:
        raise InvalidValue("beforeCellId", "afterCellId and beforeCellId cannot both be given.")
    cells = notebook["cells"]
    anchor = after if after is not None else before
    if anchor is None:
        sheet = worksheets_of(notebook)[0]
        present = cells_on(notebook, 0)
        position = cells.index(present[-1]) + 1 if present else 0
    else:
        sheet = worksheet_of(notebook, anchor)
        position = next(number for number, each in enumerate(cells) if each["id"] == anchor)
        position += after is not None
    put_on(notebook, cell, sheet)
    cells.insert(position, cell)


def delete_cell(notebook: dict[str, Any], cell_id: str) -> None:
    """Take a cell out of a notebook and of its layout. Raises NotFound."""
    notebook["cells"].remove(find_cell(notebook, cell_id))
    forget_cell(notebook, cell_id)


def _own(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    own = cell["metadata"].get(METADATA_KEY)
    return own if isinstance(own, Mapping) else {}
