"""Cells and their outputs in the vendor's words (contract 9)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quire.dialects.datalore.mapping_runs import shown_time
from quire.errors import InvalidValue, MissingField, Unsupported
from quire.workspace.cells import (
    CellKind,
    kind_of,
    new_code_cell,
    new_control_cell,
    new_query_cell,
    new_text_cell,
    query_facts,
)
from quire.workspace.controls import control_of, read_control
from quire.workspace.formats.document import language_of

__all__ = [
    "CELL_TYPES",
    "Progress",
    "describe_cell",
    "describe_cell_outputs",
    "describe_cells",
    "describe_cells_with_outputs",
    "describe_output",
    "execution_status",
    "new_cell",
    "read_query_data",
]

CELL_TYPES = {
    CellKind.CODE: "CODE",
    CellKind.TEXT: "MARKDOWN",
    CellKind.QUERY: "SQL",
    CellKind.CONTROL: "CONTROL",
}

_ALL_OUTPUTS = 5_000_000  # characters of outputs in one answer
_ONE_OUTPUT = 100_000
_STREAM = 10_000
_TRACEBACK = 10_000
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PRIVATE = "application/vnd.quire."
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"})
_TABLE = re.compile(r"<table\b", re.IGNORECASE)
# Best first; what an output is depends on the first of these that it has.
_TYPES = (
    ("application/vnd.plotly.v1+json", "PLOTLY"),
    ("application/vnd.vegalite.v5+json", "VEGA"),
    ("application/vnd.vegalite.v4+json", "VEGA"),
    ("application/vnd.vega.v5+json", "VEGA"),
    ("text/html", "HTML"),
    ("text/tab-separated-values", "TSV"),
    ("image/svg+xml", "SVG"),
    ("text/markdown", "MARKDOWN"),
    ("text/latex", "LATEX"),
)


@dataclass(frozen=True)
class Progress:
    """What a notebook's kernel does at the moment, by ids of cells."""

    running: str | None = None
    waiting: tuple[str, ...] = ()


def execution_status(cell: Mapping[str, Any], progress: Progress) -> str:
    """The vendor's word for how a cell stands."""
    if cell["id"] == progress.running:
        return "STARTED"
    if cell["id"] in progress.waiting:
        return "WAITING"
    if any(output["output_type"] == "error" for output in cell.get("outputs", ())):
        return "ERROR"
    return "NONE" if cell.get("execution_count") is None else "VALID"


def new_cell(
    notebook: Mapping[str, Any], cell_type: str, source: str, data: Mapping[str, Any]
) -> dict[str, Any]:
    """A cell as a request describes it. Raises MissingField, InvalidValue, Unsupported."""
    if cell_type == "MARKDOWN":
        return new_text_cell(source)
    if cell_type == "SQL":
        return new_query_cell(source, *read_query_data(data))
    if cell_type == "CONTROL":
        if language_of(notebook) != "python":
            raise Unsupported("Only notebooks of Python have controls.", field="cellType")
        if source:
            raise InvalidValue("source", "the source of a control is made from data.control.")
        if "control" not in data:
            raise MissingField("data.control")
        return new_control_cell(read_control(data["control"], "data.control"))
    language = language_of(notebook)
    if data.get("language", language) != language:
        raise Unsupported(
            f"Invalid value for data.language: all code cells of this notebook are {language}.",
            field="data.language",
        )
    return new_code_cell(source)


