"""The file formats notebooks come and go in, by name.

Owns: the list of formats, reading and writing one notebook by a format's name, and telling which
format a file has.
Does not own: the formats themselves (one module each) and the rendering of pages.

Archives hold trees: read them with ``databricks_archive.read``, which gives one entry a notebook.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from quire.errors import InvalidValue
from quire.workspace.formats import (
    databricks_archive,
    databricks_html,
    databricks_source,
    ipynb,
    script,
)
from quire.workspace.formats.databricks_archive import ArchiveEntry
from quire.workspace.formats.databricks_html import PageRenderer
from quire.workspace.formats.document import LANGUAGES, Language, flavour_of, language_of

__all__ = [
    "FORMATS",
    "LANGUAGES",
    "ArchiveEntry",
    "Detection",
    "Format",
    "Language",
    "PageRenderer",
    "detect",
    "extension_of",
    "flavour_of",
    "identify",
    "language_of",
    "read",
    "write",
]


@dataclass(frozen=True)
class Format:
    """One file format."""

    name: str
    extension: str | None  # with its dot; None: by the notebook's language
    media_type: str


@dataclass(frozen=True)
class Detection:
    """What a file was found to be."""

    format: str  # a name in FORMATS
    language: str | None  # where the file says so: of source files and scripts
    name: str  # the file's name without its extension


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        item.name: item
        for item in (
            Format("ipynb", ".ipynb", "application/x-ipynb+json"),
            Format("databricks_source", None, "text/plain"),
            Format("databricks_archive", ".dbc", "application/zip"),
            Format("databricks_html", ".html", "text/html"),
            Format("script", None, "text/plain"),
        )
    }
)

_SOURCE_LANGUAGES = MappingProxyType(
    {language.source_extension: language for language in LANGUAGES.values()}
)
_ZIP_SIGNATURE = b"PK\x03\x04"


def detect(data: bytes, filename: str) -> Detection | None:
    """The notebook format of a file that is imported without naming one; None for a plain file.

    A notebook is: a ``.ipynb``, and a ``.py``, ``.sql``, ``.scala`` or ``.r`` whose first line is
    the source header of that language (Databricks contract 8.1, AUTO). Upper case in an extension
    counts as lower.
    """
    name, extension = _split_extension(filename)
    if extension == ".ipynb":
        return Detection("ipynb", None, name)
    language = _SOURCE_LANGUAGES.get(extension)
    if language is None:
        return None
    first = data.split(b"\n", 1)[0].removeprefix(b"\xef\xbb\xbf").rstrip()
    if first != f"{language.comment} Databricks notebook source".encode():
        return None
    return Detection("databricks_source", language.name, name)


def identify(data: bytes, filename: str) -> Detection | None:
    """The format of a file that is meant to be a notebook; None when it is none this server reads.

    As ``detect``, and: archives, exported pages, and scripts without a header.
    """
    found = detect(data, filename)
    if found is not None:
        return found
    name, extension = _split_extension(filename)
    if extension == ".dbc" and data.startswith(_ZIP_SIGNATURE):
        return Detection("databricks_archive", None, name)
    if extension in (".html", ".htm") and databricks_html.VARIABLE.encode() in data:
        return Detection("databricks_html", None, name)
    language = _SOURCE_LANGUAGES.get(extension)
    return Detection("script", language.name, name) if language is not None else None


def read(format_name: str, data: bytes, *, language: str | None = None) -> dict[str, Any]:
    """The notebook in a file of the named format.

    language: of source files and scripts; the other formats say it themselves.

    Raises InvalidValue("format") for a format that is unknown or holds a tree, and InvalidValue
    ("content" or "language") for a file that cannot be read.
    """
    match _format(format_name).name:
        case "ipynb":
            return ipynb.read(data)
        case "databricks_source":
            return databricks_source.read(data, language)
        case "databricks_html":
            return databricks_html.read(data)
        case "script":
            return script.read(data, language or "python")
    raise InvalidValue("format", f"{format_name} holds a tree of notebooks, not one.")


def write(
    format_name: str,
    notebook: dict[str, Any],
    *,
    name: str,
    render_page: PageRenderer | None = None,
) -> bytes:
    """The notebook as a file of the named format.

    name: the notebook's name without folders, which archives and pages carry.
    render_page: makes the page for "databricks_html", the one format that needs it.

    Raises InvalidValue("format") for an unknown format, or a page without a renderer, and
    InvalidValue("language") when the format cannot hold the notebook's language.
    """
    match _format(format_name).name:
        case "ipynb":
            return ipynb.write(notebook)
        case "databricks_source":
            return databricks_source.write(notebook)
        case "databricks_archive":
            return databricks_archive.write([ArchiveEntry(name, notebook)])
        case "databricks_html":
            if render_page is None:
                raise InvalidValue("format", "pages cannot be written without a renderer.")
            return databricks_html.write(notebook, name, render_page)
    return script.write(notebook)


def extension_of(format_name: str, notebook: Mapping[str, Any]) -> str:
    """The extension, with its dot, of a file that holds this notebook in the named format.

    Raises InvalidValue("format") for an unknown format, and InvalidValue("language") when the
    format has no extension for the notebook's language.
    """
    chosen = _format(format_name)
    if chosen.extension is not None:
        return chosen.extension
    language = language_of(notebook)
    if language not in LANGUAGES:
        message = f"{language} notebooks have no source form."
        raise InvalidValue("language", message, allowed=tuple(LANGUAGES))
    return LANGUAGES[language].source_extension


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise InvalidValue("format", f"{name} is unknown.", allowed=tuple(FORMATS))
    return FORMATS[name]


def _split_extension(filename: str) -> tuple[str, str]:
    base = filename.rpartition("/")[2]
    stem, dot, extension = base.rpartition(".")
    return (stem, (dot + extension).lower()) if stem else (base, "")
