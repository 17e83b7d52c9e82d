"""The canonical notebook as the formats build and read it.

Owns: making notebooks and cells of nbformat 4.5 as plain dictionaries, the table of languages, and
the few facts every format asks of a notebook (its language, its flavour, whether it is valid).
Does not own: any file format, and nothing of the workspace tree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import nbformat

from quire.errors import InvalidValue

__all__ = [
    "CELL_KEY",
    "LANGUAGES",
    "NOTEBOOK_KEY",
    "OUTPUT_KEY",
    "Language",
    "check",
    "code_cell",
    "decode",
    "encode",
    "environment_of",
    "flavour_of",
    "give_cell_ids",
    "language_of",
    "load_json",
    "markdown_cell",
    "new_notebook",
    "raw_cell",
]

NOTEBOOK_KEY = "application/vnd.databricks.v1+notebook"
"""Notebook metadata in the vendor's form (Databricks contract 9.2)."""
CELL_KEY = "application/vnd.databricks.v1+cell"
"""Cell metadata in the vendor's form: title, showTitle, nuid, inputWidgets, cellMetadata."""
OUTPUT_KEY = "application/vnd.databricks.v1+output"
"""Output metadata: the vendor's own result record that this output displays."""

_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MESSAGE_LENGTH = 300


@dataclass(frozen=True)
class Language:
    """A default language of notebooks that have a source form (Databricks contract 9.1, 9.3)."""

    name: str
    comment: str  # what opens a comment line
    source_extension: str  # of a source file, with its dot
    archive_extension: str  # of an entry of an archive, with its dot


LANGUAGES: Mapping[str, Language] = MappingProxyType(
    {
        "python": Language("python", "#", ".py", ".python"),
        "sql": Language("sql", "--", ".sql", ".sql"),
        "scala": Language("scala", "//", ".scala", ".scala"),
        "r": Language("r", "#", ".r", ".r"),
    }
)

_KERNEL_LANGUAGES = MappingProxyType(
    {"ir": "r", "scala": "scala", "almond": "scala", "spylon-kernel": "scala"}
)
_LANGUAGE_SPELLINGS = MappingProxyType({"ipython": "python", "python3": "python"})


def new_notebook(
    language: str,
    flavour: str,
    cells: Iterable[dict[str, Any]],
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A notebook of these cells; cells without an id get one by their position."""
    notebook: dict[str, Any] = {
        "cells": list(cells),
        "metadata": {
            **(metadata or {}),
            "language_info": {"name": language},
            "quire": {"flavour": flavour},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    give_cell_ids(notebook["cells"])
    return notebook


def code_cell(source: str, **fields: Any) -> dict[str, Any]:
    """A code cell without an id yet; ``fields`` may set metadata, outputs and execution_count."""
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        **fields,
    }


def markdown_cell(source: str, **fields: Any) -> dict[str, Any]:
    """A Markdown cell without an id yet."""
    return {"cell_type": "markdown", "source": source, "metadata": {}, **fields}


def raw_cell(source: str, **fields: Any) -> dict[str, Any]:
    """A raw cell without an id yet."""
    return {"cell_type": "raw", "source": source, "metadata": {}, **fields}


def give_cell_ids(cells: Iterable[Any]) -> None:
    """Give each cell whose id is missing, malformed or already taken an id of its own.

    The same cells get the same ids each time, so importing a file twice gives equal notebooks.
    """
    listed = [cell for cell in cells if isinstance(cell, dict)]
    taken: set[str] = set()
    lacking: list[tuple[int, dict[str, Any]]] = []
    for position, cell in enumerate(listed, start=1):
        identifier = cell.get("id")
        if (
            isinstance(identifier, str)
            and _CELL_ID.fullmatch(identifier)
            and identifier not in taken
        ):
            taken.add(identifier)
        else:
            lacking.append((position, cell))
    for position, cell in lacking:
        identifier = f"cell-{position}"
        while identifier in taken:
            identifier += "-x"
        taken.add(identifier)
        cell["id"] = identifier


def language_of(notebook: Mapping[str, Any]) -> str:
    """The notebook's default language in lower case, such as "python" or "r"."""
    metadata = notebook.get("metadata", {})
    for holder, key in (
        (metadata.get("language_info"), "name"),
        (metadata.get("kernelspec"), "language"),
        (metadata.get(NOTEBOOK_KEY), "language"),
    ):
        if isinstance(holder, Mapping):
            name = holder.get(key)
            if isinstance(name, str) and name:
                return _LANGUAGE_SPELLINGS.get(name.lower(), name.lower())
    kernelspec = metadata.get("kernelspec")
    if isinstance(kernelspec, Mapping):
        return _KERNEL_LANGUAGES.get(str(kernelspec.get("name", "")).lower(), "python")
    return "python"


def flavour_of(notebook: Mapping[str, Any]) -> str:
    """Whose conventions the notebook follows: "databricks" or "plain"."""
    own = notebook.get("metadata", {}).get("quire")
    return (
        "databricks" if isinstance(own, Mapping) and own.get("flavour") == "databricks" else "plain"
    )


def environment_of(notebook: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables a notebook brings along, as ``metadata.quire.environment``.

    What cannot be a variable is passed over: a file may say anything there.
    """
    own = notebook.get("metadata", {}).get("quire")
    given = own.get("environment") if isinstance(own, Mapping) else None
    if not isinstance(given, Mapping):
        return {}
    return {
        name: value
        for name, value in given.items()
        if _VARIABLE.fullmatch(name) and isinstance(value, str) and "\x00" not in value
    }


def check(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook when it is valid nbformat 4.5.

    Raises InvalidValue("content") naming the first thing that is wrong.
    """
    try:
        nbformat.validate(notebook, version=4, version_minor=5)
    except nbformat.ValidationError as error:
        reason = " ".join(str(getattr(error, "message", error)).split())
        raise InvalidValue(
            "content", f"not a valid notebook: {reason[:_MESSAGE_LENGTH]}"
        ) from error
    return notebook


def decode(data: bytes) -> str:
    """Text of a file: UTF-8 with or without a byte order mark. Raises InvalidValue("content")."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidValue(
            "content", f"not UTF-8 text ({error.reason} at byte {error.start})."
        ) from error


def encode(text: str) -> bytes:
    """UTF-8 of a text; a code point that UTF-8 cannot hold (a lone surrogate) becomes "?"."""
    return text.encode("utf-8", "replace")


def load_json(text: str, what: str) -> Any:
    """Parse JSON; the constants NaN and Infinity, which JSON lacks, become null.

    Raises InvalidValue("content") on anything else that is not JSON, on nesting too deep to read,
    and on text that is not valid Unicode.
    """
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except RecursionError as error:
        raise InvalidValue("content", f"{what} is nested too deeply.") from error
    except ValueError as error:
        raise InvalidValue("content", f"{what} is not JSON ({error}).") from error
    if "\\u" in text or "\\U" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidValue(
                "content", f"{what} holds text that is not valid Unicode."
            ) from error
    return value
