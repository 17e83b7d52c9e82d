"""The notebook record that Databricks archives and HTML exports carry (Databricks contract 9.3).

Owns: NotebookV1 and CommandV1 from the canonical notebook and back, results included.
Does not own: the zip archive and the HTML page around the record.

What the record has no field for (tags, attachments, execution counts, kernel metadata) travels in
its ``iPythonMetadata`` fields and in the free ``metadata`` of a result, which other readers ignore.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from quire.errors import InvalidValue
from quire.workspace.formats.databricks_cells import cell_of, text_of, title_of
from quire.workspace.formats.document import (
    CELL_KEY,
    LANGUAGES,
    NOTEBOOK_KEY,
    OUTPUT_KEY,
    check,
    language_of,
    load_json,
    new_notebook,
    raw_cell,
)

__all__ = ["load_model", "model_of", "notebook_of"]

_NAMES = uuid.UUID("6f0d3d2b-6c4f-5a53-9f0e-5d6f2f2d7f0b")  # namespace of derived guids
_JUPYTER_KEY = "jupyter"  # of a result's metadata: the output as nbformat describes it
_ROWS_SHOWN = 1000
_ERROR_TYPES = ("error", "baseError", "ipynbError")
_VENDOR_TYPES = (
    "ansi",
    "error",
    "html",
    "htmlSandbox",
    "image",
    "mimeBundle",
    "table",
    "text",
)
_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+);base64,", re.IGNORECASE)
_IMAGE_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def load_model(text: str) -> dict[str, Any]:
    """The notebook of a NotebookV1 JSON text. Raises InvalidValue("content") when it is not one."""
    return notebook_of(load_json(text, "The notebook"))


# From the canonical notebook


def model_of(notebook: Mapping[str, Any], name: str) -> dict[str, Any]:
    """NotebookV1 of a notebook, with what its cells have put out."""
    metadata = notebook["metadata"]
    vendor = _mapping(metadata.get(NOTEBOOK_KEY))
    return {
        "version": "NotebookV1",
        "origId": 0,
        "name": name,
        "language": language_of(notebook),
        "commands": [
            _command(cell, position) for position, cell in enumerate(notebook["cells"], start=1)
        ],
        "dashboards": _list(vendor.get("dashboards")),
        "guid": str(uuid.uuid5(_NAMES, name)),
        "globalVars": {},
        "iPythonMetadata": metadata,
        "inputWidgets": _mapping(vendor.get("widgets")),
        "notebookMetadata": _mapping(vendor.get("notebookMetadata")),
    }


def _command(cell: Mapping[str, Any], position: int) -> dict[str, Any]:
    metadata = cell["metadata"]
    vendor = _mapping(metadata.get(CELL_KEY))
    title = title_of(cell)
    outputs = cell.get("outputs", [])
    failure = next((item for item in outputs if item["output_type"] == "error"), None)
    started, finished = _times(metadata)
    nuid = vendor.get("nuid") if isinstance(vendor.get("nuid"), str) else cell["id"]
    hidden = _mapping(metadata.get("jupyter"))
    return {
        "version": "CommandV1",
        "origId": 0,
        "guid": str(uuid.uuid5(_NAMES, cell["id"])),
        "subtype": "command",
        "commandType": "auto",
        "position": float(position),
        "command": text_of(cell),
        "commandVersion": 0,
        "state": _state(cell, failed=failure is not None),
        "results": {"type": "listResults", "data": [_result(item) for item in outputs]}
        if outputs
        else None,
        "errorSummary": None if failure is None else _summary(failure),
        "error": None if failure is None else "\n".join(failure["traceback"]),
        "workflows": [],
        "startTime": started,
        "submitTime": started,
        "finishTime": finished,
        "collapsed": False,
        "bindings": {},
        "inputWidgets": _mapping(vendor.get("inputWidgets")),
        "displayType": "table",
        "width": "auto",
        "height": "auto",
        "xColumns": None,
        "yColumns": None,
        "pivotColumns": None,
        "pivotAggregation": None,
        "useConsistentColors": False,
        "customPlotOptions": {},
        "commentThread": [],
        "commentsVisible": False,
        "parentHierarchy": [],
        "diffInserts": [],
        "diffDeletes": [],
        "globalVars": {},
        "latestUser": "",
        "commandTitle": title[0] if title else "",
        "showCommandTitle": title[1] if title else False,
        "hideCommandCode": hidden.get("source_hidden") is True,
        "hideCommandResult": hidden.get("outputs_hidden") is True,
        "iPythonMetadata": _cell_extras(cell),
        "metadata": _mapping(vendor.get("cellMetadata")),
        "streamStates": {},
        "nuid": nuid,
    }


def _cell_extras(cell: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a command has no field for; None when there is nothing."""
    fields: dict[str, Any] = {}
    if cell["cell_type"] == "raw":
        fields["cell_type"] = "raw"
    for name in ("attachments", "execution_count"):
        if cell.get(name) is not None:
            fields[name] = cell[name]
    extras: dict[str, Any] = {}
    if cell["metadata"]:
        extras["metadata"] = cell["metadata"]
    if fields:
        extras["cell"] = fields
    return extras or None


