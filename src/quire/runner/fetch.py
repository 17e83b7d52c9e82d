"""Files a task names, brought from the server to where its program can read them.

A runner needs no disk in common with the server: ``GET .../files?location=dbfs:/jars/a.jar``
answers the bytes (:mod:`quire.internal.files`).
"""

from __future__ import annotations

from pathlib import Path

from quire.runner.server import Refused, Server

__all__ = ["Fetcher", "FileMissing"]


class FileMissing(Exception):
    """The server has no such file for this run; the text says which and why."""


class Fetcher:
    """Brings files into one folder, each once."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._fetched: dict[str, Path] = {}

    def fetch(self, location: str) -> Path:
        """The local path of a file of the server. Raises FileMissing, and NotWanted."""
        if location not in self._fetched:
            self._fetched[location] = self._fetch(location)
        return self._fetched[location]

    def _fetch(self, location: str) -> Path:
        folder = self._folder / str(len(self._fetched))  # two files may have one name
        folder.mkdir()
        folder.chmod(0o755)
        target = folder / (location.rpartition("/")[2] or "file")
        try:
            self._server.download("files", target, location=location)
        except Refused as error:
            raise FileMissing(f"Cannot read {location}: {error}") from None
        target.chmod(0o444)
        return target
