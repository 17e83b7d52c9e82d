"""Events folded into notebooks and logs."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from quire.runner.journal import apply, fold, log_text
from tests.runner.conftest import make_notebook


def _stream(text: str, name: str = "stdout", index: int = 0) -> dict[str, Any]:
    output = {"output_type": "stream", "name": name, "text": text}
    return {"type": "output", "index": index, "output": output}


def _display(text: str, index: int = 0) -> dict[str, Any]:
    output = {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}
    return {"type": "output", "index": index, "output": output}


def _started(index: int = 0) -> dict[str, Any]:
    return {"type": "cell_started", "index": index}


def test_streams_of_one_name_grow_and_others_follow() -> None:
    result = fold(
        make_notebook("x"), [_started(), _stream("a"), _stream("b"), _stream("c", "stderr")]
    )
    assert [(o["name"], o["text"]) for o in result["cells"][0]["outputs"]] == [
        ("stdout", "ab"),
        ("stderr", "c"),
    ]


def test_the_snapshot_is_left_alone() -> None:
    snapshot = make_notebook({"source": "x", "metadata": {"execution": {"old": "1"}}})
    fold(snapshot, [_started(), _stream("a")])
    assert snapshot["cells"][0]["outputs"] == []
    assert snapshot["cells"][0]["metadata"] == {"execution": {"old": "1"}}


def test_a_start_drops_what_the_author_saved() -> None:
    snapshot = make_notebook({"source": "x", "outputs": [_stream("old")["output"]]}, "y")
    assert fold(snapshot, [_started()])["cells"][0]["outputs"] == []
    assert fold(snapshot, [_started(1)])["cells"][0]["outputs"] != []


def test_displays_are_replaced_where_they_stand() -> None:
    update = {
        "type": "update_display",
        "display_id": "d",
        "data": {"text/plain": "new"},
        "metadata": {"m": 1},
        "targets": [[0, 1], [1, 0]],
    }
    events = [_started(), _stream("a"), _display("old"), _started(1), _display("old", 1), update]
    result = fold(make_notebook("x", "y"), events)
    assert result["cells"][0]["outputs"][1]["data"] == {"text/plain": "new"}
    assert result["cells"][1]["outputs"][0]["metadata"] == {"m": 1}
    nbformat.validate(result)


def test_a_cell_is_inserted_or_replaces_another() -> None:
    cell = make_notebook("injected")["cells"][0]
    inserted = fold(make_notebook("x", "y"), [{"type": "cell_inserted", "index": 1, "cell": cell}])
    assert [c["source"] for c in inserted["cells"]] == ["x", "injected", "y"]
    replaced = fold(
        make_notebook("x", "y"),
        [{"type": "cell_inserted", "index": 1, "cell": cell, "replaces": True}],
    )
    assert [c["source"] for c in replaced["cells"]] == ["x", "injected"]


def test_metadata_and_the_end_of_cells() -> None:
    notebook = make_notebook("x", {"source": "y", "execution_count": 9})
    for event in [
        _started(),
        {
            "type": "cell_finished",
            "index": 0,
            "status": "ok",
            "execution_count": 1,
            "timing": {"iopub.status.busy": "2026-01-02T03:04:05Z"},
        },
        {"type": "cell_finished", "index": 1, "status": "skipped"},
        {"type": "metadata", "metadata": {"widgets": {}}},
        {"type": "clear_output", "index": 0},
        {"type": "exit_value", "value": "1"},
        {"type": "terminated"},
    ]:
        apply(notebook, event)
        nbformat.validate(notebook)
    first, second = notebook["cells"]
    assert (first["execution_count"], second["execution_count"]) == (1, 9)
    assert first["metadata"]["execution"] == {"iopub.status.busy": "2026-01-02T03:04:05Z"}
    assert notebook["metadata"]["widgets"] == {}


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([], ""),
        ([_stream("a"), _display("picture"), _stream("b\n", "stderr")], "ab\n"),
        (
            [
                _stream("a"),
                {
                    "type": "output",
                    "index": 0,
                    "output": {
                        "output_type": "error",
                        "ename": "E",
                        "evalue": "v",
                        "traceback": ["one", "two"],
                    },
                },
            ],
            "a\none\ntwo\n",
        ),
    ],
)
def test_the_log_is_what_cells_wrote(events: list[dict[str, Any]], text: str) -> None:
    assert log_text(events) == text
