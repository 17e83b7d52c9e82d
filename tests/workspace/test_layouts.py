from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quire.errors import InvalidValue, NotFound
from quire.workspace import layouts
from quire.workspace.layouts import Layout, Place, Row, Tab, layout_of, set_layout
from tests.workspace.notebooks import make_notebook

HALF = 24


def _layout() -> Layout:
    first = Row("r1", (Place("a", column_span=HALF), Place("b", column=HALF, column_span=HALF)))
    return Layout(
        (
            Tab("t1", "One", (first, Row("r2", (Place("c", height=300, show_input=False),)))),
            Tab("t2", "Two", (Row("r3"),)),
        )
    )


def _shape(layout: Layout) -> dict[str, dict[str, list[str]]]:
    return {
        tab.id: {row.id: [place.cell_id for place in row.cells] for row in tab.rows}
        for tab in layout.tabs
    }


def test_a_layout_is_kept_in_its_notebook() -> None:
    notebook = make_notebook("a", "b", "c")
    assert layout_of(notebook) is None
    set_layout(notebook, _layout())
    assert layout_of(notebook) == _layout()
    assert notebook["metadata"]["quire"]["flavour"] == "plain"
    set_layout(notebook, Layout())
    assert layout_of(notebook) is None
    assert notebook == make_notebook("a", "b", "c")


def test_a_layout_has_no_cells_of_others() -> None:
    notebook = make_notebook("a", "b")
    with pytest.raises(NotFound, match="c does not exist"):
        set_layout(notebook, _layout())
    assert layout_of(notebook) is None


@pytest.mark.parametrize(
    "stored",
    [
        "x",
        {},
        {"tabs": 1},
        {"tabs": [1]},
        {"tabs": [{"id": "t", "name": "", "rows": []}]},
        {"tabs": [{"id": "t", "name": "n", "rows": [{"id": "r", "cells": [{"cell_id": "a"}]}]}]},
    ],
)
def test_a_layout_that_is_not_understood_is_none(stored: object) -> None:
    notebook = make_notebook("a")
    notebook["metadata"]["quire"]["layout"] = stored
    assert layout_of(notebook) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda it: layouts.add_tab(it, Tab("t", "New"), 1),
            {"t1": {"r1": ["a", "b"], "r2": ["c"]}, "t": {}, "t2": {"r3": []}},
        ),
        (
            lambda it: layouts.move_tab(it, "t2", 0),
            {"t2": {"r3": []}, "t1": {"r1": ["a", "b"], "r2": ["c"]}},
        ),
        (lambda it: layouts.remove_tab(it, "t1"), {"t2": {"r3": []}}),
        (
            lambda it: layouts.add_row(it, "t2", Row("r"), 0),
            {"t1": {"r1": ["a", "b"], "r2": ["c"]}, "t2": {"r": [], "r3": []}},
        ),
        (
            lambda it: layouts.move_row(it, "r1", 1),
            {"t1": {"r2": ["c"], "r1": ["a", "b"]}, "t2": {"r3": []}},
        ),
        (
            lambda it: layouts.move_row(it, "r1", 0, "t2"),
            {"t1": {"r2": ["c"]}, "t2": {"r1": ["a", "b"], "r3": []}},
        ),
        (lambda it: layouts.remove_row(it, "r2"), {"t1": {"r1": ["a", "b"]}, "t2": {"r3": []}}),
        (
            lambda it: layouts.put_cell(it, "r3", Place("a")),
            {"t1": {"r1": ["b"], "r2": ["c"]}, "t2": {"r3": ["a"]}},
        ),
        (
            lambda it: layouts.put_cell(it, "r1", Place("a", column_span=4)),
            {"t1": {"r1": ["a", "b"], "r2": ["c"]}, "t2": {"r3": []}},
        ),
        (
            lambda it: layouts.remove_cell(it, "c"),
            {"t1": {"r1": ["a", "b"], "r2": []}, "t2": {"r3": []}},
        ),
    ],
)
def test_changes(
    change: Callable[[Layout], Layout], expected: dict[str, dict[str, list[str]]]
) -> None:
    layout = _layout()
    changed = change(layout)
    assert _shape(changed) == expected
    assert list(_shape(changed)) == list(expected)
    assert layout == _layout()  # the one before is as it was


def test_a_tab_gets_another_name() -> None:
    assert layouts.rename_tab(_layout(), "t2", "Zwei").tabs[1].name == "Zwei"


def test_a_cell_that_stays_in_its_row_changes_there() -> None:
    changed = layouts.put_cell(_layout(), "r1", Place("a", column_span=4, show_output=False))
    assert changed.tabs[0].rows[0].cells[0] == Place("a", column_span=4, show_output=False)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda it: layouts.add_tab(it, Tab("t1", "New")), "tabId"),
        (lambda it: layouts.add_tab(it, Tab("t", "New"), 3), "index"),
        (lambda it: layouts.add_tab(it, Tab("t", "New", (Row("r1"),))), "rowId"),
        (lambda it: layouts.add_tab(it, Tab("t", "N", (Row("r", (Place("a"),)),))), "cellId"),
        (lambda it: layouts.rename_tab(it, "t1", " "), "name"),
        (lambda it: layouts.rename_tab(it, "x", "n"), "tabId"),
        (lambda it: layouts.move_tab(it, "t1", -1), "index"),
        (lambda it: layouts.remove_tab(it, "x"), "tabId"),
        (lambda it: layouts.add_row(it, "x", Row("r")), "tabId"),
        (lambda it: layouts.add_row(it, "t1", Row("r3")), "rowId"),
        (lambda it: layouts.move_row(it, "x", 0), "rowId"),
        (lambda it: layouts.move_row(it, "r1", 0, "x"), "tabId"),
        (lambda it: layouts.remove_row(it, "x"), "rowId"),
        (lambda it: layouts.put_cell(it, "x", Place("a")), "rowId"),
    ],
)
def test_changes_that_are_refused(change: Callable[[Layout], Layout], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        change(_layout())
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"column": -1}, "column"),
        ({"column": 45}, "column"),
        ({"column_span": 3}, "columnSpan"),
        ({"column_span": 49}, "columnSpan"),
        ({"column": 1, "column_span": 48}, "columnSpan"),
        ({"vertical_offset": -1}, "verticalOffset"),
        ({"height": 0}, "height"),
        ({"input_height": 100_001}, "inputHeight"),
    ],
)
def test_places_that_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Place("a", **fields)
    assert caught.value.field == field


def test_the_last_place_of_the_grid() -> None:
    assert Place("a", column=44, column_span=4).column == 44
