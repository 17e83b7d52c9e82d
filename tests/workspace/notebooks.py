"""Notebooks that tests of the workspace change."""

from __future__ import annotations

from typing import Any

from quire.workspace.formats.document import code_cell, new_notebook


def make_notebook(*cell_ids: str) -> dict[str, Any]:
    """A notebook of code cells with these ids; the source of each is its id."""
    return new_notebook("python", "plain", [code_cell(each, id=each) for each in cell_ids])


def ids(cells: list[dict[str, Any]]) -> list[str]:
    return [cell["id"] for cell in cells]
