"""Lets callers wait for the end of an attempt without asking for it again and again."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable

from quire.ids import AttemptId
from quire.store.runs import RunView

__all__ = ["Endings"]

_LOOK_SECONDS = 1.0  # ends that another server stores are not told here

_Waiter = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class Endings:
    """Who waits for which attempt, on this server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: defaultdict[AttemptId, set[_Waiter]] = defaultdict(set)

    def tell(self, attempt_id: AttemptId) -> None:
        """An attempt has ended; from any thread."""
        with self._lock:
            waiters = self._waiters.pop(attempt_id, set())
        for loop, event in waiters:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def wait(
        self, attempt_id: AttemptId, look: Callable[[], RunView], timeout_seconds: float
    ) -> RunView:
        """What ``look`` sees of an attempt at its end, or when the time is up.

        ``look`` is called in a thread; what it raises is raised here.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_seconds
        waiter = (loop, asyncio.Event())
        with self._lock:
            self._waiters[attempt_id].add(waiter)
        try:
            while True:
                view = await asyncio.to_thread(look)
                left = give_up_at - loop.time()
                if not view.attempt.active or left <= 0:
                    return view
                try:
                    await asyncio.wait_for(waiter[1].wait(), min(left, _LOOK_SECONDS))
                except TimeoutError:
                    continue
        finally:
            self._forget(attempt_id, waiter)

    def _forget(self, attempt_id: AttemptId, waiter: _Waiter) -> None:
        with self._lock:
            waiters = self._waiters.get(attempt_id, set())
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(attempt_id, None)
