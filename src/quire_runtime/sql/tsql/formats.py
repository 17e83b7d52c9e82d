"""Texts T-SQL makes of numbers and dates, and its patterns.

Owns: ``FORMAT`` with .NET's standard and custom formats of the invariant culture, ``STR``,
``PATINDEX``, and ``LIKE`` patterns as regular expressions.
"""

from __future__ import annotations

import datetime
import decimal
import re

from quire_runtime.sql.lexer import words

__all__ = ["format_moment", "format_number", "like_regex", "number_text", "pattern_index"]

_STANDARD_MOMENTS = {
    "d": "MM/dd/yyyy",
    "D": "dddd, MMMM dd, yyyy",
    "f": "dddd, MMMM dd, yyyy h:mm tt",
    "F": "dddd, MMMM dd, yyyy h:mm:ss tt",
    "g": "MM/dd/yyyy h:mm tt",
    "G": "MM/dd/yyyy h:mm:ss tt",
    "M": "MMMM dd",
    "m": "MMMM dd",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "h:mm tt",
    "T": "h:mm:ss tt",
    "u": "yyyy-MM-dd HH:mm:ssZ",
    "Y": "yyyy MMMM",
    "y": "yyyy MMMM",
}
_MONTHS = words(
    "January February March April May June July August September October November December"
)
_DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_MOMENT_PIECE = re.compile(
    r"'[^']*'|\"[^\"]*\"|\\.|d{1,4}|M{1,4}|y{1,5}|H{1,2}|h{1,2}|m{1,2}|s{1,2}|[fF]{1,7}|t{1,2}|.",
    re.DOTALL,
)
_STANDARD_NUMBER = re.compile(r"([CcDdEeFfGgNnPpXx])(\d{0,2})")


def format_moment(value: datetime.datetime, pattern: str) -> str:
    """A moment by a format of .NET, such as ``yyyy-MM-dd`` or ``D``."""
    pattern = _STANDARD_MOMENTS.get(pattern, pattern)
    return "".join(_moment_piece(value, piece) for piece in _MOMENT_PIECE.findall(pattern))


def _moment_piece(value: datetime.datetime, piece: str) -> str:
    first, length = piece[0], len(piece)
    if first in "'\"":
        return piece[1:-1]
    if first == "\\":
        return piece[1:]
    if first == "d":
        name = _DAYS[value.weekday()]
        return _number(value.day, length) if length < 3 else name[:3] if length == 3 else name
    if first == "M":
        name = _MONTHS[value.month - 1]
        return _number(value.month, length) if length < 3 else name[:3] if length == 3 else name
    if first == "y":
        return _number(value.year % 100, length) if length < 3 else _number(value.year, length)
    if first in "fF":
        digits = f"{value.microsecond:06d}0"[:length]
        return digits if first == "f" else digits.rstrip("0")
    if first == "t":
        mark = "AM" if value.hour < 12 else "PM"
        return mark[:length]
    numbers = {"H": value.hour, "h": value.hour % 12 or 12, "m": value.minute, "s": value.second}
    return _number(numbers[first], length) if first in numbers else piece


def _number(value: int, length: int) -> str:
    return str(value).zfill(length)


def format_number(value: str, pattern: str) -> str:
    """A number, given as text, by a format of .NET, such as ``N2``, ``C``, ``P1`` or ``#,##0.00``.

    Raises ValueError for what is no number.
    """
    try:
        number = decimal.Decimal(value)
    except decimal.InvalidOperation:
        raise ValueError(f"FORMAT: {value!r} is neither a number nor a date.") from None
    standard = _STANDARD_NUMBER.fullmatch(pattern)
    if standard is None:
        return _custom_number(number, pattern)
    kind, digits = standard.group(1).upper(), standard.group(2)
    places = int(digits) if digits else 2
    if kind == "N":
        return f"{_round(number, places):,.{places}f}"
    if kind == "F":
        return f"{_round(number, places):.{places}f}"
    if kind == "C":
        text = f"¤{abs(_round(number, places)):,.{places}f}".replace("¤", "$")
        return f"({text})" if number < 0 else text
    if kind == "P":
        return f"{_round(number * 100, places):,.{places}f} %"
    if kind == "D":
        text = str(abs(int(number))).zfill(int(digits or 1))
        return "-" + text if number < 0 else text
    if kind == "X":
        text = f"{int(number):x}".zfill(int(digits or 1))
        return text.upper() if standard.group(1) == "X" else text
    if kind == "E":
        mantissa, _, exponent = f"{number:.{int(digits or 6)}E}".partition("E")
        return f"{mantissa}{standard.group(1)}{exponent[0]}{exponent[1:].zfill(3)}"
    return f"{number.normalize():f}"


