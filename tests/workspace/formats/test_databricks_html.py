from __future__ import annotations

import base64
import json
import re
import urllib.parse
from typing import Any

import pytest
from hypothesis import given

from quire.errors import InvalidValue
from quire.workspace.formats import databricks_html as page
from quire.workspace.formats.databricks_model import model_of
from quire.workspace.formats.document import code_cell, new_notebook
from tests.workspace.formats.strategies import PROPERTY, notebooks

NOTEBOOK = new_notebook(
    "python",
    "databricks",
    [
        code_cell(
            "print('</script><b>é 😀')",
            outputs=[{"output_type": "stream", "name": "stdout", "text": "'\"%41"}],
        )
    ],
)


def render(notebook: dict[str, Any], title: str, *, model_script: str | None = None) -> str:
    return f"<html><title>{title}</title><script>{model_script}</script></html>"


def test_the_page_carries_the_record_as_public_readers_expect_it() -> None:
    text = page.write(NOTEBOOK, "n", render).decode()
    match = re.search(r"<script>var __DATABRICKS_NOTEBOOK_MODEL = '([^']+)';</script>", text)
    assert match is not None
    for encoded in (match[1], urllib.parse.unquote(match[1])):
        decoded = base64.b64decode(encoded).decode("utf-8")
        assert json.loads(urllib.parse.unquote(decoded)) == model_of(NOTEBOOK, "n")


def test_a_page_is_read_back() -> None:
    assert page.read(page.write(NOTEBOOK, "n", render)) == NOTEBOOK


def test_early_pages_hold_the_record_itself() -> None:
    text = (
        f"<script>var __DATABRICKS_NOTEBOOK_MODEL = {json.dumps(model_of(NOTEBOOK, 'n'))};</script>"
    )
    assert page.read(text.encode()) == NOTEBOOK


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html></html>",
        "var __DATABRICKS_NOTEBOOK_MODEL = 'abc",
        "var __DATABRICKS_NOTEBOOK_MODEL = 'a*b';",
        "var __DATABRICKS_NOTEBOOK_MODEL = '';",
        "var __DATABRICKS_NOTEBOOK_MODEL = '//79';",
        "var __DATABRICKS_NOTEBOOK_MODEL = 'e30=';",
        "var __DATABRICKS_NOTEBOOK_MODEL = {broken",
        "var __DATABRICKS_NOTEBOOK_MODEL = {};",
        "var __DATABRICKS_NOTEBOOK_MODEL = 'é';",
    ],
)
def test_pages_without_a_record_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        page.read(text.encode())
    assert refused.value.field == "content"


@PROPERTY
@given(notebooks())
def test_any_notebook_comes_back(notebook: dict[str, Any]) -> None:
    assert page.read(page.write(notebook, "n", render)) == notebook