def _state(cell: Mapping[str, Any], *, failed: bool) -> str:
    if failed:
        return "error"
    ran = cell.get("execution_count") is not None or bool(cell.get("outputs"))
    return "finished" if ran else "input"


def _times(metadata: Mapping[str, Any]) -> tuple[int, int]:
    """Start and end of the cell's execution in milliseconds since 1970; 0 where unknown."""
    execution = _mapping(metadata.get("execution"))

    def first(*names: str) -> int:
        for name in names:
            value = execution.get(name)
            if isinstance(value, str):
                try:
                    return int(datetime.fromisoformat(value).timestamp() * 1000)
                except ValueError:
                    continue  # a time of another writer, in another form: unknown to us
        return 0

    return (
        first("iopub.execute_input", "iopub.status.busy"),
        first("shell.execute_reply", "iopub.status.idle"),
    )


def _summary(output: Mapping[str, Any]) -> str:
    name, value = output["ename"], output["evalue"]
    return f"{name}: {value}" if value else str(name)


def _result(output: Mapping[str, Any]) -> dict[str, Any]:
    kind = output["output_type"]
    if kind == "stream":
        # Standard output is what an ansi result means by itself; only the other stream is named.
        plain = output["name"] == "stdout"
        extra = None if plain else {"output_type": kind, "name": output["name"]}
        return _record("ansi", output["text"], extra)
    if kind == "error":
        cause = "\n".join(output["traceback"])
        return {
            **_record("error", "", dict(output)),
            "summary": _summary(output),
            "cause": cause,
        }
    vendor = output["metadata"].get(OUTPUT_KEY)
    if isinstance(vendor, Mapping) and vendor.get("type") in _VENDOR_TYPES:
        return dict(vendor)
    extra = {key: value for key, value in output.items() if key != "data"}
    if extra == {"output_type": "display_data", "metadata": {}}:
        extra = None
    data = output["data"]
    if set(data) == {"text/html"}:
        return _record("html", data["text/html"], extra)
    return _record("mimeBundle", data, extra)


def _record(kind: str, data: object, extra: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "type": kind,
        "data": data,
        "name": None,
        "arguments": {},
        "addedWidgets": {},
        "removedWidgets": [],
        "datasetInfos": [],
        "metadata": {_JUPYTER_KEY: extra} if extra else {},
    }


# To the canonical notebook


