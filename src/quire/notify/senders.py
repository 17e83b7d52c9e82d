"""What all ways of delivery have in common: how a failed try is told to the outbox."""

from __future__ import annotations

__all__ = ["NotDelivered"]


class NotDelivered(Exception):
    """A try that failed. ``permanent``: trying again would not help."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
