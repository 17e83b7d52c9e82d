"""What the manager remembers of a cluster between two looks."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from quire.compute.launcher import Driver

__all__ = ["Watch", "is_due"]


class Watch:
    """What is remembered of one cluster; nothing of it is missed after a restart of the server.

    The manager's thread alone changes it; requests read the driver from other threads.
    """

    def __init__(self) -> None:
        self.stop_by: datetime | None = None  # when a driver that was asked to go is killed
        self.looked_at: datetime | None = None  # when its workers were last counted
        self.logs_at: datetime | None = None
        self.asked: tuple[int, int] | None = None  # for how many workers the driver was asked
        self.lost_workers = 0
        self.crashes: list[datetime] = []
        self._lock = threading.Lock()
        self._driver: Driver | None = None
        self._generation = 0

    @property
    def driver(self) -> Driver | None:
        return self._driver

    def hold(self, driver: Driver | None, generation: int = 0) -> None:
        """Remember a driver, the ``generation``-th of its cluster, or that there is none."""
        with self._lock:
            self._driver, self._generation = driver, generation

    def driver_of(self, generation: int) -> Driver | None:
        """The driver, when it is that one."""
        with self._lock:
            return self._driver if self._generation == generation else None


def is_due(last: datetime | None, now: datetime, seconds: float) -> bool:
    """Whether it is time again for what was last done then."""
    return last is None or now - last >= timedelta(seconds=seconds)
