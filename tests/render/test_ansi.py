from __future__ import annotations

import pytest

from quire.render.ansi import ansi_to_html


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain <b> & more", "plain &lt;b&gt; &amp; more"),
        ("\x1b[31mred\x1b[0m rest", '<span class="ansi-fg-1">red</span> rest'),
        ("\x1b[1;92;41mx\x1b[m", '<span class="ansi-fg-10 ansi-bg-1 ansi-bold">x</span>'),
        ("\x1b[1mb\x1b[22mn", '<span class="ansi-bold">b</span>n'),
        ("\x1b[3;4;9mx", '<span class="ansi-italic ansi-underline ansi-strike">x</span>'),
        ("\x1b[7mx", '<span class="ansi-inverse-fg ansi-inverse-bg">x</span>'),
        ("\x1b[7;31mx", '<span class="ansi-inverse-fg ansi-bg-1">x</span>'),
        ("\x1b[38;5;208mx", '<span style="color: rgb(255, 135, 0)">x</span>'),
        ("\x1b[38;5;3mx", '<span class="ansi-fg-3">x</span>'),
        ("\x1b[48;5;232mx", '<span style="background-color: rgb(8, 8, 8)">x</span>'),
        ("\x1b[38;2;1;2;300mx", '<span style="color: rgb(1, 2, 255)">x</span>'),
        ("\x1b[31ma\x1b[39mb", '<span class="ansi-fg-1">a</span>b'),
        ("\x1b[38mx\x1b[38;5mx\x1b[999mx\x1b[99999999mx", "xxxx"),
        ("a\x1b[2Kb\x1b[?25lc\x1b]0;title\x07d\x1b(Be\x1b", "abcde"),
        ("\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("10%\r50%\r100%\nnext\r\nlast", "100%\nnext\nlast"),
        ("abc\x08\x08X\n\x08y", "aX\ny"),
        ("\x00\x07a\tb", "a\tb"),
        ("", ""),
    ],
)
def test_terminal_text(text: str, result: str) -> None:
    assert ansi_to_html(text) == result
