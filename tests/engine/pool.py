"""A placement whose runners are imagined; it keeps what they were given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from quire.placement.base import Departure, Reservation, RunnerIdentity
from quire.runner.protocol import Assignment

__all__ = ["Pool"]


class Pool:
    """Tests set what it has, and say when the kernel of a session is free."""

    def __init__(self) -> None:
        self.made = 0
        self.room = True
        self.ready = True
        self.broken = False
        self.used: dict[int, float] = {}  # CPU seconds by process
        self.released: list[int] = []
        self.assigned: list[Assignment] = []
        self.kept: dict[str, Place] = {}
        self.idle: dict[str, float] = {}  # seconds, of the sessions whose kernel is free
        self.ended: list[str] = []
        self.interpreters: list[str] = []  # those with a kernel ready
        self.places: dict[int, str] = {}  # interpreter by process, of those that were taken

    def start(
        self, on_departure: Callable[[Departure], None], on_session: Callable[[], None]
    ) -> None: ...

    def close(self) -> None: ...

    def reserve(self, timeout_seconds: float) -> Reservation | None:
        if not self.ready:
            return None
        self.made += 1
        return Place(self, self.made)

    def reserve_session(self, session: str) -> Reservation | None:
        if session not in self.idle:
            return None
        del self.idle[session]
        return self.kept[session]

    def keep_ready(self, interpreters: Collection[str]) -> None:
        self.interpreters = list(interpreters)

    def reserve_interpreter(self, python: str) -> Reservation | None:
        if python not in self.interpreters:
            return None
        self.interpreters.remove(python)
        self.made += 1
        self.places[self.made] = python
        return Place(self, self.made)

    def sessions(self) -> Mapping[str, float | None]:
        return {session: self.idle.get(session) for session in self.kept}

    def end_session(self, session: str) -> None:
        if self.kept.pop(session, None) is not None:
            self.idle.pop(session, None)
            self.ended.append(session)

    def cpu_seconds(self, runners: Collection[RunnerIdentity]) -> Mapping[RunnerIdentity, float]:
        return {each: self.used.get(each.pid, 0.0) for each in runners}

    def has_room(self) -> bool:
        return self.room

    def adopt(self, identity: RunnerIdentity) -> bool:
        return False

    def nudge(self, identity: RunnerIdentity) -> None: ...

    def kill(self, identity: RunnerIdentity) -> None: ...


class Place:
    """A runner that was taken."""

    def __init__(self, pool: Pool, pid: int) -> None:
        self._pool = pool
        self.identity = RunnerIdentity("here", pid, "1")

    def assign(self, assignment: Assignment) -> None:
        if self._pool.broken:
            for session in [key for key, each in self._pool.kept.items() if each is self]:
                del self._pool.kept[session]
            raise BrokenPipeError("the runner is gone")
        self._pool.assigned.append(assignment)
        if assignment.session:
            self._pool.kept[assignment.session] = self

    def release(self) -> None:
        self._pool.released.append(self.identity.pid)
        for session, place in self._pool.kept.items():
            if place is self:
                self._pool.idle[session] = 0.0
