"""Source code as HTML with its syntax coloured.

Owns: which language a cell's text is in, and its markup.
Does not own: the colours (``page.css``).
"""

from __future__ import annotations

import functools
import html
import re
from typing import Any

__all__ = ["highlight"]

_MAXIMUM_LENGTH = 100_000  # characters; longer sources are shown without colours
_MAGIC = re.compile(r"\s*%%?([a-z-]+)")
_MAGIC_LANGUAGES = {
    "bash": "bash",
    "html": "html",
    "javascript": "javascript",
    "js": "javascript",
    "md": "markdown",
    "md-sandbox": "markdown",
    "python": "python",
    "r": "r",
    "scala": "scala",
    "sh": "bash",
    "sql": "sql",
}
_LANGUAGES = frozenset(
    {
        "bash",
        "julia",
        "markdown",
        "python",
        "r",
        "ruby",
        "rust",
        "scala",
        "sql",
        "html",
        "javascript",
    }
)


def highlight(source: str, language: str) -> str:
    """Markup for inside a ``pre`` element: the source, escaped, its tokens in classed spans.

    language: the notebook's default; a magic at the start of the source overrides it.
    """
    magic = _MAGIC.match(source)
    chosen = _MAGIC_LANGUAGES.get(magic[1], language) if magic else language
    if chosen not in _LANGUAGES or len(source) > _MAXIMUM_LENGTH:
        return html.escape(source, quote=False)
    from pygments import highlight as colour  # only pages need it

    lexer, formatter = _tools(chosen)
    marked: str = colour(source, lexer, formatter)
    return marked.removesuffix("\n")


@functools.cache
def _tools(language: str) -> tuple[Any, Any]:
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return lexer, HtmlFormatter(nowrap=True)
