"""A published notebook as one HTML page: tabs of rows, cells on a grid, nothing that runs.

Tabs work without a script: each is a radio button whose state the style sheet looks at. Everything
else that :mod:`quire.render.page` promises of its pages holds here too.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from quire.render.code import highlight
from quire.render.outputs import render_outputs
from quire.render.page import MAXIMUM_LENGTH, document, render_text
from quire.workspace.controls import METADATA_KEY, Control, ControlKind, control_of
from quire.workspace.formats.document import language_of
from quire.workspace.layouts import COLUMNS, Layout, Place, Tab

__all__ = ["render_report"]

_STYLE = (
    ".notebook.full{max-width:none}"
    ".report-note{margin:-14px 0 20px;color:var(--muted);font-size:13px}"
    ".tab{position:absolute;opacity:0;pointer-events:none}"
    ".tabs{display:flex;flex-wrap:wrap;gap:4px;margin:0 0 16px;border-bottom:1px solid var(--line)}"
    ".tabs label{padding:6px 14px;cursor:pointer;color:var(--muted)}"
    ".page{display:none}"
    f".row{{display:grid;grid-template-columns:repeat({COLUMNS},minmax(0,1fr));margin:0 0 14px}}"
    ".placed{min-width:0;overflow:auto}"
    ".placed>.source{overflow:auto}"
    ".control{display:flex;gap:10px;align-items:baseline}"
    ".control b{font-weight:600}"
    ".control span{padding:2px 10px;background:var(--panel);border:1px solid var(--line);"
    "border-radius:6px}"
    f"@media (max-width:640px){{.placed{{grid-column:1/span {COLUMNS}!important}}}}"
)


def render_report(
    notebook: Mapping[str, Any],
    layout: Layout,
    title: str,
    *,
    full_width: bool = False,
    download: str | None = None,
) -> str:
    """A complete page of what the layout places; cells the notebook does not have are left out.

    download: where readers get the notebook, None for nowhere.
    """
    cells = {cell["id"]: cell for cell in notebook["cells"]}
    language = language_of(notebook)
    tabs = layout.tabs
    left = MAXIMUM_LENGTH
    pages = []
    for number, tab in enumerate(tabs):
        shown = _page(tab, number, cells, language, with_outputs=left > 0)
        left -= len(shown)
        pages.append(shown)
    body = [f"<h1>{html.escape(title)}</h1>"]
    if download is not None:
        link = f'<a href="{html.escape(download)}" download>Download the notebook</a>'
        body.append(f'<p class="report-note">{link}</p>')
    body += [
        f'<input class="tab" type="radio" name="tab" id="tab-{number}"{" checked" * (number == 0)}>'
        for number in range(len(tabs))
    ]
    if len(tabs) > 1:
        labels = "".join(
            f'<label for="tab-{number}">{html.escape(tab.name)}</label>'
            for number, tab in enumerate(tabs)
        )
        body.append(f'<div class="tabs">{labels}</div>')
    style = _STYLE + "".join(
        f"#tab-{number}:checked~.page-{number}{{display:block}}"
        f'#tab-{number}:checked~.tabs label[for="tab-{number}"]'
        "{color:var(--text);border-bottom:2px solid var(--link)}"
        f'#tab-{number}:focus-visible~.tabs label[for="tab-{number}"]'
        "{outline:2px solid var(--link)}"
        for number in range(len(tabs))
    )
    return document(
        title,
        "\n".join([*body, *pages]),
        style=style,
        classes="notebook full" if full_width else "notebook",
    )


def _page(
    tab: Tab,
    number: int,
    cells: Mapping[str, Mapping[str, Any]],
    language: str,
    *,
    with_outputs: bool,
) -> str:
    rows = []
    for row in tab.rows:
        shown = [
            _placed(place, cells[place.cell_id], language, with_outputs=with_outputs)
            for place in row.cells
            if place.cell_id in cells
        ]
        if any(shown):
            rows.append(f'<div class="row">{"".join(shown)}</div>\n')
    return f'<section class="page page-{number}">{"".join(rows)}</section>'


def _placed(place: Place, cell: Mapping[str, Any], language: str, *, with_outputs: bool) -> str:
    style = f"grid-column:{place.column + 1}/span {place.column_span}"
    if place.vertical_offset:
        style += f";margin-top:{place.vertical_offset}px"
    if place.height is not None:
        style += f";height:{place.height}px"
    content = _content(place, cell, language, with_outputs=with_outputs)
    return f'<div class="placed" style="{style}">{content}</div>' if content else ""


def _content(place: Place, cell: Mapping[str, Any], language: str, *, with_outputs: bool) -> str:
    own = cell["metadata"].get(METADATA_KEY)
    own = own if isinstance(own, Mapping) else {}
    show_input = place.show_input and own.get("hide_input_from_viewers") is not True
    show_output = place.show_output and own.get("hide_output_from_viewers") is not True
    if cell["cell_type"] != "code":
        return render_text(cell) if show_input or show_output else ""
    parts = []
    control = control_of(cell)
    if show_input and control is not None:
        parts.append(_control(control))
    elif show_input and cell["source"]:
        height = "" if place.input_height is None else f' style="height:{place.input_height}px"'
        parts.append(f'<pre class="source"{height}>{highlight(cell["source"], language)}</pre>')
    if show_output and cell.get("outputs"):
        if with_outputs:
            parts.append(render_outputs(cell["outputs"]))
        else:
            parts.append('<p class="note">Not shown: the outputs above fill the page.</p>')
    return "".join(parts)


def _control(control: Control) -> str:
    """A control as its readers see it: its label and its value, which nobody changes here."""
    label = html.escape(control.label or control.variable)
    return f'<div class="control"><b>{label}</b> <span>{html.escape(_value(control))}</span></div>'


def _value(control: Control) -> str:
    data = control.data
    if control.kind is ControlKind.CHECKBOX:
        return "yes" if data.get("value") else "no"
    if control.kind is ControlKind.DROPDOWN:
        chosen = data.get("selectedValues") if data.get("multiselect") else None
        return ", ".join(chosen) if chosen else str(data.get("selectedValue") or "—")
    if control.kind is ControlKind.DATEPICKER:
        days = [data.get("startDate"), data.get("endDate") if data.get("withRange") else None]
        return " – ".join(day for day in days if day) or "—"
    return str(data.get("value", "") or "—")
