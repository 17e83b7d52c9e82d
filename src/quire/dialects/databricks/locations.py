"""How this vendor's clients name notebooks and files (contract 8.1, 8.3), in our terms."""

from __future__ import annotations

import re

from quire.errors import InvalidValue, Unsupported
from quire.workspace.addressing import check_path

__all__ = ["check_location", "check_place", "file_location", "submit_location", "workspace_path"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_FILE_STORE = ("dbfs:/", "/dbfs/")
_PLACES = {
    "workspace": ("/",),
    "dbfs": ("dbfs:/", "/"),
    "volumes": ("/Volumes/", "dbfs:/Volumes/"),
    "file": ("file:/", "/"),
}
"""How destinations of init scripts and logs begin, by the field they stand in (contract 2.9)."""


def workspace_path(path: str) -> str:
    """A path of this vendor as one of the tree (contract 8.1).

    A leading ``/Workspace`` is dropped, and so are slashes too many.
    """
    path = re.sub("/{2,}", "/", path)
    if path == "/Workspace" or path.startswith("/Workspace/"):
        path = path.removeprefix("/Workspace")
    return path.rstrip("/") or "/"


def file_location(uri: str) -> str:
    """Where a file lies: ``dbfs:/...`` in the file store, else an absolute path of the workspace.

    What is neither stays as it is; :func:`check_location` refuses it.
    """
    path = re.sub("/{2,}", "/", uri.removeprefix("file:")) if uri.startswith("file:") else uri
    for prefix in _FILE_STORE:
        if path.startswith(prefix):
            return "dbfs:/" + re.sub("/{2,}", "/", path.removeprefix(prefix)).lstrip("/")
    if uri.startswith("/") or path.startswith("/Workspace/"):
        return workspace_path(path)
    return uri


def submit_location(uri: str) -> str:
    """A file as a spark-submit parameter names it, where a bare path is one of the machine's."""
    location = file_location(uri)
    if uri.startswith(("/Workspace/", "file:/Workspace/")):
        return f"workspace:{location}"
    return location if location.startswith("dbfs:/") else uri


def check_location(uri: str, field: str) -> None:
    """Refuse a file this server cannot read. Raises InvalidValue, and Unsupported for a scheme."""
    location = file_location(uri)
    if location.startswith("dbfs:/"):
        if location == "dbfs:/" or ".." in location.split("/"):
            raise InvalidValue(field, f"{uri[:200]!r} names no file of the file store.")
        return
    if location.startswith("/Volumes/"):
        raise Unsupported(f"This server has no volumes ({field}).", field=field)
    if location.startswith("/"):
        check_path(location, field)
        return
    scheme = _SCHEME.match(location)
    if scheme is None:
        raise InvalidValue(
            field, f"{uri[:200]!r} is neither dbfs:/... nor an absolute path of the workspace."
        )
    if scheme[1].lower() == "file":
        raise Unsupported(
            f"This server does not give out its own machine's files ({field}); "
            "use dbfs:/... or a path of the workspace.",
            field=field,
        )
    raise Unsupported(
        f"This server cannot read files from {scheme[1]}: ({field}); "
        "use dbfs:/... or a path of the workspace.",
        field=field,
    )


def check_place(kind: str, destination: str, field: str) -> None:
    """Refuse a destination that cannot be one of its kind. Raises InvalidValue."""
    beginnings = _PLACES[kind]
    if not destination.startswith(beginnings):
        raise InvalidValue(
            field, f"{destination[:200]!r} does not begin with {' or '.join(beginnings)}."
        )
    if ".." in destination.split("/"):
        raise InvalidValue(field, f"{destination[:200]!r} contains '..'.")
