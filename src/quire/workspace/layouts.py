"""How a notebook is laid out for readers: tabs of rows, and cells on a grid of 48 columns.

A layout is a part of its notebook, kept in ``metadata.quire.layout``, so it is edited, copied and
published with it. Every function that changes one gives a new layout; a cell stands in at most one
place of it. Which cells are in the notebook is checked where a layout is stored.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from quire.errors import InvalidValue, NotFound

__all__ = [
    "COLUMNS",
    "Layout",
    "Place",
    "Row",
    "Tab",
    "add_row",
    "add_tab",
    "check_cells",
    "forget_cell",
    "layout_of",
    "move_row",
    "move_tab",
    "new_part_id",
    "put_cell",
    "remove_cell",
    "remove_row",
    "remove_tab",
    "rename_tab",
    "set_layout",
]

COLUMNS = 48
_KEY = "quire"
_LAST_START = 44  # the least span is 4
_LEAST_SPAN = 4
_MOST_PIXELS = 100_000
_MOST_TABS = 100
_MOST_PARTS = 10_000
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Place:
    """Where a cell stands in its row, and what is shown of it. Raises InvalidValue when made."""

    cell_id: str
    column: int = 0
    column_span: int = COLUMNS
    vertical_offset: int = 0  # pixels
    height: int | None = None  # pixels; None: as high as it is
    input_height: int | None = None
    show_input: bool = True
    show_output: bool = True

    def __post_init__(self) -> None:
        _check_range("column", self.column, 0, _LAST_START)
        _check_range("columnSpan", self.column_span, _LEAST_SPAN, COLUMNS)
        if self.column + self.column_span > COLUMNS:
            raise InvalidValue("columnSpan", f"column and columnSpan are over {COLUMNS} together.")
        _check_range("verticalOffset", self.vertical_offset, 0, _MOST_PIXELS)
        for name, value in (("height", self.height), ("inputHeight", self.input_height)):
            if value is not None:
                _check_range(name, value, 1, _MOST_PIXELS)


@dataclass(frozen=True)
class Row:
    """Cells beside one another."""

    id: str
    cells: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Tab:
    """One page of a layout. Raises InvalidValue when made with a name that is not allowed."""

    id: str
    name: str
    rows: tuple[Row, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > _LONGEST_NAME:
            raise InvalidValue("name", f"it has to have 1 to {_LONGEST_NAME} characters.")


@dataclass(frozen=True)
class Layout:
    """The tabs. Raises InvalidValue when made with two parts of one id, or a cell twice."""

    tabs: tuple[Tab, ...] = ()

    def __post_init__(self) -> None:
        if len(self.tabs) > _MOST_TABS:
            raise InvalidValue("tabs", f"a layout has at most {_MOST_TABS} of them.")
        _check_unique("tabId", [tab.id for tab in self.tabs])
        _check_unique("rowId", [row.id for row in self.rows])
        _check_unique("cellId", self.cell_ids)

    @property
    def rows(self) -> list[Row]:
        return [row for tab in self.tabs for row in tab.rows]

    @property
    def cell_ids(self) -> list[str]:
        return [place.cell_id for row in self.rows for place in row.cells]


def new_part_id() -> str:
    """An id for a tab or a row."""
    return secrets.token_hex(8)


# In a notebook


def layout_of(notebook: Mapping[str, Any]) -> Layout | None:
    """The layout a notebook holds; None for none, or for one that is not understood."""
    own = notebook.get("metadata", {}).get(_KEY)
    stored = own.get("layout") if isinstance(own, Mapping) else None
    try:
        return None if stored is None else Layout(tuple(_tab(each) for each in stored["tabs"]))
    except (InvalidValue, KeyError, TypeError, AttributeError):
        return None


def set_layout(notebook: dict[str, Any], layout: Layout) -> None:
    """Put a layout into a notebook; one without tabs takes the present one away.

    Raises NotFound for a cell that the notebook does not have.
    """
    check_cells(notebook, layout)
    own = dict(notebook["metadata"].get(_KEY) or {})
    if layout.tabs:
        own["layout"] = {"tabs": [asdict(tab) for tab in layout.tabs]}
    else:
        own.pop("layout", None)
    notebook["metadata"][_KEY] = own


def check_cells(notebook: Mapping[str, Any], layout: Layout) -> None:
    """Raise NotFound for a cell of the layout that the notebook does not have."""
    known = {cell["id"] for cell in notebook["cells"]}
    for cell_id in layout.cell_ids:
        if cell_id not in known:
            raise NotFound("cell", cell_id)


def forget_cell(notebook: dict[str, Any], cell_id: str) -> None:
    """Take a cell out of a notebook's layout; it is fine when it is not there."""
    layout = layout_of(notebook)
    if layout is not None and cell_id in layout.cell_ids:
        set_layout(notebook, remove_cell(layout, cell_id))


# Changes


