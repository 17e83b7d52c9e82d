"""A Scala cell as the parts the interpreter is given one after another.

A cell is one part, unless it defines classes and then uses them: Spark's encoders can make objects
of a class only when the part that defines it has been run to its end. Then the definitions are a
part of their own. Blank lines before a part keep the numbers of its lines.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Part", "parts_of"]

_DEFINES = re.compile(
    r"(?:@\w+(?:\([^)]*\))?\s+)*"
    r"(?:(?:private|protected|sealed|abstract|final|implicit|lazy|case|open)\s+)*"
    r"(class|trait|object)\s+(\w+)"
)
_QUIET = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"\"\".*?\"\"\"+|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.[^']*|[^'\\])'", re.DOTALL
)
_STOPS = re.compile(r"(?<![\w.])(?:spark|sc)\.stop\(\s*\)")
_NOTHING = "()"
_CONTINUES = re.compile(r"\s*(?:extends\b|with\b|\{|\()")


class Part(NamedTuple):
    """A text for the interpreter."""

    text: str


def parts_of(code: str) -> list[Part]:
    """The parts of a cell; none for one that holds only comments and blanks."""
    bare = _QUIET.sub(_blank, code)
    if not bare.strip():
        return []
    for stop in _STOPS.finditer(bare):  # of the same length, so that places stay
        code = code[: stop.start()] + _NOTHING.ljust(len(stop.group())) + code[stop.end() :]
    spans = _definitions(bare)
    if not spans:
        return [Part(code)]
    parts, at = [], 0
    for start, end, names in spans:
        before = bare[at:start]
        if any(re.search(rf"\b{name}\b", before) for name in names):
            return [Part(code)]  # used before it is defined: only the whole makes sense
        parts += _part(code, bare, at, start)
        parts += _part(code, bare, start, end)
        at = end
    return [*parts, *_part(code, bare, at, len(code))]


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())


def _part(code: str, bare: str, start: int, end: int) -> list[Part]:
    if not bare[start:end].strip():
        return []
    return [Part("\n" * code.count("\n", 0, start) + code[start:end])]


def _definitions(bare: str) -> list[tuple[int, int, list[str]]]:
    """Where classes are defined at the top level, neighbours together: start, end, names."""
    spans: list[tuple[int, int, list[str]]] = []
    depth = at = 0
    line_begins = True
    while at < len(bare):
        character = bare[at]
        match = _DEFINES.match(bare, at) if depth == 0 and line_begins else None
        if match is not None:
            end = _end_of_definition(bare, match.end())
            if spans and not bare[spans[-1][1] : at].strip(" \t\n;"):
                start, _, names = spans.pop()
                spans.append((start, end, [*names, match.group(2)]))
            else:
                spans.append((at, end, [match.group(2)]))
            at = end
            continue
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth -= 1
        if character in "\n;":
            line_begins = True
        elif not character.isspace():
            line_begins = False
        at += 1
    return spans


def _end_of_definition(bare: str, at: int) -> int:
    """The end of the line on which all of its brackets are closed and nothing continues it."""
    depth = 0
    while at < len(bare):
        character = bare[at]
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth -= 1
        elif depth == 0 and (character == ";" or (character == "\n" and not _goes_on(bare, at))):
            return at + 1
        at += 1
    return at


def _goes_on(bare: str, at: int) -> bool:
    before = bare[:at].rstrip()
    return bool(_CONTINUES.match(bare, at)) or before.endswith(("extends", "with", ",", "="))
