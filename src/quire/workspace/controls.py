"""Interactive controls: cells whose source is made from a value that people, or runs, choose.

A control is kept in the metadata of a code cell, in the form of Datalore's files and API (Datalore
contract 5)::

    "metadata": {"datalore": {"type": "CONTROL", "control": {"controlType": "TEXT_INPUT",
                              "label": "City", "variable": "city", "value": "Oslo", ...}}}

The cell's source is the assignment that the control means, so the file runs in plain Jupyter too.
It is made anew whenever a notebook is stored, and with a run's own values before it is executed.
Values are written with ``repr``, so none can break out of its assignment.

A cell whose metadata is not a control this module reads is an ordinary cell, left as it is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any

from quire.errors import InvalidValue, MissingField
from quire.runner.parameters import can_assign
from quire.workspace.formats.document import language_of

__all__ = [
    "CONTROL_TYPE",
    "METADATA_KEY",
    "Control",
    "ControlKind",
    "check_parameters",
    "control_metadata",
    "control_of",
    "controls_of",
    "read_control",
    "refresh_sources",
    "set_values",
    "source_of",
    "takes_other_parameters",
    "with_value",
]

METADATA_KEY = "datalore"
"""Cell metadata in the vendor's form: node_id, type, control, databaseId, variableName."""
CONTROL_TYPE = "CONTROL"
_ISO_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


class ControlKind(StrEnum):
    """What a control looks like; the texts are those of the file format."""

    TEXT_INPUT = "TEXT_INPUT"
    CHECKBOX = "CHECKBOX"
    SLIDER = "SLIDER"
    DROPDOWN = "DROPDOWN"
    DATEPICKER = "DATEPICKER"
    BUTTON = "BUTTON"
    FILE_UPLOADER = "FILE_UPLOADER"
    FILE_DOWNLOADER = "FILE_DOWNLOADER"


_WITHOUT_VALUE = frozenset(
    {ControlKind.BUTTON, ControlKind.FILE_UPLOADER, ControlKind.FILE_DOWNLOADER}
)


@dataclass(frozen=True)
class Control:
    """A control that was read and found right."""

    kind: ControlKind
    label: str
    variable: str  # what it assigns to; kinds without a value may have none: ""
    data: Mapping[str, Any]  # the whole of it as it is stored, fields of others included


# Reading


def read_control(value: object, field: str = "control") -> Control:
    """The control that a JSON value describes. Raises MissingField, InvalidValue."""
    if not isinstance(value, Mapping):
        raise InvalidValue(field, "it has to be an object.")
    if "controlType" not in value:
        raise MissingField(f"{field}.controlType")
    name = value["controlType"]
    if not isinstance(name, str) or name not in ControlKind.__members__:
        raise InvalidValue(
            f"{field}.controlType", f"{_shown(name)} is unknown.", allowed=list(ControlKind)
        )
    kind = ControlKind(name)
    label = value.get("label", "")
    if not isinstance(label, str):
        raise InvalidValue(f"{field}.label", "it has to be a text.")
    variable = ""
    if kind not in _WITHOUT_VALUE or "variable" in value:
        variable = _variable(value, f"{field}.variable")
    control = Control(kind, label, variable, value)
    _CHECKS.get(kind, _check_nothing)(control, field)
    return control


def control_of(cell: Mapping[str, Any]) -> Control | None:
    """The control a cell holds; None for every other cell."""
    own = cell["metadata"].get(METADATA_KEY)
    if cell["cell_type"] != "code" or not isinstance(own, Mapping):
        return None
    if own.get("type") != CONTROL_TYPE:
        return None
    try:
        return read_control(own.get("control"))
    except (InvalidValue, MissingField):
        return None


def controls_of(notebook: Mapping[str, Any]) -> list[Control]:
    """The controls of a notebook, in the order of its cells; only Python has any."""
    if language_of(notebook) != "python":
        return []
    found = (control_of(cell) for cell in notebook["cells"])
    return [control for control in found if control is not None]


