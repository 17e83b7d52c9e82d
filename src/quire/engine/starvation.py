"""When a run may start although no slot is free: when all that execute are only waiting.

A notebook may start another run by any client and poll it. With as many such notebooks as slots,
each would wait for a run that can never start. So when somebody has waited for some seconds and the
processes of all executing runs have used next to no CPU for a second, more runs may start.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from quire.placement.base import RunnerIdentity

__all__ = ["PATIENCE", "IdleWatch"]

PATIENCE = timedelta(seconds=3)
"""How long a run waits for a slot before this is thought of."""

_OBSERVED = timedelta(seconds=1)
_BUSY_SHARE = 0.1  # of a core; polling once a second takes less, and so do heartbeats


class IdleWatch:
    """Compares how much CPU time the runners had used a second ago, and now."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._used: dict[RunnerIdentity, float] = {}

    def all_idle(
        self,
        now: datetime,
        executing: Collection[RunnerIdentity],
        used: Mapping[RunnerIdentity, float],
    ) -> bool:
        """Whether each executing runner was idle since a look at least a second ago.

        ``used``: CPU seconds so far, of each runner with all that came from it. A runner that is
        missing there, or was not there at the earlier look, counts as busy. A True, like the first
        look, begins a new second, in which the runs that may start now show what they do.
        """
        if self._at is None:
            self._look(now, used)
            return False
        elapsed = now - self._at
        if elapsed < _OBSERVED:
            return False
        most = _BUSY_SHARE * elapsed.total_seconds()
        earlier = self._used
        idle = all(
            each in used and each in earlier and used[each] - earlier[each] <= most
            for each in executing
        )
        self._look(now, used)
        return idle

    def forget(self) -> None:
        """Nobody waits: the next look is a first one."""
        self._at = None

    def _look(self, now: datetime, used: Mapping[RunnerIdentity, float]) -> None:
        self._at, self._used = now, dict(used)
