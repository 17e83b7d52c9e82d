from __future__ import annotations

import datetime
from collections import namedtuple
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quire_runtime import tables

Row = namedtuple("Row", ["name", "size"])


def shown(value: Any) -> dict[str, Any]:
    table = tables.read(value)
    assert table is not None
    return table.bundle()


def test_a_frame() -> None:
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "x": [1.5, float("nan")],
            "t": ["<b>", None],
            "d": pd.to_datetime(["2026-01-02", None]),
            "b": [True, False],
        }
    )
    bundle = shown(frame)
    resource = bundle[tables.TABLE_MIME]
    assert [(each["name"], each["type"]) for each in resource["schema"]["fields"]] == [
        ("n", "integer"),
        ("x", "number"),
        ("t", "string"),
        ("d", "string"),
        ("b", "boolean"),
    ]
    assert resource["data"] == [
        {"n": 1, "x": 1.5, "t": "<b>", "d": "2026-01-02T00:00:00", "b": True},
        {"n": 2, "x": None, "t": None, "d": None, "b": False},
    ]
    assert resource["truncated"] is False
    assert "<td>&lt;b&gt;</td>" in bundle["text/html"]
    assert bundle["text/plain"].splitlines()[0].split() == ["n", "x", "t", "d", "b"]


@pytest.mark.parametrize(
    "value",
    [
        [{"name": "a", "size": 1}, {"name": "b"}],
        [Row("a", 1), Row("b", None)],
        pd.DataFrame({"name": ["a", "b"], "size": pd.array([1, None], dtype="Int64")}),
    ],
    ids=["mappings", "named tuples", "nullable integers"],
)
def test_rows_of_many_kinds(value: Any) -> None:
    assert shown(value)[tables.TABLE_MIME]["data"] == [
        {"name": "a", "size": 1},
        {"name": "b", "size": None},
    ]


def test_values_become_plain() -> None:
    row = {
        "numpy": np.float64(2.0),
        "decimal": Decimal("1.10"),
        "date": datetime.date(2026, 1, 2),
        "infinite": float("inf"),
        "object": {"a": 1},
    }
    assert shown([row])[tables.TABLE_MIME]["data"] == [
        {
            "numpy": 2.0,
            "decimal": "1.10",
            "date": "2026-01-02",
            "infinite": "inf",
            "object": "{'a': 1}",
        }
    ]


def test_a_series_and_repeated_names() -> None:
    assert shown(pd.Series([1], name="s"))[tables.TABLE_MIME]["data"] == [{"s": 1}]
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert shown(twice)[tables.TABLE_MIME]["data"] == [{"a": 1, "a.1": 2}]


def test_limits() -> None:
    many = shown(pd.DataFrame({"n": range(10_001)}))
    assert len(many[tables.TABLE_MIME]["data"]) == 10_000
    assert many[tables.TABLE_MIME]["truncated"] is True
    assert "Showing the first 10000 rows." in many["text/html"]
    wide = shown(pd.DataFrame({"t": ["x" * 100_000] * 50}))
    assert len(wide["text/html"]) < 2.2 * 1024 * 1024
    assert wide[tables.TABLE_MIME]["truncated"] is True


@pytest.mark.parametrize("value", [[], [1, 2], "text", {"a": 1}, [(1, 2)], None, [{"a": 1}, 2]])
def test_what_is_no_table(value: Any) -> None:
    assert tables.read(value) is None


def test_an_empty_frame_has_its_columns() -> None:
    bundle = shown(pd.DataFrame({"a": []}))
    assert "<th>a</th>" in bundle["text/html"]
    assert bundle[tables.TABLE_MIME]["data"] == []
