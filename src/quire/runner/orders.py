"""What others ask of a run while its driver waits for the kernel."""

from __future__ import annotations

import os

__all__ = ["Orders"]


class Orders:
    """Flags that any thread or signal handler may set; the driver waits on the descriptor."""

    def __init__(self, timeout_seconds: float | None) -> None:
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.cancelled = False
        self.dismissed = False  # the run is another's now: stop at once, tell nothing
        self.storage_failed = False
        self.timeout_seconds = timeout_seconds

    def fileno(self) -> int:
        """Readable when something was asked since :meth:`clear`."""
        return self._wake

    def clear(self) -> None:
        """Forget the wake-up, not the flags."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return  # another wake-up was cleared together with this one

    def cancel(self) -> None:
        """End the run as cancelled."""
        self.cancelled = True
        os.eventfd_write(self._wake, 1)

    def dismiss(self) -> None:
        """End the run without a word."""
        self.dismissed = True
        os.eventfd_write(self._wake, 1)

    def fail_storage(self) -> None:
        """End the run, because its results cannot be kept."""
        self.storage_failed = True
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Nobody asks any more."""
        os.close(self._wake)

    def change_timeout(self, seconds: float | None) -> None:
        """The timeout that holds from now on."""
        if seconds != self.timeout_seconds:
            self.timeout_seconds = seconds
            os.eventfd_write(self._wake, 1)
