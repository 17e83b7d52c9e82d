"""Parameters as cells, in papermill's places and each language's words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quire.runner.parameters import inject_parameters, translate
from tests.runner.conftest import make_notebook

TAGGED = {"source": "a = 1", "metadata": {"tags": ["parameters"]}}
INJECTED = {"source": "a = 2", "metadata": {"tags": ["injected-parameters"]}}


@pytest.mark.parametrize(
    ("cells", "flavour", "place"),
    [
        (["x", "y"], "plain", (0, False)),
        (["x", TAGGED, "y"], "plain", (2, False)),
        (["x", TAGGED, INJECTED], "plain", (2, True)),
        (["x", INJECTED, "y"], "plain", (1, True)),
        (["x", "y"], "databricks", None),
        (["x", TAGGED, "y"], "databricks", (2, False)),
    ],
)
def test_where_the_cell_goes(
    cells: list[Any], flavour: str, place: tuple[int, bool] | None
) -> None:
    made = inject_parameters(make_notebook(*cells), {"a": 3}, flavour=flavour, language="python")
    assert (None if made is None else (made.index, made.replaces)) == place


@pytest.mark.parametrize(
    "parameters", [{}, {"1a": 1}, {"class": 1}, {"a b": 1}, {"x; import os": 1}]
)
def test_nothing_is_injected_without_a_usable_name(parameters: dict[str, Any]) -> None:
    assert (
        inject_parameters(make_notebook("x"), parameters, flavour="plain", language="python")
        is None
    )


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -5, 10**30, 1.5, 1e300, "", 'a"b', "a'b", "line\nline", "\\", "Zoë",
        "\U0001f600", [], [1, [2, None]], {}, {"k": {"l": ["m"]}}, "${x} {y} %s", "'''\"\"\"",
    ],
)  # fmt: skip
def test_python_values_come_back_as_they_were(value: object) -> None:
    source = translate({"value": value}, "python")
    assert source is not None
    names: dict[str, Any] = {}
    exec(source, names)
    assert names["value"] == value
    assert type(names["value"]) is type(value)


def test_python_has_no_literals_for_odd_numbers() -> None:
    source = translate({"a": math.nan, "b": [math.inf, -math.inf]}, "python")
    names: dict[str, Any] = {}
    assert source is not None
    exec(source, names)
    assert math.isnan(names["a"])
    assert names["b"] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        ("R", ["# Parameters", "a = TRUE", 'b = list("x" = 1, "y" = list("é".encode()))']),
        ("scala", ["// Parameters", "val a = true", 'val b = Map("x" -> 1, "y" -> Seq("\\xe9"))']),
        ("julia", ["# Parameters", "a = true", 'b = Dict("x" => 1, "y" => ["\\xe9"])']),
    ],
)
def test_other_languages(language: str, lines: list[str]) -> None:
    source = translate({"a": True, "b": {"x": 1, "y": ["é"]}}, language)
    expected = "\n".join(lines).replace('"é".encode()', '"\\xe9"')
    assert source == expected


def test_large_numbers_are_longs_in_scala() -> None:
    assert translate({"n": 2**31}, "scala") == "// Parameters\nval n = 2147483648L"


def test_unknown_languages_get_no_cell() -> None:
    assert translate({"a": 1}, "sql") is None
