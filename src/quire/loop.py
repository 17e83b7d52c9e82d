"""A thread that does the same piece of work again and again, until it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from quire.errors import Unavailable

__all__ = ["BackgroundLoop"]

_LOG = structlog.get_logger(__name__)
_AFTER_FAILURE_SECONDS = 0.5


class BackgroundLoop:
    """Calls ``work`` at once, then whenever it asked for or :meth:`wake` is called.

    What goes wrong in one round is logged and tried again in the next: the thread outlives a
    database that is away for a while, and a defect that one record sets off. The next round comes
    half a second later then, whatever wakes it: what failed may well be what has woken it.
    """

    def __init__(self, name: str, work: Callable[[], float]) -> None:
        """``work`` does one round and returns how many seconds may pass until the next."""
        self._name = name
        self._work = work
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def name(self) -> str:
        return self._name

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether the loop was told to stop; long rounds look at it."""
        return self._stopping.is_set()

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is work: do not wait."""
        self._woken.set()

    def close(self) -> None:
        """Stop after the present round, and wait for that."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                wait_seconds = self._work()
            except Unavailable as error:
                _LOG.warning("loop.unavailable", loop=self._name, error=error.message)
            except Exception:  # noqa: BLE001 - see the class
                _LOG.exception("loop.failed", loop=self._name)
            else:
                self._woken.wait(wait_seconds)
                continue
            self._stopping.wait(_AFTER_FAILURE_SECONDS)
