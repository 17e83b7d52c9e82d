"""Terminal text as HTML.

Owns: colours and weights of ANSI escape sequences, carriage returns and backspaces.
Does not own: the style sheet that gives the sixteen basic colours their values.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, replace

__all__ = ["ansi_to_html"]

_ESCAPE = re.compile(
    r"\x1b(?:\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"  # control sequences
    r"|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # operating system commands: titles, links
    r"|[ -/]*[0-Z\\^_`-~]"
    r"|)"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")


@dataclass(frozen=True)
class _Look:
    """How the text that follows is shown. Colours: 0-15 basic ones, else CSS text."""

    foreground: int | str | None = None
    background: int | str | None = None
    bold: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    inverse: bool = False


_PLAIN = _Look()


def ansi_to_html(text: str) -> str:
    """The text with escape sequences turned into spans; anything else is escaped.

    A carriage return starts its line again, as progress bars want it. Colours become the classes
    ``ansi-fg-0`` to ``ansi-fg-15`` and ``ansi-bg-…``, or exact colours where the text asks for
    them.
    """
    text = _settle(text.replace("\r\n", "\n"))
    parts: list[str] = []
    look, position = _PLAIN, 0
    while True:
        start = text.find("\x1b", position)
        _write(parts, text[position : start if start >= 0 else len(text)], look)
        if start < 0:
            return "".join(parts)
        match = _ESCAPE.match(text, start)
        assert match is not None  # the last alternative is empty
        position = match.end()
        if match["final"] == "m":
            look = _apply(look, match["parameters"])


def _settle(text: str) -> str:
    """What a terminal would show after carriage returns and backspaces."""
    if "\r" in text:
        text = "\n".join(
            line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line
            for line in text.split("\n")
        )
    if "\x08" in text:
        kept: list[str] = []
        for character in text:
            if character == "\x08":
                if kept and kept[-1] != "\n":
                    kept.pop()
            else:
                kept.append(character)
        text = "".join(kept)
    return text


def _write(parts: list[str], text: str, look: _Look) -> None:
    text = _CONTROLS.sub("", text)
    if not text:
        return
    escaped = html.escape(text, quote=False)
    parts.append(escaped if look == _PLAIN else f"<span{_attributes(look)}>{escaped}</span>")


def _attributes(look: _Look) -> str:
    foreground, background = look.foreground, look.background
    classes: list[str] = []
    styles: list[str] = []
    if look.inverse:
        foreground, background = background, foreground
        classes += ["ansi-inverse-fg"] if foreground is None else []
        classes += ["ansi-inverse-bg"] if background is None else []
    for kind, name, colour in (
        ("fg", "color", foreground),
        ("bg", "background-color", background),
    ):
        if isinstance(colour, int):
            classes.append(f"ansi-{kind}-{colour}")
        elif colour is not None:
            styles.append(f"{name}: {colour}")
    for wanted, name in (
        (look.bold, "ansi-bold"),
        (look.italic, "ansi-italic"),
        (look.underline, "ansi-underline"),
        (look.strike, "ansi-strike"),
    ):
        if wanted:
            classes.append(name)
    written = f' class="{" ".join(classes)}"' if classes else ""
    return written + (f' style="{"; ".join(styles)}"' if styles else "")


def _apply(look: _Look, parameters: str) -> _Look:
    """The look after a "select graphic rendition" sequence; parts that mean nothing are skipped."""
    codes = [
        int(code) if code.isdigit() and len(code) < 5 else 0
        for code in re.split("[;:]", parameters)
    ]
    index = 0
    while index < len(codes):
        code = codes[index]
        if code in (38, 48):
            colour, used = _extended(codes, index + 1)
            index += used
            if colour is not None:
                look = (
                    replace(look, foreground=colour)
                    if code == 38
                    else replace(look, background=colour)
                )
        else:
            look = _apply_one(look, code)
        index += 1
    return look


_SWITCHES = {
    1: {"bold": True},
    3: {"italic": True},
    4: {"underline": True},
    7: {"inverse": True},
    9: {"strike": True},
    21: {"bold": False},
    22: {"bold": False},
    23: {"italic": False},
    24: {"underline": False},
    27: {"inverse": False},
    29: {"strike": False},
}


def _apply_one(look: _Look, code: int) -> _Look:
    if code == 0:
        return _PLAIN
    if code in _SWITCHES:
        return replace(look, **_SWITCHES[code])
    if 30 <= code <= 37:
        return replace(look, foreground=code - 30)
    if 90 <= code <= 97:
        return replace(look, foreground=code - 90 + 8)
    if 40 <= code <= 47:
        return replace(look, background=code - 40)
    if 100 <= code <= 107:
        return replace(look, background=code - 100 + 8)
    if code == 39:
        return replace(look, foreground=None)
    if code == 49:
        return replace(look, background=None)
    return look


def _extended(codes: list[int], index: int) -> tuple[int | str | None, int]:
    """A colour of the 256 or of all, and how many codes it took."""
    mode = codes[index] if index < len(codes) else None
    if mode == 5 and index + 1 < len(codes):
        return _of_256(codes[index + 1]), 2
    if mode == 2 and index + 3 < len(codes):
        red, green, blue = (min(code, 255) for code in codes[index + 1 : index + 4])
        return f"rgb({red}, {green}, {blue})", 4
    return None, 1


def _of_256(number: int) -> int | str | None:
    if number < 16:
        return number
    if number < 232:
        red, green, blue = (number - 16) // 36, (number - 16) // 6 % 6, (number - 16) % 6
        levels = [0 if part == 0 else 55 + 40 * part for part in (red, green, blue)]
        return f"rgb({levels[0]}, {levels[1]}, {levels[2]})"
    if number < 256:
        grey = 8 + 10 * (number - 232)
        return f"rgb({grey}, {grey}, {grey})"
    return None
