"""A run's parameters as a cell of its notebook, by papermill's rule.

* The cell goes right after the first cell tagged ``parameters``; a cell that an earlier run
  injected (tagged ``injected-parameters``) is replaced where it stands.
* Without either, a plain notebook gets it at its top, and a notebook of Databricks gets none:
  there parameters are read through widgets.
* Values are written in the notebook's language. A parameter whose name is no identifier there is
  left out; it can still be read through widgets.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

__all__ = ["Injection", "can_assign", "inject_parameters", "translate"]

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_R_NAME = re.compile(r"(?:[A-Za-z]|\.(?![0-9]))[A-Za-z0-9._]*\Z")


@dataclass(frozen=True)
class Injection:
    """A cell to put into a notebook."""

    index: int
    cell: Mapping[str, Any]
    replaces: bool  # the cell at index is replaced, not moved down


@dataclass(frozen=True)
class _Language:
    comment: str
    is_name: Callable[[str], bool]
    translate: Callable[[Any], str]
    assign: str


def inject_parameters(
    notebook: Mapping[str, Any], parameters: Mapping[str, Any], *, flavour: str, language: str
) -> Injection | None:
    """The cell that gives a notebook its parameters, or None when it gets none."""
    source = translate(parameters, language)
    if source is None:
        return None
    cells = notebook["cells"]
    cell: dict[str, Any] = {
        "id": uuid4().hex[:8],
        "cell_type": "code",
        "metadata": {"tags": ["injected-parameters"]},
        "execution_count": None,
        "outputs": [],
        "source": source,
    }
    injected = _find_tagged(cells, "injected-parameters")
    if injected is not None:
        return Injection(injected, cell, replaces=True)
    tagged = _find_tagged(cells, "parameters")
    if tagged is not None:
        return Injection(tagged + 1, cell, replaces=False)
    return None if flavour == "databricks" else Injection(0, cell, replaces=False)


def _find_tagged(cells: Sequence[Mapping[str, Any]], tag: str) -> int | None:
    for index, cell in enumerate(cells):
        if tag in cell["metadata"].get("tags", []):
            return index
    return None


def translate(parameters: Mapping[str, Any], language: str) -> str | None:
    """Assignments in a language; None when it has none or no parameter can be written in it."""
    rules = _LANGUAGES.get(language.lower())
    if rules is None:
        return None
    lines = [
        rules.assign.format(name=name, value=rules.translate(value))
        for name, value in parameters.items()
        if rules.is_name(name)
    ]
    return "\n".join([f"{rules.comment} Parameters", *lines]) if lines else None


def can_assign(name: str, language: str) -> bool:
    """Whether a parameter of this name can be written as an assignment in a language."""
    rules = _LANGUAGES.get(language.lower())
    return rules is not None and rules.is_name(name)


def _is_python_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _python(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{str(k)!r}: {_python(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_python(each) for each in value) + "]"
    return repr(value)


def _quoted(value: str) -> str:
    text = value.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{text}"'


def _r(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("-Inf" if value < 0 else "Inf")
        case int() | float():
            return str(value)
        case Mapping():
            return (
                "list(" + ", ".join(f"{_quoted(str(k))} = {_r(v)}" for k, v in value.items()) + ")"
            )
        case list() | tuple():
            return "list(" + ", ".join(_r(each) for each in value) + ")"
        case _:
            return _quoted(str(value))


def _scala(value: Any) -> str:
    match value:
        case None:
            return "None"
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            name = "NaN" if math.isnan(value) else ("Neg" if value < 0 else "Pos") + "Infinity"
            return (
                f"Double.{name}"
                if name == "NaN"
                else f"Double.{name.replace('Neg', 'Negative').replace('Pos', 'Positive')}"
            )
        case int():
            return str(value) if -(2**31) <= value < 2**31 else f"{value}L"
        case float():
            return str(value)
        case Mapping():
            items = ", ".join(f"{_quoted(str(k))} -> {_scala(v)}" for k, v in value.items())
            return f"Map({items})"
        case list() | tuple():
            return "Seq(" + ", ".join(_scala(each) for each in value) + ")"
        case _:
            return _quoted(str(value))


def _julia(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("-Inf" if value < 0 else "Inf")
        case int() | float():
            return str(value)
        case Mapping():
            items = ", ".join(f"{_quoted(str(k))} => {_julia(v)}" for k, v in value.items())
            return f"Dict({items})"
        case list() | tuple():
            return "[" + ", ".join(_julia(each) for each in value) + "]"
        case _:
            return _quoted(str(value)).replace("$", "\\$")


_LANGUAGES: Mapping[str, _Language] = {
    "python": _Language("#", _is_python_name, _python, "{name} = {value}"),
    "r": _Language("#", lambda name: bool(_R_NAME.match(name)), _r, "{name} = {value}"),
    "scala": _Language("//", lambda name: bool(_WORD.match(name)), _scala, "val {name} = {value}"),
    "julia": _Language("#", lambda name: bool(_WORD.match(name)), _julia, "{name} = {value}"),
}
