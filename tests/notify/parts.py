"""Runs to tell of, and real receivers: an HTTP server and a mail server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from quire.engine.models import (
    Attempt,
    Job,
    JobDefinition,
    NotebookTask,
    NotificationEvent,
    NotificationPolicy,
    NotificationTarget,
    Run,
    TargetKind,
)
from quire.engine.states import Cause, Outcome
from quire.ids import JobId
from tests.engine import records

START = records.START


def mail_to(*addresses: str) -> tuple[NotificationTarget, ...]:
    return tuple(NotificationTarget(TargetKind.EMAIL, each) for each in addresses)


def post_to(*ids: str) -> tuple[NotificationTarget, ...]:
    return tuple(NotificationTarget(TargetKind.DESTINATION, each) for each in ids)


def make_run(number: int = 7, *, name: str = "nightly", **policy: Any) -> Run:
    """A run of a saved job that has just ended well."""
    definition = JobDefinition(
        task=NotebookTask(path="/Shared/n"), name=name, notifications=NotificationPolicy(**policy)
    )
    return records.make_run(number, job_id=JobId(45), name=name, definition=definition)


def make_attempt(run: Run, **changes: Any) -> Attempt:
    facts = {"id": run.attempt_id, "run_id": run.id, "trigger": run.trigger, **changes}
    return records.make_attempt(**facts)


def failed(run: Run, **changes: Any) -> Attempt:
    return make_attempt(
        run,
        **{
            "outcome": Outcome.FAILED,
            "cause": Cause.CELL_ERROR,
            "message": "Workload failed, see run output for details",
            **changes,
        },
    )


def make_job(**targets: tuple[NotificationTarget, ...]) -> Job:
    by_event = {NotificationEvent(name): listed for name, listed in targets.items()}
    run = make_run(targets=by_event)
    return Job(
        id=run.job_id,
        definition=run.definition,
        creator_id=run.creator_id,
        creator_name=run.creator_name,
        created_at=START,
        updated_at=START,
        next_fire_at=None,
    )


@dataclass
class Request:
    """What a receiver was sent."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server that answers as it is told, and keeps what it gets."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)  # statuses of the next ones; then 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def events(self) -> list[str]:
        return [each.json["event"] for each in self.requests]


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.requests.append(Request(self.path, headers, body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mailbox:
    """A mail server that keeps what it takes, and answers as it is told."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    recipient_answers: dict[str, str] = field(default_factory=dict)
    data_answers: list[str] = field(default_factory=list)  # of the next mails; then "250 OK"
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.recipient_answers.get(address, "250 OK")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.data_answers.pop(0) if self.data_answers else "250 OK"
        if answer.startswith("2"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
            self.recipients.extend(envelope.rcpt_tos)
        return answer

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"secret", handled=False)


class _Controller(Controller):
    """Listens on a port of the system's choice."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    controller = _Controller(
        mailbox,
        hostname="127.0.0.1",
        port=0,
        authenticator=mailbox.authenticate,
        auth_require_tls=False,
    )
    controller.start()
    try:
        mailbox.port = controller.port
        yield mailbox
    finally:
        controller.stop()
