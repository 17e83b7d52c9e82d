"""Delivers the spool to the server, from a thread of its own.

Owns: the connection to the server, what of the spool was delivered, retries and heartbeats. One
request is in flight at a time; what is spooled meanwhile goes with the next one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from quire.runner.protocol import Assignment, ReportAnswer
from quire.runner.spool import Spool

__all__ = ["Reporter", "rehearse"]

_BATCH_BYTES = 1024 * 1024
_GATHER_SECONDS = 0.06  # a short run's events go in one request
_LATER_GATHER_SECONDS = 0.1
_CONNECT_AFTER_SECONDS = 0.005
_FIRST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 2.0
_REQUEST_TIMEOUT_SECONDS = 60.0


def rehearse() -> None:
    """Make a request of nobody and read its answer.

    What a fork does for the first time takes it long, because memory it shares is copied. A runner
    does this before it has work.
    """
    socket.getaddrinfo("127.0.0.1", 0, type=socket.SOCK_STREAM)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = ours
        theirs.sendall(b"HTTP/1.1 200 OK\r\nserver: none\r\ncontent-length: 2\r\n\r\n{}")
        connection.request("POST", "/", b"{}", {"Content-Type": "application/json"})
        connection.getresponse().read()


class Reporter:
    """Posts events in order until all are delivered.

    ``on_answer`` and ``on_dismissed`` (the server answered 410, or it is away and the spool's root
    is gone) are called from the thread.
    """

    def __init__(
        self,
        assignment: Assignment,
        spool: Spool,
        *,
        on_answer: Callable[[ReportAnswer], None],
        on_dismissed: Callable[[], None],
    ) -> None:
        self._assignment = assignment
        self._spool = spool
        self._on_answer = on_answer
        self._on_dismissed = on_dismissed
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._idle = False
        self._position = 0  # bytes of the spool the server has
        self._sequence = 0  # and the number of the last event in them
        self._urgent = False
        self._closing = False
        self._dismissed = False
        self._unsure = False  # a request failed: what the server has must be asked
        self._server_url = assignment.server_url
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def wake(self) -> None:
        """Events were spooled."""
        if self._idle:
            os.eventfd_write(self._wake, 1)

    def nudge(self) -> None:
        """Report at once, even when there is nothing to tell. May be called by a signal handler."""
        self._urgent = True
        os.eventfd_write(self._wake, 1)

    def hurry(self, seconds: float) -> None:
        """All is spooled: deliver it without gathering more, and leave it alone for so long."""
        self._closing = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(seconds)

    def finish(self) -> None:
        """Return when all is delivered, however long that takes."""
        self._thread.join()

    def close(self) -> None:
        """After :meth:`finish`, when nobody nudges any more."""
        os.close(self._wake)

    @property
    def dismissed(self) -> bool:
        """Whether the server wants no more of this run."""
        return self._dismissed

    def _run(self) -> None:
        retry_seconds = _FIRST_RETRY_SECONDS
        gather_seconds = _GATHER_SECONDS
        # The start of the run goes first; then there is time while its first cell executes.
        self._sleep_until(time.monotonic() + _CONNECT_AFTER_SECONDS)
        with contextlib.suppress(OSError):
            self._connect()
        while not self._dismissed and self._wait_for_work(gather_seconds):
            if self._report():
                retry_seconds = _FIRST_RETRY_SECONDS
                gather_seconds = _LATER_GATHER_SECONDS
            else:
                self._disconnect()
                time.sleep(retry_seconds)
                retry_seconds = min(retry_seconds * 2, _LONGEST_RETRY_SECONDS)
                self._read_server_url()
        self._disconnect()

    def _wait_for_work(self, gather_seconds: float) -> bool:
        """Wait until a report is due; False when all is delivered and nothing will follow."""
        heartbeat_at = time.monotonic() + self._assignment.heartbeat_seconds
        self._idle = True
        while self._spool.size == self._position and not self._urgent:
            if self._closing:
                return False
            if not self._sleep_until(heartbeat_at):
                return True
        self._idle = False
        gathered_at = time.monotonic() + gather_seconds
        while (
            not self._closing
            and not self._urgent
            and self._spool.size - self._position < _BATCH_BYTES
            and self._sleep_until(gathered_at)
        ):
            pass
        self._urgent = False
        return True

    def _sleep_until(self, moment: float) -> bool:
        """Sleep until woken or until a moment; whether the moment is still to come."""
        left = moment - time.monotonic()
        if left <= 0:
            return False
        if select.select([self._wake], [], [], left)[0]:
            os.eventfd_read(self._wake)
        return True

    def _report(self) -> bool:
        """One request; whether the server took it."""
        lines = [] if self._unsure else self._spool.read(self._position, _BATCH_BYTES)
        body = b'{"events":[' + b",".join(lines) + b"]}"
        try:
            status, answer = self._post_again(body)
        except (OSError, http.client.HTTPException):
            self._unsure = True
            return False
        if status == 410:
            self._dismissed = True
            self._on_dismissed()
            return True
        if status != 200:
            self._unsure = True
            return False
        try:
            read = ReportAnswer.from_json(json.loads(answer))
        except (ValueError, KeyError, TypeError):
            return False  # some other program answers at this address
        self._unsure = False
        if read.applied_sequence == self._sequence + len(lines):
            self._position += sum(len(line) + 1 for line in lines)
            self._sequence = read.applied_sequence
        else:
            self._seek(read.applied_sequence)
        self._on_answer(read)
        return True

    def _seek(self, applied: int) -> None:
        """Go to the event after the last one the server says it has."""
        position = sequence = 0
        while sequence < applied:
            lines = self._spool.read(position, _BATCH_BYTES)[: applied - sequence]
            if not lines:
                break
            position += sum(len(line) + 1 for line in lines)
            sequence += len(lines)
        self._position, self._sequence = position, sequence

    def _post_again(self, body: bytes) -> tuple[int, bytes]:
        """Post; a connection the server closed while it was idle is no failure."""
        if self._connection is not None:
            try:
                return self._post(body)
            except (ConnectionError, http.client.RemoteDisconnected):
                self._disconnect()
        return self._post(body)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        connection = self._connect()
        connection.request(
            "POST",
            f"{urlsplit(self._server_url).path.rstrip('/')}/internal/v1/attempts/"
            f"{self._assignment.attempt_id}/events",
            body,
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self._assignment.report_token}",
            },
        )
        response = connection.getresponse()
        return response.status, response.read()

    def _connect(self) -> http.client.HTTPConnection:
        """The connection to the server, opened when there is none. Raises OSError."""
        if self._connection is None:
            parts = urlsplit(self._server_url)
            kind = (
                http.client.HTTPSConnection
                if parts.scheme == "https"
                else http.client.HTTPConnection
            )
            assert parts.hostname is not None
            connection = kind(parts.hostname, parts.port, timeout=_REQUEST_TIMEOUT_SECONDS)
            connection.connect()
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read_server_url(self) -> None:
        try:
            text = Path(os.path.join(self._assignment.spool_root, "server-url")).read_text()
        except OSError:
            if not os.path.isdir(self._assignment.spool_root):
                # The data directory was removed: no server will come back to ask for this run.
                self._dismissed = True
                self._on_dismissed()
            return  # no server has told its address yet; the last known one stays
        if text.strip():
            self._server_url = text.strip()
