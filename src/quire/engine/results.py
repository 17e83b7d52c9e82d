"""What a run has produced so far: its notebook with outputs, and its log."""

from __future__ import annotations

import json
from typing import Any

from quire.runner.journal import fold, log_text
from quire.store.blobs import BlobStore
from quire.store.journal import Journal
from quire.store.runs import RunView

__all__ = ["Results", "empty_notebook"]


class Results:
    """Reads results, in mid-run and after a crash as well as at the end.

    A result is the journal folded over the snapshot that was pinned when the attempt started.
    """

    def __init__(self, blobs: BlobStore, journal: Journal) -> None:
        self._blobs = blobs
        self._journal = journal

    def notebook(self, view: RunView) -> dict[str, Any]:
        """The executed notebook as far as it has come; valid nbformat 4."""
        if view.attempt.snapshot_key is None:
            return empty_notebook()
        snapshot = json.loads(self._blobs.get(view.attempt.snapshot_key))
        return fold(snapshot, self.events(view))

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
