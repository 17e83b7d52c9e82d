from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.errors import InvalidValue
from quire.workspace.formats import script
from quire.workspace.formats.document import (
    CELL_KEY,
    code_cell,
    markdown_cell,
    new_notebook,
)
from tests.workspace.formats.strategies import PROPERTY


@pytest.mark.parametrize("language", ["python", "sql", "scala", "r"])
def test_a_plain_script_is_one_cell(language: str) -> None:
    notebook = script.read(b"first\r\n\r\nsecond\r\n", language)
    (cell,) = notebook["cells"]
    assert (cell["cell_type"], cell["source"]) == ("code", "first\n\nsecond")
    assert notebook["metadata"]["language_info"]["name"] == language
    assert notebook["metadata"]["quire"]["flavour"] == "plain"
    assert script.write(notebook) == b"first\n\nsecond\n"


def test_an_empty_script_has_no_cells() -> None:
    assert script.read(b" \n")["cells"] == []
    assert script.write(script.read(b"")) == b""


PERCENT = """\
# %% [markdown]
# # Title
#
# text

# %% tags=["parameters"]
a = 1

# %%
# %matplotlib inline
print(a)
"""


def test_percent_markers_make_cells() -> None:
    notebook = script.read(PERCENT.encode())
    assert [(cell["cell_type"], cell["source"]) for cell in notebook["cells"]] == [
        ("markdown", "# Title\n\ntext"),
        ("code", "a = 1"),
        ("code", "%matplotlib inline\nprint(a)"),
    ]
    assert notebook["cells"][1]["metadata"] == {"tags": ["parameters"]}
    assert [cell["id"] for cell in notebook["cells"]] == ["cell-1", "cell-2", "cell-3"]
    assert script.read(PERCENT.encode()) == notebook
    assert script.write(notebook).decode() == PERCENT


def test_percent_scripts_of_other_languages() -> None:
    notebook = script.read(b"-- %%\nselect 1\n\n-- %%\nselect 2\n", "sql")
    assert [cell["source"] for cell in notebook["cells"]] == ["select 1", "select 2"]
    notebook = script.read(b"// %%\nval a = 1\n\n// %% [markdown]\n// text\n", "scala")
    assert [cell["source"] for cell in notebook["cells"]] == ["val a = 1", "text"]


def test_sql_cells_come_back() -> None:
    cells = [code_cell("select 1;\n\nselect 2"), markdown_cell("# Hi\n\nthere"), code_cell("x")]
    notebook = new_notebook("sql", "plain", cells)
    assert script.read(script.write(notebook), "sql") == notebook


def test_titles_are_written_and_vendor_metadata_are_not() -> None:
    titled = code_cell("a", metadata={CELL_KEY: {"title": "Load", "showTitle": True}})
    notebook = new_notebook("python", "databricks", [titled, markdown_cell("b")])
    assert script.write(notebook).decode() == "# %% Load\na\n\n# %% [markdown]\n# b\n"


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"# ---\n# jupyter:\n#   kernelspec: 3\n# ---\n# %%\nx"],
)
def test_unreadable_scripts_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidValue) as refused:
        script.read(data)
    assert refused.value.field == "content"


def test_unknown_languages_are_refused() -> None:
    with pytest.raises(InvalidValue, match="julia"):
        script.read(b"x", "julia")
    with pytest.raises(InvalidValue, match="julia"):
        script.write(new_notebook("julia", "plain", [code_cell("x")]))


@PROPERTY
@given(st.lists(st.integers(0, 99).map("x = {}".format), min_size=2, max_size=5))
def test_cells_of_code_come_back(sources: list[str]) -> None:
    notebook = new_notebook("python", "plain", [code_cell(source) for source in sources])
    assert script.read(script.write(notebook)) == notebook