def control_metadata(control: Control) -> dict[str, Any]:
    """What a new cell's metadata holds to make it this control."""
    return {METADATA_KEY: {"type": CONTROL_TYPE, "control": dict(control.data)}}


# Values


def with_value(control: Control, value: object, field: str = "value") -> Control:
    """The control with another value. Raises InvalidValue for one that it cannot take."""
    if control.kind in _WITHOUT_VALUE:
        raise InvalidValue(field, f"a control of the kind {control.kind} takes no value.")
    return replace(
        control, data={**control.data, **_CONVERSIONS[control.kind](control.data, value, field)}
    )


def source_of(control: Control) -> str:
    """The Python assignment a control means; empty when it assigns nothing."""
    if control.kind in _WITHOUT_VALUE:
        return ""
    return f"{control.variable} = {_EXPRESSIONS[control.kind](control.data)}"


def refresh_sources(notebook: Mapping[str, Any]) -> Mapping[str, Any]:
    """The notebook with the sources of its controls made anew; the argument is left as it is."""
    return _with_controls(notebook, {})


def set_values(
    notebook: Mapping[str, Any], parameters: Mapping[str, Any]
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The notebook with values for its controls, and those parameters that no control has.

    Names are the controls' variables; controls that are not named keep their values. Raises
    InvalidValue for a value that a control cannot take, as ``parameters.<name>``.
    """
    variables = {control.variable for control in controls_of(notebook)}
    left = {name: value for name, value in parameters.items() if name not in variables}
    return _with_controls(notebook, parameters), left


def check_parameters(
    notebook: Mapping[str, Any], flavour: str | None, parameters: Mapping[str, Any]
) -> None:
    """Raise InvalidValue for parameters that a run of this notebook could not be given."""
    _, left = set_values(notebook, parameters)
    if left and not takes_other_parameters(notebook, flavour):
        raise InvalidValue(
            f"parameters.{next(iter(left))}",
            "no control of the notebook has this variable.",
            allowed=[
                each.variable for each in controls_of(notebook) if each.kind not in _WITHOUT_VALUE
            ]
            or None,
        )
    if flavour == "databricks":
        return  # widgets may have any name
    language = language_of(notebook)
    for name in left:
        if not can_assign(name, language):
            raise InvalidValue(
                f"parameters.{name}", f"it cannot be the name of a variable of {language}."
            )


def takes_other_parameters(notebook: Mapping[str, Any], flavour: str | None) -> bool:
    """Whether a notebook can be given parameters that are not values of its controls.

    It can when it has a cell tagged ``parameters``, and when parameters are widgets by its flavour.
    """
    tagged = any("parameters" in cell["metadata"].get("tags", ()) for cell in notebook["cells"])
    return tagged or flavour == "databricks"


def _with_controls(notebook: Mapping[str, Any], parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    if language_of(notebook) != "python":
        return notebook
    cells = []
    for cell in notebook["cells"]:
        control = control_of(cell)
        cells.append(cell if control is None else _with_control(cell, control, parameters))
    return {**notebook, "cells": cells}


def _with_control(
    cell: Mapping[str, Any], control: Control, parameters: Mapping[str, Any]
) -> Mapping[str, Any]:
    metadata = cell["metadata"]
    if control.variable and control.variable in parameters:
        name = control.variable
        control = with_value(control, parameters[name], f"parameters.{name}")
        own = {**metadata[METADATA_KEY], "control": control.data}
        metadata = {**metadata, METADATA_KEY: own}
    return {**cell, "metadata": metadata, "source": source_of(control)}


# Text


def _check_text(control: Control, field: str) -> None:
    if not isinstance(control.data.get("value", ""), str):
        raise InvalidValue(f"{field}.value", "it has to be a text.")


def _convert_text(_: Mapping[str, Any], value: object, field: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"value": value}
    if isinstance(value, bool | int | float):
        return {"value": json.dumps(value)}
    raise InvalidValue(field, f"expected a text, a number or a boolean, not {_shown(value)}.")


def _express_text(data: Mapping[str, Any]) -> str:
    return repr(data.get("value", ""))


# Checkbox


def _check_checkbox(control: Control, field: str) -> None:
    if not isinstance(control.data.get("value", False), bool):
        raise InvalidValue(f"{field}.value", "it has to be true or false.")


def _convert_checkbox(_: Mapping[str, Any], value: object, field: str) -> dict[str, Any]:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return {"value": value.lower() == "true"}
    if isinstance(value, bool):
        return {"value": value}
    raise InvalidValue(field, f"expected true or false, not {_shown(value)}.")


def _express_checkbox(data: Mapping[str, Any]) -> str:
    return repr(data.get("value", False))


# Slider: all its numbers are kept as texts

_SLIDER_FIELDS = ("value", "min", "max", "step")


def _check_slider(control: Control, field: str) -> None:
    for name in _SLIDER_FIELDS:
        if name not in control.data:
            raise MissingField(f"{field}.{name}")
        text = control.data[name]
        if not isinstance(text, str) or _number(text) is None:
            raise InvalidValue(f"{field}.{name}", f"{_shown(text)} is not a text with a number.")


def _convert_slider(data: Mapping[str, Any], value: object, field: str) -> dict[str, Any]:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(value, str):
        number = _number(value)
    if number is None:
        raise InvalidValue(field, f"expected a number, not {_shown(value)}.")
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    least, most = _number(data["min"]), _number(data["max"])
    assert least is not None
    assert most is not None
    if not least <= number <= most:
        raise InvalidValue(
            field, f"{number} is not between {data['min'].strip()} and {data['max'].strip()}."
        )
    return {"value": repr(number)}


def _express_slider(data: Mapping[str, Any]) -> str:
    number = _number(data["value"])
    assert number is not None
    whole = all(isinstance(_number(data[name]), int) for name in _SLIDER_FIELDS)
    return repr(number if whole else float(number))


def _number(text: str) -> int | float | None:
    """The number a text holds: an int when it is written as one; None when it holds none."""
    if len(text) > 300 or "_" in text:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# Dropdown: of fixed items, or of what a variable of the notebook holds when its cell runs


def _check_dropdown(control: Control, field: str) -> None:
    data = control.data
    if not _is_texts(data.get("items", [])):
        raise InvalidValue(f"{field}.items", "it has to be a list of texts.")
    if not isinstance(data.get("multiselect", False), bool):
        raise InvalidValue(f"{field}.multiselect", "it has to be true or false.")
    if not isinstance(data.get("selectedValue"), str | None):
        raise InvalidValue(f"{field}.selectedValue", "it has to be a text or null.")
    chosen = data.get("selectedValues")
    if chosen is not None and not _is_texts(chosen):
        raise InvalidValue(f"{field}.selectedValues", "it has to be a list of texts or null.")
    source = data.get("selectedVariable")
    if source is not None and not _is_name(source):
        raise InvalidValue(f"{field}.selectedVariable", f"{_shown(source)} is no variable.")


def _convert_dropdown(data: Mapping[str, Any], value: object, field: str) -> dict[str, Any]:
    if not data.get("multiselect"):
        if not isinstance(value, str):
            raise InvalidValue(field, f"expected a text, not {_shown(value)}.")
        _check_items(data, [value], field)
        return {"selectedValue": value}
    chosen: Any = value
    if isinstance(value, str):
        try:
            chosen = json.loads(value)
        except (ValueError, RecursionError):
            chosen = None
    if not _is_texts(chosen):
        raise InvalidValue(field, f"expected a list of texts, not {_shown(value)}.")
    _check_items(data, chosen, field)
    return {"selectedValues": list(chosen)}


def _check_items(data: Mapping[str, Any], chosen: list[str], field: str) -> None:
    if data.get("selectedVariable") is not None:
        return  # its items are known when its cell runs
    items = data.get("items", [])
    for each in chosen:
        if each not in items:
            raise InvalidValue(field, f"{_shown(each)} is not an item.", allowed=items)


def _express_dropdown(data: Mapping[str, Any]) -> str:
    source = data.get("selectedVariable")
    if data.get("multiselect"):
        chosen = list(data.get("selectedValues") or [])
        if source is None or not chosen:
            return repr(chosen)
        return f"[{{str(each): each for each in {source}}}[each] for each in {chosen!r}]"
    selected = data.get("selectedValue")
    if source is None or selected is None:
        return repr(selected)
    return f"{{str(each): each for each in {source}}}[{selected!r}]"


# Date picker


def _check_dates(control: Control, field: str) -> None:
    data = control.data
    if not isinstance(data.get("withRange", False), bool):
        raise InvalidValue(f"{field}.withRange", "it has to be true or false.")
    for name in ("startDate", "endDate"):
        if data.get(name) is not None and _date(data[name]) is None:
            raise InvalidValue(f"{field}.{name}", f"{_shown(data[name])} is not an ISO date.")


def _convert_dates(data: Mapping[str, Any], value: object, field: str) -> dict[str, Any]:
    if not data.get("withRange"):
        return {"startDate": _iso(value, field)}
    if isinstance(value, Mapping) and set(value) == {"startDate", "endDate"}:
        value = [value["startDate"], value["endDate"]]
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidValue(
            field, "expected a list of two ISO dates, or an object with startDate and endDate."
        )
    return {
        "startDate": _iso(value[0], f"{field}[0]"),
        "endDate": _iso(value[1], f"{field}[1]"),
    }


def _express_dates(data: Mapping[str, Any]) -> str:
    start = _express_date(data.get("startDate"))
    if not data.get("withRange"):
        return start
    return f"({start}, {_express_date(data.get('endDate'))})"


def _express_date(text: str | None) -> str:
    # No import statement: it would bind a name that the notebook may use otherwise.
    moment = _date(text)
    return "None" if moment is None else f"__import__('datetime').{repr(moment)[9:]}"


def _iso(value: object, field: str) -> str:
    moment = _date(value)
    if moment is None:
        raise InvalidValue(field, f"expected an ISO date such as 2026-04-21, not {_shown(value)}.")
    return moment.isoformat()


def _date(value: object) -> date | None:
    if not isinstance(value, str) or not _ISO_DATE.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


# What the kinds have in common


def _check_nothing(_: Control, __: str) -> None:
    """There is nothing particular to it."""


def _variable(value: Mapping[str, Any], field: str) -> str:
    if "variable" not in value:
        raise MissingField(field)
    if not _is_name(value["variable"]):
        raise InvalidValue(field, f"{_shown(value['variable'])} is no name of a variable.")
    return str(value["variable"])


def _is_name(value: object) -> bool:
    return isinstance(value, str) and can_assign(value, "python")


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 100 else text[:100] + "…"


_CHECKS = {
    ControlKind.TEXT_INPUT: _check_text,
    ControlKind.CHECKBOX: _check_checkbox,
    ControlKind.SLIDER: _check_slider,
    ControlKind.DROPDOWN: _check_dropdown,
    ControlKind.DATEPICKER: _check_dates,
}
_CONVERSIONS = {
    ControlKind.TEXT_INPUT: _convert_text,
    ControlKind.CHECKBOX: _convert_checkbox,
    ControlKind.SLIDER: _convert_slider,
    ControlKind.DROPDOWN: _convert_dropdown,
    ControlKind.DATEPICKER: _convert_dates,
}
_EXPRESSIONS = {
    ControlKind.TEXT_INPUT: _express_text,
    ControlKind.CHECKBOX: _express_checkbox,
    ControlKind.SLIDER: _express_slider,
    ControlKind.DROPDOWN: _express_dropdown,
    ControlKind.DATEPICKER: _express_dates,
}
