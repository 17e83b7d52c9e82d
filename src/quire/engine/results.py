"""What a run has produced so far: its notebook with outputs, and its log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quire.errors import NotFound
from quire.runner.journal import fold, log_text
from quire.runner.protocol import EventType
from quire.store.blobs import BlobStore
from quire.store.journal import Journal
from quire.store.runs import RunView

__all__ = ["Progress", "Results", "empty_notebook"]


@dataclass(frozen=True)
class Progress:
    """What an attempt has done to the cells of its notebook."""

    notebook: dict[str, Any]  # with the outputs so far
    begun: tuple[str, ...]  # ids of the cells that were executed, the last one perhaps in part
    running: str | None  # id of the cell whose code runs now


class Results:
    """Reads results, in mid-run and after a crash as well as at the end.

    A result is the journal folded over the snapshot that was pinned when the attempt started.
    """

    def __init__(self, blobs: BlobStore, journal: Journal) -> None:
        self._blobs = blobs
        self._journal = journal

    def notebook(self, view: RunView) -> dict[str, Any]:
        """The executed notebook as far as it has come; valid nbformat 4."""
        return fold(self._snapshot(view), self.events(view))

    def progress(self, view: RunView, latest: Sequence[Mapping[str, Any]] = ()) -> Progress:
        """How far an attempt has come; ``latest``: events that the journal does not have yet."""
        snapshot = self._snapshot(view)
        events = self.events(view)
        known = events[-1]["sequence"] if events else 0
        events += [dict(event) for event in latest if event["sequence"] > known]
        notebook = fold(snapshot, events)
        begun: dict[str, None] = {}
        running: str | None = None
        for event in events:
            if event["type"] == EventType.CELL_STARTED:
                running = notebook["cells"][event["index"]]["id"]
                begun[running] = None
            elif event["type"] in (EventType.CELL_FINISHED, EventType.FINISHED):
                running = None
        return Progress(notebook, tuple(begun), running)

    def _snapshot(self, view: RunView) -> dict[str, Any]:
        """The notebook as it was pinned; an empty one until it is."""
        if view.attempt.snapshot_key is None:
            return empty_notebook()
        try:
            snapshot: dict[str, Any] = json.loads(self._blobs.get(view.attempt.snapshot_key))
        except NotFound:
            # The key is given with the claim, before there is anything under it.
            if view.attempt.started_at is not None:
                raise
            return empty_notebook()
        return snapshot

    def log(self, view: RunView) -> str:
        """What the cells wrote to stdout and stderr, in order."""
        return log_text(self.events(view))

    def events(self, view: RunView, offset: int = 0) -> list[dict[str, Any]]:
        """The runner's events from a byte offset of the journal on."""
        lines = self._journal.read(view.attempt.id, offset).splitlines()
        return [json.loads(line) for line in lines]


def empty_notebook() -> dict[str, Any]:
    """A notebook without cells: what an attempt shows that never got one."""
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
