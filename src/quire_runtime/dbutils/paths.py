"""Paths as Databricks notebooks write them."""

from __future__ import annotations

__all__ = ["workspace_path"]

PREFIX = "/Workspace"


def workspace_path(path: str) -> str:
    """A path of the workspace; ``/Workspace/x`` is the same as ``/x`` (Databricks contract 4.1)."""
    if path == PREFIX or path.startswith(f"{PREFIX}/"):
        return path[len(PREFIX) :] or "/"
    return path
