"""Layouts of reports in the vendor's words (contract 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quire.dialects.datalore import wire_notebooks as wire
from quire.errors import InvalidValue, MissingField
from quire.workspace import layouts
from quire.workspace.layouts import Layout, Place, Row, Tab, new_part_id

__all__ = ["apply_operations", "describe_layout", "read_tabs"]


def describe_layout(layout: Layout | None) -> dict[str, Any]:
    """A notebook's layout."""
    tabs = layout.tabs if layout is not None else ()
    return {
        "initialized": layout is not None,
        "tabs": [
            {
                "tabId": tab.id,
                "name": tab.name,
                "rows": [
                    {"rowId": row.id, "cells": [_describe_place(place) for place in row.cells]}
                    for row in tab.rows
                ],
            }
            for tab in tabs
        ],
    }


def read_tabs(tabs: Sequence[wire.ReportTab]) -> Layout:
    """The layout that a request gives whole. Raises InvalidValue."""
    return Layout(tuple(map(_tab, tabs)))


def apply_operations(layout: Layout, operations: Sequence[wire.Operation]) -> Layout:
    """The layout after all the operations.

    Raises MissingField, InvalidValue and NotFound (a cell that is not there), naming the operation.
    """
    for number, operation in enumerate(operations):
        try:
            layout = _OPERATIONS[operation.type](layout, operation)
        except MissingField as error:
            raise MissingField(f"operations[{number}].{error.field}") from None
        except InvalidValue as error:
            text = error.message.partition(": ")[2]
            raise InvalidValue(f"operations[{number}].{error.field}", text) from None
    return layout


def _describe_place(place: Place) -> dict[str, Any]:
    described: dict[str, Any] = {
        "cellId": place.cell_id,
        "column": place.column,
        "columnSpan": place.column_span,
        "verticalOffset": place.vertical_offset,
        "showInput": place.show_input,
        "showOutput": place.show_output,
    }
    if place.height is not None:
        described["height"] = place.height
    if place.input_height is not None:
        described["inputHeight"] = place.input_height
    return described


def _tab(tab: wire.ReportTab) -> Tab:
    return Tab(tab.tab_id or new_part_id(), tab.name, tuple(map(_row, tab.rows)))


def _row(row: wire.ReportRow) -> Row:
    return Row(row.row_id or new_part_id(), tuple(map(_place, row.cells)))


def _place(cell: wire.ReportCell) -> Place:
    return Place(**cell.model_dump())


def _needed(operation: wire.Operation, name: str) -> Any:
    value = getattr(operation, name)
    if value is None:
        raise MissingField(wire.Operation.model_fields[name].alias or name)
    return value


def _add_tab(layout: Layout, it: wire.Operation) -> Layout:
    rows = tuple(map(_row, it.rows or ()))
    tab = Tab(it.tab_id or new_part_id(), _needed(it, "name"), rows)
    return layouts.add_tab(layout, tab, it.index)


def _add_row(layout: Layout, it: wire.Operation) -> Layout:
    row = Row(it.row_id or new_part_id(), tuple(map(_place, it.cells or ())))
    return layouts.add_row(layout, _needed(it, "tab_id"), row, it.index)


_OPERATIONS: Mapping[str, Callable[[Layout, wire.Operation], Layout]] = {
    "ADD_TAB": _add_tab,
    "RENAME_TAB": lambda layout, it: layouts.rename_tab(
        layout, _needed(it, "tab_id"), _needed(it, "name")
    ),
    "MOVE_TAB": lambda layout, it: layouts.move_tab(
        layout, _needed(it, "tab_id"), _needed(it, "index")
    ),
    "REMOVE_TAB": lambda layout, it: layouts.remove_tab(layout, _needed(it, "tab_id")),
    "ADD_ROW": _add_row,
    "MOVE_ROW": lambda layout, it: layouts.move_row(
        layout, _needed(it, "row_id"), _needed(it, "index"), it.tab_id
    ),
    "REMOVE_ROW": lambda layout, it: layouts.remove_row(layout, _needed(it, "row_id")),
    "UPSERT_CELL": lambda layout, it: layouts.put_cell(
        layout, _needed(it, "row_id"), _place(_needed(it, "cell"))
    ),
    "REMOVE_CELL": lambda layout, it: layouts.remove_cell(layout, _needed(it, "cell_id")),
}
