"""A run's part of a cluster, as its runner gets it, asks about it and gives it back.

The server decides, and its first answer comes with the assignment; :mod:`quire.internal.compute`
says what it holds. A run that was told nothing, or that Spark has to be asked for, gives back only
what its notebook got by itself.
"""

from __future__ import annotations

import json
import select
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quire.runner.diagnosis import Ending
from quire.runner.orders import Orders
from quire.runner.protocol import Assignment
from quire.runner.server import NotWanted, Refused, Server
from quire.runner.stopping import Stopped, reason_to_stop

__all__ = ["Compute"]

_WHAT = "compute"
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.1


class Compute:
    """What one attempt has of a cluster."""

    def __init__(self, assignment: Assignment, orders: Orders) -> None:
        self._assignment = assignment
        self._orders = orders
        self._has_some = False

    def acquire(self) -> Mapping[str, Any] | None:
        """Wait until there is what the run needs; what the server says of it, None without need.

        Raises Stopped when there will be none, or when the run is ended meanwhile. A wait that is
        longer than the run's timeout is too long.
        """
        answer = self._assignment.compute
        if answer is None:
            return None
        if answer["state"] == "pending":
            self._has_some = True  # if only a cluster that is about to start
            answer = self._await()
        if answer["state"] == "failed":
            raise Stopped(_failed(answer["cause"] or "cluster_failed", answer["message"]))
        return answer

    def _await(self) -> Mapping[str, Any]:
        """Ask until the answer is no longer *pending*."""
        began = time.monotonic()
        server = Server(self._assignment, self._orders, give_up=lambda: self._check(began))
        pause = _FIRST_PAUSE_SECONDS
        try:
            while (answer := _ask(server))["state"] == "pending":
                select.select([self._orders], [], [], pause)
                self._orders.clear()
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        except NotWanted:
            raise Stopped(Ending("abandoned", "runner_lost")) from None
        except Refused as error:
            raise Stopped(_failed("cluster_failed", str(error))) from None
        finally:
            server.close()
        return answer

    def explain(self, ending: Ending, *, got_spark: bool) -> Ending:
        """An ending with its real cause, when the run failed because its compute did.

        ``got_spark``: the program or notebook has used Spark by its own request.
        """
        self._has_some = self._has_some or got_spark
        if not self._has_some or ending.outcome != "failed":
            return ending
        server = Server(self._assignment, self._orders)
        try:
            answer = _ask(server)
        except (NotWanted, Refused):
            return ending
        finally:
            server.close()
        if answer["state"] != "failed":
            return ending
        return replace(
            ending,
            outcome="internal_error",
            cause=answer["cause"] or "cluster_failed",
            message=answer["message"],
        )

    def release(self) -> None:
        """Give back what the run has, and wait until that is done; nothing when it has nothing.

        An attempt that is another's now is released by the server.
        """
        if not self._has_some or self._orders.dismissed:
            return
        server = Server(self._assignment, self._orders)
        try:
            server.request("DELETE", _WHAT)
        except (NotWanted, Refused):
            return
        finally:
            server.close()

    def _check(self, began: float) -> None:
        seconds = self._orders.timeout_seconds
        ending = reason_to_stop(self._orders, began + seconds if seconds else None)
        if ending is not None:
            raise Stopped(ending)


def _ask(server: Server) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = json.loads(server.request("POST", _WHAT))
    return answer


def _failed(cause: str, message: str) -> Ending:
    return Ending("internal_error", cause, message)
