from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given

from quire.errors import InvalidValue
from quire.workspace.formats import ipynb
from quire.workspace.formats.document import NOTEBOOK_KEY, check
from tests.workspace.formats.strategies import PROPERTY, notebooks


def document(**changes: Any) -> dict[str, Any]:
    return {
        "nbformat": 4,
        "nbformat_minor": 2,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "cells": [
            {
                "cell_type": "code",
                "metadata": {"tags": ["parameters"], "deep": {"a": [1, None]}},
                "source": ["a = 1\n", "b = 2"],
                "execution_count": 3,
                "outputs": [
                    {"output_type": "stream", "name": "stdout", "text": ["x\n", "y\n"]},
                    {
                        "output_type": "display_data",
                        "metadata": {},
                        "data": {
                            "text/plain": ["a\n", "b"],
                            "application/json": ["kept", "apart"],
                            "application/vnd.x+json": {"a": 1},
                        },
                    },
                ],
            },
            {
                "cell_type": "markdown",
                "metadata": {},
                "source": "![x](attachment:p.png)",
                "attachments": {"p.png": {"image/png": ["iVBO", "Rw=="]}},
            },
        ],
        **changes,
    }


def read(value: Any) -> dict[str, Any]:
    return ipynb.read(json.dumps(value).encode())


def test_older_minors_get_ids_and_keep_everything_else() -> None:
    notebook = read(document())
    nbformat.validate(notebook)
    assert notebook["nbformat_minor"] == 5
    assert [cell["id"] for cell in notebook["cells"]] == ["cell-1", "cell-2"]
    code, text = notebook["cells"]
    assert code["source"] == "a = 1\nb = 2"
    assert code["metadata"] == {"tags": ["parameters"], "deep": {"a": [1, None]}}
    assert code["execution_count"] == 3
    assert code["outputs"][0]["text"] == "x\ny\n"
    assert code["outputs"][1]["data"] == {
        "text/plain": "a\nb",
        "application/json": ["kept", "apart"],
        "application/vnd.x+json": {"a": 1},
    }
    assert text["attachments"] == {"p.png": {"image/png": "iVBORw=="}}
    assert notebook["metadata"]["kernelspec"]["display_name"] == "Python 3"
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    assert notebook["metadata"]["quire"] == {"flavour": "plain"}


def test_files_that_the_other_product_exported_keep_its_conventions() -> None:
    metadata = {NOTEBOOK_KEY: {"language": "scala", "notebookName": "n", "widgets": {}}}
    notebook = read(document(metadata=metadata))
    assert notebook["metadata"]["quire"]["flavour"] == "databricks"
    assert notebook["metadata"]["language_info"]["name"] == "scala"
    assert notebook["metadata"][NOTEBOOK_KEY] == metadata[NOTEBOOK_KEY]


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({}, "python"),
        ({"kernelspec": {"name": "ir", "display_name": "R"}}, "r"),
        ({"kernelspec": {"name": "j", "display_name": "J", "language": "Julia"}}, "julia"),
        ({"language_info": {"name": "scala"}}, "scala"),
    ],
)
def test_the_language_is_found(metadata: dict[str, Any], language: str) -> None:
    assert read(document(metadata=metadata))["metadata"]["language_info"]["name"] == language


def test_repeated_and_malformed_ids_are_replaced_and_good_ones_kept() -> None:
    cells = [
        {"cell_type": "raw", "metadata": {}, "source": "", "id": identifier}
        for identifier in ("same", "same", "not valid!", "cell-2")
    ]
    notebook = read(document(cells=cells, nbformat_minor=5))
    assert [cell["id"] for cell in notebook["cells"]] == ["same", "cell-2-x", "cell-3", "cell-2"]


def test_format_3_is_upgraded() -> None:
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "old"},
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["Top"]},
                    {
                        "cell_type": "code",
                        "language": "python",
                        "collapsed": False,
                        "metadata": {},
                        "input": ["print(1)"],
                        "prompt_number": 4,
                        "outputs": [
                            {"output_type": "stream", "stream": "stdout", "text": ["1\n"]},
                            {
                                "output_type": "pyout",
                                "prompt_number": 4,
                                "metadata": {},
                                "text": ["2"],
                            },
                        ],
                    },
                ],
            }
        ],
    }
    notebook = read(old)
    nbformat.validate(notebook)
    heading, code = notebook["cells"]
    assert (heading["cell_type"], heading["source"]) == ("markdown", "## Top")
    assert (code["source"], code["execution_count"]) == ("print(1)", 4)
    assert code["outputs"][0] == {"output_type": "stream", "name": "stdout", "text": "1\n"}
    assert code["outputs"][1]["data"] == {"text/plain": "2"}
    assert read(old) == notebook


def test_format_2_is_upgraded() -> None:
    cell = {"cell_type": "code", "input": "x = 1", "outputs": [], "language": "python"}
    old = {"nbformat": 2, "metadata": {}, "worksheets": [{"cells": [cell]}]}
    assert read(old)["cells"][0]["source"] == "x = 1"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "not a JSON object"),
        ({}, "nbformat is missing"),
        ({"nbformat": "4"}, "nbformat is missing"),
        ({"nbformat": True}, "nbformat is missing"),
        ({"nbformat": 5, "cells": []}, "format 5"),
        ({"nbformat": 0}, "format 0"),
        ({"nbformat": 4}, "no list of cells"),
        ({"nbformat": 4, "cells": [1]}, "no list of cells"),
        ({"nbformat": 4, "cells": [], "metadata": 3}, "metadata"),
        ({"nbformat": 3}, "format 3"),
        ({"nbformat": 3, "worksheets": [{"cells": 7}]}, "format 3"),
        (document(cells=[{"cell_type": "poem", "source": ""}]), "not a valid notebook"),
        (document(cells=[{"cell_type": "code", "source": 7}]), "not a valid notebook"),
        (document(cells=[{"cell_type": "code", "source": "", "outputs": 3}]), "not a valid"),
        (document(cells=[{"cell_type": "code", "source": "", "outputs": [4]}]), "not a valid"),
        (document(metadata={"language_info": 3}), "not a valid notebook"),
        (document(metadata={"kernelspec": "x"}), "not a valid notebook"),
    ],
)
def test_junk_is_refused_with_the_reason(value: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message) as refused:
        read(value)
    assert refused.value.field == "content"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b'{"nbformat": 4, "cells": [], "metadata": {"x": "\\ud800"}}',
        b"1" * 5000,
    ],
)
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidValue) as refused:
        ipynb.read(data)
    assert refused.value.field == "content"


def test_not_a_number_becomes_null() -> None:
    text = json.dumps(document(metadata={"x": float("nan")}))
    assert ipynb.read(text.encode())["metadata"]["x"] is None


def test_written_files_hold_lists_of_lines_and_are_read_by_nbformat(tmp_path: Path) -> None:
    notebook = read(document())
    data = ipynb.write(notebook)
    assert data.endswith(b"}\n")
    assert json.loads(data)["cells"][0]["source"] == ["a = 1\n", "b = 2"]
    path = tmp_path / "n.ipynb"
    path.write_bytes(data)
    assert nbformat.read(path, as_version=4) == nbformat.from_dict(notebook)  # type: ignore[no-untyped-call]


@PROPERTY
@given(notebooks())
def test_any_notebook_comes_back(notebook: dict[str, Any]) -> None:
    check(notebook)
    assert ipynb.read(ipynb.write(notebook)) == notebook
