"""Rows of many kinds as one table: columns, plain values, and how they are shown.

pandas is never imported here; a frame is known by the module its class comes from.
"""

from __future__ import annotations

import datetime
import html
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

__all__ = ["ROW_LIMIT", "Table", "build", "read"]

ROW_LIMIT = 10_000  # Databricks contract 10.7
BYTE_LIMIT = 2 * 1024 * 1024
TABLE_MIME = "application/vnd.dataresource+json"
PREVIEW_ROWS = 20


class Table:
    """Columns with a type each, and rows of JSON values; ``truncated`` when rows were left out."""

    def __init__(
        self, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]], truncated: bool
    ) -> None:
        self.columns = columns
        self.rows = rows
        self.truncated = truncated

    def bundle(self) -> dict[str, Any]:
        """The table as a MIME bundle: HTML, plain text, and a tabular data resource."""
        return {
            "text/html": self._html(),
            "text/plain": self._text(),
            TABLE_MIME: {
                "schema": {"fields": [{"name": name, "type": kind} for name, kind in self.columns]},
                "data": [
                    {name: cell for (name, _), cell in _pair(self.columns, row)}
                    for row in self.rows
                ],
                "truncated": self.truncated,
            },
        }

    def _html(self) -> str:
        parts = ['<table border="1" class="dataframe">\n<thead>\n<tr>']
        parts.extend(f"<th>{html.escape(name)}</th>" for name, _ in self.columns)
        parts.append("</tr>\n</thead>\n<tbody>\n")
        for row in self.rows:
            cells = "".join(f"<td>{html.escape(_show(cell))}</td>" for cell in row)
            parts.append(f"<tr>{cells}</tr>\n")
        parts.append("</tbody>\n</table>")
        if self.truncated:
            parts.append(f"\n<p>Showing the first {len(self.rows)} rows.</p>")
        return "".join(parts)

    def _text(self) -> str:
        shown = [[_show(cell) for cell in row] for row in self.rows[:PREVIEW_ROWS]]
        names = [name for name, _ in self.columns]
        widths = [max(len(line[index]) for line in [names, *shown]) for index in range(len(names))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in _pair(line, widths)).rstrip()
            for line in [names, *shown]
        ]
        left = len(self.rows) - len(shown)
        if left or self.truncated:
            lines.append(f"... {left}{' or more' if self.truncated else ''} further rows")
        return "\n".join(lines)


def read(value: Any) -> Table | None:
    """The table that ``value`` is, or None when it is none.

    Frames and series of pandas, and non-empty lists whose items are all mappings, named tuples, or
    rows with ``asDict``.
    """
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return _read_frame(value)
    if pandas is not None and isinstance(value, pandas.Series):
        return _read_frame(value.to_frame())
    if isinstance(value, list) and value and all(_is_row(item) for item in value[:ROW_LIMIT]):
        return _read_rows(value)
    return None


def _is_row(item: Any) -> bool:
    return isinstance(item, Mapping) or (
        isinstance(item, tuple) and (hasattr(item, "_fields") or hasattr(item, "asDict"))
    )


def _read_frame(frame: Any) -> Table:
    head = frame.head(ROW_LIMIT)
    rows = zip(*(head.iloc[:, index].tolist() for index in range(head.shape[1])))
    names = [
        ".".join(str(part) for part in name) if isinstance(name, tuple) else str(name)
        for name in head.columns
    ]
    return build(names, rows, more=len(frame) > ROW_LIMIT)


def _read_rows(items: Sequence[Any]) -> Table:
    mappings = [_as_mapping(item) for item in items[:ROW_LIMIT]]
    names = list(dict.fromkeys(str(name) for mapping in mappings for name in mapping))
    rows = ([mapping.get(name) for name in names] for mapping in mappings)
    return build(names, rows, more=len(items) > ROW_LIMIT)


def _as_mapping(item: Any) -> dict[str, Any]:
    if hasattr(item, "asDict"):
        item = item.asDict()
    elif hasattr(item, "_asdict"):
        item = item._asdict()
    return {str(name): cell for name, cell in item.items()}


def build(names: Sequence[str], rows: Iterable[Sequence[Any]], *, more: bool) -> Table:
    kept: list[list[Any]] = []
    size = 0
    for row in rows:
        plain = [_plain(cell) for cell in row]
        size += sum(len(_show(cell)) + 9 for cell in plain)  # 9: the markup around a cell
        if size > BYTE_LIMIT and kept:
            more = True
            break
        kept.append(plain)
    columns = [
        (name, _kind([row[index] for row in kept])) for index, name in enumerate(_unique(names))
    ]
    return Table(columns, kept, more)


def _unique(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        unique.append(name if count == 0 else f"{name}.{count}")
    return unique


def _plain(cell: Any) -> Any:
    if cell is None or isinstance(cell, (bool, int, str)):
        return cell
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else (None if math.isnan(cell) else str(cell))
    if isinstance(cell, Decimal):
        return str(cell)
    if isinstance(cell, (datetime.datetime, datetime.date, datetime.time)):
        text = cell.isoformat()
        return None if text == "NaT" else text
    item = getattr(cell, "item", None)  # a scalar of numpy
    if callable(item) and getattr(cell, "shape", None) == ():
        return _plain(item())
    text = str(cell)
    return None if text in ("NaT", "<NA>") else text


def _kind(cells: Sequence[Any]) -> str:
    present = [cell for cell in cells if cell is not None]
    if not present:
        return "string"
    if all(isinstance(cell, bool) for cell in present):
        return "boolean"
    if all(isinstance(cell, int) and not isinstance(cell, bool) for cell in present):
        return "integer"
    if all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in present):
        return "number"
    return "string"


def _show(cell: Any) -> str:
    if cell is None:
        return "null"
    return cell if isinstance(cell, str) else str(cell)


def _pair(left: Sequence[Any], right: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(left, right)
