from __future__ import annotations

import os

import pytest
from bench.main import render
from bench.measures import Row, percentile
from bench.memory import pss_bytes, rss_bytes


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([5.0], 99, 5.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 101)], 50, 50.0),
        ([float(n) for n in range(1, 201)], 99, 198.0),
        ([3.0, 1.0, 2.0], 100, 3.0),
    ],
)
def test_percentiles_are_values_that_occurred(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == expected


def test_the_table_says_what_passed() -> None:
    table = render(
        [
            Row("latency", "48 ms", "papermill 1200 ms", "25.0 ×", "≥ 25 ×", True),
            Row("memory", "70 MB", "", "", "≤ 60 MB", False),
            Row("note", "1", "", "", "", None),
        ]
    )
    assert [line.split()[-1] for line in table.splitlines()[2:]] == ["pass", "FAIL", "1"]


def test_shared_pages_count_less_in_the_proportional_size() -> None:
    mine = [os.getpid()]
    assert 0 < pss_bytes(mine) <= rss_bytes(mine)


def test_a_process_that_is_gone_has_no_memory() -> None:
    assert pss_bytes([2**22 + 1]) == 0
