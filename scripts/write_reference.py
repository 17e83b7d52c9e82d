"""Writes the tables of docs/ that are made from code: settings and metrics.

python scripts/write_reference.py           write them
python scripts/write_reference.py --check   exit 1 when they are out of date
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path

from quire.observe.metrics import Metrics
from quire.settings import Settings

__all__ = ["render", "tables"]

OPERATIONS = Path(__file__).resolve().parent.parent / "docs" / "operations.md"


def tables() -> dict[str, str]:
    """The generated tables, by the name of the marks they stand between."""
    return {"settings": _settings(), "metrics": _metrics()}


def render(text: str) -> str:
    """``text`` with each table between its marks made anew."""
    for name, table in tables().items():
        marks = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        if not marks.search(text):
            raise ValueError(f"no place for the table {name}")
        escaped = table.replace("\\", r"\\")
        text = marks.sub(rf"\g<1>{escaped}\g<2>", text)
    return text


def _settings() -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for each in fields(Settings):
        default = _default(each.default)
        lines.append(f"| `QUIRE_{each.name.upper()}` | {default} | {each.metadata['doc']} |")
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    if value == "":
        return "(empty)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 1024 * 1024 and value % (1024 * 1024) == 0:
        return f"`{value}` ({value // (1024 * 1024)} MiB)"
    return f"`{value}`"


def _metrics() -> str:
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for each in Metrics().describe():
        labels = ", ".join(f"`{label}`" for label in each.labels)
        lines.append(f"| `{each.name}` | {each.kind} | {labels} | {each.meaning} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    present = OPERATIONS.read_text(encoding="utf-8")
    wanted = render(present)
    if "--check" in sys.argv[1:]:
        return int(present != wanted)
    OPERATIONS.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
