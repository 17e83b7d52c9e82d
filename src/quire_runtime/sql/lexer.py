"""SQL text as tokens: enough to find statements, batches, variables and placeholders.

Owns: where strings, quoted names and comments begin and end in each dialect. Knows no grammar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quire_runtime.sql.errors import SqlError

__all__ = ["Statement", "Token", "split_batches", "split_statements", "tokenize", "words"]


@dataclass(frozen=True)
class Token:
    """A piece of text. ``kind``: word, quoted, string, number, variable, placeholder, symbol."""

    kind: str
    text: str
    start: int
    end: int
    line: int
    key: str  # words in upper case, variables in lower case, else the text

    def is_word(self, *words: str) -> bool:
        """Whether this is one of these words, unquoted."""
        return self.kind == "word" and self.key in words


@dataclass(frozen=True)
class Statement:
    """One statement of a text, and the line it begins on."""

    text: str
    line: int


_WORD = re.compile(r"[#]{0,2}[^\W\d][\w$#]*|##?\w+")
_VARIABLE = re.compile(r"@@?[\w$#]+")
_PLACEHOLDER = re.compile(r"\{\s*([^\W\d]\w*)\s*\}")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_SPACE = re.compile(r"\s+")
_DOLLAR = re.compile(r"\$(?:[^\W\d]\w*)?\$")
_BATCH = re.compile(r"^[ \t]*GO(?:[ \t]+(\d+))?[ \t]*;?[ \t]*(?:--.*)?$", re.IGNORECASE)


def words(text: str) -> tuple[str, ...]:
    """The words of a text, for tables of words."""
    return tuple(text.split())


def tokenize(text: str, dialect: str) -> list[Token]:
    """The tokens of a text without spaces and comments. Raises SqlError for an open quote."""
    tokens: list[Token] = []
    tsql = dialect == "tsql"
    at, line = 0, 1
    while at < len(text):
        kind, end, key = _next(text, at, tsql, line)
        piece = text[at:end]
        if kind:
            tokens.append(Token(kind, piece, at, end, line, key if key is not None else piece))
        line += piece.count("\n")
        at = end
    return tokens


def _next(text: str, at: int, tsql: bool, line: int) -> tuple[str, int, str | None]:
    """Kind (empty for what is no token), end and key of what begins here."""
    character = text[at]
    space = _SPACE.match(text, at)
    if space is not None:
        return "", space.end(), None
    if text.startswith("--", at):
        end = text.find("\n", at)
        return "", len(text) if end < 0 else end, None
    if text.startswith("/*", at):
        return "", _comment_end(text, at, line), None
    if character == "'":
        return "string", _quote_end(text, at, "'", line), None
    if character in "eE" and not tsql and text.startswith("'", at + 1):
        return "string", _escaped_end(text, at + 1, line), None
    if character in "nN" and tsql and text.startswith("'", at + 1):
        return "string", _quote_end(text, at + 1, "'", line), None
    if character == '"':
        return "quoted", _quote_end(text, at, '"', line), None
    if tsql and character == "[":
        return "quoted", _quote_end(text, at, "]", line), None
    if tsql and character == "@":
        variable = _VARIABLE.match(text, at)
        if variable is not None:
            return "variable", variable.end(), variable.group().lower()
    if not tsql and character == "$":
        tag = _DOLLAR.match(text, at)
        if tag is not None:
            end = text.find(tag.group(), tag.end())
            if end < 0:
                raise SqlError("The dollar quote has no end.", line=line)
            return "string", end + len(tag.group()), None
    if character == "{":
        placeholder = _PLACEHOLDER.match(text, at)
        if placeholder is not None:
            return "placeholder", placeholder.end(), placeholder.group(1)
    if character.isdigit() or (character == "." and text[at + 1 : at + 2].isdigit()):
        number = _NUMBER.match(text, at)
        if number is not None:
            return "number", number.end(), None
    if character.isalpha() or character == "_" or (tsql and character == "#"):
        word = _WORD.match(text, at)
        if word is not None:
            return "word", word.end(), word.group().upper()
    return "symbol", at + 1, None


def _quote_end(text: str, at: int, close: str, line: int) -> int:
    """Where a quoted piece ends whose closing mark is doubled to stand for itself."""
    position = at + 1
    while True:
        position = text.find(close, position)
        if position < 0:
            raise SqlError(f"The quote {text[at]} has no end.", line=line)
        if not text.startswith(close, position + 1):
            return position + 1
        position += 2


def _escaped_end(text: str, at: int, line: int) -> int:
    position = at + 1
    while position < len(text):
        if text[position] == "\\" or text.startswith("''", position):
            position += 2
        elif text[position] == "'":
            return position + 1
        else:
            position += 1
    raise SqlError("The quote ' has no end.", line=line)


def _comment_end(text: str, at: int, line: int) -> int:
    depth, position = 1, at + 2
    while depth:
        opens, closes = text.find("/*", position), text.find("*/", position)
        if closes < 0:
            raise SqlError("The comment has no end.", line=line)
        if 0 <= opens < closes:
            depth, position = depth + 1, opens + 2
        else:
            depth, position = depth - 1, closes + 2
    return position


def split_statements(text: str, dialect: str = "duckdb") -> list[Statement]:
    """The statements of a text, which semicolons end."""
    statements: list[Statement] = []
    pending: list[Token] = []
    for token in tokenize(text, dialect):
        if token.text == ";" and token.kind == "symbol":
            _add_statement(statements, text, pending)
            pending = []
        else:
            pending.append(token)
    _add_statement(statements, text, pending)
    return statements


def _add_statement(statements: list[Statement], text: str, tokens: Sequence[Token]) -> None:
    if tokens:
        statements.append(Statement(text[tokens[0].start : tokens[-1].end], tokens[0].line))


def split_batches(text: str) -> list[tuple[Statement, int]]:
    """The batches of a T-SQL text, which lines with ``GO [count]`` end, and how often each runs."""
    inside = _lines_inside_tokens(text)
    batches: list[tuple[Statement, int]] = []
    pending: list[str] = []
    first = 1
    for number, line in enumerate(text.split("\n"), start=1):
        match = _BATCH.match(line.rstrip("\r"))
        if match is None or number in inside:
            pending.append(line)
            continue
        batches.append((Statement("\n".join(pending), first), int(match.group(1) or 1)))
        pending, first = [], number + 1
    batches.append((Statement("\n".join(pending), first), 1))
    return [(batch, count) for batch, count in batches if batch.text.strip()]


def _lines_inside_tokens(text: str) -> set[int]:
    """Lines that begin inside a string, a quoted name or a comment."""
    if "go" not in text.lower():
        return set()
    inside: set[int] = set()
    at, line = 0, 1
    while at < len(text):
        try:
            kind, end, _ = _next(text, at, True, line)
        except SqlError:
            return inside  # an open quote is told of by the batch that holds it
        breaks = text.count("\n", at, end)
        if breaks and (kind or not text[at].isspace()):
            inside.update(range(line + 1, line + breaks + 1))
        line += breaks
        at = end
    return inside
