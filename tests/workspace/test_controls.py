"""Controls: what is read, what values they take, what their cells execute."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.errors import InvalidValue, MissingField
from quire.workspace.controls import (
    control_metadata,
    control_of,
    controls_of,
    read_control,
    refresh_sources,
    set_values,
    source_of,
    takes_other_parameters,
    with_value,
)
from quire.workspace.formats.document import code_cell, new_notebook

TEXT = {"controlType": "TEXT_INPUT", "value": "Oslo", "multiline": False}
CHECKBOX = {"controlType": "CHECKBOX", "value": False}
SLIDER = {"controlType": "SLIDER", "value": "1", "min": "0", "max": "10", "step": "1"}
STEEP = {**SLIDER, "step": "0.5"}
DROPDOWN = {"controlType": "DROPDOWN", "items": ["a", "b"], "selectedValue": None}
MULTIPLE = {**DROPDOWN, "multiselect": True}
DYNAMIC = {**DROPDOWN, "items": [], "selectedVariable": "found"}
DYNAMIC_MULTIPLE = {**DYNAMIC, "multiselect": True}
DATE = {"controlType": "DATEPICKER", "startDate": None, "withRange": False}
RANGE = {"controlType": "DATEPICKER", "startDate": "2026-01-01", "withRange": True}
BUTTON = {"controlType": "BUTTON", "label": "Go", "variable": "go"}


def make(data: dict[str, Any]) -> Any:
    return read_control({"label": "L", "variable": "v", **data})


def run(source: str, **names: Any) -> Any:
    """What the variable holds after a control's cell."""
    exec(source, names)
    return names["v"]


def notebook(*controls: dict[str, Any], tags: tuple[str, ...] = ()) -> dict[str, Any]:
    cells = [code_cell("old", metadata=control_metadata(read_control(each))) for each in controls]
    return new_notebook("python", "plain", [code_cell("1", metadata={"tags": list(tags)}), *cells])


@pytest.mark.parametrize(
    ("data", "value", "assigned"),
    [
        (TEXT, "x", "x"),
        (TEXT, "it's \"a\" \\ \n{v} '''", "it's \"a\" \\ \n{v} '''"),
        (TEXT, 5, "5"),
        (TEXT, 0.5, "0.5"),
        (TEXT, True, "true"),
        (CHECKBOX, True, True),
        (CHECKBOX, "FALSE", False),
        (CHECKBOX, "True", True),
        (SLIDER, 7, 7),
        (SLIDER, 7.0, 7),
        (SLIDER, "7", 7),
        (SLIDER, 0, 0),
        (SLIDER, 10, 10),
        (SLIDER, 2.5, 2.5),  # not all four are integers any more
        (STEEP, 7, 7.0),
        (STEEP, "2.5", 2.5),
        (DROPDOWN, "b", "b"),
        (MULTIPLE, ["b", "a"], ["b", "a"]),
        (MULTIPLE, '["b"]', ["b"]),
        (MULTIPLE, [], []),
        (DATE, "2026-04-21", datetime.date(2026, 4, 21)),
        (
            RANGE,
            ["2026-04-21", "2026-05-01"],
            (datetime.date(2026, 4, 21), datetime.date(2026, 5, 1)),
        ),
        (
            RANGE,
            {"startDate": "2026-04-21", "endDate": "2026-05-01"},
            (datetime.date(2026, 4, 21), datetime.date(2026, 5, 1)),
        ),
    ],
)
def test_values(data: dict[str, Any], value: Any, assigned: Any) -> None:
    held = run(source_of(with_value(make(data), value)))
    assert held == assigned
    assert type(held) is type(assigned)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (TEXT, None),
        (TEXT, ["x"]),
        (CHECKBOX, 1),
        (CHECKBOX, "yes"),
        (SLIDER, 11),
        (SLIDER, -0.1),
        (SLIDER, "many"),
        (SLIDER, "nan"),
        (SLIDER, "1_0"),
        (SLIDER, True),
        (SLIDER, None),
        (DROPDOWN, "c"),
        (DROPDOWN, ["a"]),
        (DROPDOWN, None),
        (MULTIPLE, "a"),
        (MULTIPLE, ["a", "c"]),
        (MULTIPLE, [1]),
        (DYNAMIC, 5),
        (DATE, "21.04.2026"),
        (DATE, "2026-02-30"),
        (DATE, "20260421xx"),
        (DATE, 5),
        (RANGE, "2026-04-21"),
        (RANGE, ["2026-04-21"]),
        (RANGE, {"startDate": "2026-04-21"}),
        ({"controlType": "BUTTON"}, "x"),
        ({"controlType": "FILE_UPLOADER"}, "x"),
        ({"controlType": "FILE_DOWNLOADER"}, "x"),
    ],
)
def test_values_that_are_refused(data: dict[str, Any], value: Any) -> None:
    with pytest.raises(InvalidValue, match=r"parameters\.v"):
        with_value(make(data), value, "parameters.v")


