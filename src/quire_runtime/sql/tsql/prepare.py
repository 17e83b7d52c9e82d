"""T-SQL text, token by token, before it is parsed: what the parser does not read is rewritten.

Owns: compound assignments, ``OUTPUT`` clauses (taken out, to become ``RETURNING``), ``N''`` texts,
amounts of money, and the storage clauses of tables and indexes, which DuckDB has no use for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quire_runtime.sql.lexer import Token, tokenize, words
from quire_runtime.sql.tsql.refusals import not_supported

__all__ = ["Prepared", "prepare"]

_REFUSED = words("OPENJSON OPENXML OPENROWSET OPENQUERY OPENDATASOURCE CONTAINSTABLE FREETEXTTABLE")
_OPERATORS = frozenset("+-*/%&|^")
_CLAUSES = (
    "FROM",
    "WHERE",
    "OUTPUT",
    "GROUP",
    "ORDER",
    "HAVING",
    "OPTION",
    "WHEN",
    "UNION",
    "INTO",
)


@dataclass(frozen=True)
class Prepared:
    """A statement without what the parser does not read.

    ``output`` is the list of an ``OUTPUT`` clause, ``into`` the table it goes to; ``notices`` say
    what of the statement has no effect here.
    """

    text: str
    output: str = ""
    into: str = ""
    notices: Sequence[str] = ()


def prepare(text: str) -> Prepared:
    """The statement as the parser reads it. Raises SqlUnsupported for what has no counterpart."""
    tokens = tokenize(text, "tsql")
    edits: list[tuple[int, int, str]] = []
    output = into = ""
    notices: list[str] = []
    if not tokens:
        return Prepared(text)
    for token in tokens:
        if token.is_word(*_REFUSED):
            raise not_supported(f"{token.key}.")
    verb = tokens[0].key
    _plain_literals(tokens, edits)
    if verb in ("SELECT", "UPDATE", "WITH", "MERGE"):
        _compound_assignments(text, tokens, edits)
    if verb in ("INSERT", "UPDATE", "DELETE", "MERGE", "WITH"):
        output, into = _take_output(text, tokens, edits)
    if verb == "ALTER" and _adds_unenforced(tokens):
        return Prepared("", notices=("A constraint that is NOT ENFORCED is not kept here.",))
    if verb in ("CREATE", "ALTER", "DROP"):
        _storage(tokens, edits, notices)
    return Prepared(_apply(text, edits), output, into, notices)


def _apply(text: str, edits: list[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end, replacement in sorted(edits):
        if start < at:
            continue  # inside a piece that went as a whole
        parts += [text[at:start], replacement]
        at = end
    return "".join([*parts, text[at:]])


def _plain_literals(tokens: Sequence[Token], edits: list[tuple[int, int, str]]) -> None:
    for token, following in zip(tokens, [*tokens[1:], None]):
        if token.kind == "string" and token.text[0] in "nN":
            edits.append((token.start, token.start + 1, ""))
        elif token.text == "$" and following is not None and following.kind == "number":
            edits.append((token.start, token.end, ""))


def _compound_assignments(
    text: str, tokens: Sequence[Token], edits: list[tuple[int, int, str]]
) -> None:
    """``x += y`` as ``x = x + (y)``."""
    for at in range(1, len(tokens) - 2):
        operator, equals = tokens[at], tokens[at + 1]
        is_compound = (
            operator.kind == "symbol"
            and operator.text in _OPERATORS
            and equals.text == "="
            and equals.start == operator.end
            and tokens[at - 1].kind in ("variable", "word", "quoted")
        )
        if not is_compound:
            continue
        first = at - 1
        while first >= 2 and tokens[first - 1].text == "." and tokens[first].kind != "variable":
            first -= 2
        name = text[tokens[first].start : operator.start]
        end = _expression_end(tokens, at + 2)
        edits.append((operator.start, equals.end, f"= {name} {operator.text} ("))
        edits.append((tokens[end - 1].end, tokens[end - 1].end, ")"))


def _expression_end(tokens: Sequence[Token], at: int) -> int:
    depth = 0
    while at < len(tokens):
        token = tokens[at]
        if depth == 0 and (token.text in (",", ")", ";") or token.is_word(*_CLAUSES)):
            break
        depth += (token.text == "(") - (token.text == ")")
        at += 1
    return at


def _take_output(
    text: str, tokens: Sequence[Token], edits: list[tuple[int, int, str]]
) -> tuple[str, str]:
    at = _position(tokens, "OUTPUT")
    if at == len(tokens):
        return "", ""
    stops = ("VALUES", "SELECT", "DEFAULT", "FROM", "WHERE", "OPTION", "INTO", "EXEC", "EXECUTE")
    end = _output_end(tokens, at + 1, stops)
    output = text[tokens[at + 1].start : tokens[end - 1].end] if end > at + 1 else ""
    into = ""
    if end < len(tokens) and tokens[end].is_word("INTO"):
        first = end + 1
        end = _output_end(tokens, first, stops)
        into = text[tokens[first].start : tokens[end - 1].end]
    edits.append((tokens[at].start, tokens[end - 1].end, " "))
    return output, into


def _output_end(tokens: Sequence[Token], at: int, stops: Sequence[str]) -> int:
    depth = 0
    while at < len(tokens):
        token = tokens[at]
        if depth == 0 and (token.text == ";" or token.is_word(*stops)):
            break
        depth += (token.text == "(") - (token.text == ")")
        at += 1
    return at


def _storage(
    tokens: Sequence[Token], edits: list[tuple[int, int, str]], notices: list[str]
) -> None:
    """Leave out how and where SQL Server stores what is made."""
    words = [token.key if token.kind == "word" else "" for token in tokens]
    is_table = "TABLE" in words[:2]
    if is_table:
        tokens = tokens[: _position(tokens, "AS")]  # the query of CREATE TABLE … AS stays
    is_index = not is_table and "INDEX" in words[:6]
    if is_index and "COLUMNSTORE" in words:
        raise not_supported("columnstore indexes.")
    depth = 0
    at = 0
    while at < len(tokens):
        token = tokens[at]
        depth += (token.text == "(") - (token.text == ")")
        following = words[at + 1] if at + 1 < len(tokens) else ""
        end = at + 1
        drop = False
        if token.kind == "word":
            if token.key in ("CLUSTERED", "NONCLUSTERED", "PERSISTED", "ROWGUIDCOL", "SPARSE"):
                drop = is_table or is_index
            elif token.key == "NOT" and following == "ENFORCED":
                drop, end = True, at + 2
                notices.append("The constraint is enforced here, although NOT ENFORCED is said.")
            elif token.key in ("ASC", "DESC"):
                drop = is_table or is_index
            elif token.key in ("INCLUDE", "WITH") and (is_index or (is_table and depth == 0)):
                if at + 1 < len(tokens) and tokens[at + 1].text == "(":
                    drop, end = True, _closing(tokens, at + 1)
            elif token.key in ("ON", "TEXTIMAGE_ON", "FILESTREAM_ON") and depth == 0 and at > 3:
                drop = is_table and words[0] == "CREATE"
                drop = drop or (is_index and _closed_before(tokens, at))
                end = at + 2
                if end < len(tokens) and drop and tokens[end].text == "(":
                    end = _closing(tokens, end)
            elif token.key == "ON" and is_index and words[0] == "DROP":
                drop, end = True, len(tokens)
            elif token.key == "WHERE" and is_index:
                raise not_supported("filtered indexes.")
        if drop:
            edits.append((token.start, tokens[min(end, len(tokens)) - 1].end, ""))
            at = end
        else:
            at += 1


def _adds_unenforced(tokens: Sequence[Token]) -> bool:
    words = [token.key for token in tokens]
    return "CONSTRAINT" in words and words[-2:] == ["NOT", "ENFORCED"]


def _position(tokens: Sequence[Token], word: str) -> int:
    """Where a word stands outside parentheses; the end when it does not."""
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.is_word(word):
            return at
    return len(tokens)


def _closing(tokens: Sequence[Token], at: int) -> int:
    """The index behind the parenthesis that closes the one at ``at``."""
    depth = 0
    while at < len(tokens):
        depth += (tokens[at].text == "(") - (tokens[at].text == ")")
        at += 1
        if depth == 0:
            break
    return at


def _closed_before(tokens: Sequence[Token], at: int) -> bool:
    return any(token.text == ")" for token in tokens[:at])
