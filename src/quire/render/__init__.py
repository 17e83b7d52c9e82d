"""Notebooks as HTML that is safe to open."""

from __future__ import annotations

from quire.render.page import (
    render_body,
    render_cell,
    render_cell_outputs,
    render_databricks_html,
    render_html,
    stylesheet,
)
from quire.render.report import render_report

__all__ = [
    "render_body",
    "render_cell",
    "render_cell_outputs",
    "render_databricks_html",
    "render_html",
    "render_report",
    "stylesheet",
]