@pytest.mark.parametrize(
    ("data", "assigned"),
    [
        (TEXT, "Oslo"),
        (CHECKBOX, False),
        (SLIDER, 1),
        (STEEP, 1.0),
        (DROPDOWN, None),
        (MULTIPLE, []),
        (DYNAMIC, None),
        (DYNAMIC_MULTIPLE, []),
        (DATE, None),
        (RANGE, (datetime.date(2026, 1, 1), None)),
    ],
)
def test_stored_values(data: dict[str, Any], assigned: Any) -> None:
    held = run(source_of(make(data)))
    assert held == assigned
    assert type(held) is type(assigned)


def test_dynamic_dropdown_gives_the_element_itself() -> None:
    one = source_of(with_value(make(DYNAMIC), "2"))
    assert run(one, found=[1, 2, 3]) == 2
    many = source_of(with_value(make(DYNAMIC_MULTIPLE), ["3", "1"]))
    assert run(many, found=(1, 2, 3)) == [3, 1]
    with pytest.raises(KeyError):
        run(one, found=[7])


@given(text=st.text(st.characters(codec="utf-8")))
def test_no_text_breaks_out_of_its_assignment(text: str) -> None:
    for data in (TEXT, DYNAMIC):
        source = source_of(with_value(make(data), text))
        assert run(source, found=[text]) == text
        assert "\n" not in source


@pytest.mark.parametrize("kind", ["BUTTON", "FILE_UPLOADER", "FILE_DOWNLOADER"])
def test_kinds_without_a_value_assign_nothing(kind: str) -> None:
    assert source_of(read_control({"controlType": kind, "label": "os.remove('x')"})) == ""


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (5, "control"),
        ({"label": "x"}, "control.controlType"),
        ({"controlType": "LEVER"}, "control.controlType"),
        ({"controlType": "TEXT_INPUT"}, "control.variable"),
        ({**TEXT, "variable": "two words"}, "control.variable"),
        ({**TEXT, "variable": "class"}, "control.variable"),
        ({**TEXT, "variable": "v", "value": 5}, "control.value"),
        ({**TEXT, "variable": "v", "label": 5}, "control.label"),
        ({**CHECKBOX, "variable": "v", "value": "true"}, "control.value"),
        ({"controlType": "SLIDER", "variable": "v"}, "control.value"),
        ({**SLIDER, "variable": "v", "max": "much"}, "control.max"),
        ({**DROPDOWN, "variable": "v", "items": [1]}, "control.items"),
        ({**DROPDOWN, "variable": "v", "selectedVariable": "f()"}, "control.selectedVariable"),
        ({**DATE, "variable": "v", "startDate": "soon"}, "control.startDate"),
    ],
)
def test_bad_controls_name_the_field(data: Any, field: str) -> None:
    with pytest.raises((InvalidValue, MissingField)) as caught:
        read_control(data)
    assert caught.value.field == field


def test_sources_are_made_anew_and_the_rest_stays() -> None:
    stored = notebook({**TEXT, "label": "City", "variable": "city"})
    stored["cells"][1]["metadata"]["datalore"]["report_properties"] = {"x": 1}
    fresh = refresh_sources(stored)
    assert [cell["source"] for cell in fresh["cells"]] == ["1", "city = 'Oslo'"]
    assert fresh["cells"][1]["metadata"] == stored["cells"][1]["metadata"]
    assert stored["cells"][1]["source"] == "old"


def test_values_of_one_run() -> None:
    stored = notebook(
        {**TEXT, "variable": "city"}, {**SLIDER, "variable": "days"}, {**TEXT, "variable": "city"}
    )
    stored["cells"].append(code_cell("", metadata=control_metadata(read_control(BUTTON))))
    with pytest.raises(InvalidValue, match=r"parameters\.go"):
        set_values(stored, {"go": 1})
    used, left = set_values(stored, {"city": "Rome", "region": "south"})
    assert [cell["source"] for cell in used["cells"]] == [
        "1",
        "city = 'Rome'",
        "days = 1",
        "city = 'Rome'",
        "",
    ]
    assert left == {"region": "south"}
    control = control_of(used["cells"][1])
    assert control is not None
    assert control.data["value"] == "Rome"
    assert stored["cells"][1]["metadata"]["datalore"]["control"]["value"] == "Oslo"


def test_only_notebooks_of_python_have_controls() -> None:
    cell = code_cell("", metadata=control_metadata(make(TEXT)))
    stored = new_notebook("scala", "plain", [cell])
    assert controls_of(stored) == []
    assert set_values(stored, {"v": "Rome"}) == (stored, {"v": "Rome"})


def test_what_is_no_control_is_an_ordinary_cell() -> None:
    odd = {"datalore": {"type": "CONTROL", "control": {"controlType": "LEVER"}}}
    stored = new_notebook("python", "plain", [code_cell("x = 1", metadata=odd)])
    assert refresh_sources(stored) == stored


def test_other_parameters_need_a_place() -> None:
    assert not takes_other_parameters(notebook(), "plain")
    assert takes_other_parameters(notebook(tags=("parameters",)), "plain")
    assert takes_other_parameters(notebook(), "databricks")
