from __future__ import annotations

import pytest

from quire_runtime.sql import SqlError
from quire_runtime.sql.lexer import split_batches, split_statements, tokenize


def test_statements_keep_their_lines_and_quotes() -> None:
    text = "SELECT ';' AS a; -- a ; b\n/* ; /* inner */ */\nSELECT $$;$$;\n;SELECT \"x;y\""
    assert [(each.text, each.line) for each in split_statements(text)] == [
        ("SELECT ';' AS a", 1),
        ("SELECT $$;$$", 3),
        ('SELECT "x;y"', 4),
    ]


def test_batches_end_with_go_alone_on_a_line() -> None:
    text = "SELECT 1\nGO\nSELECT 'a\nGO\nb' -- GO\n  go 3  -- thrice\nSELECT [go]\nGO"
    assert [(each.text, each.line, count) for each, count in split_batches(text)] == [
        ("SELECT 1", 1, 1),
        ("SELECT 'a\nGO\nb' -- GO", 3, 3),
        ("SELECT [go]", 7, 1),
    ]


def test_kinds_of_tokens() -> None:
    kinds = [
        (token.kind, token.key)
        for token in tokenize("select [a]]b], N'x', @V, @@rowcount, #t, {p}, 0x1F, 1.5e3", "tsql")
        if token.text != ","
    ]
    assert kinds == [
        ("word", "SELECT"),
        ("quoted", "[a]]b]"),
        ("string", "N'x'"),
        ("variable", "@v"),
        ("variable", "@@rowcount"),
        ("word", "#T"),
        ("placeholder", "p"),
        ("number", "0x1F"),
        ("number", "1.5e3"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [("a\n'b", 2, "quote"), ("\n\n/* x", 3, "comment"), ('"', 1, "quote"), ("$$a", 1, "dollar")],
)
def test_what_is_left_open_is_an_error_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(SqlError, match=reason) as caught:
        split_statements(text)
    assert caught.value.line == line
