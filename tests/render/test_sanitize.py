from __future__ import annotations

import base64
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.render.sanitize import sanitize

VOID = {"br", "col", "hr", "img", "source", "wbr"}
FORBIDDEN = {
    "applet",
    "base",
    "button",
    "embed",
    "form",
    "frame",
    "iframe",
    "input",
    "link",
    "math",
    "meta",
    "noembed",
    "noscript",
    "object",
    "plaintext",
    "script",
    "select",
    "style",
    "svg",
    "template",
    "textarea",
    "title",
    "xmp",
}


class Parsed(HTMLParser):
    """Elements, attributes and text of a result, which must be well nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    handle_decl = handle_comment
    unknown_decl = handle_comment
    handle_pi = handle_comment


def assert_safe(text: str) -> Parsed:
    parsed = Parsed(text)
    assert not FORBIDDEN & set(parsed.tags)
    for tag, name, value in parsed.attributes:
        assert not name.startswith("on")
        assert name not in ("srcdoc", "srcset", "action", "formaction", "background", "poster")
        if name == "href":
            assert value.lower().startswith(("http://", "https://", "mailto:", "#"))
        if name == "src":
            assert value.lower().startswith(("data:image/", "data:audio/", "data:video/"))
            assert tag in ("img", "audio", "video", "source")
        if name == "style":
            assert "(" not in value.replace("rgb(", "").replace("hsl(", "")
            assert "\\" not in value
            assert "position" not in value
    return parsed


@pytest.mark.parametrize(
    ("markup", "result"),
    [
        ("<p>a <b>bold</b> &amp; &lt;x&gt; &copy;", "<p>a <b>bold</b> &amp; &lt;x&gt; ©</p>"),
        ("a < b > c & d", "a &lt; b &gt; c &amp; d"),
        ("</div><b>x</i></b>", "<b>x</b>"),
        ("<b><i>x</b>y", "<b><i>x</i></b>y"),
        (
            "<TABLE Border=1><TR><TD ColSpan='2'>x",
            '<table border="1"><tr><td colspan="2">x</td></tr></table>',
        ),
        (
            "<a href='https://x.org/?a=1&amp;b=2'>l</a>",
            '<a href="https://x.org/?a=1&amp;b=2" rel="noopener noreferrer nofollow"'
            ' target="_blank">l</a>',
        ),
        (
            "<table class='dataframe evil cell'><td class=''>1</table>",
            '<table class="dataframe"><td>1</td></table>',
        ),
        (
            "<p style='color: RED; position:fixed; width: 10px'>x",
            '<p style="color: RED; width: 10px">x</p>',
        ),
        ("<p style='background: rgb(1, 2, 3)'>x", '<p style="background: rgb(1, 2, 3)">x</p>'),
        ("x<!-- hidden --><!doctype html><?pi?>y<![CDATA[z]]>", "xy"),
        (
            "<details open><summary>s</summary>t</details>",
            "<details open><summary>s</summary>t</details>",
        ),
        ("<noscript>shown</noscript>", "shown"),
        ("<style scoped>td{}</style><script>x</script>text", "text"),
    ],
)
def test_what_is_kept(markup: str, result: str) -> None:
    assert sanitize(markup).html == result


@pytest.mark.parametrize(
    "markup",
    [
        "<script>alert(1)</script>",
        "<ScRiPt src=//evil></ScRiPt >",
        "<script>alert(1)",
        "<script/x>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<img src='data:text/html,<script>alert(1)</script>'>",
        "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
        "<img src=\"data:image/png;base64,AAAA' onerror='alert(1)\">",
        '<img alt="\\"onerror=alert(1)" src="data:image/png;base64,AAAA">',
        "<img srcset='https://evil/x 1x' src='https://evil/y'>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href=' java\nscript:alert(1)'>x</a>",
        "<a href='&#106;avascript:alert(1)'>x</a>",
        "<a href='\x01javascript:alert(1)'>x</a>",
        "<a href='data:text/html;base64,PHNjcmlwdD4='>x</a>",
        "<a href='vbscript:x'>x</a><a href='//evil'>x</a><a href='/api/2.0/jobs'>x</a>",
        "<b onclick=alert(1) ONMOUSEOVER='alert(1)'>x</b>",
        "<svg onload=alert(1)><script>alert(1)</script></svg>",
        "<svg><style><img src=x onerror=alert(1)></style></svg>",
        "<svg",
        "<math><mtext><table><mglyph><style><img src onerror=alert(1)></style></math>",
        "<meta http-equiv=refresh content='0;url=https://evil'>",
        "<base href=https://evil/><link rel=stylesheet href=https://evil/x.css>",
        "<style>@import url(https://evil/x.css);</style>",
        "<style>body{background:url(https://evil)}",
        "<p style='background:url(https://evil)'>x",
        "<p style='background:image-set(\"https://evil\" 1x)'>x",
        "<p style='width:expression(alert(1))'>x",
        "<p style='color:red;behavior:url(x)'>x",
        "<p style='background:u\\72l(https://evil)'>x",
        "<p style='margin-top:-500px;position:absolute'>x",
        "<p style='color:red\"><script>alert(1)</script>'>x",
        "<iframe src=https://evil srcdoc='<script>alert(1)</script>'></iframe>",
        "<iframe><img src=x onerror=alert(1)></iframe>",
        "<object data=x><embed src=x></object><applet code=x>",
        "<form action=https://evil><input name=a><button formaction=javascript:x>b</button></form>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
        "<template><script>alert(1)</script></template>",
        "<textarea><script>alert(1)</script></textarea><title><img src=x></title>",
        "<xmp><p title='</xmp><img src=x onerror=alert(1)>'></xmp>",
        "<plaintext><script>alert(1)</script>",
        "<!--><script>alert(1)</script>-->",
        "<!-- --!><script>alert(1)</script>-->",
        "<p title='--><script>alert(1)</script>'>x",
        "<p title=\"a' onclick='alert(1)\" title='b' onclick=c>x",
        "<a b='",
        "<a b",
        "<",
        "</",
        "<\x00script>alert(1)</script>",
        "<scr<script>ipt>alert(1)</script>",
        "<<script>alert(1)</script>",
        "<p/onclick=alert(1)>x",
        "<p\x0bonclick=alert(1)>x",
        "<video src=https://evil poster=https://evil><source src=https://evil></video>",
        "<td background=https://evil>x",
        "<div id=x name=y contenteditable tabindex=1>x</div>",
        "<custom-element onclick=x>y</custom-element>",
    ],
)
@pytest.mark.parametrize("isolated", [False, True])
def test_hostile_markup_is_made_harmless(markup: str, isolated: bool) -> None:
    result = sanitize(f"before {markup} after", isolated=isolated).html
    parsed = assert_safe(result)
    assert parsed.text.startswith("before ")
    # What is written is safe however often it is read again.
    assert_safe(sanitize(result).html)


def test_pictures() -> None:
    png = "data:image/png;base64,AAAA"
    assert sanitize(f"<img src='{png}' width=10 alt='a\"b'>").html == (
        f'<img width="10" alt="a&quot;b" src="{png}">'
    )
    attached = sanitize("<img src='attachment:a%20b.png'>", attachments={"a b.png": png})
    assert attached.html == f'<img src="{png}">'
    assert sanitize("<img src='attachment:missing' alt=gone>").html == "<span>gone</span>"
    remote = sanitize("<img src='https://x.org/a.png' alt=logo>").html
    assert remote.startswith('<a href="https://x.org/a.png"')
    assert remote.endswith(">logo</a>")


def test_drawings_become_images() -> None:
    drawing = "<svg width='9'><g><svg></svg></g><script>alert(1)</script></svg>"
    parsed = assert_safe(sanitize(f"a{drawing}b").html)
    ((_, _, source),) = [item for item in parsed.attributes if item[1] == "src"]
    content = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()
    assert content == drawing.replace("<svg w", '<svg xmlns="http://www.w3.org/2000/svg" w')
    assert parsed.text == "ab"


def test_style_sheets_are_reported_and_kept_only_in_isolation() -> None:
    markup = "<style>#a td{color:red}</style><table id=a class=wide><td>1</table>"
    on_page = sanitize(markup)
    assert on_page.has_style_sheet
    assert on_page.html == "<table><td>1</td></table>"
    assert sanitize(markup, isolated=True).html == (
        '<style>#a td{color:red}</style><table id="a" class="wide"><td>1</td></table>'
    )


@pytest.mark.parametrize(
    "sheet",
    ["@import 'x';", "a{background:URL(x)}", "a{b:ex\\70ression(1)}", "a{}<!--", "@font-face{}"],
)
def test_style_sheets_that_could_load_are_dropped_whole(sheet: str) -> None:
    assert sanitize(f"<style>{sheet}</style>x", isolated=True).html == "x"


@pytest.mark.parametrize(
    ("markup", "empty"),
    [
        ("", True),
        (" <div></div> <script>x</script>", True),
        ("<p>x</p>", False),
        ("<img src='data:image/png;base64,AAAA'>", False),
        ("<hr>", False),
    ],
)
def test_it_says_whether_anything_is_left_to_see(markup: str, empty: bool) -> None:
    assert sanitize(markup).is_empty is empty


def test_deep_nesting_is_bounded() -> None:
    parsed = assert_safe(sanitize("<div>" * 10_000 + "x" + "</div>" * 10_000).html)
    assert len(parsed.tags) == 100
    assert parsed.text == "x"


PIECES = st.sampled_from(
    [
        "<b>",
        "</b>",
        "<p",
        "</p>",
        "<script>",
        "</script>",
        "<svg>",
        "</svg>",
        "<style>",
        "</style>",
        "<!--",
        "-->",
        "<a",
        'href="',
        "'",
        ">",
        "<",
        '="x"',
        "onclick=",
        "javascript:",
        "&lt;",
        "&#60;",
        "/",
        "<img",
        "src=",
        "data:",
        "<table>",
        "<td>",
        "</table>",
        "<textarea>",
        "<template>",
        "</template>",
        "<iframe>",
        "<title>",
        "]]>",
        "<![CDATA[",
        'style="',
        "url(",
        "x",
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES | st.text(max_size=3), max_size=25).map("".join), st.booleans())
def test_anything_is_made_harmless(markup: str, isolated: bool) -> None:
    result = sanitize(markup, isolated=isolated).html
    if not (isolated and "<style>" in result):
        assert_safe(result)
    again = sanitize(result, isolated=isolated).html
    assert "<script" not in again
