"""Databricks HTML exports: a page that carries its notebook as data (Databricks contract 9.4).

Owns: the data line inside the page, written and found.
Does not own: how the page looks, which the caller's renderer decides.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Protocol
from urllib.parse import quote, unquote_to_bytes

from quire.errors import InvalidValue
from quire.workspace.formats.databricks_model import load_model, model_of
from quire.workspace.formats.document import decode, encode

__all__ = ["VARIABLE", "PageRenderer", "model_script", "read", "write"]

VARIABLE = "__DATABRICKS_NOTEBOOK_MODEL"

_ASSIGNMENT = re.compile(VARIABLE + r"\s{0,20}=\s{0,20}(?:(['\"])|(?=\{))")


class PageRenderer(Protocol):
    """Makes the page of a notebook, with one data line as its only script."""

    def __call__(
        self, notebook: dict[str, Any], title: str, *, model_script: str | None = None
    ) -> str: ...


def read(data: bytes) -> dict[str, Any]:
    """The notebook an exported page carries.

    Raises InvalidValue("content") when the page carries none or it cannot be decoded.
    """
    text = decode(data)
    match = _ASSIGNMENT.search(text)
    if match is None:
        raise InvalidValue("content", f"the page has no {VARIABLE}, so it is no notebook export.")
    quotation = match[1]
    if quotation is None:  # early exports hold the record itself
        return load_model(_object_text(text, match.end()))
    end = text.find(quotation, match.end())
    if end < 0:
        raise InvalidValue("content", f"the value of {VARIABLE} has no end.")
    try:
        escaped = base64.b64decode(unquote_to_bytes(text[match.end() : end]), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidValue("content", f"the value of {VARIABLE} is not base64.") from error
    return load_model(decode(unquote_to_bytes(escaped)))


def write(notebook: dict[str, Any], name: str, render_page: PageRenderer) -> bytes:
    """A page that shows the notebook and carries it as data."""
    page = render_page(notebook, name, model_script=model_script(notebook, name))
    return encode(page)


def model_script(notebook: dict[str, Any], name: str) -> str:
    """The JavaScript statement that holds the notebook: base64 of percent-encoded JSON."""
    record = json.dumps(model_of(notebook, name), ensure_ascii=False, separators=(",", ":"))
    escaped = quote(encode(record), safe="!'()*~")
    return f"var {VARIABLE} = '{base64.b64encode(escaped.encode('ascii')).decode('ascii')}';"


def _object_text(text: str, start: int) -> str:
    """The JSON object that begins at ``start``."""
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (RecursionError, ValueError) as error:
        raise InvalidValue("content", f"the value of {VARIABLE} is not JSON.") from error
    return text[start:end]
