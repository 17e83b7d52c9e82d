"""The control socket of a driver process: one JSON object a line, each answered by one.

A request names what to do (``{"do": "status"}``); an answer has ``ok``, and ``error`` when that is
false. Who may connect is decided by the folder the socket is in.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from quire.compute.driver_folder import DriverFolder

__all__ = ["DriverGone", "DriverRefused", "ask", "serve"]

_LONGEST_LINE = 16 * 1024 * 1024


class DriverGone(Exception):
    """Nobody answers on the control socket any more."""


class DriverRefused(Exception):
    """The driver process cannot do what it was asked; the message says why."""


def ask(folder: DriverFolder, request: Mapping[str, Any], timeout_seconds: float) -> dict[str, Any]:
    """Ask a driver process. Raises DriverGone, DriverRefused, or TimeoutError."""
    try:
        with folder.connect(timeout_seconds) as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline(_LONGEST_LINE)
    except TimeoutError:
        raise
    except OSError as error:
        raise DriverGone("The driver process is gone.") from error
    if not line.endswith(b"\n"):
        raise DriverGone("The driver process is gone.")
    answer: dict[str, Any] = json.loads(line)
    if not answer["ok"]:
        raise DriverRefused(answer["error"])
    return answer


def serve(
    listener: socket.socket, handle: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> None:
    """Answer on a listening socket from threads of its own, for as long as the process lives.

    ``handle`` gives the fields of an answer, or raises DriverRefused.
    """

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(
                target=_serve_one, args=(connection, handle), name="control", daemon=True
            ).start()

    threading.Thread(target=accept, name="control", daemon=True).start()


def _serve_one(
    connection: socket.socket, handle: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> None:
    try:
        with connection, connection.makefile("rb") as lines:
            while line := lines.readline(_LONGEST_LINE):
                try:
                    answer = {"ok": True, **handle(json.loads(line))}
                except DriverRefused as error:
                    answer = {"ok": False, "error": str(error)}
                except Exception as error:  # noqa: BLE001 - who asked is told
                    answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
                connection.sendall(json.dumps(answer).encode() + b"\n")
    except OSError:
        return  # who asked has left
