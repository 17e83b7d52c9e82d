"""Markdown cells as safe HTML.

Owns: the Markdown dialect (CommonMark with tables, strikethrough and formulas left as they are).
Does not own: what of the resulting HTML may be shown (``sanitize``).
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from quire.render.code import highlight
from quire.render.sanitize import sanitize

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

__all__ = ["markdown_to_html"]

_MAXIMUM_LENGTH = 100_000  # characters, embedded pictures aside; longer texts stay plain
_EMBEDDED = re.compile(r"data:image/[\w.+-]{1,20};base64,[A-Za-z0-9+/=]+")


def markdown_to_html(text: str, attachments: Mapping[str, str] | None = None) -> str:
    """Safe HTML of a Markdown text.

    attachments: data URLs by name, for images that refer to a cell's attachments.
    """
    # Embedded pictures are set aside: parsing their megabytes as text would take long.
    pictures = dict(attachments or {})

    def set_aside(match: re.Match[str]) -> str:
        name = f"embedded-{len(pictures)}"
        pictures[name] = match[0]
        return f"attachment:{name}"

    text = _EMBEDDED.sub(set_aside, text)
    if len(text) > _MAXIMUM_LENGTH:
        return f"<pre>{html.escape(text, quote=False)}</pre>"
    return sanitize(_parser().render(text), attachments=pictures).html


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # only pages need it

    parser = MarkdownIt("commonmark", {"html": True, "highlight": _highlight})
    parser.enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.block.ruler.before("fence", "formula_block", _formula_block, {"alt": ["paragraph"]})
    parser.validateLink = _any_link  # type: ignore[method-assign]
    return parser


def _any_link(url: str) -> bool:  # noqa: ARG001 - the parser passes it
    """Every link is taken here: ``sanitize`` judges them, and those of raw HTML with them."""
    return True


def _highlight(source: str, language: str, _attributes: str) -> str:
    return highlight(source, language)


def _formula(state: StateInline, silent: bool) -> bool:
    """``$x$``, ``$$x$$`` and ``\\begin{x}…\\end{x}``: text in which marks mean nothing."""
    text, start = state.src, state.pos
    if text.startswith("$$", start):
        end = text.find("$$", start + 2) + 2
    elif text.startswith("$", start):
        end = text.find("$", start + 1) + 1
        if text[start + 1 : start + 2].isspace() or text[end - 2 : end - 1] in (" ", "\n", "\\"):
            return False
    elif text.startswith("\\begin{", start):
        end = _environment_end(state, start)
    else:
        return False
    if end <= start + 2:
        return False
    if not silent:
        state.push("text", "", 0).content = text[start:end]
    state.pos = end
    return True


def _environment_end(state: StateInline, start: int) -> int:
    if state.env.get("no_environment_end") == len(state.src):
        return -1
    end = state.src.find("\\end{", start)
    close = state.src.find("}", end) if end >= 0 else -1
    if close < 0:
        # Remembered, so that many beginnings without an end are not searched one by one.
        state.env["no_environment_end"] = len(state.src)
    return close + 1


def _formula_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Lines from one that starts with ``$$`` to one that ends with ``$$``."""
    first = state.getLines(start, start + 1, state.blkIndent, False).strip()
    if not first.startswith("$$") or state.is_code_block(start):
        return False
    # Failures are remembered, so that many beginnings without an end are not searched one by one.
    failed = f"no_formula_end_before_{end}"
    if start >= state.env.get(failed, end):
        return False
    line = start
    if len(first) < 4 or not first.endswith("$$"):
        line += 1
        while line < end and not state.getLines(line, line + 1, 0, False).rstrip().endswith("$$"):
            line += 1
        if line >= end:
            state.env[failed] = start
            return False
    if silent:
        return True
    state.line = line + 1
    token = state.push("html_block", "", 0)
    token.map = [start, state.line]
    content = state.getLines(start, state.line, state.blkIndent, False)
    token.content = f"<p>{html.escape(content, quote=False)}</p>\n"
    return True
