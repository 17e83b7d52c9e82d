"""A notebook as one HTML page that needs nothing else and runs nothing of its author.

Owns: the page around the cells, its security policy, and the fragments live pages are made of.
Does not own: outputs, Markdown and code, which have modules of their own, and the data line of
exports.

No script of the notebook's author can run: his HTML is rebuilt from an allowed list, drawings are
images, and the page's own Content-Security-Policy allows no script but the one data line given by
the caller, no request to any host, no form and no plug-in.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from quire.render.code import highlight
from quire.render.markdown import markdown_to_html
from quire.render.outputs import render_outputs
from quire.workspace.formats import databricks_html
from quire.workspace.formats.databricks_cells import title_of
from quire.workspace.formats.document import language_of

__all__ = [
    "MAXIMUM_LENGTH",
    "document",
    "render_body",
    "render_cell",
    "render_cell_outputs",
    "render_databricks_html",
    "render_html",
    "render_text",
    "stylesheet",
]

_MODEL_SCRIPT = re.compile(rf"var {databricks_html.VARIABLE} = '[A-Za-z0-9+/=]*';")
MAXIMUM_LENGTH = 32_000_000
"""Characters of cells; past it a page shows no more outputs."""
_LEFT_OUT = '<p class="note">Not shown: the outputs above fill the page.</p>'
_PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")


def render_html(notebook: dict[str, Any], title: str, *, model_script: str | None = None) -> str:
    """A complete page of the notebook with its outputs.

    model_script: the statement of ``databricks_html.model_script``, put into the page as its only
    script. It is data: a variable and a quoted base64 text.

    Raises ValueError for a ``model_script`` of any other form.
    """
    if model_script is not None and not _MODEL_SCRIPT.fullmatch(model_script):
        raise ValueError("model_script must be one assignment of a base64 text")
    return _document(notebook, title, f"<h1>{html.escape(title)}</h1>", model_script)


def render_body(notebook: dict[str, Any]) -> str:
    """The notebook without heading, a complete document for a sandboxed frame's ``srcdoc``."""
    return _document(notebook, "Notebook", "", None)


def render_databricks_html(notebook: dict[str, Any], name: str) -> str:
    """The page with the notebook's record inside, as Databricks exports have it (contract 9.4)."""
    script = databricks_html.model_script(notebook, name)
    return render_html(notebook, name, model_script=script)


def render_cell_outputs(cell: Mapping[str, Any]) -> str:
    """A code cell's outputs as a fragment; empty for other cells."""
    return render_outputs(cell.get("outputs", []))


def render_cell(cell: Mapping[str, Any], language: str, *, with_outputs: bool = True) -> str:
    """One cell as a fragment. language: the notebook's default language."""
    title = title_of(cell)
    parts = [f'<p class="title">{html.escape(title[0])}</p>'] if title and title[1] else []
    prompt = ""
    if cell["cell_type"] == "code":
        number = cell.get("execution_count")
        prompt = f"[{number}]" if isinstance(number, int) else "[ ]"
        source = highlight(cell["source"], language)
        code = f'<pre class="source">{source}</pre>' if cell["source"] else ""
        outputs = render_cell_outputs(cell) if with_outputs else _LEFT_OUT
        hidden = cell["metadata"].get("jupyter")
        hidden = hidden if isinstance(hidden, Mapping) else {}
        if code:
            parts.append(_folded("Code", code) if hidden.get("source_hidden") is True else code)
        if outputs:
            folded = hidden.get("outputs_hidden") is True
            parts.append(_folded("Output", outputs) if folded else outputs)
    else:
        parts.append(render_text(cell))
    return (
        f'<section class="cell"><div class="prompt">{prompt}</div>'
        f"<div>{''.join(parts)}</div></section>\n"
    )


def render_text(cell: Mapping[str, Any]) -> str:
    """What a cell that is not code says, as a fragment."""
    if cell["cell_type"] == "markdown":
        return f'<div class="markdown">{markdown_to_html(cell["source"], _attachments(cell))}</div>'
    return f'<pre class="text">{html.escape(cell["source"], quote=False)}</pre>'


@functools.cache
def stylesheet() -> str:
    """The style sheet that fragments and pages are written for."""
    return (resources.files("quire.render") / "page.css").read_text("utf-8").rstrip("\n")


def _document(notebook: dict[str, Any], title: str, heading: str, model_script: str | None) -> str:
    language = language_of(notebook)
    cells: list[str] = []
    left = MAXIMUM_LENGTH
    for cell in notebook["cells"]:
        cells.append(render_cell(cell, language, with_outputs=left > 0))
        left -= len(cells[-1])
    return document(title, f"{heading}\n{''.join(cells)}", model_script=model_script)


def document(
    title: str,
    body: str,
    *,
    style: str = "",
    classes: str = "notebook",
    model_script: str | None = None,
) -> str:
    """A complete page around a body that was made safe. style: added to the style sheet."""
    script = ""
    script_source = "'none'"
    if model_script is not None:
        digest = base64.b64encode(hashlib.sha256(model_script.encode("ascii")).digest())
        script_source = f"'sha256-{digest.decode('ascii')}'"
        script = (
            f'<meta name="databricks-html-version" content="1">\n<script>{model_script}</script>\n'
        )
    policy = (
        f"default-src 'none'; script-src {script_source}; style-src 'unsafe-inline';"
        " img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{stylesheet()}{style}</style>\n"
        f'{script}</head>\n<body>\n<main class="{classes}">\n{body}</main>\n</body>\n</html>\n'
    )


def _folded(name: str, content: str) -> str:
    return f"<details><summary>{name}</summary>{content}</details>"


def _attachments(cell: Mapping[str, Any]) -> dict[str, str]:
    """Data URLs of the cell's attached pictures, by name."""
    found: dict[str, str] = {}
    for name, bundle in cell.get("attachments", {}).items():
        for media_type in _PICTURES:
            if isinstance(value := bundle.get(media_type), str):
                if media_type == "image/svg+xml" and "<" in value:
                    value = base64.b64encode(value.encode("utf-8", "replace")).decode("ascii")
                found[name] = f"data:{media_type};base64,{''.join(value.split())}"
                break
    return found