def read_query_data(data: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The database and the variable of a cell of SQL. Raises InvalidValue."""
    for name in ("databaseId", "variableName"):
        if not isinstance(data.get(name), str | None):
            raise InvalidValue(f"data.{name}", "it has to be a text or null.")
    return data.get("databaseId"), data.get("variableName")


def describe_cell(
    notebook: Mapping[str, Any], cell: Mapping[str, Any], position: int
) -> dict[str, Any]:
    """A cell without its outputs. position: from 0, on its worksheet."""
    kind = kind_of(cell)
    data: dict[str, Any] = {}
    if kind is CellKind.CODE:
        data = {"language": language_of(notebook)}
    elif kind is CellKind.QUERY:
        database, variable = query_facts(cell)
        data = {"databaseId": database, "variableName": variable}
    elif kind is CellKind.CONTROL:
        control = control_of(cell)
        assert control is not None
        data = {"control": dict(control.data)}
    return {
        "cellId": cell["id"],
        "cellType": CELL_TYPES[kind],
        "position": position,
        "source": cell["source"],
        "data": data,
    }


def describe_cells(
    notebook: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A worksheet without outputs."""
    return {
        "cells": [describe_cell(notebook, cell, number) for number, cell in enumerate(cells)],
        "cellsWithOutputs": None,
        "outputsTruncated": False,
        "outputsTruncatedFromCellId": None,
    }


def describe_cells_with_outputs(
    notebook: Mapping[str, Any], cells: Sequence[Mapping[str, Any]], progress: Progress
) -> dict[str, Any]:
    """A worksheet with outputs, as far as there is room for them in one answer."""
    described = []
    left = _ALL_OUTPUTS
    truncated_from: str | None = None
    for number, cell in enumerate(cells):
        outputs = _outputs(cell)
        left -= sum(len(output["text"] or "") for output in outputs)
        if left < 0 and truncated_from is None:
            truncated_from = cell["id"]
        described.append(
            {
                **describe_cell(notebook, cell, number),
                **_execution(cell, progress),
                "outputs": outputs if truncated_from is None else [],
            }
        )
    return {
        "cells": [],
        "cellsWithOutputs": described,
        "outputsTruncated": truncated_from is not None,
        "outputsTruncatedFromCellId": truncated_from,
    }


def describe_cell_outputs(
    cell: Mapping[str, Any], progress: Progress, *, status: str | None = None
) -> dict[str, Any]:
    """What a cell has written and shown. status: in place of what the cell itself tells."""
    outputs = cell.get("outputs", [])
    error = next((each for each in outputs if each["output_type"] == "error"), None)
    stdout, stdout_cut = _cut(_stream(outputs, "stdout"), _STREAM)
    stderr, stderr_cut = _cut(_stream(outputs, "stderr"), _STREAM)
    traceback, traceback_cut = _cut(_traceback(error), _TRACEBACK)
    described = {
        "cellId": cell["id"],
        **_execution(cell, progress),
        "stdout": stdout or "",
        "stderr": stderr or "",
        "stdoutTruncated": stdout_cut,
        "stderrTruncated": stderr_cut,
        "errorMessage": None if error is None else f"{error['ename']}: {_plain(error['evalue'])}",
        "errorTraceback": traceback,
        "errorTracebackTruncated": traceback_cut,
        "outputs": _outputs(cell),
    }
    return described if status is None else {**described, "executionStatus": status}


def describe_output(output: Mapping[str, Any]) -> dict[str, Any] | None:
    """One output; None for what only the server itself reads."""
    kind = output["output_type"]
    if kind == "stream":
        return _output("TEXT", _text(output["text"]))
    if kind == "error":
        return _output("TEXT", _traceback(output) or "")
    data = {name: value for name, value in output["data"].items() if not name.startswith(_PRIVATE)}
    if not data:
        return None
    for media_type, name in _TYPES:
        if media_type in data:
            shown = _text(data[media_type])
            is_table = name == "HTML" and _TABLE.search(shown) is not None
            return _output("TABLE" if is_table else name, shown)
    if _PICTURES & data.keys():
        return _output("PLOT", None)
    text = _text(data["text/plain"]) if "text/plain" in data else None
    return _output("LAST_EXPRESSION" if kind == "execute_result" else "TEXT", text)


def _outputs(cell: Mapping[str, Any]) -> list[dict[str, Any]]:
    described = (describe_output(output) for output in cell.get("outputs", ()))
    return [output for output in described if output is not None]


def _output(name: str, text: str | None) -> dict[str, Any]:
    shown, truncated = _cut(text, _ONE_OUTPUT)
    return {"outputType": name, "text": shown, "truncated": truncated}


def _execution(cell: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    return {
        "executionStatus": execution_status(cell, progress),
        "executionCount": cell.get("execution_count"),
        "timing": _timing(cell["metadata"].get("execution")),
    }


def _timing(stored: object) -> dict[str, Any] | None:
    """How long a cell took, from what Jupyter's front ends keep of it in its metadata."""
    if not isinstance(stored, Mapping):
        return None
    begun, ended = (
        _moment(stored.get(name)) for name in ("iopub.status.busy", "iopub.status.idle")
    )
    if begun is None:
        return None
    duration = None if ended is None else max(0, round((ended - begun).total_seconds() * 1000))
    return {"durationMs": duration, "lastExecutedAt": shown_time(begun)}


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _stream(outputs: Iterable[Mapping[str, Any]], name: str) -> str:
    return "".join(
        _text(output["text"])
        for output in outputs
        if output["output_type"] == "stream" and output["name"] == name
    )


def _traceback(error: Mapping[str, Any] | None) -> str | None:
    if error is None:
        return None
    lines = error["traceback"] or [f"{error['ename']}: {error['evalue']}"]
    return _plain("\n".join(lines))


def _plain(text: str) -> str:
    return _ANSI.sub("", text)


def _cut(text: str | None, limit: int) -> tuple[str | None, bool]:
    if text is None or len(text) <= limit:
        return text, False
    return text[:limit], True


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
