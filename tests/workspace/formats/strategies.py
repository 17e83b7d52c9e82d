"""Notebooks and source texts for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from quire.workspace.formats.databricks_cells import cell_of
from quire.workspace.formats.document import (
    CELL_KEY,
    LANGUAGES,
    code_cell,
    markdown_cell,
    new_notebook,
    raw_cell,
)

# A busy machine makes no property false, so there is no time limit.
PROPERTY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

# Everything UTF-8 can hold but carriage returns, which line ends are normalised to lose.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\r\ufeff")
LINES = st.text(CHARACTERS.filter(lambda character: character != "\n"), max_size=20)
MAGICS = st.sampled_from(["%sql", "%sh", "%run ./other $a=1", "%pip install x", "%fs ls /", "%r"])
TITLES = st.text(CHARACTERS.filter(lambda character: character != "\n"), min_size=1, max_size=20)


def texts() -> st.SearchStrategy[str]:
    """Several lines, blank ones and ones of white space among them."""
    odd = st.sampled_from(["", " ", "\t", "# MAGICAL", "# COMMAND", "-- x", "// y", "'''"])
    return st.lists(LINES | odd, max_size=6).map("\n".join)


def _is_plain(text: str) -> bool:
    """Whether a code cell of this text has a form of its own in every source language."""
    opening = text.lstrip()
    lines = text.split("\n")
    return (
        not opening.startswith(("%", "!"))
        and "MAGIC" not in lines[0]
        and "DBTITLE" not in lines[0]
        and not any(line.rstrip().endswith("COMMAND ----------") for line in lines)
    )


@st.composite
def cells(draw: st.DrawFn) -> dict[str, Any]:
    """A cell whose every part a source file can hold."""
    kind = draw(st.sampled_from(["code", "magic", "markdown"]))
    if kind == "markdown":
        head = draw(st.sampled_from(["%md\n", "%md ", "%md-sandbox\n", "%md\n\n", "%md"]))
        cell = cell_of(head + (draw(texts()) if head != "%md" else ""))
    elif kind == "magic":
        cell = code_cell(draw(MAGICS) + "\n" + draw(texts()))
    else:
        cell = code_cell(draw(texts().filter(_is_plain)))
    if draw(st.booleans()):
        cell["metadata"][CELL_KEY] = {"title": draw(TITLES), "showTitle": draw(st.booleans())}
    return cell


def source_notebooks() -> st.SearchStrategy[dict[str, Any]]:
    """Notebooks that a source file can hold whole."""
    return st.builds(
        new_notebook,
        st.sampled_from(sorted(LANGUAGES)),
        st.just("databricks"),
        st.lists(cells(), max_size=5),
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(CHARACTERS, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=6,
)


def bundles() -> st.SearchStrategy[dict[str, Any]]:
    """Data of a display output."""
    return st.fixed_dictionaries(
        {},
        optional={
            "text/plain": st.text(CHARACTERS, max_size=20),
            "text/html": st.text(CHARACTERS, max_size=20),
            "image/png": st.just("iVBORw0KGgo="),
            "application/json": st.dictionaries(st.text("abc"), JSON, max_size=2),
        },
    )


def outputs() -> st.SearchStrategy[dict[str, Any]]:
    """Any nbformat output."""
    stream = st.fixed_dictionaries(
        {
            "output_type": st.just("stream"),
            "name": st.sampled_from(["stdout", "stderr"]),
            "text": st.text(CHARACTERS, max_size=20),
        }
    )
    display = st.fixed_dictionaries(
        {
            "output_type": st.just("display_data"),
            "data": bundles(),
            "metadata": st.dictionaries(st.text("abc", min_size=1), JSON, max_size=1),
        }
    )
    result = st.fixed_dictionaries(
        {
            "output_type": st.just("execute_result"),
            "data": bundles(),
            "metadata": st.just({}),
            "execution_count": st.none() | st.integers(1, 99),
        }
    )
    error = st.fixed_dictionaries(
        {
            "output_type": st.just("error"),
            "ename": st.text(CHARACTERS, max_size=8),
            "evalue": st.text(CHARACTERS, max_size=8),
            "traceback": st.lists(st.text(CHARACTERS, max_size=8), max_size=2),
        }
    )
    return stream | display | result | error


@st.composite
def _whole_cell(draw: st.DrawFn) -> dict[str, Any]:
    metadata = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "tags": st.lists(st.text("abc", min_size=1), max_size=2, unique=True),
                "jupyter": st.just({"source_hidden": True}),
                "custom": JSON,
                CELL_KEY: st.fixed_dictionaries(
                    {"title": TITLES, "showTitle": st.booleans(), "inputWidgets": st.just({})}
                ),
            },
        )
    )
    kind = draw(st.sampled_from(["code", "markdown", "raw"]))
    source = draw(texts())
    if kind == "markdown":
        return markdown_cell(source, metadata=metadata)
    if kind == "raw":
        return raw_cell(source, metadata=metadata)
    return code_cell(
        source if not source.lstrip().startswith("%md") else "",
        metadata=metadata,
        execution_count=draw(st.none() | st.integers(1, 99)),
        outputs=draw(st.lists(outputs(), max_size=3)),
    )


@st.composite
def notebooks(draw: st.DrawFn) -> dict[str, Any]:
    """Notebooks with everything a record or a Jupyter file can hold."""
    notebook = new_notebook(
        draw(st.sampled_from(sorted(LANGUAGES))),
        draw(st.sampled_from(["databricks", "plain"])),
        draw(st.lists(_whole_cell(), max_size=4)),
        draw(st.fixed_dictionaries({}, optional={"custom": JSON, "title": st.just("x")})),
    )
    notebook["metadata"]["language_info"]["version"] = "3.11"
    return notebook
