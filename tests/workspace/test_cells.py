from __future__ import annotations

from typing import Any

import pytest

from quire.errors import InvalidValue, NotFound
from quire.workspace.cells import (
    CellKind,
    add_cell,
    delete_cell,
    find_cell,
    kind_of,
    new_cell_id,
    new_control_cell,
    new_query_cell,
    new_text_cell,
    query_facts,
    set_control,
    set_query_facts,
)
from quire.workspace.controls import read_control
from quire.workspace.formats.document import check, code_cell, raw_cell
from quire.workspace.layouts import Layout, Place, Row, Tab, layout_of, set_layout
from tests.workspace.notebooks import ids, make_notebook

_TEXT = {"controlType": "TEXT_INPUT", "label": "City", "variable": "city", "value": "Oslo"}
_BOX = {"controlType": "CHECKBOX", "label": "", "variable": "city", "value": True}


def _control(**changes: Any) -> dict[str, Any]:
    return new_control_cell(read_control({**_TEXT, **changes}))


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (code_cell("1", id="a"), CellKind.CODE),
        (new_text_cell("# x"), CellKind.TEXT),
        (raw_cell("x", id="a"), CellKind.TEXT),
        (new_query_cell("select 1", None, None), CellKind.QUERY),
        (_control(), CellKind.CONTROL),
        (code_cell("1", id="a", metadata={"datalore": "odd"}), CellKind.CODE),
    ],
)
def test_kinds(cell: dict[str, Any], kind: CellKind) -> None:
    assert kind_of(cell) is kind


def test_new_cells_make_valid_notebooks() -> None:
    notebook = make_notebook("a")
    for cell in (new_text_cell("x"), new_query_cell("select 1", "db", "frame"), _control()):
        add_cell(notebook, cell)
    check(notebook)
    assert len(set(ids(notebook["cells"]))) == 4
    assert len(new_cell_id()) == 22


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, ["a", "b", "new"]),
        ({"after": "a"}, ["a", "new", "b"]),
        ({"before": "a"}, ["new", "a", "b"]),
        ({"after": "b"}, ["a", "b", "new"]),
    ],
)
def test_places(place: dict[str, str], expected: list[str]) -> None:
    notebook = make_notebook("a", "b")
    add_cell(notebook, code_cell("", id="new"), **place)
    assert ids(notebook["cells"]) == expected


def test_the_first_cell_of_an_empty_notebook() -> None:
    notebook = make_notebook()
    add_cell(notebook, code_cell("", id="new"))
    assert ids(notebook["cells"]) == ["new"]


def test_places_that_are_not_there() -> None:
    notebook = make_notebook("a")
    with pytest.raises(NotFound):
        add_cell(notebook, code_cell("", id="new"), after="x")
    with pytest.raises(InvalidValue):
        add_cell(notebook, code_cell("", id="new"), after="a", before="a")
    with pytest.raises(NotFound):
        delete_cell(notebook, "x")
    with pytest.raises(NotFound):
        find_cell(notebook, "x")
    assert ids(notebook["cells"]) == ["a"]


def test_a_deleted_cell_leaves_the_layout() -> None:
    notebook = make_notebook("a", "b")
    row = Row("r", (Place("a", column_span=24), Place("b", column=24, column_span=24)))
    set_layout(notebook, Layout((Tab("t", "Tab", (row,)),)))
    delete_cell(notebook, "a")
    layout = layout_of(notebook)
    assert layout is not None
    assert layout.cell_ids == ["b"]
    assert ids(notebook["cells"]) == ["b"]


def test_facts_of_queries() -> None:
    cell = new_query_cell("select 1", "db", "frame")
    cell["metadata"]["datalore"]["node_id"] = "kept"
    assert query_facts(cell) == ("db", "frame")
    set_query_facts(cell, None, "other")
    assert query_facts(cell) == (None, "other")
    assert cell["metadata"]["datalore"]["node_id"] == "kept"
    with pytest.raises(InvalidValue):
        set_query_facts(cell, None, "not a name")


def test_a_control_keeps_its_kind() -> None:
    cell = _control()
    cell["metadata"]["datalore"]["node_id"] = "kept"
    set_control(cell, read_control({**_TEXT, "value": "Bergen's"}))
    assert cell["source"] == 'city = "Bergen\'s"'
    assert cell["metadata"]["datalore"]["node_id"] == "kept"
    with pytest.raises(InvalidValue, match="TEXT_INPUT"):
        set_control(cell, read_control(_BOX))
    with pytest.raises(InvalidValue, match="is not a control"):
        set_control(code_cell("1", id="a"), read_control(_BOX))
