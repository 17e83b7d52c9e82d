"""Author's HTML made safe to show.

Owns: what of an author's HTML may appear on a page, and how it is written down again.
Does not own: Markdown, images of outputs, and the page's own markup.

The input is only read; the output is built anew from a list of allowed elements and attributes,
with all text escaped and every element closed. Nothing that a browser reads as script, as raw
text, as foreign content (SVG, MathML) or as a reference to another host is ever written, so it
does not matter whether a browser would have read the input differently. Reading takes time in
proportion to the input.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

__all__ = ["Sanitized", "sanitize", "svg_image"]


@dataclass(frozen=True)
class Sanitized:
    """HTML that may be placed inside an element of a page."""

    html: str
    is_empty: bool  # nothing to see is left
    has_style_sheet: bool  # the input brought a style sheet of its own, which a page must not take


_SPACE = re.compile(r"[ \t\n\f\r/]*")
_TAG_NAME = re.compile(r"[a-zA-Z][^ \t\n\f\r/>]*")
_ATTRIBUTE_NAME = re.compile(r"[^ \t\n\f\r/>][^ \t\n\f\r/>=]*")
_EQUALS = re.compile(r"[ \t\n\f\r]*=[ \t\n\f\r]*")
_UNQUOTED = re.compile(r"[^ \t\n\f\r>]+")
_SVG_TAG = re.compile(r"<(/?)svg(?=[ \t\n\f\r/>])", re.IGNORECASE)

_VOID = frozenset({"br", "col", "hr", "img", "source", "wbr"})
_ELEMENTS = _VOID | frozenset(
    [
        "a",
        "abbr",
        "article",
        "aside",
        "audio",
        "b",
        "bdi",
        "bdo",
        "blockquote",
        "caption",
        "center",
        "cite",
        "code",
        "colgroup",
        "dd",
        "del",
        "details",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "font",
        "footer",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "i",
        "ins",
        "kbd",
        "li",
        "main",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "section",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "time",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
        "video",
    ]
)
# A browser reads what these hold as text up to their end tag, so the reader skips it as a whole.
_RAW_TEXT = frozenset(
    ("iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp")
)
_HIDDEN = frozenset({"template", "head", "datalist"})
_RAW_TEXT_END = {
    name: re.compile(rf"</{name}(?=[ \t\n\f\r/>])", re.IGNORECASE) for name in _RAW_TEXT
}
_MAXIMUM_DEPTH = 100

_PLAIN_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "*": frozenset({"title", "dir", "lang"}),
    "img": frozenset({"alt"}),
    "time": frozenset({"datetime"}),
    "font": frozenset({"face"}),
}
_LIMITED_ATTRIBUTES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "align": r"left|right|center|justify",
        "valign": r"top|middle|bottom|baseline",
        "width": r"\d{1,5}(?:px|%)?",
        "height": r"\d{1,5}(?:px|%)?",
        "border": r"\d{1,2}",
        "cellpadding": r"\d{1,3}",
        "cellspacing": r"\d{1,3}",
        "colspan": r"\d{1,4}",
        "rowspan": r"\d{1,4}",
        "span": r"\d{1,4}",
        "start": r"-?\d{1,9}",
        "value": r"-?\d{1,9}",
        "type": r"[1aAiI]",
        "scope": r"row|col|rowgroup|colgroup",
        "color": r"#?\w{1,30}",
        "bgcolor": r"#?\w{1,30}",
        "size": r"[+-]?\d",
    }.items()
}
_BARE_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "details": frozenset({"open"}),
    "audio": frozenset({"controls", "loop", "muted"}),
    "video": frozenset({"controls", "loop", "muted"}),
}
# Classes of highlighted code and data frames; others could take on the look of the page's parts.
_PAGE_CLASS = re.compile(r"highlight|dataframe|[a-z][a-z0-9]{0,2}")
_OWN_NAME = re.compile(r"[\w-]{1,100}")

_LINK = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x20\x7f]+")
_IMAGE_DATA = re.compile(
    r"data:image/(?:png|jpe?g|gif|webp|bmp|avif|x-icon|svg\+xml);base64,[A-Za-z0-9+/=]+",
    re.IGNORECASE,
)
_MEDIA_DATA = re.compile(r"data:(?:audio|video)/[\w.+-]+;base64,[A-Za-z0-9+/=]+", re.IGNORECASE)

_PROPERTIES = re.compile(
    r"(?:background(?:-color)?|border(?:-[a-z-]+)?|caption-side|color|display|float|clear"
    r"|font(?:-[a-z]+)?|height|letter-spacing|line-height|list-style-type|margin(?:-[a-z]+)?"
    r"|max-height|max-width|min-height|min-width|opacity|overflow(?:-[xy])?|padding(?:-[a-z]+)?"
    r"|table-layout|text-(?:align|decoration|indent|transform|overflow)|unicode-bidi"
    r"|vertical-align|white-space|width|word-break|word-wrap)"
)
_PROPERTY_VALUE = re.compile(r"(?:[\w\s.,#%!'\"-]|(?:rgb|hsl)a?\([\d\s.,%/]{1,60}\))+")
_NEGATIVE = re.compile(r"(?:^|[\s,])-[\d.]")  # would move a part over its neighbours
_MAXIMUM_VALUE_LENGTH = 300
_MAXIMUM_DECLARATIONS = 100
_BAD_IN_SHEETS = re.compile(
    r"[@\\<]|url|image|src|expression|javascript|behavior|binding", re.IGNORECASE
)


def sanitize(
    markup: str, *, attachments: Mapping[str, str] | None = None, isolated: bool = False
) -> Sanitized:
    """The safe part of an author's HTML.

    attachments: data URLs by name, for images that refer to a cell's attachments.
    isolated: the result gets a document of its own, so it may keep style sheets, classes and ids.
    """
    reader = _Reader(markup.replace("\x00", ""), attachments or {}, isolated=isolated)
    reader.run()
    return Sanitized("".join(reader.parts), not reader.shows, reader.has_style_sheet)


def svg_image(markup: str, attributes: str = "") -> str:
    """An SVG drawing as an image, in which no script runs and nothing is loaded from elsewhere.

    attributes: markup of further attributes, written as they are.
    """
    opening = markup[: markup.find(">") + 1]
    if "xmlns=" not in opening:
        markup = re.sub(r"<svg\b", '<svg xmlns="http://www.w3.org/2000/svg"', markup, count=1)
    encoded = base64.b64encode(markup.encode("utf-8", "replace")).decode("ascii")
    return f'<img alt="drawing"{attributes} src="data:image/svg+xml;base64,{encoded}">'


@dataclass
class _Reader:
    """One pass over the input."""

    text: str
    attachments: Mapping[str, str]
    isolated: bool
    parts: list[str] = field(default_factory=list)
    shows: bool = False
    has_style_sheet: bool = False
    open_elements: list[str] = field(default_factory=list)
    open_counts: dict[str, int] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)

    def run(self) -> None:
        position = 0
        while position < len(self.text):
            start = self.text.find("<", position)
            if start < 0:
                self._write_text(self.text[position:])
                break
            self._write_text(self.text[position:start])
            position = self._read_markup(start)
        while self.open_elements:
            self._close_last()

    def _read_markup(self, start: int) -> int:
        """Read what begins with "<" at ``start``; the position after it."""
        text = self.text
        following = text[start + 1 : start + 2]
        if following.isascii() and following.isalpha():
            return self._read_start_tag(start + 1)
        if following == "/" and text[start + 2 : start + 3].isalpha():
            return self._read_end_tag(start + 2)
        if text.startswith("<!--", start):
            if text.startswith(("<!-->", "<!--->"), start):
                return text.find(">", start) + 1
            return _after(text, "-->", start + 4)
        if following in ("!", "?", "/") and following:
            return _after(text, ">", start + 2)
        self._write_text("<")
        return start + 1

    def _read_attributes(self, position: int) -> tuple[dict[str, str], int]:
        """The attributes from ``position`` on and the position after the tag's end."""
        text, size = self.text, len(self.text)
        attributes: dict[str, str] = {}
        while True:
            position = _end(_SPACE.match(text, position), position)
            if position >= size:
                return {}, size
            if text[position] == ">":
                return attributes, position + 1
            name_match = _ATTRIBUTE_NAME.match(text, position)
            assert name_match is not None  # neither white space, "/" nor ">" is left here
            position = name_match.end()
            value = ""
            equals = _EQUALS.match(text, position)
            if equals is not None:
                position = equals.end()
                quotation = text[position : position + 1]
                if quotation in ('"', "'") and quotation:
                    end = text.find(quotation, position + 1)
                    if end < 0:
                        return {}, size
                    value = text[position + 1 : end]
                    position = end + 1
                else:
                    end = _end(_UNQUOTED.match(text, position), position)
                    value = text[position:end]
                    position = end
            attributes.setdefault(name_match[0].lower(), html.unescape(value))

    def _read_start_tag(self, position: int) -> int:
        match = _TAG_NAME.match(self.text, position)
        assert match is not None  # the caller saw a letter
        name = match[0].lower()
        attributes, end = self._read_attributes(match.end())
        if name == "svg":
            return self._read_svg(position - 1, end)
        if name == "plaintext":
            return len(self.text)
        if name in _RAW_TEXT:
            return self._skip_raw_text(name, attributes, end)
        if name in _HIDDEN:
            self.hidden.append(name)
        elif not self.hidden and name in _ELEMENTS:
            self._open(name, attributes)
        return end

    def _read_end_tag(self, position: int) -> int:
        match = _TAG_NAME.match(self.text, position)
        if match is None:
            return _after(self.text, ">", position)
        name = match[0].lower()
        _, end = self._read_attributes(match.end())
        if self.hidden:
            if name == self.hidden[-1]:
                self.hidden.pop()
        elif self.open_counts.get(name):
            while self._close_last() != name:
                pass
        return end

    def _skip_raw_text(self, name: str, attributes: Mapping[str, str], position: int) -> int:
        end = _RAW_TEXT_END[name].search(self.text, position)
        content = self.text[position : end.start() if end else len(self.text)]
        if name == "style" and "scoped" not in attributes and content.strip():
            self.has_style_sheet = True
            if self.isolated and not self.hidden and not _BAD_IN_SHEETS.search(content):
                self.parts.append(f"<style>{content}</style>")
        if end is None:
            return len(self.text)
        _, position = self._read_attributes(end.end())
        return position

    def _read_svg(self, start: int, position: int) -> int:
        if self.text[position - 2 : position] == "/>":
            return position
        depth = 1
        for match in _SVG_TAG.finditer(self.text, position):
            depth += -1 if match[1] else 1
            if depth == 0:
                end = _after(self.text, ">", match.end())
                if not self.hidden:
                    self.parts.append(svg_image(self.text[start:end]))
                    self.shows = True
                return end
        return len(self.text)

    def _write_text(self, text: str) -> None:
        if self.hidden or not text:
            return
        if not self.shows and text.strip():
            self.shows = True
        if "&" in text:
            text = html.unescape(text)
        self.parts.append(html.escape(text, quote=False))

    def _close_last(self) -> str:
        name = self.open_elements.pop()
        self.open_counts[name] -= 1
        self.parts.append(f"</{name}>")
        return name

    def _open(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "img":
            self._write_image(attributes)
            return
        if name not in _VOID:
            if len(self.open_elements) >= _MAXIMUM_DEPTH:
                return
            self.open_elements.append(name)
            self.open_counts[name] = self.open_counts.get(name, 0) + 1
        if name in ("hr", "audio", "video"):
            self.shows = True
        self.parts.append(f"<{name}{self._attributes(name, attributes)}>")

    def _write_image(self, attributes: Mapping[str, str]) -> None:
        address = _CONTROL.sub("", attributes.get("src", ""))
        if address.lower().startswith("attachment:"):
            name = unquote(attributes["src"].strip()[len("attachment:") :])
            address = self.attachments.get(name, "")
        self.shows = True
        if _IMAGE_DATA.fullmatch(address):
            self.parts.append(
                f'<img{self._attributes("img", attributes)} src="{html.escape(address)}">'
            )
            return
        # Pictures of other hosts are not loaded; the reader is given the way to them.
        text = html.escape(attributes.get("alt", "") or "image", quote=False)
        link = _link(address)
        self.parts.append(f"<a{link}>{text}</a>" if link else f"<span>{text}</span>")

    def _attributes(self, element: str, attributes: Mapping[str, str]) -> str:
        kept: list[str] = []
        plain = _PLAIN_ATTRIBUTES["*"] | _PLAIN_ATTRIBUTES.get(element, frozenset())
        for name, value in attributes.items():
            if name in plain:
                kept.append(f' {name}="{html.escape(value)}"')
            elif name in _LIMITED_ATTRIBUTES:
                if _LIMITED_ATTRIBUTES[name].fullmatch(value):
                    kept.append(f' {name}="{html.escape(value)}"')
            elif name in _BARE_ATTRIBUTES.get(element, ()):
                kept.append(f" {name}")
            elif name == "style":
                kept.append(_style(value))
            elif name == "class":
                kept.append(self._classes(value))
            elif name == "id" and self.isolated and _OWN_NAME.fullmatch(value):
                kept.append(f' id="{value}"')
            elif name == "href" and element == "a":
                kept.append(_link(value))
            elif name == "src" and element in ("audio", "video", "source"):
                address = _CONTROL.sub("", value)
                if _MEDIA_DATA.fullmatch(address):
                    kept.append(f' src="{html.escape(address)}"')
        return "".join(kept)

    def _classes(self, value: str) -> str:
        allowed = _OWN_NAME if self.isolated else _PAGE_CLASS
        names = [name for name in value.split() if allowed.fullmatch(name)]
        return f' class="{" ".join(names)}"' if names else ""


def _link(address: str) -> str:
    """Attributes of a link; empty unless it leads to a web page, a mail address or a place here."""
    cleaned = _CONTROL.sub("", address)
    if not _LINK.match(cleaned):
        return ""
    escaped = html.escape(cleaned)
    if cleaned.startswith("#"):
        return f' href="{escaped}"'
    return f' href="{escaped}" rel="noopener noreferrer nofollow" target="_blank"'


def _style(value: str) -> str:
    kept: list[str] = []
    for declaration in value.split(";", _MAXIMUM_DECLARATIONS)[:_MAXIMUM_DECLARATIONS]:
        name, _, setting = declaration.partition(":")
        name, setting = name.strip().lower(), setting.strip()
        if (
            len(setting) <= _MAXIMUM_VALUE_LENGTH
            and _PROPERTIES.fullmatch(name)
            and _PROPERTY_VALUE.fullmatch(setting)
            and not _NEGATIVE.search(setting)
        ):
            kept.append(f"{name}: {setting}")
    return f' style="{html.escape("; ".join(kept))}"' if kept else ""


def _after(text: str, end: str, position: int) -> int:
    """The position after the next ``end``; the end of the text when there is none."""
    found = text.find(end, position)
    return len(text) if found < 0 else found + len(end)


def _end(match: re.Match[str] | None, position: int) -> int:
    return position if match is None else match.end()