def notebook_of(model: object) -> dict[str, Any]:
    """The canonical notebook of a NotebookV1 record, its commands in the order of their positions.

    Raises InvalidValue("content") when the record is not one or its parts have the wrong types.
    """
    if not isinstance(model, dict) or model.get("version") != "NotebookV1":
        raise InvalidValue("content", "not a NotebookV1 record.")
    language = model.get("language")
    if not isinstance(language, str) or language.lower() not in LANGUAGES:
        raise InvalidValue("content", "unknown notebook language.", allowed=tuple(LANGUAGES))
    language = language.lower()
    commands = model.get("commands")
    if not isinstance(commands, list) or not all(isinstance(item, dict) for item in commands):
        raise InvalidValue("content", "the record has no list of commands.")
    extras = _mapping(model.get("iPythonMetadata"))
    notebook = new_notebook(language, "databricks", map(_cell, _in_order(commands)), extras)
    _keep_own_metadata(notebook["metadata"], extras, language)
    vendor = {
        key: model[name]
        for key, name in (
            ("dashboards", "dashboards"),
            ("widgets", "inputWidgets"),
            ("notebookMetadata", "notebookMetadata"),
        )
        if model.get(name)
    }
    if vendor:
        known = _mapping(extras.get(NOTEBOOK_KEY))
        notebook["metadata"][NOTEBOOK_KEY] = {**known, **vendor}
    return check(notebook)


def _keep_own_metadata(metadata: dict[str, Any], extras: Mapping[str, Any], language: str) -> None:
    """Take the kernel's description and the flavour over when the record brought them along."""
    described = extras.get("language_info")
    if (
        isinstance(described, dict)
        and language_of({"metadata": {"language_info": described}}) == language
    ):
        metadata["language_info"] = described
    own = extras.get("quire")
    if isinstance(own, dict) and own.get("flavour") in ("databricks", "plain"):
        metadata["quire"] = own


