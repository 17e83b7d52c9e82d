"""What an attempt runs, read once when it starts: later changes do not touch it.

A notebook is pinned as it is. A task of another kind gets a notebook of one cell that stands for
it: the text of a Python file, the statements of SQL, the command line of a program. So every run
has a snapshot, and its output a place.
"""

from __future__ import annotations

import base64
import io
import tokenize
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from quire.compute.codec import library_to_json
from quire.compute.models import LibraryKind
from quire.engine.codec import task_to_json
from quire.engine.models import (
    Isolation,
    JobDefinition,
    NotebookTask,
    PythonFileTask,
    SqlTask,
)
from quire.engine.states import Cause
from quire.errors import InvalidValue, NotFound, PermissionDenied, QuireError, Unavailable
from quire.identity.models import Principal
from quire.identity.permissions import Right
from quire.ids import NodeId
from quire.workspace import formats
from quire.workspace.locations import Locations
from quire.workspace.models import NodeKind
from quire.workspace.tree import Workspace

__all__ = ["NotPinned", "Pin", "Pinner"]

_LARGEST_SCRIPT_BYTES = 16 * 1024 * 1024
_CLASSES = frozenset({LibraryKind.JAR, LibraryKind.MAVEN})


class NotPinned(Exception):
    """The task cannot be run as it stands; ends the attempt with ``cause``."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Pin:
    """What is run."""

    notebook: Mapping[str, Any]  # nbformat 4
    flavour: str
    node_id: NodeId | None = None  # the notebook in the workspace; None: there is none
    program: dict[str, Any] | None = None  # for the runner: what to start in place of a kernel


class Pinner:
    """Reads what tasks name."""

    def __init__(self, workspace: Workspace, locations: Locations) -> None:
        self._workspace = workspace
        self._locations = locations

    def pin(
        self, actor: Principal, definition: JobDefinition, session_id: NodeId | None = None
    ) -> Pin:
        """What a run of ``definition`` for ``actor`` executes.

        ``session_id``: the notebook, wherever it is by now, of a run in that notebook's own kernel.

        Raises NotPinned when something it names is missing or cannot be read, and Unavailable.
        """
        task = definition.task
        match task:
            case NotebookTask():
                if definition.isolation is Isolation.IN_PLACE:
                    return self._notebook_in_place(actor, task, session_id)
                return self._notebook(actor, task)
            case SqlTask():
                return self._sql(actor, task)
            case PythonFileTask():
                return self._python_file(actor, task)
        libraries = definition.compute.libraries if definition.compute is not None else ()
        classes = [library_to_json(each) for each in libraries if each.kind in _CLASSES]
        program = {**task_to_json(task), "libraries": classes}
        return Pin(_shown(task.label, "shell"), "plain", program=program)

    def _notebook(self, actor: Principal, task: NotebookTask) -> Pin:
        with _naming("Notebook", task.path, Cause.NOTEBOOK_MISSING, Cause.NOTEBOOK_INVALID):
            node, notebook = self._workspace.read_notebook(actor, task.path, at=task.revision_at)
        ids = {cell.get("id") for cell in notebook["cells"]}
        for cell_id in task.cells or ():
            if cell_id not in ids:
                message = f"{task.path} has no cell {cell_id!r} any more."
                raise NotPinned(Cause.NOTEBOOK_INVALID, message)
        return Pin(notebook, node.flavour or "plain", node.id)

    def _notebook_in_place(
        self, actor: Principal, task: NotebookTask, session_id: NodeId | None
    ) -> Pin:
        """Like any notebook, but it is changed by the run, which needs the right to it."""
        path = task.path
        if session_id is not None:
            try:
                path = self._workspace.require(actor, session_id, Right.EDITOR).path
            except PermissionDenied as error:
                raise NotPinned(Cause.NOTEBOOK_INVALID, error.message) from error
            except NotFound:
                session_id = None
        if session_id is None:
            raise NotPinned(Cause.NOTEBOOK_MISSING, f"Notebook not found: {path}")
        return self._notebook(actor, replace(task, path=path, revision_at=None))

    def _sql(self, actor: Principal, task: SqlTask) -> Pin:
        if task.path is None:
            return Pin(_shown(task.text or "", "sql"), task.flavour)
        try:
            if self._workspace.get(actor, task.path).kind is NodeKind.NOTEBOOK:
                node, notebook = self._workspace.read_notebook(actor, task.path)
                return Pin(notebook, node.flavour or task.flavour, node.id)
        except NotFound:
            raise NotPinned(Cause.FILE_MISSING, f"File not found: {task.path}") from None
        data = self._read(actor, task.path)
        try:
            notebook = formats.read("script", data, language="sql")
        except InvalidValue as error:
            message = f"Cannot read {task.path}: {error.message}"
            raise NotPinned(Cause.NOTEBOOK_INVALID, message) from error
        return Pin(notebook, task.flavour)

    def _python_file(self, actor: Principal, task: PythonFileTask) -> Pin:
        data = self._read(actor, task.path)
        program = {**task_to_json(task), "content": base64.b64encode(data).decode()}
        return Pin(_shown(_python_text(data), "python"), "plain", program=program)

    def _read(self, actor: Principal, location: str) -> bytes:
        with _naming("File", location, Cause.FILE_MISSING, Cause.FILE_MISSING):
            return self._locations.read(actor, location, _LARGEST_SCRIPT_BYTES)


@contextmanager
def _naming(what: str, location: str, missing: Cause, unreadable: Cause) -> Iterator[None]:
    """Ends the attempt with one of the causes when what is read here cannot be.

    Unavailable passes: what is away now can be read later.
    """
    try:
        yield
    except NotFound:
        raise NotPinned(missing, f"{what} not found: {location}") from None
    except Unavailable:
        raise
    except QuireError as error:
        raise NotPinned(unreadable, f"Cannot read {location}: {error.message}") from error


def _shown(source: str, language: str) -> dict[str, Any]:
    """A notebook of one cell."""
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"language_info": {"name": language}},
        "cells": [
            {
                "cell_type": "code",
                "id": "task",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
        ],
    }


def _python_text(data: bytes) -> str:
    """A Python file as text, by the encoding it declares; what does not fit is marked."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError:  # running it will say so
        encoding = "utf-8"
    return data.decode(encoding, "replace").replace("\x00", "\ufffd")
