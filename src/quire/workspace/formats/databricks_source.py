"""Databricks source files: Python, SQL, Scala and R (Databricks contract 9.1).

Owns: the header, cell separators, the MAGIC prefix and title lines.
Does not own: what a magic means.

A source file holds the cells' texts and titles and nothing else: outputs, tags and cell ids are
not in it. A code cell whose own text would be read as a separator, a prefix or a title is written
as a magic cell of the notebook's language, which runs the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quire.errors import InvalidValue
from quire.workspace.formats.databricks_cells import (
    cell_of,
    is_magic,
    own_metadata,
    set_title,
    text_of,
    title_of,
)
from quire.workspace.formats.document import (
    LANGUAGES,
    Language,
    check,
    code_cell,
    decode,
    encode,
    language_of,
    new_notebook,
)

__all__ = ["header_language", "read", "write"]

_HEADER = " Databricks notebook source"
_SEPARATOR = " COMMAND ----------"
_PREFIX_KEY = "magic_prefix"


def header_language(text: str) -> str | None:
    """The language whose header opens the text; None when there is no header.

    Python and R share one header; it is read as Python's.
    """
    first = text.partition("\n")[0].removeprefix("\ufeff").rstrip()
    for language in LANGUAGES.values():
        if first == language.comment + _HEADER:
            return language.name
    return None


def read(data: bytes, language: str | None = None) -> dict[str, Any]:
    """The notebook in a source file.

    language: "python", "sql", "scala" or "r"; None takes the header's. A text without that
    language's header is one code cell.

    Raises InvalidValue("content") when the file is not UTF-8 text, or has no header to take the
    language from, and InvalidValue("language") for a language without a source form.
    """
    text = decode(data).replace("\r\n", "\n")
    name = language if language is not None else header_language(text)
    if name is None:
        raise InvalidValue("content", "no source header to take the language from.")
    marks = _marks(name)
    header, _, body = text.partition("\n")
    if header.rstrip() != marks.comment + _HEADER:
        return check(new_notebook(name, "databricks", [code_cell(text)]))
    has_cells = "\n" in text and body != ""
    cells = [_read_cell(chunk, marks) for chunk in _chunks(body, marks)] if has_cells else []
    return check(new_notebook(name, "databricks", cells))


def write(notebook: Mapping[str, Any]) -> bytes:
    """The notebook as a source file of its default language.

    Raises InvalidValue("language") when that language has no source form.
    """
    marks = _marks(language_of(notebook))
    separator = f"\n\n{marks.comment}{_SEPARATOR}\n\n"
    text = marks.comment + _HEADER + "\n"
    if notebook["cells"]:
        text += separator.join(_write_cell(cell, marks) for cell in notebook["cells"]) + "\n"
    return encode(text)


def _marks(language: str) -> Language:
    if language not in LANGUAGES:
        raise InvalidValue(
            "language", f"{language} notebooks have no source form.", allowed=tuple(LANGUAGES)
        )
    return LANGUAGES[language]


def _chunks(body: str, marks: Language) -> list[str]:
    """The cells' texts. One blank line on each side of a separator belongs to the separator."""
    lines = body.split("\n")
    if lines[-1] == "":
        lines.pop()  # the file's final newline
    chunks: list[list[str]] = [[]]
    for line in lines:
        if line.rstrip() == marks.comment + _SEPARATOR:
            if chunks[-1] and not chunks[-1][-1].strip():
                chunks[-1].pop()
            chunks.append([])
        else:
            chunks[-1].append(line)
    for chunk in chunks[1:]:
        if chunk and not chunk[0].strip():
            del chunk[0]
    return ["\n".join(chunk) for chunk in chunks]


def _title_line(line: str, marks: Language) -> re.Match[str] | None:
    return re.fullmatch(re.escape(marks.comment) + r" DBTITLE ([01]),(.+)", line)


def _has_prefix(line: str, marks: Language) -> bool:
    prefix = marks.comment + " MAGIC"
    return line == prefix or line.startswith(prefix + " ")


def _read_cell(chunk: str, marks: Language) -> dict[str, Any]:
    first, _, rest = chunk.partition("\n")
    title = _title_line(first, marks)
    text = rest if title else chunk
    prefixed = _has_prefix(text.partition("\n")[0], marks)
    if prefixed:
        prefix = marks.comment + " MAGIC"
        text = "\n".join(
            line.removeprefix(prefix).removeprefix(" ") if _has_prefix(line, marks) else line
            for line in text.split("\n")
        )
    cell = cell_of(text) if prefixed else code_cell(text)
    if prefixed != is_magic(text_of(cell), marks.name):
        cell["metadata"]["quire"] = {_PREFIX_KEY: prefixed}
    if title:
        set_title(cell, title[2], shown=title[1] == "1")
    return cell


def _write_cell(cell: Mapping[str, Any], marks: Language) -> str:
    text = text_of(cell)
    title = title_of(cell)
    prefixed = is_magic(text, marks.name)
    if cell["cell_type"] == "code":
        wanted = own_metadata(cell).get(_PREFIX_KEY)
        prefixed = wanted if isinstance(wanted, bool) else prefixed
        if not prefixed and _reads_as_marks(text, marks, titled=title is not None):
            text = f"%{marks.name}\n{text}"
            prefixed = True
    if prefixed:
        prefix = marks.comment + " MAGIC"
        text = "\n".join(f"{prefix} {line}" if line else prefix for line in text.split("\n"))
    if title is None:
        return text
    line = title[0].replace("\n", " ")
    return f"{marks.comment} DBTITLE {int(title[1])},{line}\n{text}"


def _reads_as_marks(text: str, marks: Language, *, titled: bool) -> bool:
    lines = text.split("\n")
    return (
        _has_prefix(lines[0], marks)
        or (not titled and _title_line(lines[0], marks) is not None)
        or any(line.rstrip() == marks.comment + _SEPARATOR for line in lines)
    )
