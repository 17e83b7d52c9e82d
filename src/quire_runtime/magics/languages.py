"""Magics that say which language a cell is in (Databricks contract 10.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["make_languages", "whole_cell"]

Magic = Callable[..., Any]


def make_languages(shell: Any) -> dict[str, Magic]:
    """The language magics by name, each for a line or a whole cell."""

    def python(line: str, cell: str | None = None) -> None:
        """Run Python in the notebook's own namespace."""
        shell.run_cell(whole_cell(line, cell)).raise_error()

    def markdown(line: str, cell: str | None = None) -> None:
        """Show a text in Markdown."""
        from IPython.display import display

        text = whole_cell(line, cell).strip("\n")
        display({"text/markdown": text, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]

    def skip(line: str, cell: str | None = None) -> None:
        """Leave a cell out."""

    return {
        "python": python,
        "md": markdown,
        "md-sandbox": markdown,
        "skip": skip,
    }


def whole_cell(line: str, cell: str | None) -> str:
    """What a magic is given: its line, and the lines below it."""
    return "\n".join(part for part in (line, cell) if part)
