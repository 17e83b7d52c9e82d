"""Outputs and states of cells in the vendor's words."""

from __future__ import annotations

from typing import Any

import pytest

from quire.dialects.datalore.mapping_cells import (
    Progress,
    describe_cell_outputs,
    describe_output,
    execution_status,
)
from quire.workspace.formats.document import code_cell


def _shown(data: dict[str, Any], kind: str = "display_data") -> dict[str, Any]:
    return {"output_type": kind, "data": data, "metadata": {}}


_ERROR = {
    "output_type": "error",
    "ename": "ValueError",
    "evalue": "\x1b[31mbad\x1b[0m",
    "traceback": ["\x1b[0;31mValueError\x1b[0m", "line"],
}


@pytest.mark.parametrize(
    ("output", "kind", "text"),
    [
        ({"output_type": "stream", "name": "stdout", "text": "a"}, "TEXT", "a"),
        ({"output_type": "stream", "name": "stderr", "text": ["a", "b"]}, "TEXT", "ab"),
        (_ERROR, "TEXT", "ValueError\nline"),
        (_shown({"text/plain": "1"}), "TEXT", "1"),
        (_shown({"text/plain": "1"}, "execute_result"), "LAST_EXPRESSION", "1"),
        (_shown({"text/html": "<b>x</b>", "text/plain": "x"}), "HTML", "<b>x</b>"),
        (_shown({"text/html": ["<div>", "<TABLE border=1>"]}), "TABLE", "<div><TABLE border=1>"),
        (_shown({"text/html": "<tablet>"}), "HTML", "<tablet>"),
        (_shown({"text/markdown": "# x"}), "MARKDOWN", "# x"),
        (_shown({"image/svg+xml": "<svg/>"}), "SVG", "<svg/>"),
        (_shown({"text/latex": "$x$"}), "LATEX", "$x$"),
        (_shown({"image/png": "iVBO", "text/plain": "<Figure>"}), "PLOT", None),
        (_shown({"image/jpeg": "x"}), "PLOT", None),
        (_shown({"text/tab-separated-values": "a\tb"}), "TSV", "a\tb"),
        (
            _shown({"application/vnd.plotly.v1+json": {"data": []}, "text/html": "<div>"}),
            "PLOTLY",
            '{"data": []}',
        ),
        (_shown({"application/vnd.vegalite.v5+json": {}}), "VEGA", "{}"),
        (_shown({"application/x-unknown": "x"}), "TEXT", None),
    ],
)
def test_types_of_outputs(output: dict[str, Any], kind: str, text: str | None) -> None:
    assert describe_output(output) == {"outputType": kind, "text": text, "truncated": False}


def test_what_the_server_alone_reads_is_no_output() -> None:
    assert describe_output(_shown({"application/vnd.quire.exit+json": "x"})) is None
    cell = code_cell("", id="a", outputs=[_shown({"application/vnd.quire.exit+json": "x"})])
    assert describe_cell_outputs(cell, Progress())["outputs"] == []


def test_long_outputs_are_cut() -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "x" * 100_001}
    shown = describe_output(output)
    assert shown == {"outputType": "TEXT", "text": "x" * 100_000, "truncated": True}


@pytest.mark.parametrize(
    ("fields", "progress", "expected"),
    [
        ({}, Progress(), "NONE"),
        ({"execution_count": 1}, Progress(), "VALID"),
        ({"execution_count": 1, "outputs": [_ERROR]}, Progress(), "ERROR"),
        ({"execution_count": 1, "outputs": [_ERROR]}, Progress(running="a"), "STARTED"),
        ({"execution_count": 1}, Progress(waiting=("b", "a")), "WAITING"),
        ({"execution_count": 1}, Progress(running="b", waiting=("c",)), "VALID"),
    ],
)
def test_states(fields: dict[str, Any], progress: Progress, expected: str) -> None:
    assert execution_status(code_cell("", id="a", **fields), progress) == expected


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, None),
        ({}, None),
        ("x", None),
        ({"iopub.status.busy": "no time", "iopub.status.idle": "x"}, None),
        ({"iopub.status.busy": "2026-01-02T03:04:05"}, None),  # of no zone
        (
            {"iopub.status.busy": "2026-01-02T05:04:05.5+02:00"},
            {"durationMs": None, "lastExecutedAt": "2026-01-02T03:04:05.500Z"},
        ),
        (
            {
                "iopub.status.busy": "2026-01-02T03:04:05Z",
                "iopub.status.idle": "2026-01-02T03:04:04Z",
            },
            {"durationMs": 0, "lastExecutedAt": "2026-01-02T03:04:05.000Z"},
        ),
    ],
)
def test_timings(stored: Any, expected: Any) -> None:
    cell = code_cell("", id="a", metadata={} if stored is None else {"execution": stored})
    assert describe_cell_outputs(cell, Progress())["timing"] == expected


def test_what_a_cell_wrote() -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "a" * 9_999},
        {"output_type": "stream", "name": "stderr", "text": "warned"},
        {"output_type": "stream", "name": "stdout", "text": "bc"},
        {**_ERROR, "traceback": ["t" * 10_001]},
    ]
    described = describe_cell_outputs(code_cell("", id="a", outputs=outputs), Progress())
    assert described["stdout"] == "a" * 9_999 + "b"
    assert (described["stdoutTruncated"], described["stderrTruncated"]) == (True, False)
    assert described["stderr"] == "warned"
    assert described["errorMessage"] == "ValueError: bad"
    assert described["errorTraceback"] == "t" * 10_000
    assert described["errorTracebackTruncated"] is True
    assert described["executionStatus"] == "ERROR"
    assert len(described["outputs"]) == 4