def _in_order(commands: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    def place(numbered: tuple[int, dict[str, Any]]) -> tuple[float, int]:
        index, command = numbered
        position = command.get("position")
        if isinstance(position, bool) or not isinstance(position, int | float):
            return math.inf, index
        return (float(position) if abs(position) < 1e300 else math.inf), index

    return [command for _, command in sorted(enumerate(commands), key=place)]


def _cell(command: Mapping[str, Any]) -> dict[str, Any]:
    text = command.get("command")
    if not isinstance(text, str):
        raise InvalidValue("content", "a command has no text.")
    cell = cell_of(text)
    extras = _mapping(command.get("iPythonMetadata"))
    fields = _mapping(extras.get("cell"))
    if fields.get("cell_type") == "raw" and cell["cell_type"] == "markdown":
        cell = raw_cell(cell["source"])
    cell["metadata"] = {**_mapping(extras.get("metadata")), **cell["metadata"]}
    _take_vendor_metadata(cell, command)
    nuid, guid = command.get("nuid"), command.get("guid")
    cell["id"] = nuid if nuid else guid
    if cell["cell_type"] == "code":
        cell["execution_count"] = fields.get("execution_count")
        cell["outputs"] = _outputs(command)
    elif isinstance(fields.get("attachments"), dict):
        cell["attachments"] = fields["attachments"]
    return cell


def _take_vendor_metadata(cell: dict[str, Any], command: Mapping[str, Any]) -> None:
    vendor = dict(_mapping(cell["metadata"].get(CELL_KEY)))
    title = command.get("commandTitle")
    if isinstance(title, str) and (title or vendor.get("title")):
        vendor.update({"title": title, "showTitle": command.get("showCommandTitle") is True})
    for key, name in (("inputWidgets", "inputWidgets"), ("cellMetadata", "metadata")):
        value = command.get(name)
        if isinstance(value, dict) and value:
            vendor[key] = value
    if vendor:
        cell["metadata"][CELL_KEY] = vendor
    for key, name in (
        ("source_hidden", "hideCommandCode"),
        ("outputs_hidden", "hideCommandResult"),
    ):
        if command.get(name) is True:
            known = _mapping(cell["metadata"].get("jupyter"))
            cell["metadata"]["jupyter"] = {**known, key: True}


def _outputs(command: Mapping[str, Any]) -> list[dict[str, Any]]:
    outputs = _flatten(command.get("results"))
    failed = any(output["output_type"] == "error" for output in outputs)
    summary = command.get("errorSummary")
    if command.get("state") == "error" and not failed and isinstance(summary, str) and summary:
        trace = command.get("error")
        outputs.append(_error(summary, trace if isinstance(trace, str) else summary))
    return outputs


def _flatten(results: object) -> list[dict[str, Any]]:
    """The outputs of a result; lists of lists are taken in order."""
    outputs: list[dict[str, Any]] = []
    waiting = [results]
    while waiting:
        result = waiting.pop()
        if not isinstance(result, dict):
            if result is None:
                continue
            raise InvalidValue("content", "a command's results are not an object.")
        if result.get("type") == "listResults":
            waiting.extend(reversed(_list(result.get("data"))))
        else:
            outputs.append(_output(result))
    return outputs


def _output(result: dict[str, Any]) -> dict[str, Any]:
    kind, data = result.get("type"), result.get("data")
    extra = _mapping(_mapping(result.get("metadata")).get(_JUPYTER_KEY))
    if kind in _ERROR_TYPES or "cause" in result:
        if extra.get("output_type") == "error":
            return dict(extra)
        summary = result.get("summary") or result.get("errorSummary") or "Error"
        cause = result.get("cause") or data
        return _error(str(summary), cause if isinstance(cause, str) and cause else str(summary))
    if kind == "ansi" and isinstance(data, str):
        name = extra.get("name", "stdout")
        return {"output_type": "stream", "name": name, "text": data}
    if kind == "mimeBundle" and isinstance(data, dict):
        return {**_display(data), **extra}
    if kind == "html" and isinstance(data, str):
        return {**_display({"text/html": data}), **extra}
    # The rest has no exact counterpart: shown as well as possible, and kept whole beside that.
    return _display(_shown(kind, data, result), {OUTPUT_KEY: result})


def _display(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": metadata or {}}


def _shown(kind: object, data: object, result: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "table" and isinstance(data, list):
        return _table(data, _list(result.get("schema")))
    if kind == "htmlSandbox" and isinstance(data, str):
        return {"text/html": data}
    if kind == "image" and isinstance(data, str):
        image = _image(data)
        if image is not None:
            return image
    return {"text/plain": data if isinstance(data, str) else json.dumps(data)}


def _image(data: str) -> dict[str, Any] | None:
    match = _DATA_URL.match(data)
    encoded = data[match.end() :] if match else data
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None  # a path on the other server, which is shown as text
    for signature, media_type in _IMAGE_SIGNATURES:
        if content.startswith(signature):
            return {media_type: encoded}
    return None


def _table(rows: list[Any], schema: list[Any]) -> dict[str, Any]:
    names = [str(_mapping(column).get("name", "")) for column in schema]
    listed = [row if isinstance(row, list) else [row] for row in rows[:_ROWS_SHOWN]]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_text(value))}</td>" for value in row) + "</tr>"
        for row in listed
    )
    lines = ["\t".join(names), *("\t".join(_text(value) for value in row) for row in listed)]
    more = len(rows) - len(listed)
    note = f"{more} more rows" if more else ""
    return {
        "text/html": f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        + (f"<p>{note}</p>" if note else ""),
        "text/plain": "\n".join([*lines, note] if note else lines),
    }


def _text(value: object) -> str:
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value)


def _error(summary: str, trace: str) -> dict[str, Any]:
    plain = _ANSI.sub("", summary)
    name, found, value = plain.partition(":")
    if not found or not re.fullmatch(r"[\w.]+", name):
        name, value = "Error", plain
    return {
        "output_type": "error",
        "ename": name,
        "evalue": value.strip(),
        "traceback": [trace],
    }


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
