"""The interface between the dispatcher and whatever starts runners."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from quire.runner.protocol import Assignment

__all__ = ["Departure", "Placement", "Reservation", "RunnerIdentity"]


@dataclass(frozen=True)
class RunnerIdentity:
    """Names one runner process for as long as the machine is up."""

    host: str  # id of the host (boot included) whose process numbers these are
    pid: int
    started: str  # start time of the process as the kernel counts it; guards against reused pids


@dataclass(frozen=True)
class Departure:
    """A runner process is gone."""

    identity: RunnerIdentity
    cause: str  # for people: "killed by SIGKILL", "exit code 1"; "gone" when nobody could see


class Reservation(Protocol):
    """A ready runner that waits for an assignment."""

    @property
    def identity(self) -> RunnerIdentity: ...

    def assign(self, assignment: Assignment) -> None:
        """Hand over the work. Raises OSError when the runner is gone.

        A runner whose assignment names a session keeps its kernel for it.
        """
        ...

    def release(self) -> None:
        """Give the runner back unused."""
        ...


class Placement(Protocol):
    """Starts runners and watches over them."""

    def start(
        self, on_departure: Callable[[Departure], None], on_session: Callable[[], None]
    ) -> None:
        """Begin; every assigned or adopted runner that goes is reported once, from any thread.

        ``on_session`` is called, also from any thread, when a session's runner has become free or
        is gone.
        """
        ...

    def close(self) -> None:
        """Let idle runners go, those of sessions too. Runners at work go on."""
        ...

    def reserve(self, timeout_seconds: float) -> Reservation | None:
        """A ready runner, or None when none came up in time."""
        ...

    def reserve_session(self, session: str) -> Reservation | None:
        """The runner that keeps the kernel of a session, or None when it is not free."""
        ...

    def keep_ready(self, interpreters: Collection[str]) -> None:
        """Keep a runner with a kernel of each of these interpreters, and of no others."""
        ...

    def reserve_interpreter(self, python: str) -> Reservation | None:
        """A runner that :meth:`keep_ready` has made ready, or None when there is none now."""
        ...

    def sessions(self) -> Mapping[str, float | None]:
        """The sessions kept here, with the seconds they have been idle; None: at work."""
        ...

    def end_session(self, session: str) -> None:
        """Let a session's runner go, at once or when its run is over. Without one, nothing."""
        ...

    def cpu_seconds(self, runners: Collection[RunnerIdentity]) -> Mapping[RunnerIdentity, float]:
        """CPU time each runner has used with all that came from it; unknown ones are left out."""
        ...

    def has_room(self) -> bool:
        """Whether memory allows one more run."""
        ...

    def adopt(self, identity: RunnerIdentity) -> bool:
        """Watch a runner an earlier server started. False when it is gone already."""
        ...

    def nudge(self, identity: RunnerIdentity) -> None:
        """Make a runner report at once, so that it hears a command."""
        ...

    def kill(self, identity: RunnerIdentity) -> None:
        """End a runner and all that came from it, at once."""
        ...
