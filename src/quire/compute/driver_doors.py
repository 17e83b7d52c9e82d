"""The gateways by which kernels reach a driver's JVM: one for each user of it.

Owns: making them, the Spark session behind each, and shutting them. A gateway of its own gives a
run a session that nobody else has by accident, a secret that is worth nothing after its end, and an
address of its own for calls from Spark back into Python. Runs that share a session have the same
session behind theirs.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from quire.compute.driver_config import Gateway
from quire.runner.processes import start_time

__all__ = ["Doors", "Owner"]

Owner = tuple[int, str]
"""A process of this machine: its number and its start time."""

_SHARED_SESSIONS = 100  # kept; the one that was not asked for the longest goes first


@dataclass(frozen=True)
class _Door:
    gateway: Gateway
    server: Any
    session: Any
    is_shared: bool
    owner: Owner | None


class Doors:
    """The gateways of one JVM. Whatever a call raises is py4j's."""

    def __init__(self, client: Any, session: Any, host: str) -> None:
        """``session`` is the one that others are made from."""
        self._client = client
        self._root = session
        self._host = host
        self._lock = threading.Lock()
        self._doors: dict[str, _Door] = {}
        self._sessions: OrderedDict[str, Any] = OrderedDict()

    def open(self, group: str, session_key: str | None, owner: Owner | None) -> Gateway:
        """The gateway of a user; the same when asked again.

        ``session_key`` names the session to share; None gives one of its own. ``owner``: with whose
        end nobody needs it any more.
        """
        with self._lock:
            door = self._doors.get(group)
            if door is None:
                door = self._doors[group] = self._make(session_key, owner)
            return door.gateway

    def release(self, group: str, *, keep: bool) -> None:
        """End what a user runs, and unless ``keep`` its gateway too; again is no error."""
        with self._lock:
            door = self._doors.get(group) if keep else self._doors.pop(group, None)
        self.cancel(group)
        if door is None:
            return
        if not door.is_shared:
            for query in door.session.streams().active():
                query.stop()
        if not keep:
            door.server.shutdown()

    def release_abandoned(self) -> None:
        """Shut the gateways of owners that are gone."""
        with self._lock:
            owners = {group: door.owner for group, door in self._doors.items()}
        for group, owner in owners.items():
            if owner is not None and start_time(owner[0]) != owner[1]:
                self.release(group, keep=False)

    def cancel(self, group: str, *, future: bool = False) -> None:
        """End the jobs of a group, and those with a tag of that name."""
        context = self._root.sparkContext()
        if future:
            context.cancelJobGroupAndFutureJobs(group)
        else:
            context.cancelJobGroup(group)
        context.cancelJobsWithTag(group)

    def _make(self, session_key: str | None, owner: Owner | None) -> _Door:
        session = self._session(session_key)
        jvm = self._client.jvm
        builder = getattr(jvm, "py4j.ClientServer$ClientServerBuilder")
        secret = secrets.token_hex(32)
        server = (
            builder(session)
            .authToken(secret)
            .javaAddress(jvm.java.net.InetAddress.getByName(self._host))
            .javaPort(0)
            .build()
        )
        server.startServer()
        port = int(server.getJavaServer().getListeningPort())
        gateway = Gateway(self._host, port, secret)
        return _Door(gateway, server, session, session_key is not None, owner)

    def _session(self, key: str | None) -> Any:
        if key is None:
            return self._root.newSession()
        if key not in self._sessions:
            self._sessions[key] = self._root.newSession()
        self._sessions.move_to_end(key)
        if len(self._sessions) > _SHARED_SESSIONS:
            self._sessions.popitem(last=False)
        return self._sessions[key]
