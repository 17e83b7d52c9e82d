from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from quire.errors import InvalidValue
from quire.workspace.formats import databricks_source as source
from quire.workspace.formats.document import (
    CELL_KEY,
    check,
    code_cell,
    markdown_cell,
    new_notebook,
    raw_cell,
)
from tests.workspace.formats.strategies import PROPERTY, source_notebooks

PYTHON = """\
# Databricks notebook source
# MAGIC %md
# MAGIC # Heading
# MAGIC
# MAGIC text

# COMMAND ----------

# DBTITLE 1,Load the data
dbutils.widgets.text("table", "sales")
table = dbutils.widgets.get("table")

# COMMAND ----------

# DBTITLE 0,--i18n-60a5d18a
# MAGIC %sql
# MAGIC select * from ${table}

# COMMAND ----------

# MAGIC %md-sandbox
# MAGIC <div>boxed</div>

# COMMAND ----------

# MAGIC %md ### On one line

# COMMAND ----------

# MAGIC %run ./includes/setup $a=1

# COMMAND ----------

# MAGIC !pip list

# COMMAND ----------

# DBTITLE 2,no title
x = 1

# COMMAND ----------

# a comment
%fs ls /

# COMMAND ----------


"""


def kinds_and_sources(notebook: dict[str, Any]) -> list[tuple[str, str]]:
    return [(cell["cell_type"], cell["source"]) for cell in notebook["cells"]]


def test_reads_cells_with_their_magics_and_titles() -> None:
    notebook = source.read(PYTHON.encode())
    assert kinds_and_sources(notebook) == [
        ("markdown", "# Heading\n\ntext"),
        (
            "code",
            'dbutils.widgets.text("table", "sales")\ntable = dbutils.widgets.get("table")',
        ),
        ("code", "%sql\nselect * from ${table}"),
        ("markdown", "<div>boxed</div>"),
        ("markdown", "### On one line"),
        ("code", "%run ./includes/setup $a=1"),
        ("code", "!pip list"),
        ("code", "# DBTITLE 2,no title\nx = 1"),
        ("code", "# a comment\n%fs ls /"),
        ("code", ""),
    ]
    titles = [cell["metadata"].get(CELL_KEY) for cell in notebook["cells"]]
    assert titles[1] == {"title": "Load the data", "showTitle": True}
    assert titles[2] == {"title": "--i18n-60a5d18a", "showTitle": False}
    assert titles[0] is titles[7] is None
    assert notebook["metadata"]["language_info"]["name"] == "python"
    assert notebook["metadata"]["quire"]["flavour"] == "databricks"


def test_an_export_of_an_import_is_the_same_file() -> None:
    assert source.write(source.read(PYTHON.encode())).decode() == PYTHON


def test_importing_twice_gives_equal_notebooks() -> None:
    assert source.read(PYTHON.encode()) == source.read(PYTHON.encode())


@pytest.mark.parametrize(
    ("language", "mark"), [("python", "#"), ("r", "#"), ("sql", "--"), ("scala", "//")]
)
def test_each_language_has_its_comment_mark(language: str, mark: str) -> None:
    text = (
        f"{mark} Databricks notebook source\nfirst\n\n{mark} COMMAND ----------\n\n"
        f"{mark} MAGIC %md\n{mark} MAGIC second\n"
    )
    notebook = source.read(text.encode(), language)
    assert kinds_and_sources(notebook) == [("code", "first"), ("markdown", "second")]
    assert notebook["metadata"]["language_info"]["name"] == language
    assert source.write(notebook).decode() == text


def test_the_header_gives_the_language_when_none_is_named() -> None:
    assert source.header_language("-- Databricks notebook source \nselect 1") == "sql"
    assert source.header_language("// Databricks notebook source") == "scala"
    assert source.header_language("\ufeff# Databricks notebook source\r\n") == "python"
    assert source.header_language("print(1)") is None
    notebook = source.read(b"-- Databricks notebook source\nselect 1\n")
    assert notebook["metadata"]["language_info"]["name"] == "sql"


def test_carriage_returns_trailing_white_space_and_a_mark_of_byte_order_are_tolerated() -> None:
    text = PYTHON.replace("----------\n", "----------  \t\n").replace("source\n", "source  \n", 1)
    loose = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    assert source.read(loose) == source.read(PYTHON.encode())


def test_old_exports_with_a_blank_after_an_empty_magic_line_read_the_same() -> None:
    text = PYTHON.replace("# MAGIC\n", "# MAGIC \n")
    assert source.read(text.encode()) == source.read(PYTHON.encode())


def test_a_file_without_the_header_of_its_language_is_one_cell() -> None:
    text = "import os\n\n# COMMAND ----------\n\nprint(1)\n"
    assert kinds_and_sources(source.read(text.encode(), "python")) == [("code", text)]
    foreign = "-- Databricks notebook source\nselect 1\n"
    assert kinds_and_sources(source.read(foreign.encode(), "python")) == [("code", foreign)]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("# Databricks notebook source\n", []),
        ("# Databricks notebook source", []),
        ("# Databricks notebook source\n\n", [("code", "")]),
        ("# Databricks notebook source\nx", [("code", "x")]),
        ("# Databricks notebook source\n\n\nx\n\n\n", [("code", "\n\nx\n\n")]),
        (
            "# Databricks notebook source\na\n# COMMAND ----------\nb",
            [("code", "a"), ("code", "b")],
        ),
    ],
)
def test_edges_of_files(text: str, cells: list[tuple[str, str]]) -> None:
    assert kinds_and_sources(source.read(text.encode())) == cells


@pytest.mark.parametrize(
    "text",
    [
        "a = '''\n# COMMAND ----------\n'''",
        "# MAGIC %sql",
        "# DBTITLE 1,looks like a title\nx = 1",
    ],
)
def test_code_that_reads_as_a_mark_is_kept_whole_in_a_magic_cell(text: str) -> None:
    written = source.write(new_notebook("python", "plain", [code_cell(text), code_cell("b")]))
    assert kinds_and_sources(source.read(written)) == [
        ("code", "%python\n" + text),
        ("code", "b"),
    ]


def test_sql_cells_of_a_jupyter_notebook_get_the_prefix() -> None:
    notebook = new_notebook(
        "python", "plain", [code_cell("%sql\nselect 1"), markdown_cell("hi"), raw_cell("raw")]
    )
    assert source.write(notebook).decode() == (
        "# Databricks notebook source\n# MAGIC %sql\n# MAGIC select 1\n\n# COMMAND ----------\n\n"
        "# MAGIC %md\n# MAGIC hi\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC raw\n"
    )


def test_a_line_that_starts_with_an_exclamation_mark_is_code_in_scala() -> None:
    written = source.write(new_notebook("scala", "plain", [code_cell("!flag")]))
    assert written == b"// Databricks notebook source\n!flag\n"


def test_languages_without_a_source_form_are_refused() -> None:
    with pytest.raises(InvalidValue, match="julia") as refused:
        source.write(new_notebook("julia", "plain", []))
    assert refused.value.field == "language"
    with pytest.raises(InvalidValue, match="julia"):
        source.read(b"x", "julia")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"print(1)"])
def test_files_that_are_no_text_or_name_no_language_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidValue) as refused:
        source.read(data)
    assert refused.value.field == "content"


@PROPERTY
@given(source_notebooks())
def test_any_notebook_a_source_file_can_hold_comes_back(notebook: dict[str, Any]) -> None:
    check(notebook)
    written = source.write(notebook)
    back = source.read(written, notebook["metadata"]["language_info"]["name"])
    assert back == notebook
    assert source.write(back) == written
