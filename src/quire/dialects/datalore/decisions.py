"""What the vendor's documents leave open, and what this server does (contract 11).

Each constant is one decision. ``docs/parity/datalore.md`` lists them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from quire.identity.permissions import Right
from quire.identity.scopes import Level

__all__ = [
    "ACCESS_LEVELS",
    "DEFAULT_DIRECTORY",
    "INTERACTIVE_RUN_ANSWER",
    "MOST_UNFINISHED_RUNS_OF_A_NOTEBOOK",
    "RUN_SCOPE",
    "RUN_STATUS_SHOWS_FULL_NOTEBOOK_ID",
    "WORKSPACE_COLOR",
]

RUN_STATUS_SHOWS_FULL_NOTEBOOK_ID = True
"""``notebookId`` of a run's status is ``user/notebook``, as in the request, not the second half."""

INTERACTIVE_RUN_ANSWER: Mapping[str, Any] = MappingProxyType({})
"""Body of the answer to an interactive run, which is given at once."""

RUN_SCOPE = Level.USER
"""What a token has to cover for the run API, unless it was made for that very notebook."""

MOST_UNFINISHED_RUNS_OF_A_NOTEBOOK = 50
"""More are refused with 400: a notebook that starts itself would fill the server (contract 8)."""

ACCESS_LEVELS: Mapping[Right | None, str] = MappingProxyType(
    {Right.OWNER: "OWNER", Right.EDITOR: "EDIT", Right.VIEWER: "VIEW", None: "NONE"}
)
"""The words of ``accessLevel`` and ``publicAccessLevel``."""

DEFAULT_DIRECTORY = "data/notebook_files"
"""Where files are listed and uploaded when no directory is named: the notebook's own folder."""

WORKSPACE_COLOR = "#307FFF"
"""Workspaces have no colours here; clients are told one."""
