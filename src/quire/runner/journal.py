"""Events folded into a notebook, and into a log.

Pure: used by the engine on stored journals as well as in tests. What :func:`apply` leaves behind is
valid nbformat after every single event, so a run can be read while it goes on and after a crash.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from quire.runner.protocol import EventType

__all__ = ["apply", "fold", "log_text"]


def fold(notebook: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The notebook with everything the events tell in it; the argument is left as it is."""
    result = copy.deepcopy(dict(notebook))
    for event in events:
        apply(result, event)
    return result


def apply(notebook: dict[str, Any], event: Mapping[str, Any]) -> None:
    """Fold one event into a notebook, in place. Events that change no notebook are passed over."""
    match event["type"]:
        case EventType.CELL_INSERTED:
            index = event["index"]
            replaced = 1 if event.get("replaces") else 0
            notebook["cells"][index : index + replaced] = [copy.deepcopy(event["cell"])]
        case EventType.CELL_STARTED:
            cell = notebook["cells"][event["index"]]
            cell["outputs"] = []
            cell["execution_count"] = None
            cell["metadata"].pop("execution", None)
        case EventType.OUTPUT:
            _add_output(notebook["cells"][event["index"]]["outputs"], event["output"])
        case EventType.CLEAR_OUTPUT:
            notebook["cells"][event["index"]]["outputs"] = []
        case EventType.UPDATE_DISPLAY:
            for cell_index, output_index in event["targets"]:
                output = notebook["cells"][cell_index]["outputs"][output_index]
                output["data"] = copy.deepcopy(event["data"])
                output["metadata"] = copy.deepcopy(event["metadata"])
        case EventType.CELL_FINISHED:
            _finish_cell(notebook["cells"][event["index"]], event)
        case EventType.METADATA:
            notebook["metadata"].update(copy.deepcopy(event["metadata"]))


def _add_output(outputs: list[dict[str, Any]], output: Mapping[str, Any]) -> None:
    if outputs and output["output_type"] == "stream":
        last = outputs[-1]
        if last["output_type"] == "stream" and last["name"] == output["name"]:
            last["text"] += output["text"]
            return
    outputs.append(copy.deepcopy(dict(output)))


def _finish_cell(cell: dict[str, Any], event: Mapping[str, Any]) -> None:
    if cell["cell_type"] != "code" or event["status"] == "skipped":
        return
    cell["execution_count"] = event["execution_count"]
    if event.get("timing"):
        cell["metadata"]["execution"] = dict(event["timing"])


def log_text(events: Iterable[Mapping[str, Any]]) -> str:
    """What the cells wrote to stdout and stderr, and the tracebacks of errors, in order."""
    parts = []
    for event in events:
        if event["type"] != EventType.OUTPUT:
            continue
        output = event["output"]
        if output["output_type"] == "stream":
            parts.append(output["text"])
        elif output["output_type"] == "error":
            if parts and not parts[-1].endswith("\n"):
                parts.append("\n")
            parts.append("\n".join(output["traceback"]) + "\n")
    return "".join(parts)
