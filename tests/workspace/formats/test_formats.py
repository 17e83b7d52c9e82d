from __future__ import annotations

import subprocess
import sys

import pytest

from quire.errors import InvalidValue
from quire.render import render_html
from quire.workspace import formats
from quire.workspace.formats import Detection, databricks_archive
from quire.workspace.formats.document import code_cell, flavour_of, language_of, new_notebook

PYTHON = b"# Databricks notebook source\nx\n"
SQL = b"-- Databricks notebook source\nx\n"


@pytest.mark.parametrize(
    ("filename", "data", "found"),
    [
        ("dir/a.py", PYTHON, Detection("databricks_source", "python", "a")),
        (
            "a.PY",
            b"\xef\xbb\xbf# Databricks notebook source  \r\n",
            Detection("databricks_source", "python", "a"),
        ),
        ("a.r", PYTHON, Detection("databricks_source", "r", "a")),
        ("a.sql", SQL, Detection("databricks_source", "sql", "a")),
        (
            "a.b.scala",
            b"// Databricks notebook source",
            Detection("databricks_source", "scala", "a.b"),
        ),
        ("a.ipynb", b"{}", Detection("ipynb", None, "a")),
        ("a.py", SQL, None),  # the header of another language
        ("a.py", b"print(1)", None),
        ("a.txt", PYTHON, None),
        ("a", PYTHON, None),
        (".py", PYTHON, None),
        ("a.dbc", b"PK\x03\x04", None),
        ("a.html", b"__DATABRICKS_NOTEBOOK_MODEL", None),
        ("a.csv", b"\xff\xfe", None),
    ],
)
def test_auto_takes_only_what_says_it_is_a_notebook(
    filename: str, data: bytes, found: Detection | None
) -> None:
    assert formats.detect(data, filename) == found


@pytest.mark.parametrize(
    ("filename", "data", "format_name"),
    [
        ("a.py", PYTHON, "databricks_source"),
        ("a.py", b"print(1)", "script"),
        ("a.R", b"x", "script"),
        ("a.dbc", b"PK\x03\x04", "databricks_archive"),
        ("a.html", b"<script>var __DATABRICKS_NOTEBOOK_MODEL = ''", "databricks_html"),
        ("a.html", b"<p>", None),
        ("a.dbc", b"junk", None),
        ("a.txt", b"x", None),
    ],
)
def test_identify_takes_whatever_can_be_read_as_a_notebook(
    filename: str, data: bytes, format_name: str | None
) -> None:
    found = formats.identify(data, filename)
    assert (found.format if found else None) == format_name


@pytest.mark.parametrize("format_name", ["ipynb", "databricks_source", "databricks_html", "script"])
def test_a_notebook_goes_out_and_comes_back_by_name(format_name: str) -> None:
    notebook = new_notebook("sql", "databricks", [code_cell("select 1")])
    data = formats.write(format_name, notebook, name="n", render_page=render_html)
    back = formats.read(format_name, data, language="sql")
    assert back["cells"] == notebook["cells"]
    assert language_of(back) == "sql"
    assert flavour_of(back) == ("plain" if format_name == "script" else "databricks")


def test_one_notebook_goes_out_as_an_archive_and_trees_are_read_by_the_archive_itself() -> None:
    notebook = new_notebook("r", "databricks", [code_cell("x")])
    data = formats.write("databricks_archive", notebook, name="n")
    (entry,) = databricks_archive.read(data)
    assert (entry.path, entry.notebook) == ("n", notebook)
    with pytest.raises(InvalidValue, match="tree"):
        formats.read("databricks_archive", data)


def test_each_format_has_an_extension() -> None:
    python, sql, julia = (new_notebook(name, "plain", []) for name in ("python", "sql", "julia"))
    assert formats.extension_of("ipynb", julia) == ".ipynb"
    assert formats.extension_of("databricks_archive", sql) == ".dbc"
    assert formats.extension_of("databricks_html", sql) == ".html"
    assert formats.extension_of("databricks_source", python) == ".py"
    assert formats.extension_of("script", sql) == ".sql"
    with pytest.raises(InvalidValue, match="julia"):
        formats.extension_of("databricks_source", julia)


def test_unknown_formats_and_pages_without_a_renderer_are_refused() -> None:
    notebook = new_notebook("python", "plain", [])
    for refuse in (
        lambda: formats.read("docx", b""),
        lambda: formats.write("docx", notebook, name="n"),
        lambda: formats.extension_of("docx", notebook),
        lambda: formats.write("databricks_html", notebook, name="n"),
    ):
        with pytest.raises(InvalidValue) as refused:
            refuse()
        assert refused.value.field == "format"


def test_importing_formats_and_pages_does_not_load_what_only_some_files_need() -> None:
    code = (
        "import sys, quire.workspace.formats, quire.render\n"
        "late = {'nbconvert', 'jupytext', 'pygments', 'markdown_it'}\n"
        "print(sorted(late & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
