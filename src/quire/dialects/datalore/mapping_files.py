"""Paths and files in the vendor's words (contract 9).

Paths are relative to the data root, which has two folders: ``data/notebook_files``, where the code
of the notebook works, and ``data/workspace_files``. The first part may be left out, and a path in
neither folder is one in the notebook's own, where code would find it.
"""

from __future__ import annotations

import codecs
from typing import Any

from quire.errors import InvalidValue, MissingField
from quire.workspace.attachments import check_attachment_path
from quire.workspace.models import Attachment

__all__ = [
    "NOTEBOOK_FILES",
    "ROOTS",
    "WORKSPACE_FILES",
    "describe_file",
    "describe_roots",
    "describe_text",
    "is_data_root",
    "is_root",
    "read_file_name",
    "read_path",
]

NOTEBOOK_FILES = "notebook_files"
WORKSPACE_FILES = "workspace_files"
ROOTS = (f"data/{NOTEBOOK_FILES}", f"data/{WORKSPACE_FILES}")


def is_data_root(text: str) -> bool:
    """Whether a path means what holds both folders."""
    return text.strip("/") in ("", ".", "data")


def is_root(text: str) -> bool:
    """Whether a path means what holds both folders, or one of them."""
    return is_data_root(text) or text.strip("/").removeprefix("data/") in (
        NOTEBOOK_FILES,
        WORKSPACE_FILES,
    )


def read_path(text: str, field: str) -> tuple[str, str]:
    """Which of the folders a path is in, and the path there; empty for the folder itself.

    Raises InvalidValue for a path that leads out.
    """
    path = check_attachment_path(text, field, allow_root=True)
    inside = path.removeprefix("data/")
    first, _, rest = inside.partition("/")
    if first in (NOTEBOOK_FILES, WORKSPACE_FILES):
        return first, rest
    return NOTEBOOK_FILES, path


def read_file_name(text: str) -> str:
    """The name of an uploaded file, without the folders some clients send with it."""
    name = text.replace("\\", "/").rpartition("/")[2]
    if not name:
        raise MissingField("file.filename")
    return check_attachment_path(name, "file.filename")


def describe_file(file: Attachment) -> dict[str, Any]:
    """An entry of a folder."""
    return {
        "name": file.name,
        "type": "FOLDER" if file.is_folder else "FILE",
        "fileSize": file.size,
        "lastModified": round(file.modified_at.timestamp() * 1000),
    }


def describe_roots() -> list[dict[str, Any]]:
    """What the data root holds."""
    return [
        {"name": name, "type": "FOLDER", "fileSize": 0, "lastModified": None}
        for name in (NOTEBOOK_FILES, WORKSPACE_FILES)
    ]


def describe_text(
    data: bytes, encoding: str, max_bytes: int, max_lines: int | None
) -> dict[str, Any]:
    """The beginning of a file as a text. data: one byte more than may be shown, if there is one.

    Raises InvalidValue when it is not a text in this encoding.
    """
    truncated = len(data) > max_bytes
    data = data[:max_bytes]
    try:
        # A character that the limit cuts in two is left out.
        text, used = codecs.getincrementaldecoder(encoding)(), len(data)
        content = text.decode(data, final=not truncated)
        used -= len(text.getstate()[0])
    except UnicodeDecodeError as error:
        raise InvalidValue(
            "encoding",
            f"the file is not {encoding} ({error.reason} at byte {error.start}).",
            allowed=["utf-8", "latin-1"],
        ) from None
    lines = content.splitlines(keepends=True)
    if max_lines is not None and len(lines) > max_lines:
        lines, truncated = lines[:max_lines], True
        content = "".join(lines)
        used = len(content.encode(encoding))
    return {
        "content": content,
        "truncated": truncated,
        "bytesRead": used,
        "linesRead": len(lines),
        "encoding": encoding,
    }
