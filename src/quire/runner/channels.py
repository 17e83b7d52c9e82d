"""The Jupyter channels between a runner and its kernel.

Owns: sockets, signing and reading of messages. Messages are signed and shaped by jupyter_client's
``Session``; they are read here, because a session spends most of its time on dates nobody needs.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zmq
from jupyter_client.session import Session

__all__ = ["Channels", "Message"]

_DELIMITER = b"<IDS|MSG>"
_UNREAD_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Message:
    """One message from a kernel."""

    type: str
    parent_id: str  # id of the request this belongs to; "" for none
    date: str  # ISO 8601, as the kernel wrote it
    content: Mapping[str, Any]
    buffers: Sequence[bytes]
    size: int  # bytes of the content as it came
    unread: bool = False  # too large to be read; content is empty


class Channels:
    """Shell, iopub and control channel of one kernel."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        """``connection``: what a kernel's connection file holds."""
        key = connection["key"]
        self._session = Session(
            key=key if isinstance(key, bytes) else key.encode(),
            signature_scheme=connection.get("signature_scheme", "hmac-sha256"),
            username="quire",
        )
        self._connection = connection
        self._context: Any = zmq.Context()
        self._context.linger = 0
        self.shell = self._connect(zmq.DEALER, "shell")
        self.control = self._connect(zmq.DEALER, "control")
        self.iopub = self._connect(zmq.SUB, "iopub")
        self.iopub.subscribe(b"")

    def _connect(self, kind: int, channel: str) -> Any:
        connection = self._connection
        separator = ":" if connection["transport"] == "tcp" else "-"
        address = "{}://{}{}{}".format(
            connection["transport"], connection["ip"], separator, connection[f"{channel}_port"]
        )
        socket = self._context.socket(kind)
        socket.connect(address)
        return socket

    def send(self, socket: Any, message_type: str, content: Mapping[str, Any], **more: Any) -> str:
        """Send a request and return its id."""
        message: Any = self._session.send(socket, message_type, dict(content), **more)
        return str(message["header"]["msg_id"])

    def execute(
        self,
        code: str,
        *,
        silent: bool = False,
        remember: bool = True,
        stop_on_error: bool = True,
    ) -> str:
        """Ask for code to be run; the id of the request. ``remember``: as one of the cells."""
        return self.send(
            self.shell,
            "execute_request",
            {
                "code": code,
                "silent": silent,
                "store_history": remember and not silent,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": stop_on_error,
            },
        )

    def receive(self, socket: Any) -> Message | None:
        """The next message that has come, or None. Messages with a wrong signature are dropped."""
        while True:
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return None
            message = self._read(frames)
            if message is not None:
                return message

    def _read(self, frames: list[Any]) -> Message | None:
        position = 0
        while frames[position].bytes != _DELIMITER:
            position += 1
            if position == len(frames):
                return None
        size = len(frames[position + 5])
        if size > _UNREAD_BYTES:
            header, parent = (
                json.loads(frame.bytes) for frame in frames[position + 2 : position + 4]
            )
            return Message(
                header["msg_type"], parent.get("msg_id", ""), header["date"], {}, (), size, True
            )
        parts = [frame.bytes for frame in frames[position + 1 : position + 6]]
        if self._session.auth is not None and not hmac.compare_digest(
            self._session.sign(parts[1:]), parts[0]
        ):
            return None
        header = json.loads(parts[1])
        return Message(
            header["msg_type"],
            json.loads(parts[2]).get("msg_id", ""),
            header.get("date", ""),
            json.loads(parts[4]),
            [frame.bytes for frame in frames[position + 6 :]],
            size,
        )

    def close(self) -> None:
        """Let go of the sockets; nothing that was not sent is waited for."""
        self._context.destroy(linger=0)
