"""This vendor's times: milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["milliseconds", "moment"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = datetime.resolution * 1000


def milliseconds(at: datetime) -> int:
    """Milliseconds since the epoch."""
    return (at - _EPOCH) // _MILLISECOND


def moment(value: int) -> datetime:
    """The moment that many milliseconds after the epoch."""
    return _EPOCH + value * _MILLISECOND
