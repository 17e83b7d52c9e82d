from __future__ import annotations

from typing import Any

import pytest

from quire.runner.cells import code_of


def cell(source: str, **own: Any) -> dict[str, Any]:
    metadata = {"datalore": own} if own else {}
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": []}


@pytest.mark.parametrize(
    ("given", "magic", "code"),
    [
        (cell("x = 1"), None, "x = 1"),
        (cell("SELECT 1"), "sql", "%%sql\nSELECT 1"),
        (cell("%md hello"), "sql", "%md hello"),
        (cell("SELECT 1", type="SQL"), None, "%%database\nSELECT 1"),
        (
            cell("SELECT 1\nFROM t", type="SQL", databaseId="my db", variableName="df"),
            None,
            '%%database -connection "my db" -bind "df"\nSELECT 1\nFROM t',
        ),
        (
            cell("SELECT 1", type="SQL", databaseId='a"\nimport os'),
            None,
            '%%database -connection "a  import os"\nSELECT 1',
        ),
        (cell("x = 1", type="CODE", variableName="df"), None, "x = 1"),
    ],
)
def test_what_is_executed(given: dict[str, Any], magic: str | None, code: str) -> None:
    assert code_of(given, magic) == code
