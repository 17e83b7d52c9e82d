"""Files a task names, brought from the server to where its program can read them.

    GET {server_url}/internal/v1/attempts/{attempt_id}/files?location=dbfs:/jars/a.jar
    Authorization: Bearer {report_token}

answers the bytes, or ``{"error": code, "message": text}``. A server that is away is waited for, as
long as the run is wanted.
"""

from __future__ import annotations

import http.client
import json
import os
import select
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from quire.runner.orders import Orders
from quire.runner.protocol import Assignment

__all__ = ["FileMissing", "Fetcher"]

_BLOCK_BYTES = 1024 * 1024
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 2.0
_TIMEOUT_SECONDS = 60.0


class FileMissing(Exception):
    """The server has no such file for this run; the text says which and why."""


class Fetcher:
    """Brings files into one folder, each once."""

    def __init__(
        self,
        assignment: Assignment,
        orders: Orders,
        folder: Path,
        *,
        give_up: Callable[[], None],
    ) -> None:
        """``give_up`` is called between attempts; it raises when the run is not wanted any more."""
        self._assignment = assignment
        self._orders = orders
        self._folder = folder
        self._give_up = give_up
        self._server_url = assignment.server_url
        self._fetched: dict[str, Path] = {}

    def fetch(self, location: str) -> Path:
        """The local path of a file of the server. Raises FileMissing."""
        if location not in self._fetched:
            self._fetched[location] = self._fetch(location)
        return self._fetched[location]

    def _fetch(self, location: str) -> Path:
        name = location.rpartition("/")[2] or "file"
        folder = self._folder / str(len(self._fetched))  # two files may have one name
        folder.mkdir()
        folder.chmod(0o755)
        target = folder / name
        wait = _FIRST_WAIT_SECONDS
        while not self._try(location, target):
            self._give_up()
            select.select([self._orders], [], [], wait)
            self._orders.clear()
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
            self._read_address()
        target.chmod(0o444)
        return target

    def _try(self, location: str, target: Path) -> bool:
        """One request; False when the server is away. Raises FileMissing."""
        parts = urlsplit(self._server_url)
        assert parts.hostname is not None
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(
                "GET",
                f"{parts.path.rstrip('/')}/internal/v1/attempts/{self._assignment.attempt_id}"
                f"/files?location={quote(location, safe='')}",
                headers={"Authorization": f"Bearer {self._assignment.report_token}"},
            )
            response = connection.getresponse()
            if response.status in (503, 502, 504):
                return False
            if response.status != 200:
                raise FileMissing(_reason(response, location))
            with target.open("wb") as file:
                while block := response.read(_BLOCK_BYTES):
                    file.write(block)
                    self._give_up()
            return response.length in (0, None)
        except (ConnectionError, TimeoutError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _read_address(self) -> None:
        try:
            text = Path(os.path.join(self._assignment.spool_root, "server-url")).read_text()
        except OSError:
            return  # no server has told its address yet; the last known one stays
        if text.strip():
            self._server_url = text.strip()


def _reason(response: http.client.HTTPResponse, location: str) -> str:
    try:
        message = str(json.loads(response.read(64 * 1024))["message"])
    except (ValueError, KeyError, TypeError):
        message = f"the server answered {response.status}"
    return f"Cannot read {location}: {message}"
