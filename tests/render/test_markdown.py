from __future__ import annotations

import pytest

from quire.render.markdown import markdown_to_html

PNG = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("# Hi *there*", "<h1>Hi <em>there</em></h1>\n"),
        ("|a|\n|-|\n|1|", "<td>1</td>"),
        ("~~old~~", "<s>old</s>"),
        ("$a_b + c_d$ and $$x*y*z$$", "<p>$a_b + c_d$ and $$x*y*z$$</p>\n"),
        ("costs $5 and $6 *now*", "<p>costs $5 and $6 <em>now</em></p>\n"),
        ("$$\na\n- b < c\n$$", "<p>$$\na\n- b &lt; c\n$$</p>\n"),
        ("\\begin{a}x_1 *b*\\end{a} *c*", "<p>\\begin{a}x_1 *b*\\end{a} <em>c</em></p>\n"),
        ("```python\nx = 1\n```", '<span class="n">x</span>'),
        ("```\n<b>\n```", "<pre><code>&lt;b&gt;\n</code></pre>\n"),
        (f"![a]({PNG})", f'<p><img alt="a" src="{PNG}"></p>\n'),
        ("![a](attachment:x%20y.png)", f'<p><img alt="a" src="{PNG}"></p>\n'),
        ("$ and $$ and \\begin{x}", "<p>$ and $$ and \\begin{x}</p>\n"),
        ("$$ never ends", "<p>$$ never ends</p>\n"),
    ],
)
def test_markdown(text: str, result: str) -> None:
    assert result in markdown_to_html(text, {"x y.png": PNG})


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "[x](javascript:alert(1))",
        "<javascript:alert(1)>",
        "[x]: javascript:alert(1)\n\n[x]",
        "![x](javascript:alert(1))",
        '[x](https://a.b "\\" onclick=alert(1) ")',
        "<svg onload=alert(1)>",
        "$$\n<script>alert(1)</script>\n$$",
        "$<script>alert(1)</script>$",
        "```<script>\n</code><script>alert(1)</script>\n```",
    ],
)
def test_hostile_markdown_is_made_harmless(text: str) -> None:
    result = markdown_to_html(text)
    assert "<script" not in result
    assert "<svg" not in result
    assert 'href="javascript' not in result
    assert " onerror=" not in result.replace("&lt;", "")
    assert '" onclick=' not in result


def test_very_long_texts_stay_plain_but_pictures_in_them_do_not_count() -> None:
    assert markdown_to_html("*a* " * 50_000).startswith("<pre>*a* *a*")
    picture = PNG + "AAAA" * 100_000
    assert markdown_to_html(f"*a* ![p]({picture})") == (
        f'<p><em>a</em> <img alt="p" src="{picture}"></p>\n'
    )
