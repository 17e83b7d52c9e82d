from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quire_runtime.channel import Channel
from quire_runtime.errors import ServerError, ServerRefused, ServerUnreachable


class Time:
    """Passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_sleep: list[object] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for act in self.on_sleep:
            act()  # type: ignore[operator]

    def monotonic(self) -> float:
        return self.now


class Answers(ThreadingHTTPServer):
    """Gives each request the next of some answers, and keeps what was asked."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answers: list[tuple[int, bytes] | None] = []
        self.asked: list[tuple[str, str, str | None, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Answers

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization"), body))
        answer = self.server.answers.pop(0)
        if answer is None:  # the connection breaks before an answer
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def answers() -> Iterator[Answers]:
    with Answers() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def make_channel(url: str | None, time: Time | None = None, url_file: str | None = None) -> Channel:
    time = time or Time()
    return Channel(
        url,
        "the-token",
        url_file=url_file,
        patience_seconds=10,
        sleep=time.sleep,
        monotonic=time.monotonic,
    )


def test_a_request_carries_the_token(answers: Answers) -> None:
    answers.answers = [(200, b'{"a": 1}'), (200, b"")]
    channel = make_channel(answers.url)
    assert channel.get("/files/list", {"path": "/a b"}) == {"a": 1}
    assert channel.post("/x", {"é": 1}) is None
    assert answers.asked == [
        ("GET", "/internal/v1/runtime/files/list?path=%2Fa+b", "Bearer the-token", b""),
        ("POST", "/internal/v1/runtime/x", "Bearer the-token", b'{"\\u00e9": 1}'),
    ]


def test_a_refusal_is_an_error_with_its_code(answers: Answers) -> None:
    answers.answers = [(404, b'{"error": "not_found", "message": "No such thing."}')]
    with pytest.raises(ServerRefused, match=r"^No such thing\.$") as caught:
        make_channel(answers.url).get("/x")
    assert (caught.value.code, caught.value.status) == ("not_found", 404)


def test_an_answer_of_somebody_else_is_told_by_its_status(answers: Answers) -> None:
    answers.answers = [(502, b"<html>")]
    with pytest.raises(ServerRefused, match="answered 502"):
        make_channel(answers.url).get("/x")
    answers.answers = [(200, b"<html>")]
    with pytest.raises(ServerError, match="cannot be read"):
        make_channel(answers.url).get("/x")


def test_a_server_that_is_away_is_waited_for(answers: Answers) -> None:
    answers.answers = [(503, b"{}"), None, (200, b"[1]")]
    assert make_channel(answers.url).get("/x") == [1]
    assert len(answers.asked) == 3


def test_patience_ends() -> None:
    time = Time()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(ServerUnreachable, match=r"did not answer for 10 seconds: .*refused"):
        make_channel(url, time).get("/x")
    assert 8 < time.now <= 10


def test_what_may_have_arrived_is_not_repeated_unless_it_may(answers: Answers) -> None:
    answers.answers = [None, (200, b"1")]
    channel = make_channel(answers.url)
    with pytest.raises(ServerUnreachable, match="is not known"):
        channel.post("/x", {}, repeatable=False)
    assert len(answers.asked) == 1


def test_a_server_that_comes_back_elsewhere_is_found(answers: Answers, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        old = f"http://127.0.0.1:{listener.getsockname()[1]}"
    address = tmp_path / "server-url"
    time = Time()
    time.on_sleep.append(lambda: address.write_text(answers.url + "\n"))
    answers.answers = [(200, b"1")]
    assert make_channel(old, time, str(address)).get("/x") == 1


def test_a_body_is_sent_whole_again(answers: Answers, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"0123456789")
    answers.answers = [None, (200, b"{}")]
    with path.open("rb") as file:
        make_channel(answers.url).upload("/files", {"path": "/x"}, file)
    assert answers.asked[-1][0] == "PUT"


def test_without_a_server_a_request_says_so() -> None:
    with pytest.raises(ServerError, match="not run by a Quire server"):
        make_channel(None).get("/x")
    with pytest.raises(ServerError, match="not the address of a server"):
        make_channel("ftp://x").get("/x")


def test_the_token_is_not_shown_or_pickled() -> None:
    channel = make_channel("http://127.0.0.1:1")
    assert "the-token" not in repr(channel)
    with pytest.raises(TypeError):
        pickle.dumps(channel)
