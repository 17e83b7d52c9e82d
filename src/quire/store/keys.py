"""What rows are looked up by: texts too long for an index, and many values at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["in_batches", "text_digest"]

_AT_ONCE = 500  # parameters of one statement

T = TypeVar("T")


def text_digest(text: str) -> bytes:
    """What an index holds in place of a text: its SHA-256."""
    return hashlib.sha256(text.encode()).digest()


def in_batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, at a time no more than a statement takes as parameters."""
    for first in range(0, len(values), _AT_ONCE):
        yield values[first : first + _AT_ONCE]
