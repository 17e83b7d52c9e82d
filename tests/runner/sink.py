"""A report sink: the server's end of the runner's protocol, as small as it can be."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from quire.runner.protocol import Command, ReportAnswer

__all__ = ["ReportSink"]


class ReportSink:
    """Applies each event number once and lets tests wait for what is reported."""

    def __init__(self, port: int = 0) -> None:
        self.condition = threading.Condition()
        self.events: dict[int, list[dict[str, Any]]] = {}
        self.posts = 0
        self.heartbeats = 0
        self.authorizations: set[str | None] = set()
        self.statuses: list[int] = []  # answered first, one a request
        self.gone: set[int] = set()
        self.commands: dict[int, Command] = {}
        self.timeouts: dict[int, float] = {}
        self.closed = False
        self.forget_answers = 0  # applied, but the answer is lost
        self.files: dict[str, bytes] = {}  # what the server's places hold, by location
        self.compute: list[dict[str, Any]] = []  # answered one a request, the last for ever
        self.released: list[int] = []  # attempts that gave their compute back
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                if self.path.partition("?")[0].endswith("/compute"):
                    sink._answer_compute(self)
                else:
                    sink._answer(self)

            def do_GET(self) -> None:
                sink._send_file(self)

            def do_DELETE(self) -> None:
                with sink.condition:
                    sink.released.append(int(self.path.split("/")[4]))
                _send(self, 204, b"")

            def log_message(self, *arguments: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                return  # a client that went away is part of the tests

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        attempt_id = int(handler.path.split("/")[4])
        lost = False
        if self.closed:
            handler.close_connection = True
            return
        with self.condition:
            self.posts += 1
            self.authorizations.add(handler.headers["Authorization"])
            status = self.statuses.pop(0) if self.statuses else 200
            if attempt_id in self.gone:
                status = 410
            answer: dict[str, Any] = {"error": "as the test wishes"}
            if status == 200:
                applied = self._apply(attempt_id, json.loads(body)["events"])
                status = 200 if applied is not None else 409
                answer = applied.to_json() if applied is not None else answer
                if self.forget_answers:
                    self.forget_answers -= 1
                    lost = True
            self.condition.notify_all()
        if lost:
            handler.close_connection = True
            return
        _send(handler, status, json.dumps(answer).encode())

    def _answer_compute(self, handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"] or 0))
        with self.condition:
            answer = self.compute.pop(0) if len(self.compute) > 1 else self.compute[0]
        _send(handler, 200, json.dumps(answer).encode())

    def _send_file(self, handler: BaseHTTPRequestHandler) -> None:
        location = parse_qs(urlsplit(handler.path).query)["location"][0]
        data = self.files.get(location)
        if data is None:
            _send(handler, 404, json.dumps({"message": "it is not there."}).encode())
        else:
            _send(handler, 200, data)

    def _apply(self, attempt_id: int, events: list[dict[str, Any]]) -> ReportAnswer | None:
        known = self.events.setdefault(attempt_id, [])
        self.heartbeats += not events
        for event in events:
            if event["sequence"] > len(known):
                if event["sequence"] != len(known) + 1:
                    return None
                known.append(event)
        return ReportAnswer(
            len(known), self.commands.get(attempt_id), self.timeouts.get(attempt_id)
        )

    def wait_for(
        self, attempt_id: int, wanted: str | Callable[[dict[str, Any]], bool], seconds: float = 60
    ) -> dict[str, Any]:
        """The first event of a type, or that a predicate likes."""
        matches = (lambda e: e["type"] == wanted) if isinstance(wanted, str) else wanted

        def found() -> dict[str, Any] | None:
            return next((e for e in self.events.get(attempt_id, []) if matches(e)), None)

        with self.condition:
            assert self.condition.wait_for(lambda: found() is not None, seconds), (
                f"nothing like {wanted} came: {self.types(attempt_id)}"
            )
            event = found()
            assert event is not None
            return event

    def types(self, attempt_id: int) -> list[str]:
        return [event["type"] for event in self.events.get(attempt_id, [])]

    def close(self) -> None:
        self.closed = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _send(handler: BaseHTTPRequestHandler, status: int, data: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