def add_tab(layout: Layout, tab: Tab, index: int | None = None) -> Layout:
    """Raises InvalidValue for an id that is taken and an index beyond the end."""
    return Layout(_inserted(layout.tabs, tab, index))


def rename_tab(layout: Layout, tab_id: str, name: str) -> Layout:
    """Raises InvalidValue."""
    return _with_tab(layout, replace(_find_tab(layout, tab_id), name=name))


def move_tab(layout: Layout, tab_id: str, index: int) -> Layout:
    """Raises InvalidValue."""
    tab = _find_tab(layout, tab_id)
    return Layout(_inserted(_without(layout.tabs, tab), tab, index))


def remove_tab(layout: Layout, tab_id: str) -> Layout:
    """Raises InvalidValue."""
    return Layout(_without(layout.tabs, _find_tab(layout, tab_id)))


def add_row(layout: Layout, tab_id: str, row: Row, index: int | None = None) -> Layout:
    """Raises InvalidValue."""
    tab = _find_tab(layout, tab_id)
    return _with_tab(layout, replace(tab, rows=_inserted(tab.rows, row, index)))


def move_row(layout: Layout, row_id: str, index: int, tab_id: str | None = None) -> Layout:
    """Move a row within its tab, or to another. Raises InvalidValue."""
    home, row = _find_row(layout, row_id)
    target = home.id if tab_id is None else _find_tab(layout, tab_id).id
    return add_row(remove_row(layout, row_id), target, row, index)


def remove_row(layout: Layout, row_id: str) -> Layout:
    """Raises InvalidValue."""
    tab, row = _find_row(layout, row_id)
    return _with_tab(layout, replace(tab, rows=_without(tab.rows, row)))


def put_cell(layout: Layout, row_id: str, place: Place) -> Layout:
    """Put a cell into a row; one that stands somewhere already changes its place.

    Raises InvalidValue.
    """
    tab, row = _find_row(layout, row_id)
    if any(each.cell_id == place.cell_id for each in row.cells):
        cells = tuple(place if each.cell_id == place.cell_id else each for each in row.cells)
    else:
        if place.cell_id in layout.cell_ids:
            layout = remove_cell(layout, place.cell_id)
            tab, row = _find_row(layout, row_id)
        cells = (*row.cells, place)
    return _with_row(layout, tab, replace(row, cells=cells))


def remove_cell(layout: Layout, cell_id: str) -> Layout:
    """Raises NotFound."""
    for tab in layout.tabs:
        for row in tab.rows:
            cells = tuple(each for each in row.cells if each.cell_id != cell_id)
            if len(cells) < len(row.cells):
                return _with_row(layout, tab, replace(row, cells=cells))
    raise NotFound("cell", cell_id, f"Cell {cell_id} is not in the layout.")


def _find_tab(layout: Layout, tab_id: str) -> Tab:
    for tab in layout.tabs:
        if tab.id == tab_id:
            return tab
    raise InvalidValue("tabId", f"there is no tab {tab_id!r}.")


def _find_row(layout: Layout, row_id: str) -> tuple[Tab, Row]:
    for tab in layout.tabs:
        for row in tab.rows:
            if row.id == row_id:
                return tab, row
    raise InvalidValue("rowId", f"there is no row {row_id!r}.")


def _with_tab(layout: Layout, tab: Tab) -> Layout:
    return Layout(tuple(tab if each.id == tab.id else each for each in layout.tabs))


def _with_row(layout: Layout, tab: Tab, row: Row) -> Layout:
    rows = tuple(row if each.id == row.id else each for each in tab.rows)
    return _with_tab(layout, replace(tab, rows=rows))


def _without(parts: Iterable[Any], part: Any) -> tuple[Any, ...]:
    return tuple(each for each in parts if each.id != part.id)


def _inserted(parts: Sequence[Any], part: Any, index: int | None) -> tuple[Any, ...]:
    at = len(parts) if index is None else index
    if not 0 <= at <= len(parts):
        raise InvalidValue("index", f"{at} is not between 0 and {len(parts)}.")
    return (*parts[:at], part, *parts[at:])


def _check_unique(field: str, ids: Sequence[str]) -> None:
    if len(ids) > _MOST_PARTS:
        raise InvalidValue(field, f"a layout has at most {_MOST_PARTS} of them.")
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            raise InvalidValue(field, f"{each!r} is in the layout twice.")
        seen.add(each)


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidValue(field, f"{value} is not between {least} and {most}.")


# Stored form: as the dataclasses are


def _tab(stored: Mapping[str, Any]) -> Tab:
    rows = tuple(Row(row["id"], tuple(map(_place, row["cells"]))) for row in stored["rows"])
    return Tab(stored["id"], stored["name"], rows)


def _place(stored: Mapping[str, Any]) -> Place:
    return Place(**{each.name: stored[each.name] for each in fields(Place)})
