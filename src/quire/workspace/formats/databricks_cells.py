"""Cells as Databricks writes them: one text a cell, magics included.

Owns: turning a cell's text into a canonical cell and back, Markdown magics, titles.
Does not own: how texts are put into a file (source, archive, HTML).

A text that starts with ``%md`` or ``%md-sandbox`` is a Markdown cell. The usual opening, ``%md``
alone on its line, is dropped; any other is kept in the cell's metadata so that the text comes back
as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quire.workspace.formats.document import CELL_KEY, code_cell, markdown_cell

__all__ = [
    "MARKDOWN_HEAD",
    "cell_of",
    "is_magic",
    "own_metadata",
    "set_title",
    "text_of",
    "title_of",
]

MARKDOWN_HEAD = "%md\n"
_HEAD_KEY = "markdown_magic"
_MARKDOWN = re.compile(r"\s*%md(?:-sandbox)?(?!\S)[^\S\n]*\n?")


def cell_of(text: str) -> dict[str, Any]:
    """The canonical cell of a text: Markdown without its magic, else code with its magics kept."""
    match = _MARKDOWN.match(text)
    if match is None:
        return code_cell(text)
    head = match[0]
    cell = markdown_cell(text[match.end() :])
    if head != MARKDOWN_HEAD:
        cell["metadata"]["quire"] = {_HEAD_KEY: head}
    return cell


def text_of(cell: Mapping[str, Any]) -> str:
    """The text of a canonical cell, with the magic of a Markdown cell put back.

    A raw cell has no counterpart and becomes Markdown, which is not executed either.
    """
    source: str = cell["source"]
    if cell["cell_type"] == "code":
        return source
    head = own_metadata(cell).get(_HEAD_KEY)
    if isinstance(head, str):
        match = _MARKDOWN.match(head + source)
        if match is not None and match[0] == head:
            return head + source
    return MARKDOWN_HEAD + source


def own_metadata(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """What this server itself keeps in a cell's metadata."""
    own = cell["metadata"].get("quire")
    return own if isinstance(own, Mapping) else {}


def is_magic(text: str, language: str) -> bool:
    """Whether the text is written for a magic rather than for the notebook's own language."""
    opening = text.lstrip()
    return opening.startswith("%") or (language == "python" and opening.startswith("!"))


def title_of(cell: Mapping[str, Any]) -> tuple[str, bool] | None:
    """The cell's title and whether it is shown; None when it has none."""
    vendor = cell["metadata"].get(CELL_KEY)
    if not isinstance(vendor, Mapping):
        return None
    title = vendor.get("title")
    if not isinstance(title, str) or not title:
        return None
    return title, vendor.get("showTitle") is True


def set_title(cell: dict[str, Any], title: str, *, shown: bool) -> None:
    """Give the cell a title."""
    cell["metadata"].setdefault(CELL_KEY, {}).update({"title": title, "showTitle": shown})
