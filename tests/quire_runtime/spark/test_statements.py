from __future__ import annotations

import pytest

from quire_runtime.spark.statements import split_statements

VALUES = {"name": "Ada", "odd": 'it\'s \\ "q"', "n": "5"}


def texts(text: str) -> list[str]:
    return [each.text for each in split_statements(text, VALUES.get)]


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("select 1", ["select 1"]),
        ("select 1;", ["select 1"]),
        (" ;; \n", []),
        ("-- nothing\n/* here */", []),
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select ';'; select 2", ["select ';'", "select 2"]),
        (r"select 'a\';b'; select 2", [r"select 'a\';b'", "select 2"]),
        ("select 'a'';b'; select 2", ["select 'a'';b'", "select 2"]),
        ('select ";"; select `;`', ['select ";"', "select `;`"]),
        ("select 1 -- a;b\n; select 2", ["select 1 -- a;b", "select 2"]),
        ("select /* ; /* ; */ ; */ 1; select 2", ["select /* ; /* ; */ ; */ 1", "select 2"]),
        ("select 4 - 2; select 4/2", ["select 4 - 2", "select 4/2"]),
        ("begin declare x int; set x = 1; end", ["begin declare x int; set x = 1; end"]),
        ("-- why\nBEGIN select 1; select 2; END;", ["-- why\nBEGIN select 1; select 2; END;"]),
    ],
)
def test_where_statements_end(text: str, statements: list[str]) -> None:
    assert texts(text) == statements


@pytest.mark.parametrize("text", ["select 'open", "select `open", "select /* open", 'select "x'])
def test_what_never_ends_is_left_to_spark(text: str) -> None:
    assert texts(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select '${name}', $n", "select 'Ada', 5"),
        ("select ${spark.sql.x}, $unknown, ${unknown}", None),  # left for Spark's own variables
        ("select getArgument('name')", "select 'Ada'"),
        ('select GETARGUMENT ( "odd" )', "select 'it\\'s \\\\ \"q\"'"),
        ("select getArgument('nobody')", None),
        ("select '$$n'", "select '$5'"),
    ],
)
def test_values_written_into_the_text(text: str, expected: str | None) -> None:
    assert texts(text) == [expected or text]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("select :name, :n, :nobody", {"name": "Ada", "n": "5"}),
        ("select ':name', a::string, `:n` -- :n", {}),
        ("select m:name, :n", {"n": "5"}),  # a path into JSON is none
    ],
)
def test_named_parameters_are_given_to_spark(text: str, arguments: dict[str, str]) -> None:
    assert split_statements(text, VALUES.get)[0].arguments == arguments


def test_lines_are_those_of_the_cell() -> None:
    found = split_statements("select 1;\n\nselect 2; select 3", VALUES.get)
    assert [each.line for each in found] == [1, 3, 3]
