from __future__ import annotations

import pytest

from quire.errors import InvalidValue, NotFound
from quire.workspace import formats
from quire.workspace.cells import add_cell
from quire.workspace.formats.document import code_cell
from quire.workspace.worksheets import (
    Worksheet,
    add_worksheet,
    cells_on,
    worksheet_of,
    worksheets_of,
)
from tests.workspace.notebooks import ids, make_notebook


def test_every_notebook_has_a_sheet() -> None:
    notebook = make_notebook("a", "b")
    assert worksheets_of(notebook) == [Worksheet("1", "Sheet 1")]
    assert ids(cells_on(notebook, 0)) == ["a", "b"]
    assert "quire" not in notebook["cells"][0]["metadata"]
    with pytest.raises(NotFound):
        cells_on(notebook, 1)


def test_a_sheet_at_the_end() -> None:
    notebook = make_notebook("a", "b")
    sheet, index = add_worksheet(notebook, "s2", code_cell("", id="c"))
    assert (sheet, index) == (Worksheet("s2", "Sheet 2"), 1)
    assert ids(cells_on(notebook, 0)) == ["a", "b"]
    assert ids(cells_on(notebook, 1)) == ["c"]
    assert worksheet_of(notebook, "c") == sheet


def test_runs_take_the_sheets_in_their_order() -> None:
    notebook = make_notebook("a")
    add_worksheet(notebook, "s3", code_cell("", id="c"), name="third")
    add_worksheet(notebook, "s2", code_cell("", id="b"), name="second", index=1)
    add_worksheet(notebook, "s0", code_cell("", id="o"), name="zeroth", index=0)
    assert [sheet.name for sheet in worksheets_of(notebook)] == [
        "zeroth",
        "Sheet 1",
        "second",
        "third",
    ]
    assert ids(notebook["cells"]) == ["o", "a", "b", "c"]
    add_cell(notebook, code_cell("", id="b2"), after="b")
    add_cell(notebook, code_cell("", id="b0"), before="b")
    add_cell(notebook, code_cell("", id="o2"))
    assert [ids(cells_on(notebook, number)) for number in range(4)] == [
        ["o", "o2"],
        ["a"],
        ["b0", "b", "b2"],
        ["c"],
    ]
    assert ids(notebook["cells"]) == ["o", "o2", "a", "b0", "b", "b2", "c"]


def test_cells_of_other_editors_are_on_the_sheet_before_them() -> None:
    notebook = make_notebook("a")
    add_worksheet(notebook, "s2", code_cell("", id="b"))
    notebook["cells"].append(code_cell("", id="new"))
    notebook["cells"].insert(1, code_cell("", id="old"))
    assert ids(cells_on(notebook, 0)) == ["a", "old"]
    assert ids(cells_on(notebook, 1)) == ["b", "new"]


@pytest.mark.parametrize(
    "stored", [None, "x", [], [1], [{}], [{"id": 1}], {"id": "s"}], ids=lambda each: str(each)
)
def test_sheets_that_are_not_understood_are_one(stored: object) -> None:
    notebook = make_notebook("a")
    notebook["metadata"]["quire"] = {"worksheets": stored}
    assert len(worksheets_of(notebook)) == 1
    assert ids(cells_on(notebook, 0)) == ["a"]


@pytest.mark.parametrize("format_name", ["ipynb"])
def test_sheets_survive_a_format(format_name: str) -> None:
    notebook = make_notebook("a")
    add_worksheet(notebook, "s2", code_cell("", id="b"), name="Zweites Blatt")
    data = formats.write(format_name, notebook, name="n")
    read = formats.read(format_name, data, language=None)
    assert worksheets_of(read) == worksheets_of(notebook)
    assert ids(cells_on(read, 1)) == ["b"]


@pytest.mark.parametrize(
    ("name", "index", "field"),
    [
        ("", None, "name"),
        (" ", None, "name"),
        ("x" * 256, None, "name"),
        ("Sheet 1", None, "name"),
        (None, 2, "worksheetIndex"),
        (None, -1, "worksheetIndex"),
    ],
)
def test_sheets_that_are_refused(name: str | None, index: int | None, field: str) -> None:
    notebook = make_notebook("a")
    with pytest.raises(InvalidValue) as caught:
        add_worksheet(notebook, "s2", code_cell("", id="b"), name=name, index=index)
    assert caught.value.field == field
    assert notebook == make_notebook("a")
