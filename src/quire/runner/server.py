"""Single requests of a runner to its server, beside the stream of events.

Owns: one connection that is kept open, and the patience with a server that is away. It follows the
server to another port, as the reporter does.
"""

from __future__ import annotations

import http.client
import json
import select
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from quire.runner.orders import Orders
from quire.runner.protocol import Assignment

__all__ = ["NotWanted", "Refused", "Server"]

_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 2.0
_TIMEOUT_SECONDS = 60.0
_AWAY = frozenset({500, 502, 503, 504})
_REFUSED = 300  # statuses from here on are no answers
_GONE = 410
_BLOCK_BYTES = 1024 * 1024

_Read = Callable[[http.client.HTTPResponse], bytes]


class NotWanted(Exception):
    """The attempt is another runner's now, or nobody's."""


class Refused(Exception):
    """The server says no; the text says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """The server as one attempt asks it."""

    def __init__(
        self,
        assignment: Assignment,
        orders: Orders,
        *,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        """``give_up`` is asked while waiting, and raises when the answer is not wanted any more."""
        self._give_up = give_up
        self._assignment = assignment
        self._orders = orders
        self._url = assignment.server_url
        self._connection: http.client.HTTPConnection | None = None

    def request(self, method: str, what: str, body: bytes | None = None, **query: str) -> bytes:
        """Ask for ``what`` of this attempt, as long as it takes; the answer's body.

        A request may reach the server twice. Raises Refused, and NotWanted when the attempt has
        ended otherwise.
        """
        return self._ask(method, what, body, query, http.client.HTTPResponse.read)

    def download(self, what: str, target: Path, **query: str) -> None:
        """Write what :meth:`request` would answer to a file, however large. Raises as it does."""

        def store(response: http.client.HTTPResponse) -> bytes:
            with target.open("wb") as file:
                while block := response.read(_BLOCK_BYTES):
                    file.write(block)
                    self._check_wanted()
            if response.length:  # the server went away in the middle
                raise http.client.IncompleteRead(b"", response.length)
            return b""

        self._ask("GET", what, None, query, store)

    def _ask(
        self, method: str, what: str, body: bytes | None, query: Mapping[str, str], read: _Read
    ) -> bytes:
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        target = f"/internal/v1/attempts/{self._assignment.attempt_id}/{what}?{text}"
        wait = _FIRST_WAIT_SECONDS
        while True:
            self._check_wanted()
            answer = self._try(method, target, body, read)
            if answer is not None:
                return _read(*answer)
            select.select([self._orders], [], [], wait)
            self._orders.clear()
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
            self._read_address()

    def _check_wanted(self) -> None:
        if self._orders.dismissed:
            raise NotWanted
        if self._give_up is not None:
            self._give_up()

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _try(
        self, method: str, target: str, body: bytes | None, read: _Read
    ) -> tuple[int, bytes] | None:
        """Status and body of one request; None when the server is away."""
        fresh = self._connection is None
        try:
            status, content = self._send(self._connect(), method, target, body, read)
        except (OSError, http.client.HTTPException):
            self.close()
            # A server closes connections that were idle; that alone says nothing of it.
            return None if fresh else self._try(method, target, body, read)
        return None if status in _AWAY else (status, content)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        read: _Read,
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._assignment.report_token}"}
        path = urlsplit(self._url).path.rstrip("/")
        connection.request(method, path + target, body, headers)
        response = connection.getresponse()
        content = response.read() if response.status >= _REFUSED else read(response)
        return response.status, content

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self._url)
            assert parts.hostname is not None
            secure = parts.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)
        return self._connection

    def _read_address(self) -> None:
        with suppress(OSError):  # no server has told its address yet; the last known one stays
            text = (Path(self._assignment.spool_root) / "server-url").read_text().strip()
            if text and text != self._url:
                self._url = text
                self.close()


def _read(status: int, content: bytes) -> bytes:
    if status < _REFUSED:
        return content
    if status == _GONE:
        raise NotWanted
    try:
        message = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        message = f"the server answered {status}"
    raise Refused(status, message)
