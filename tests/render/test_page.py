from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from quire.render import (
    render_body,
    render_cell,
    render_cell_outputs,
    render_databricks_html,
    render_html,
    stylesheet,
)
from quire.workspace.formats import databricks_html
from quire.workspace.formats.document import (
    CELL_KEY,
    OUTPUT_KEY,
    code_cell,
    markdown_cell,
    new_notebook,
    raw_cell,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"


class Page(HTMLParser):
    """Scripts, elements and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def display(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": metadata or {}}


def outputs(*listed: dict[str, Any]) -> str:
    return render_cell_outputs(code_cell("", outputs=list(listed)))


ATTACKS = [
    "<script>attack()</script>",
    "<img src=x onerror=attack()>",
    "<svg onload=attack()><script>attack()</script></svg>",
    "<a href='javascript:attack()'>x</a>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<style>@import url(https://evil.example/x.css);</style>",
    "<style>td{color:red}</style></iframe><script>attack()</script>",
    "<iframe srcdoc='<script>attack()</script>'></iframe>",
    "<link rel=stylesheet href=https://evil.example/x.css><base href=https://evil.example/>",
    "<form action=https://evil.example/><button>x</button></form>",
    "<img src='data:text/html,<script>attack()</script>'><img src=https://evil.example/p.png>",
    "</main></body></html><script>attack()</script>",
    "</style></pre></script><script>attack()</script>",
]


def hostile() -> dict[str, Any]:
    cells = []
    for attack in ATTACKS:
        cells += [
            markdown_cell(attack, metadata={CELL_KEY: {"title": attack, "showTitle": True}}),
            raw_cell(attack),
            code_cell(
                attack,
                metadata={CELL_KEY: {"title": attack, "showTitle": True}},
                outputs=[
                    {"output_type": "stream", "name": "stdout", "text": attack},
                    {
                        "output_type": "error",
                        "ename": attack,
                        "evalue": attack,
                        "traceback": [attack],
                    },
                    display({"text/html": attack, "text/plain": attack}),
                    display({"text/markdown": attack}),
                    display({"text/latex": attack}),
                    display({"image/svg+xml": attack}),
                    display({"image/png": attack}),
                    display({"application/javascript": "attack()"}),
                    display({"application/json": {attack: attack}}),
                    display({attack: attack}),
                    display({"image/png": PNG}, {"image/png": {"width": attack, "height": True}}),
                ],
            ),
        ]
    cells[0]["attachments"] = {'a"b': {"image/png": '"><script>attack()</script>'}}
    cells.append(markdown_cell('![x](attachment:a"b)', attachments=cells[0]["attachments"]))
    notebook = new_notebook("python", "databricks", cells)
    notebook["metadata"]["language_info"]["name"] = "<script>attack()</script>"
    return notebook


def assert_runs_nothing(text: str, *, script: str | None = None) -> None:
    page = Page(text)
    assert page.scripts == ([script] if script else [])
    assert len(page.all("script")) == len(page.scripts)
    names = {name for name, _ in page.elements}
    assert not names & {"svg", "math", "object", "embed", "form", "input", "button", "link", "base"}
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on")]
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "https:").startswith(("https:", "http:", "mailto:", "#"))
        if name == "meta":
            assert attributes.get("http-equiv", "Content-Security-Policy") == (
                "Content-Security-Policy"
            )
        if name == "iframe":
            assert attributes["sandbox"] == ""
            assert "src" not in attributes
            assert_runs_nothing(attributes["srcdoc"])
    assert "@import" not in "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))


def test_a_hostile_notebook_runs_nothing_in_any_page() -> None:
    notebook = hostile()
    title = "</title><script>attack()</script>"
    assert_runs_nothing(render_html(notebook, title))
    assert_runs_nothing(render_body(notebook))
    script = databricks_html.model_script(notebook, title)
    assert_runs_nothing(render_databricks_html(notebook, title), script=script)
    for cell in notebook["cells"]:
        assert_runs_nothing(render_cell(cell, "python"))
        assert_runs_nothing(render_cell_outputs(cell))


def test_the_policy_allows_the_data_line_and_nothing_else() -> None:
    notebook = new_notebook("python", "databricks", [code_cell("x")])
    script = databricks_html.model_script(notebook, "n")
    text = render_html(notebook, "n", model_script=script)
    page = Page(text)
    policy = page.all("meta")[1]["content"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    for part in ("default-src 'none'", "base-uri 'none'", "form-action 'none'", "img-src data:"):
        assert part in policy
    assert text.index("Content-Security-Policy") < text.index("<script")
    assert "script-src 'none'" in Page(render_html(notebook, "n")).all("meta")[1]["content"]
    assert databricks_html.read(text.encode()) == notebook


@pytest.mark.parametrize(
    "script",
    [
        "alert(1)",
        "var __DATABRICKS_NOTEBOOK_MODEL = '';alert(1)",
        "var __DATABRICKS_NOTEBOOK_MODEL = '</script>';",
        "var __DATABRICKS_NOTEBOOK_MODEL = 'AAAA';\n",
    ],
)
def test_scripts_of_any_other_form_are_refused(script: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        render_html(new_notebook("python", "plain", []), "n", model_script=script)


def test_pages_refer_to_no_other_host() -> None:
    notebook = new_notebook("python", "plain", [code_cell("x"), markdown_cell("y")])
    assert "://" not in render_html(notebook, "n")
    assert "@import" not in stylesheet()
    assert "url(" not in stylesheet()


def test_a_page_shows_title_sources_and_outputs() -> None:
    cells = [
        markdown_cell("# Heading"),
        code_cell(
            "def f(): return 'x'",
            execution_count=7,
            metadata={CELL_KEY: {"title": "The <title>", "showTitle": True}},
            outputs=[{"output_type": "stream", "name": "stdout", "text": "hello & bye"}],
        ),
        code_cell("untitled", metadata={CELL_KEY: {"title": "unseen", "showTitle": False}}),
        code_cell("folded", metadata={"jupyter": {"source_hidden": True}}),
        raw_cell("as <is>"),
    ]
    page = Page(render_html(new_notebook("python", "plain", cells), "Sales <2026>"))
    for text in ("Sales <2026>", "Heading", "The <title>", "[7]", "hello & bye", "as <is>"):
        assert text in page.text
    assert "def f(): return 'x'" in page.text
    assert "unseen" not in page.text
    assert len(page.all("details")) == 1
    body = Page(render_body(new_notebook("python", "plain", cells)))
    assert body.all("html")
    assert "Sales" not in body.text


def test_streams_and_errors_keep_their_colours() -> None:
    shown = outputs(
        {"output_type": "stream", "name": "stderr", "text": "\x1b[33mcareful\x1b[0m"},
        {
            "output_type": "error",
            "ename": "ValueError",
            "evalue": "bad",
            "traceback": ["\x1b[0;31mValueError\x1b[0m", "bad"],
        },
        {"output_type": "error", "ename": "E", "evalue": "no trace", "traceback": []},
    )
    assert shown == (
        '<pre class="output stream stderr"><span class="ansi-fg-3">careful</span></pre>'
        '<pre class="output error"><span class="ansi-fg-1">ValueError</span>\nbad</pre>'
        '<pre class="output error">E: no trace</pre>'
    )


def test_plots_are_shown() -> None:
    sized = display(
        {"image/png": PNG[:30] + "\n" + PNG[30:] + "\n", "text/plain": "<Figure>"},
        {"image/png": {"width": 300, "height": 200.5}},
    )
    assert outputs(sized) == (
        '<div class="output"><img alt="picture" width="300" height="200"'
        f' src="data:image/png;base64,{PNG}"></div>'
    )
    drawing = '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg xmlns="http://www.w3.org/2000/svg"/>'
    source = Page(outputs(display({"image/svg+xml": drawing}))).all("img")[0]["src"]
    content = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,"))
    assert content == b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def test_widgets_show_their_text() -> None:
    view = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "a"},
        "text/html": "<b>not this</b>",
        "text/plain": "IntSlider(value=3)",
    }
    assert outputs(display(view)) == (
        '<div class="output"><pre class="text">IntSlider(value=3)</pre></div>'
    )


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"text/html": "<b>x</b>", "text/plain": "y"}, "<b>x</b>"),
        ({"text/html": "<script>x</script>", "text/plain": "y"}, '<pre class="text">y</pre>'),
        ({"text/markdown": "*x*", "text/plain": "y"}, "<p><em>x</em></p>\n"),
        ({"text/latex": "$x_1$"}, '<pre class="text">$x_1$</pre>'),
        ({"application/json": {"a": 1}}, '<pre class="text">{\n  "a": 1\n}</pre>'),
        (
            {"application/javascript": "x()"},
            '<p class="note">An output that needs scripts is not shown here'
            " (application/javascript).</p>",
        ),
    ],
)
def test_the_best_representation_without_scripts_is_shown(data: dict[str, Any], shown: str) -> None:
    assert outputs(display(data)) == f'<div class="output">{shown}</div>'


def test_private_records_show_nothing() -> None:
    assert outputs(display({"application/vnd.quire.exit+json": {"value": "x"}})) == ""


def test_html_with_a_style_sheet_gets_a_sandboxed_frame() -> None:
    styled = "<style>#t td{color:red}</style><table id=t><tr><td>1</table><script>x</script>"
    (frame,) = Page(outputs(display({"text/html": styled}))).all("iframe")
    assert frame["sandbox"] == ""
    document = Page(frame["srcdoc"])
    assert "default-src 'none'" in document.all("meta")[1]["content"]
    assert document.all("table") == [{"id": "t"}]
    assert document.scripts == []
    assert "#t td{color:red}" in frame["srcdoc"]


def test_results_of_the_other_product_show_their_html() -> None:
    table = {"type": "table", "schema": [], "data": []}
    shown = outputs(display({"text/html": "<table><td>1</table>"}, {OUTPUT_KEY: table}))
    assert shown == '<div class="output"><table><td>1</td></table></div>'


def test_sql_magics_are_coloured_as_sql() -> None:
    shown = render_cell(code_cell("%sql\nselect 1"), "python")
    assert '<span class="k">select</span>' in shown
    assert "[ ]" in shown


def test_a_page_stops_showing_outputs_when_it_is_full() -> None:
    large = {"output_type": "stream", "name": "stdout", "text": "x" * 17_000_000}
    cells = [code_cell(f"cell {number}", outputs=[large]) for number in range(3)]
    text = render_html(new_notebook("perl", "plain", cells), "n")
    assert text.count("Not shown: the outputs above fill the page.") == 1
    assert "cell 2" in text
    assert len(text) < 40_000_000
