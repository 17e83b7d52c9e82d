"""A cell's outputs as safe HTML.

Owns: which of an output's representations is shown, and its markup.
Does not own: sanitising, terminal text and Markdown, which have modules of their own.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from quire.render.ansi import ansi_to_html
from quire.render.markdown import markdown_to_html
from quire.render.sanitize import sanitize, svg_image

__all__ = ["render_output", "render_outputs"]

_WIDGET = "application/vnd.jupyter.widget-view+json"
_RASTER = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_BLANKS = re.compile(r"\s+")
_FRAME_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
_FRAME_STYLE = (
    "body{margin:0;font:14px/1.4 system-ui,sans-serif}table{border-collapse:collapse}"
    "td,th{padding:2px 8px;text-align:right}"
)
_ROW = re.compile(r"<(?:tr|li|p|div|br|h[1-6])\b", re.IGNORECASE)
_ROW_HEIGHT, _LEAST_HEIGHT, _GREATEST_HEIGHT = 24, 120, 600


def render_outputs(outputs: list[dict[str, Any]]) -> str:
    """Markup of all of a cell's outputs, one element each."""
    return "".join(render_output(output) for output in outputs)


def render_output(output: Mapping[str, Any]) -> str:
    """Markup of one nbformat output."""
    kind = output["output_type"]
    if kind == "stream":
        name = "stderr" if output["name"] == "stderr" else "stdout"
        return f'<pre class="output stream {name}">{ansi_to_html(_text(output["text"]))}</pre>'
    if kind == "error":
        trace = "\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}"
        return f'<pre class="output error">{ansi_to_html(trace)}</pre>'
    shown = _bundle(output.get("data", {}), output.get("metadata", {}))
    return f'<div class="output">{shown}</div>' if shown else ""


def _bundle(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Markup of the best representation that can be shown without running the author's code."""
    if _WIDGET not in data:
        for shown in (
            _markup(data),
            _drawing(data, metadata),
            _picture(data, metadata),
        ):
            if shown:
                return shown
    if "text/latex" in data:
        return f'<pre class="text">{html.escape(_text(data["text/latex"]), quote=False)}</pre>'
    if "text/plain" in data:
        return f'<pre class="text">{ansi_to_html(_text(data["text/plain"]))}</pre>'
    for media_type, value in data.items():
        if media_type == "application/json":
            written = json.dumps(value, ensure_ascii=False, indent=2)
            return f'<pre class="text">{html.escape(written, quote=False)}</pre>'
    shown_types = [name for name in data if not name.startswith("application/vnd.quire.")]
    if not shown_types:
        return ""
    names = html.escape(", ".join(shown_types), quote=False)
    return f'<p class="note">An output that needs scripts is not shown here ({names}).</p>'


def _markup(data: Mapping[str, Any]) -> str:
    if "text/html" in data:
        source = _text(data["text/html"])
        result = sanitize(source)
        if not result.is_empty:
            return _frame(source) if result.has_style_sheet else result.html
    if "text/markdown" in data:
        return markdown_to_html(_text(data["text/markdown"]))
    return ""


def _frame(source: str) -> str:
    """A document of its own for HTML with a style sheet, so that the sheet rules nothing else."""
    content = sanitize(source, isolated=True).html
    document = (
        '<!DOCTYPE html><html><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_FRAME_POLICY}">'
        f"<style>{_FRAME_STYLE}</style></head><body>{content}</body></html>"
    )
    rows = sum(1 for _ in _ROW.finditer(content))
    height = min(max(rows * _ROW_HEIGHT, _LEAST_HEIGHT), _GREATEST_HEIGHT)
    return (
        f'<iframe class="isolated" sandbox="" title="Output" style="height: {height}px"'
        f' srcdoc="{html.escape(document)}"></iframe>'
    )


def _drawing(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    source = _text(data.get("image/svg+xml", "")).strip()
    start = source.lower().find("<svg")
    if start < 0:
        return ""
    return svg_image(source[start:], _size(metadata, "image/svg+xml"))


def _picture(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    for media_type in _RASTER:
        encoded = _BLANKS.sub("", _text(data.get(media_type, "")))
        if _BASE64.fullmatch(encoded):
            size = _size(metadata, media_type)
            return f'<img alt="picture"{size} src="data:{media_type};base64,{encoded}">'
    return ""


def _size(metadata: Mapping[str, Any], media_type: str) -> str:
    """Width and height attributes where the output's metadata give them in pixels."""
    wanted = metadata.get(media_type)
    if not isinstance(wanted, Mapping):
        return ""
    return "".join(
        f' {name}="{int(value)}"'
        for name in ("width", "height")
        if isinstance(value := wanted.get(name), int | float)
        and not isinstance(value, bool)
        and 0 < value < 100_000
    )


def _text(value: object) -> str:
    if isinstance(value, list):
        return "".join(str(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
