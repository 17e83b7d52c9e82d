"""HTTP from a kernel to its server, with the run's own token.

Owns connecting, waiting for a server that restarts, and turning refusals into errors. Knows no
endpoint by name. Each request has a connection of its own, so threads and forked children may use
one channel together. Proxy variables of the environment are not consulted: the server gave its own
address.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Union
from urllib.parse import quote, urlencode, urlsplit

from quire_runtime.errors import ServerError, ServerRefused, ServerUnreachable

__all__ = ["Channel"]

PREFIX = "/internal/v1/runtime"
FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0
ANSWER_SECONDS = 60.0  # longer than the longest wait a server grants to one poll
BLOCK_BYTES = 256 * 1024

Body = Union[None, bytes, IO[bytes]]


class Channel:
    """Requests to the server this run came from.

    ``url_file`` names a file that holds the server's present address, read again after a failure,
    because a server may come back on another port. ``patience_seconds`` bounds how long a request
    waits for a server that is away.
    """

    def __init__(
        self,
        server_url: str | None,
        token: str | None,
        *,
        url_file: str | None = None,
        patience_seconds: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server_url = server_url
        self._token = token
        self._url_file = url_file
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        self._monotonic = monotonic

    def __repr__(self) -> str:
        return f"<Channel to {self._server_url}>"

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("A channel holds a credential and cannot be pickled.")

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """GET and return the JSON of the answer."""
        with self.exchange("GET", path, query) as response:
            return _read_json(response)

    def post(self, path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> Any:
        """POST JSON and return the JSON of the answer.

        A request that is not ``repeatable`` is sent again only when it certainly did not arrive.
        """
        data = json.dumps(body).encode()
        with self.exchange("POST", path, body=data, repeatable=repeatable) as response:
            return _read_json(response)

    def delete(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """DELETE and return the JSON of the answer."""
        with self.exchange("DELETE", path, query) as response:
            return _read_json(response)

    def upload(self, path: str, query: Mapping[str, Any], body: Body) -> Any:
        """PUT the bytes of ``body`` (a seekable file, or bytes) and return the answer's JSON."""
        with self.exchange("PUT", path, query, body=body) as response:
            return _read_json(response)

    @contextmanager
    def exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Body = None,
        *,
        repeatable: bool = True,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send one request, again while the server is away, and give its successful answer.

        Raises ServerRefused for an answer of the 400 and 500 ranges, ServerUnreachable when none
        came within the channel's patience.
        """
        connection, response = self._answer(method, path, query, body, repeatable)
        try:
            yield response
        finally:
            response.close()
            connection.close()

    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Body,
        repeatable: bool,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        target = PREFIX + quote(path) + (f"?{urlencode(query)}" if query else "")
        deadline = self._monotonic() + self._patience_seconds
        wait = FIRST_WAIT_SECONDS
        while True:
            connection = self._connect()
            connected = False
            try:
                connection.connect()
                connected = True
                response = self._send(connection, method, target, body)
                if response.status != http.HTTPStatus.SERVICE_UNAVAILABLE:
                    if response.status >= http.HTTPStatus.BAD_REQUEST:
                        raise _refusal(response)
                    return connection, response
                failure: Exception = _refusal(response)
            except ServerRefused:
                connection.close()
                raise
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if connected and not repeatable:
                    raise ServerUnreachable(
                        "The connection to the Quire server was lost before it answered; "
                        "whether it did what was asked is not known."
                    ) from error
                failure = error
            except BaseException:  # an interrupt must not leave the connection half used
                connection.close()
                raise
            else:
                connection.close()
            if self._monotonic() + wait > deadline:
                raise ServerUnreachable(
                    f"The Quire server at {self._server_url} did not answer for "
                    f"{self._patience_seconds:g} seconds: {failure}"
                ) from failure
            self._sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
            self._read_address()

    def _connect(self) -> http.client.HTTPConnection:
        if not self._server_url or not self._token:
            raise ServerError(
                "This notebook is not run by a Quire server, so there is no server to ask."
            )
        parts = urlsplit(self._server_url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ServerError(f"{self._server_url!r} is not the address of a server.")
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        return kind(parts.hostname, parts.port, timeout=ANSWER_SECONDS, blocksize=BLOCK_BYTES)

    def _send(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: Body
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if isinstance(body, bytes):
            headers["Content-Type"] = (
                "application/octet-stream" if method == "PUT" else "application/json"
            )
        elif body is not None:
            body.seek(0)
            headers["Content-Type"] = "application/octet-stream"
        try:
            connection.request(method, target, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses a large body answers before it has read all of it.
            return connection.getresponse()
        return connection.getresponse()

    def _read_address(self) -> None:
        if self._url_file is None:
            return
        try:
            with open(self._url_file, encoding="utf-8") as file:
                address = file.read().strip()
        except OSError:
            return  # the last known address stays the best one
        if address:
            self._server_url = address


def _read_json(response: http.client.HTTPResponse) -> Any:
    data = response.read()
    try:
        return json.loads(data) if data else None
    except ValueError:
        raise ServerError("The Quire server's answer cannot be read.") from None


def _refusal(response: http.client.HTTPResponse) -> ServerRefused:
    data = response.read(64 * 1024)
    code, message = "error", f"The Quire server answered {response.status} {response.reason}."
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        code, message = str(value.get("error")), value["message"]
    return ServerRefused(message, code=code, status=response.status)
