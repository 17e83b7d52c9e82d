"""Notebooks of each behaviour nbclient's and papermill's own suites cover, run both ways.

The notebooks are in ``tests/notebooks``. What a run gives must equal what nbclient gives for the
same notebook, but for ids, times, and the pieces in which stream text comes.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from tests.runner.conftest import Bench

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("nbclient_*.ipynb"))

_HEX = re.compile(r"[0-9a-f]{32}")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FILE = re.compile(r"/tmp/ipykernel_\d+/\d+\.py")
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def _clean(value: Any, names: dict[str, str]) -> Any:
    """The value with ids numbered in the order they come and colours and addresses left out."""
    match value:
        case dict():
            return {_clean(k, names): _clean(v, names) for k, v in value.items()}
        case list():
            return [_clean(each, names) for each in value]
        case str():
            text = _HEX.sub(lambda m: names.setdefault(m[0], f"<id {len(names)}>"), value)
            return _ADDRESS.sub("<address>", _FILE.sub("<file>", _ANSI.sub("", text)))
        case _:
            return value


def _normalise(notebook: dict[str, Any]) -> dict[str, Any]:
    notebook = json.loads(json.dumps(notebook))
    names: dict[str, str] = {}
    for cell in notebook["cells"]:
        cell["metadata"].pop("execution", None)
        cell.pop("id", None)
        merged: list[dict[str, Any]] = []
        for output in cell.get("outputs", []):
            last = merged[-1] if merged else {}
            if output["output_type"] == "stream" and last.get("name") == output["name"]:
                last["text"] += output["text"]
            else:
                merged.append(output)
        if "outputs" in cell:
            cell["outputs"] = merged
    return _clean({"cells": notebook["cells"], "metadata": notebook["metadata"]}, names)


def _reference(notebook: dict[str, Any], folder: Path) -> tuple[dict[str, Any], str]:
    node = nbformat.from_dict(json.loads(json.dumps(notebook)))
    client = NotebookClient(node, kernel_name="python3", resources={"metadata": {"path": folder}})
    try:
        # ipykernel captures no descriptors when it finds itself in a pytest.
        client.execute(env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")})
    except CellExecutionError:
        return node, "cell_error"
    except DeadKernelError:
        return node, "kernel_died"
    return node, "completed"


@pytest.mark.filterwarnings("ignore")  # nbclient's own
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_gives_what_nbclient_gives(bench: Bench, tmp_path: Path, name: str) -> None:
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    nbformat.validate(notebook)
    expected, cause = _reference(notebook, tmp_path)
    run = bench.run(notebook)
    assert run.finished["cause"] == cause
    assert _normalise(run.notebook) == _normalise(expected)
