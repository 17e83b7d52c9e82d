"""Magics that say which language a cell is in (Databricks contract 10.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quire_runtime.errors import UnsupportedFeature

__all__ = ["make_languages"]

MISSING = {
    "sql": "SQL cells are not available in this server yet: they need Spark.",
    "scala": "Scala cells are not available in this server yet: it has no Scala interpreter.",
    "r": "R cells are not available in this server yet: it has no R interpreter for such cells.",
}

Magic = Callable[..., Any]


def make_languages(shell: Any) -> dict[str, Magic]:
    """The language magics by name, each for a line or a whole cell."""

    def python(line: str, cell: str | None = None) -> None:
        """Run Python in the notebook's own namespace."""
        shell.run_cell(_whole(line, cell)).raise_error()

    def markdown(line: str, cell: str | None = None) -> None:
        """Show a text in Markdown."""
        from IPython.display import display

        text = _whole(line, cell).strip("\n")
        display({"text/markdown": text, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]

    def skip(line: str, cell: str | None = None) -> None:
        """Leave a cell out."""

    return {
        "python": python,
        "md": markdown,
        "md-sandbox": markdown,
        "skip": skip,
        **{name: _refuse(sentence) for name, sentence in MISSING.items()},
    }


def _refuse(sentence: str) -> Magic:
    def refuse(line: str, cell: str | None = None) -> None:
        raise UnsupportedFeature(sentence)

    refuse.__doc__ = sentence
    return refuse


def _whole(line: str, cell: str | None) -> str:
    return "\n".join(part for part in (line, cell) if part)
