"""Worksheets: one notebook shown as several pages of cells.

nbformat has one list of cells, and that stays the order in which a run executes them: first the
cells of the first sheet, then those of the second. Which sheet a cell is on is metadata, so every
format that keeps metadata keeps sheets, and one that does not keeps all cells, on one sheet::

    notebook.metadata.quire.worksheets = [{"id": "...", "name": "Sheet 1"}, ...]
    cell.metadata.quire.worksheet = "..."

A notebook without this has one sheet. A cell that names no sheet, as one that another editor put
in, is on the sheet of the cell before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quire.errors import InvalidValue, NotFound

__all__ = ["Worksheet", "add_worksheet", "cells_on", "put_on", "worksheet_of", "worksheets_of"]

_KEY = "quire"
_FIRST = "1"
_MOST = 100
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Worksheet:
    """One page of a notebook."""

    id: str
    name: str


def worksheets_of(notebook: Mapping[str, Any]) -> list[Worksheet]:
    """The sheets of a notebook in their order, at least one."""
    own = notebook.get("metadata", {}).get(_KEY)
    listed = own.get("worksheets") if isinstance(own, Mapping) else None
    found: dict[str, Worksheet] = {}
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, Mapping) and isinstance(each.get("id"), str):
            name = each.get("name")
            shown = name if isinstance(name, str) else f"Sheet {len(found) + 1}"
            found.setdefault(each["id"], Worksheet(each["id"], shown))
    return list(found.values()) or [Worksheet(_FIRST, "Sheet 1")]


def cells_on(notebook: Mapping[str, Any], index: int) -> list[dict[str, Any]]:
    """The cells of a sheet, in order. Raises NotFound when there is no such sheet."""
    sheets = worksheets_of(notebook)
    if not 0 <= index < len(sheets):
        raise NotFound("worksheet", index)
    wanted = sheets[index].id
    places = _places(notebook, sheets)
    return [cell for cell, at in zip(notebook["cells"], places, strict=True) if at == wanted]


def worksheet_of(notebook: Mapping[str, Any], cell_id: str) -> Worksheet:
    """The sheet a cell is on. Raises NotFound."""
    sheets = worksheets_of(notebook)
    for cell, at in zip(notebook["cells"], _places(notebook, sheets), strict=True):
        if cell["id"] == cell_id:
            return next(sheet for sheet in sheets if sheet.id == at)
    raise NotFound("cell", cell_id)


def put_on(notebook: Mapping[str, Any], cell: dict[str, Any], sheet: Worksheet) -> None:
    """Write into a cell which sheet it is on, where a notebook has more than one."""
    if len(worksheets_of(notebook)) > 1:
        _mark(cell, sheet.id)


def add_worksheet(
    notebook: dict[str, Any],
    sheet_id: str,
    first_cell: dict[str, Any],
    *,
    name: str | None = None,
    index: int | None = None,
) -> tuple[Worksheet, int]:
    """Put a sheet with one cell into a notebook, at the end or at an index; it and its index.

    Raises InvalidValue for an index beyond the end, a name that is empty, too long or taken, and
    one sheet too many.
    """
    sheets = worksheets_of(notebook)
    at = len(sheets) if index is None else index
    if not 0 <= at <= len(sheets):
        raise InvalidValue("worksheetIndex", f"{at} is not between 0 and {len(sheets)}.")
    if len(sheets) >= _MOST:
        raise InvalidValue("worksheetIndex", f"a notebook has at most {_MOST} worksheets.")
    sheet = Worksheet(sheet_id, _check_name(name, sheets))
    places = _places(notebook, sheets)
    for cell, place in zip(notebook["cells"], places, strict=True):
        _mark(cell, place)
    later = {each.id for each in sheets[at:]}
    position = next((number for number, place in enumerate(places) if place in later), len(places))
    _mark(first_cell, sheet.id)
    notebook["cells"].insert(position, first_cell)
    sheets.insert(at, sheet)
    own = notebook["metadata"].setdefault(_KEY, {})
    own["worksheets"] = [{"id": each.id, "name": each.name} for each in sheets]
    return sheet, at


def _check_name(name: str | None, sheets: list[Worksheet]) -> str:
    taken = {each.name for each in sheets}
    if name is None:
        number = len(sheets) + 1
        while f"Sheet {number}" in taken:
            number += 1
        return f"Sheet {number}"
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidValue("name", f"it has to have 1 to {_LONGEST_NAME} characters.")
    if name in taken:
        raise InvalidValue("name", f"there is a worksheet {name!r} already.")
    return name


def _places(notebook: Mapping[str, Any], sheets: list[Worksheet]) -> list[str]:
    """The sheet of each cell."""
    known = {each.id for each in sheets}
    place = sheets[0].id
    places = []
    for cell in notebook["cells"]:
        own = cell.get("metadata", {}).get(_KEY)
        named = own.get("worksheet") if isinstance(own, Mapping) else None
        if isinstance(named, str) and named in known:
            place = named
        places.append(place)
    return places


def _mark(cell: dict[str, Any], sheet_id: str) -> None:
    own = cell["metadata"].get(_KEY)
    kept = own if isinstance(own, Mapping) else {}
    cell["metadata"][_KEY] = {**kept, "worksheet": sheet_id}
