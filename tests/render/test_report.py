from __future__ import annotations

from typing import Any

import pytest

from quire.render.report import render_report
from quire.workspace.controls import control_metadata, read_control
from quire.workspace.formats.document import code_cell, markdown_cell, new_notebook
from quire.workspace.layouts import Layout, Place, Row, Tab
from tests.render.test_page import Page, display, hostile


def _stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def _notebook() -> dict[str, Any]:
    return new_notebook(
        "python",
        "plain",
        [
            markdown_cell("# Sales", id="text"),
            code_cell("make_table()", id="table", outputs=[_stream("a table")]),
            code_cell("secret()", id="other", outputs=[_stream("not placed")]),
        ],
    )


def _layout(*places: Place) -> Layout:
    return Layout((Tab("t", "Only", (Row("r", places),)),))


def _placed(page: Page) -> list[str]:
    return [each["style"] for each in page.all("div") if each.get("class") == "placed"]


def test_only_what_is_placed_is_shown_and_where() -> None:
    layout = _layout(
        Place("text", column_span=12),
        Place("table", column=12, column_span=36, vertical_offset=8, height=300),
    )
    page = Page(render_report(_notebook(), layout, "Q1 <sales>"))
    assert _placed(page) == [
        "grid-column:1/span 12",
        "grid-column:13/span 36;margin-top:8px;height:300px",
    ]
    for text in ("Q1 <sales>", "Sales", "make_table()", "a table"):
        assert text in page.text
    assert "secret" not in page.text
    assert "not placed" not in page.text
    assert page.all("label") == []  # one tab needs no names


@pytest.mark.parametrize(
    ("show_input", "show_output", "metadata", "expected"),
    [
        (True, True, {}, ["make_table()", "a table"]),
        (False, True, {}, ["a table"]),
        (True, False, {}, ["make_table()"]),
        (False, False, {}, []),
        (True, True, {"hide_input_from_viewers": True}, ["a table"]),
        (True, True, {"hide_output_from_viewers": True}, ["make_table()"]),
    ],
)
def test_input_and_output_are_shown_apart(
    show_input: bool, show_output: bool, metadata: dict[str, bool], expected: list[str]
) -> None:
    notebook = _notebook()
    notebook["cells"][1]["metadata"] = {"datalore": metadata}
    layout = _layout(Place("table", show_input=show_input, show_output=show_output))
    page = Page(render_report(notebook, layout, "n"))
    assert [each for each in ("make_table()", "a table") if each in page.text] == expected


def test_tabs() -> None:
    layout = Layout(
        (
            Tab("t1", "One", (Row("r1", (Place("text"),)),)),
            Tab("t2", "<Two>", (Row("r2", (Place("table"),)),)),
        )
    )
    page = Page(render_report(_notebook(), layout, "n"))
    assert [each["for"] for each in page.all("label")] == ["tab-0", "tab-1"]
    assert ["checked" in each for each in page.all("input")] == [True, False]
    assert "<Two>" in page.text
    classes = [each["class"] for each in page.all("section")]
    assert classes == ["page page-0", "page page-1"]


def test_cells_that_are_gone_are_left_out() -> None:
    page = Page(render_report(_notebook(), _layout(Place("gone"), Place("text")), "n"))
    assert len(_placed(page)) == 1


def test_an_empty_layout_is_a_page() -> None:
    assert "Empty" in Page(render_report(_notebook(), Layout(), "Empty")).text


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ({"controlType": "TEXT_INPUT", "value": "<Oslo>"}, "<Oslo>"),
        ({"controlType": "TEXT_INPUT", "value": ""}, "—"),
        ({"controlType": "CHECKBOX", "value": True}, "yes"),
        ({"controlType": "CHECKBOX", "value": False}, "no"),
        ({"controlType": "SLIDER", "value": "3", "min": "0", "max": "9", "step": "1"}, "3"),
        ({"controlType": "DROPDOWN", "items": ["a", "b"], "selectedValue": "b"}, "b"),
        ({"controlType": "DROPDOWN", "items": ["a"], "selectedValue": None}, "—"),
        (
            {
                "controlType": "DROPDOWN",
                "items": ["a", "b"],
                "multiselect": True,
                "selectedValues": ["a", "b"],
            },
            "a, b",
        ),
        ({"controlType": "DATEPICKER", "startDate": "2026-01-02"}, "2026-01-02"),
        (
            {
                "controlType": "DATEPICKER",
                "withRange": True,
                "startDate": "2026-01-02",
                "endDate": "2026-02-03",
            },
            "2026-01-02 – 2026-02-03",
        ),
    ],
)
def test_controls_are_shown_as_values(control: dict[str, Any], expected: str) -> None:
    data = {"label": "Choice", "variable": "chosen", **control}
    cell = code_cell("chosen = 1", id="c", metadata=control_metadata(read_control(data)))
    notebook = new_notebook("python", "plain", [cell])
    page = Page(render_report(notebook, _layout(Place("c")), "n"))
    assert f"Choice {expected}" in page.text
    assert "chosen =" not in page.text


def test_a_hostile_notebook_stays_harmless() -> None:
    notebook = hostile()
    places = tuple(Row(cell["id"], (Place(cell["id"]),)) for cell in notebook["cells"])
    text = render_report(notebook, Layout((Tab("t", "</style><script>", places),)), "<script>")
    page = Page(text)
    assert page.all("script") == []
    assert not any(name.startswith("on") for _, found in page.elements for name in found)
    assert "script-src 'none'" in text


def test_where_the_notebook_is_to_be_had() -> None:
    page = Page(render_report(_notebook(), Layout(), "n", download="/report/x/notebook.ipynb"))
    assert page.all("a")[0]["href"] == "/report/x/notebook.ipynb"
    assert Page(render_report(_notebook(), Layout(), "n")).all("a") == []


def test_wide_pages() -> None:
    page = Page(render_report(_notebook(), Layout(), "n", full_width=True))
    assert page.all("main") == [{"class": "notebook full"}]


def test_outputs_past_the_limit_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quire.render.report.MAXIMUM_LENGTH", 50)
    row = Row("r", (Place("table"),))
    layout = Layout((Tab("1", "One", (row,)), Tab("2", "Two", (Row("r2", (Place("other"),)),))))
    page = Page(render_report(_notebook(), layout, "n"))
    assert "a table" in page.text
    assert "not placed" not in page.text
    assert "Not shown" in page.text


def test_styled_html_has_a_document_of_its_own() -> None:
    output = display({"text/html": "<style>p{color:red}</style><p>x</p>"})
    notebook = new_notebook("python", "plain", [code_cell("", id="a", outputs=[output])])
    page = Page(render_report(notebook, _layout(Place("a")), "n"))
    assert page.all("iframe")[0]["sandbox"] == ""
