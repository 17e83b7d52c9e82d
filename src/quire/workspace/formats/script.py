"""Plain scripts: Python, SQL, Scala and R files without a vendor's header.

Owns: reading a script as one cell, or as several when it is written in percent format, and writing
one.
Does not own: Databricks source, which has a header of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quire.errors import InvalidValue
from quire.workspace.formats.databricks_cells import title_of
from quire.workspace.formats.document import (
    LANGUAGES,
    Language,
    check,
    code_cell,
    decode,
    encode,
    give_cell_ids,
    language_of,
    markdown_cell,
    new_notebook,
)

__all__ = ["read", "write"]

_KEY = re.compile(r"[a-zA-Z_.][a-zA-Z0-9_.]*")  # what a percent marker's options can name
_SQL_MARKER = re.compile(r"^-- ?%%([^\S\n].*|)$", re.MULTILINE)


def read(data: bytes, language: str = "python") -> dict[str, Any]:
    """The notebook of a script: one code cell, or the cells between percent markers (``# %%``).

    Raises InvalidValue("content") when the file is not UTF-8 text or its percent header cannot be
    read, and InvalidValue("language") for an unknown language.
    """
    known = _language(language)
    text = decode(data).replace("\r\n", "\n")
    if not _has_markers(text, known):
        cells = [code_cell(text.removesuffix("\n"))] if text.strip() else []
        return check(new_notebook(language, "plain", cells))
    return _read_percent(text, known)


def write(notebook: Mapping[str, Any]) -> bytes:
    """The notebook as a script of its language.

    A single code cell without metadata is written as it is; anything else in percent format, which
    keeps cell kinds, titles and simple cell metadata, and loses outputs and the rest.

    Raises InvalidValue("language") when the language has no script form.
    """
    known = _language(language_of(notebook))
    cells = notebook["cells"]
    if not cells:
        return b""
    first = cells[0]
    if len(cells) == 1 and first["cell_type"] == "code" and not first["metadata"]:
        source: str = first["source"]
        if source.strip() and not _has_markers(source, known):
            return encode(source + "\n")
    return encode(_write_percent(notebook, known))


def _language(name: str) -> Language:
    if name not in LANGUAGES:
        raise InvalidValue("language", f"{name} has no script form.", allowed=tuple(LANGUAGES))
    return LANGUAGES[name]


def _has_markers(text: str, language: Language) -> bool:
    marker = rf"^{re.escape(language.comment)} ?%%(?:\s|$)"
    return re.search(marker, text, re.MULTILINE) is not None


def _percent_form(language: Language) -> dict[str, str]:
    return {"extension": language.source_extension, "format_name": "percent"}


def _read_percent(text: str, language: Language) -> dict[str, Any]:
    if language.name == "sql":
        return check(new_notebook("sql", "plain", _read_sql(text)))
    import jupytext  # only scripts in percent format need it

    try:
        parsed = jupytext.reads(text, fmt=_percent_form(language))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidValue("content", f"the percent script cannot be read ({error}).") from error
    cells = [_plain(cell) for cell in parsed.cells]
    for cell in cells:
        cell.pop("id", None)  # random; ids by position make an import repeatable
        cell["metadata"].pop("lines_to_next_cell", None)
    notebook = new_notebook(language.name, "plain", cells)
    give_cell_ids(notebook["cells"])
    return check(notebook)


def _write_percent(notebook: Mapping[str, Any], language: Language) -> str:
    if language.name == "sql":
        return "\n".join(_write_sql_cell(cell) for cell in notebook["cells"])
    import jupytext  # only scripts in percent format need it
    import nbformat  # read with jupytext, and heavier

    document = _plain(notebook)
    for cell in document["cells"]:
        title = title_of(cell)
        metadata = {key: cell["metadata"][key] for key in cell["metadata"] if _KEY.fullmatch(key)}
        metadata.pop("quire", None)
        cell["metadata"] = {**metadata, "title": title[0]} if title else metadata
    document["metadata"] = {
        "language_info": {"name": language.name},
        "jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": "all"},
    }
    copy = nbformat.from_dict(document)  # type: ignore[no-untyped-call]
    written: str = jupytext.writes(copy, fmt=_percent_form(language))
    return written


def _read_sql(text: str) -> list[dict[str, Any]]:
    """The cells of a percent script in SQL, a language that jupytext has no scripts of."""
    cells: list[dict[str, Any]] = []
    before, *rest = _SQL_MARKER.split(text)
    if before.strip():
        cells.append(code_cell(before.strip("\n")))
    for options, body in zip(rest[::2], rest[1::2], strict=True):
        source = body.strip("\n")
        if options.strip() in ("[markdown]", "[md]"):
            cells.append(markdown_cell(re.sub(r"^-- ?", "", source, flags=re.MULTILINE)))
        else:
            cells.append(code_cell(source))
    return cells


def _write_sql_cell(cell: Mapping[str, Any]) -> str:
    source: str = cell["source"]
    if cell["cell_type"] == "code":
        return f"-- %%\n{source}\n"
    commented = "\n".join(f"-- {line}".rstrip() for line in source.split("\n"))
    return f"-- %% [markdown]\n{commented}\n"


def _plain(value: Any) -> Any:
    """A copy made of plain dictionaries and lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
