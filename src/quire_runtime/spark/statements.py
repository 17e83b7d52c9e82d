"""SQL text for Spark: its statements, and the notebook's values in them.

Owns: where strings, quoted names and comments begin and end in Spark's SQL, and the ways a notebook
of Databricks origin writes a parameter (Databricks contract 10.1): ``${name}`` and ``$name`` are
replaced by its text, ``getArgument("name")`` by a string literal; ``:name`` is left to Spark as a
named parameter. Names that are no parameter of the notebook are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, Optional

__all__ = ["Statement", "split_statements"]

Lookup = Callable[[str], Optional[str]]
"""The value of a parameter of the notebook; None when it has none of that name."""

_QUIET = r"--[^\n]*|'(?:\\.|''|[^'\\])*'|\"(?:\\.|\"\"|[^\"\\])*\"|`(?:``|[^`])*`"
_PIECE = re.compile(rf"(?P<quiet>{_QUIET})|(?P<comment>/\*)|(?P<end>;)|[^-'\"`/;]+|.", re.DOTALL)
_COMMENT_MARK = re.compile(r"/\*|\*/")
_SCRIPT = re.compile(r"\s*BEGIN\b(?!\s+TRANSACTION)", re.IGNORECASE)
_TEXT = re.compile(r"\$\{([^{}$\s]+)\}|\$([A-Za-z_]\w*)")
_CALL = re.compile(r"\bgetArgument\s*\(\s*(?:'([^']*)'|\"([^\"]*)\")\s*\)", re.IGNORECASE)
_NAMED = re.compile(rf"(?:{_QUIET})|(?<![:\w]):([A-Za-z_]\w*)")


class Statement(NamedTuple):
    """One statement: its text, its line in the cell (from 1), and values for ``:name`` in it."""

    text: str
    line: int
    arguments: dict[str, str]


def split_statements(text: str, lookup: Lookup) -> list[Statement]:
    """The statements of a text, which semicolons end; a script (``BEGIN … END``) is one."""
    text = _replace(text, lookup)
    found = []
    for piece, at in _split(text):
        statement = piece.strip()
        if _has_words(statement):
            lead = len(piece) - len(piece.lstrip())
            line = text.count("\n", 0, at + lead) + 1
            found.append(Statement(statement, line, _arguments(statement, lookup)))
    return found


def _split(text: str) -> Iterator[tuple[str, int]]:
    start = 0
    for kind, _, at in _pieces(text):
        if kind == "end" and not _SCRIPT.match(_without_comments(text[start:at])):
            yield text[start : at - 1], start
            start = at
    yield text[start:], start


def _pieces(text: str) -> Iterator[tuple[str, str, int]]:
    """The text in pieces: ``comment``, ``quiet``, ``end`` or ``""``, the piece, and its end."""
    at = 0
    while at < len(text):
        match = _PIECE.match(text, at)
        assert match is not None
        kind, start = match.lastgroup or "", at
        at = _comment_end(text, match.end()) if kind == "comment" else match.end()
        yield kind, text[start:at], at


def _comment_end(text: str, at: int) -> int:
    depth = 1
    while depth:
        mark = _COMMENT_MARK.search(text, at)
        if mark is None:
            return len(text)
        depth += 1 if mark.group() == "/*" else -1
        at = mark.end()
    return at


def _without_comments(text: str) -> str:
    return "".join(
        piece
        for kind, piece, _ in _pieces(text)
        if kind != "comment" and not piece.startswith("--")
    )


def _has_words(statement: str) -> bool:
    return bool(_without_comments(statement).strip())


def _replace(text: str, lookup: Lookup) -> str:
    def value(match: re.Match[str]) -> str:
        found = lookup(match.group(1) or match.group(2))
        return match.group() if found is None else found

    def literal(match: re.Match[str]) -> str:
        found = lookup(match.group(1) or match.group(2) or "")
        return match.group() if found is None else quote(found)

    return _CALL.sub(literal, _TEXT.sub(value, text))


def quote(text: str) -> str:
    """A text as a literal of Spark's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _arguments(statement: str, lookup: Lookup) -> dict[str, str]:
    found = {}
    for match in _NAMED.finditer(statement):
        name = match.group(1)
        value = lookup(name) if name else None
        if name and value is not None:
            found[name] = value
    return found
