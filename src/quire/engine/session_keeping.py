"""Which server keeps the kernel of which notebook, and for how long.

A session is a kernel that stays with its notebook from one run to the next. Its runner can hear of
further work only from the server that started it, so a row says which one that is, its *holder*.
The row is renewed while the holder lives; once its lease is over, or its holder is seen to be dead,
any server may start a new kernel for that notebook. An idle kernel ends with its holder. One that
executes goes on, and until its run has ended no other is started.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Connection

from quire.clock import Clock
from quire.ids import NodeId
from quire.loop import BackgroundLoop
from quire.placement.base import Placement, Reservation
from quire.runner.processes import start_time
from quire.settings import Settings
from quire.store import nodes as node_rows
from quire.store import runs as run_rows
from quire.store import sessions as session_rows
from quire.store.database import Database
from quire.store.sessions import SessionRow

__all__ = ["SessionKeeper", "session_key"]

_ROUND_SECONDS = 1.0


def session_key(node_id: NodeId) -> str:
    """The name of a notebook's session for placement and runners."""
    return str(node_id)


class SessionKeeper:
    """The sessions of one server."""

    def __init__(
        self,
        database: Database,
        placement: Placement,
        clock: Clock,
        settings: Settings,
        *,
        host: str,
    ) -> None:
        self._database = database
        self._placement = placement
        self._clock = clock
        self._settings = settings
        self._host = host
        pid = os.getpid()
        self.holder = f"{host}:{pid}:{start_time(pid)}:{secrets.token_hex(4)}"
        self.loop = BackgroundLoop("sessions", self._round)

    def seat(
        self, connection: Connection, node_id: NodeId, fresh: Reservation
    ) -> Reservation | None:
        """Where the next run of a session executes, in the transaction that claims it.

        The session's own runner when it is free, ``fresh`` when there is none, which then becomes
        the session's. None: not on this server, or not now.
        """
        now = self._clock.now()
        row = session_rows.lock_session(connection, node_id, now)
        if row is None or run_rows.has_executing_in_session(connection, node_id):
            return None
        if row.holder != self.holder and self._is_held(row):
            return None
        key = session_key(node_id)
        if key in self._placement.sessions():
            if row.holder == self.holder and row.ending_at is None:
                return self._placement.reserve_session(key)
            self._placement.end_session(key)  # it was asked to, or has been another's since
        session_rows.insert_session(
            connection, node_id, self.holder, at=now, lease_end=now + self._lease
        )
        return fresh

    def is_ready(self, row: SessionRow | None) -> bool:
        """Whether a row stands for a kernel that is there and may stay."""
        if row is None or row.ending_at is not None or not self._is_held(row):
            return False
        return row.holder != self.holder or session_key(row.node_id) in self._placement.sessions()

    def close(self) -> None:
        """This server keeps no session any more."""
        self.loop.close()
        with self._database.write() as connection:
            session_rows.remove_held(connection, self.holder)

    def _round(self) -> float:
        self.tidy()
        return _ROUND_SECONDS

    def tidy(self) -> None:
        """End sessions that are idle for too long or not wanted any more; keep the others' rows."""
        kept = self._placement.sessions()
        with self._database.read() as connection:
            rows = {session_key(row.node_id): row for row in session_rows.list_sessions(connection)}
            known = node_rows.find_existing(connection, [row.node_id for row in rows.values()])
        for key, idle_seconds in kept.items():
            row = rows.get(key)
            if not self._is_wanted(row, idle_seconds) or (row and row.node_id not in known):
                self._placement.end_session(key)
        self._make_room(kept)
        self._keep_rows(rows)

    def _is_wanted(self, row: SessionRow | None, idle_seconds: float | None) -> bool:
        if row is None or row.holder != self.holder or row.ending_at is not None:
            return False
        return idle_seconds is None or idle_seconds < self._settings.session_idle_seconds

    def _make_room(self, kept: Mapping[str, float | None]) -> None:
        """Where memory is short, the kernel nobody has used for longest goes."""
        idle = {key: seconds for key, seconds in kept.items() if seconds is not None}
        if idle and not self._placement.has_room():
            self._placement.end_session(max(idle, key=lambda key: idle[key]))

    def _keep_rows(self, rows: Mapping[str, SessionRow]) -> None:
        now = self._clock.now()
        kept = self._placement.sessions()
        over = [
            row
            for key, row in rows.items()
            if (key not in kept if row.holder == self.holder else not self._is_held(row))
        ]
        mine = [row for key, row in rows.items() if row.holder == self.holder and key in kept]
        due = any(row.lease_expires_at - now < self._lease * 2 / 3 for row in mine)
        if not over and not due:
            return
        with self._database.write() as connection:
            for row in over:
                # One that was claimed a moment ago has its runner only in a moment.
                if not run_rows.has_executing_in_session(connection, row.node_id):
                    session_rows.remove_session(connection, row)
            if due:
                session_rows.renew(connection, self.holder, now + self._lease)

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self._settings.lease_seconds)

    def _is_held(self, row: SessionRow) -> bool:
        """Whether a holder can still give work to its session's runner."""
        if row.holder == self.holder:
            return True
        return row.lease_expires_at > self._clock.now() and not self._is_dead(row.holder)

    def _is_dead(self, holder: str) -> bool:
        """Whether a holder was a process of this host that is gone."""
        host, pid, started, _ = holder.rsplit(":", 3)
        return host == self._host and start_time(int(pid)) != started
