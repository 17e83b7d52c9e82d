"""Jupyter notebook files.

Owns: reading nbformat 1 to 4 into the canonical notebook (nbformat 4.5 with cell ids) and writing
it.
Does not own: size limits, which callers check before they read.
"""

from __future__ import annotations

import json
from typing import Any

import nbformat

from quire.errors import InvalidValue
from quire.workspace.formats.document import (
    NOTEBOOK_KEY,
    check,
    decode,
    encode,
    give_cell_ids,
    language_of,
    load_json,
)

__all__ = ["read", "write"]

_NEWEST_MAJOR = 4


def read(data: bytes) -> dict[str, Any]:
    """The notebook in a ``.ipynb`` file.

    Metadata are kept as they are. Added where missing: ``language_info.name`` and
    ``quire.flavour`` ("databricks" when the file carries that vendor's notebook metadata, which its
    own exports do; else "plain").

    Raises InvalidValue("content") when the file is not JSON, not a notebook, or not a valid one.
    """
    document = load_json(decode(data), "The notebook")
    if not isinstance(document, dict):
        raise InvalidValue("content", "not a notebook: the file is not a JSON object.")
    major = document.get("nbformat")
    if not isinstance(major, int) or isinstance(major, bool):
        raise InvalidValue("content", "not a notebook: the number nbformat is missing.")
    if major < 1 or major > _NEWEST_MAJOR:
        raise InvalidValue(
            "content", f"notebook format {major} is not one this server reads (1 to 4)."
        )
    notebook = _upgrade(document, major) if major < _NEWEST_MAJOR else document
    cells = notebook.get("cells")
    metadata = notebook.setdefault("metadata", {})
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise InvalidValue("content", "not a notebook: it has no list of cells.")
    if not isinstance(metadata, dict):
        raise InvalidValue("content", "not a notebook: metadata is not an object.")
    for cell in cells:
        _complete(cell)
    give_cell_ids(cells)
    notebook["nbformat_minor"] = 5
    language_info = metadata.setdefault("language_info", {})
    if isinstance(language_info, dict):
        language_info.setdefault("name", language_of(notebook))
    own = metadata.get("quire")
    if not isinstance(own, dict) or own.get("flavour") not in ("databricks", "plain"):
        flavour = "databricks" if isinstance(metadata.get(NOTEBOOK_KEY), dict) else "plain"
        metadata["quire"] = {**(own if isinstance(own, dict) else {}), "flavour": flavour}
    return check(notebook)


def write(notebook: dict[str, Any]) -> bytes:
    """The notebook as a ``.ipynb`` file: nbformat 4.5, texts as lists of lines."""
    document = {
        **notebook,
        "cells": [_split(cell) for cell in notebook["cells"]],
    }
    return encode(json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def _upgrade(document: dict[str, Any], major: int) -> dict[str, Any]:
    """A notebook of nbformat 1 to 3 as nbformat 4, as plain dictionaries."""
    try:
        old = nbformat.versions[major].to_notebook_json(document)
        new = nbformat.convert(old, _NEWEST_MAJOR)  # type: ignore[no-untyped-call]
        upgraded: dict[str, Any] = json.loads(json.dumps(new))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidValue("content", f"not a valid notebook of format {major}.") from error
    for cell in upgraded["cells"]:
        cell.pop("id", None)  # random; ids by position make an import repeatable
    return upgraded


def _complete(cell: dict[str, Any]) -> None:
    """Fill in what many writers leave out, and join texts that are stored as lists of lines."""
    cell.setdefault("metadata", {})
    cell["source"] = _joined(cell.get("source", ""))
    if cell.get("cell_type") == "code":
        cell.setdefault("execution_count", None)
        outputs = cell.setdefault("outputs", [])
        for output in outputs if isinstance(outputs, list) else []:
            if not isinstance(output, dict):
                continue
            if "text" in output:
                output["text"] = _joined(output["text"])
            if "data" in output:
                output["data"] = _joined_bundle(output["data"])
    attachments = cell.get("attachments")
    if isinstance(attachments, dict):
        cell["attachments"] = {name: _joined_bundle(value) for name, value in attachments.items()}


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _joined(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value


def _joined_bundle(bundle: Any) -> Any:
    if not isinstance(bundle, dict):
        return bundle
    return {
        media_type: value if _is_json(media_type) else _joined(value)
        for media_type, value in bundle.items()
    }


def _split(cell: dict[str, Any]) -> dict[str, Any]:
    """The cell as files hold it, long texts as lists of lines."""
    split = {**cell, "source": _lines(cell["source"])}
    if "outputs" in cell:
        split["outputs"] = [_split_output(output) for output in cell["outputs"]]
    if "attachments" in cell:
        split["attachments"] = {
            name: _split_bundle(bundle) for name, bundle in cell["attachments"].items()
        }
    return split


def _split_output(output: dict[str, Any]) -> dict[str, Any]:
    split = dict(output)
    if "text" in output:
        split["text"] = _lines(output["text"])
    if "data" in output:
        split["data"] = _split_bundle(output["data"])
    return split


def _split_bundle(bundle: dict[str, Any]) -> dict[str, Any]:
    return {
        media_type: _lines(value) if media_type.startswith("text/") else value
        for media_type, value in bundle.items()
    }


def _lines(value: Any) -> Any:
    # Cut at "\n" only: str.splitlines would also cut at form feeds and line separators.
    if not isinstance(value, str):
        return value
    *whole, rest = value.split("\n")
    lines = [line + "\n" for line in whole]
    return [*lines, rest] if rest else lines