def _round(number: decimal.Decimal, places: int) -> decimal.Decimal:
    with decimal.localcontext() as context:
        context.prec = 60
        return number.quantize(decimal.Decimal(1).scaleb(-places), decimal.ROUND_HALF_UP)


def _custom_number(number: decimal.Decimal, pattern: str) -> str:
    sections = pattern.split(";")
    if number < 0 and len(sections) > 1 and sections[1]:
        return _custom_section(abs(number), sections[1])
    if number == 0 and len(sections) > 2:
        return _custom_section(number, sections[2])
    text = _custom_section(abs(number), sections[0])
    return "-" + text if number < 0 and any(digit in text for digit in "123456789") else text


def _custom_section(number: decimal.Decimal, pattern: str) -> str:
    found = re.search(r"[0#][0#,.]*", pattern)
    if found is None:
        return pattern.replace('"', "").replace("'", "").replace("\\", "")
    before, core, after = pattern[: found.start()], found.group(), pattern[found.end() :]
    if "%" in before + after:
        number *= 100
    whole, _, fraction = core.partition(".")
    places = len(fraction)
    digits = f"{_round(number, places):.{places}f}"
    integer, _, decimals = digits.partition(".")
    least = whole.replace(",", "").lstrip("#").count("0")
    integer = integer.lstrip("0").zfill(least) if least else integer.lstrip("0")
    if "," in whole and integer:
        integer = f"{int(integer):,}".rjust(len(integer), "0")
    optional = len(fraction) - len(fraction.rstrip("#"))
    while optional and decimals.endswith("0"):
        decimals, optional = decimals[:-1], optional - 1
    text = integer + ("." + decimals if decimals else "")
    strip = {ord("\\"): None, ord('"'): None, ord("'"): None}
    return before.translate(strip) + text + after.translate(strip)


def number_text(value: float, length: int, places: int) -> str:
    """``STR``: a number at the right end of a field; asterisks when it does not fit."""
    text = f"{_round(decimal.Decimal(repr(value)), places):.{places}f}"
    if len(text.partition(".")[0]) > length:
        return "*" * length
    return text[:length].rjust(length)


def pattern_index(pattern: str, text: str) -> int:
    """``PATINDEX``: where a pattern first matches, from 1; 0 when it does not."""
    core = pattern[1:] if pattern.startswith("%") else pattern
    core = core[:-1] if pattern.endswith("%") and len(core) > 0 else core
    expression = like_regex(core)
    expression = expression if pattern.startswith("%") else rf"\A{expression}"
    expression = expression if pattern.endswith("%") else rf"{expression}\Z"
    found = re.search(expression, text, re.DOTALL)
    return found.start() + 1 if found is not None else 0


def like_regex(pattern: str, escape: str | None = None) -> str:
    """The regular expression of a ``LIKE`` pattern, to be matched whole."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if escape and character == escape and at < len(pattern):
            parts.append(re.escape(pattern[at]))
            at += 1
        elif character == "%":
            parts.append(".*")
        elif character == "_":
            parts.append(".")
        elif character == "[" and (end := pattern.find("]", at + 1)) > 0:
            inner = pattern[at:end]
            at = end + 1
            negated = inner.startswith("^")
            inner = (inner[1:] if negated else inner).replace("\\", "\\\\").replace("[", "\\[")
            parts.append(f"[{'^' if negated else ''}{inner.replace('^', chr(92) + '^')}]")
        else:
            parts.append(re.escape(character))
    return "".join(parts)
