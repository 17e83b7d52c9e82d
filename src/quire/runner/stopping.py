"""Why a run is stopped before its end, and the steps in which that is done.

What runs is interrupted first, then terminated, then killed, with a wait after each step.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from quire.runner.diagnosis import Ending
from quire.runner.orders import Orders
from quire.runner.protocol import Assignment

__all__ = ["Stop", "Stopped", "reason_to_stop"]


class Stopped(Exception):
    """The run is over before its work is."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


def reason_to_stop(orders: Orders, deadline: float | None) -> Ending | None:
    """How a run has to end by now that nothing else would end. ``deadline``: a monotonic time."""
    if orders.cancelled:
        return Ending("cancelled", "cancelled_by_user", "Cancelled by user.")
    if orders.storage_failed:
        return Ending(
            "internal_error",
            "storage_failed",
            "The results of this run could not be stored: the disk of the spool is full.",
        )
    if deadline is not None and time.monotonic() >= deadline:
        return Ending(
            "timed_out",
            "timeout",
            f"The run took longer than its timeout of {orders.timeout_seconds:g} seconds.",
        )
    return None


@dataclass
class Stop:
    """A run that is being stopped, and when the next step is due."""

    ending: Ending
    next_at: float
    terminate_grace_seconds: float
    interrupted: bool = False
    terminated: bool = False

    @classmethod
    def begin(cls, ending: Ending, assignment: Assignment) -> Stop:
        """A stop whose first step is due now."""
        return cls(
            ending,
            time.monotonic() + assignment.interrupt_grace_seconds,
            assignment.terminate_grace_seconds,
        )

    def proceed(self, send_signal: Callable[[int], None], *, hears_interrupts: bool = True) -> bool:
        """Take the step that is due; True when patience is over and only killing is left."""
        if not self.interrupted and hears_interrupts:
            send_signal(signal.SIGINT)
            self.interrupted = True
        if time.monotonic() < self.next_at:
            return False
        if not self.terminated:
            send_signal(signal.SIGTERM)
            self.terminated = True
            self.next_at = time.monotonic() + self.terminate_grace_seconds
            return False
        return True
