"""A runner's requests to a server that comes and goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from quire.runner.orders import Orders
from quire.runner.protocol import Assignment
from quire.runner.server import NotWanted, Refused, Server

Answers = list[tuple[int, bytes]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.asked.append((self.command, self.path, body, self.headers["Authorization"]))
        status, content = server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = _answer

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def serving(*answers: tuple[int, bytes]) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.answers, server.asked = list(answers), []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def url_of(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def orders() -> Iterator[Orders]:
    orders = Orders(None)
    yield orders
    orders.close()


def make(url: str, spool: Path, orders: Orders) -> Server:
    assignment = Assignment(7, 7, url, "secret", str(spool), {}, "/n", "plain")
    return Server(assignment, orders)


def test_asks_about_its_attempt(tmp_path: Path, orders: Orders) -> None:
    with serving((200, b"data"), (204, b"")) as http:
        server = make(url_of(http), tmp_path, orders)
        assert server.request("GET", "files", path="ä/b c") == b"data"
        assert server.request("PUT", "files", b"body", path="x") == b""
        server.close()
    first, second = http.asked
    assert first[:2] == ("GET", "/internal/v1/attempts/7/files?path=%C3%A4%2Fb%20c")
    assert (second[0], second[2], second[3]) == ("PUT", b"body", "Bearer secret")


def test_a_server_that_is_away_is_followed_to_its_new_port(tmp_path: Path, orders: Orders) -> None:
    with serving() as gone:
        old = url_of(gone)
    with serving((503, b""), (500, b""), (200, b"data")) as http:
        (tmp_path / "server-url").write_text(url_of(http) + "\n")
        server = make(old, tmp_path, orders)
        assert server.request("GET", "files") == b"data"
        server.close()


def test_refusals_say_why(tmp_path: Path, orders: Orders) -> None:
    message = json.dumps({"error": "too_large", "message": "It is too large."}).encode()
    with serving((413, message), (404, b"<html>")) as http:
        server = make(url_of(http), tmp_path, orders)
        with pytest.raises(Refused, match="It is too large") as caught:
            server.request("PUT", "files", b"")
        assert caught.value.status == 413
        with pytest.raises(Refused, match="answered 404"):
            server.request("GET", "files")
        server.close()


def test_an_attempt_that_is_anothers(tmp_path: Path, orders: Orders) -> None:
    with serving((410, b"")) as http:
        server = make(url_of(http), tmp_path, orders)
        with pytest.raises(NotWanted):
            server.request("GET", "files")
        server.close()
    orders.dismiss()
    with pytest.raises(NotWanted):
        make("http://127.0.0.1:1", tmp_path, orders).request("GET", "files")
