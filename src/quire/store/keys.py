"""What rows are looked up by: texts too long for an index, many values, and states."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, bindparam

__all__ = ["in_batches", "none_of", "text_digest"]

_AT_ONCE = 500  # parameters of one statement

T = TypeVar("T")


def text_digest(text: str) -> bytes:
    """What an index holds in place of a text: its SHA-256."""
    return hashlib.sha256(text.encode()).digest()


def in_batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, at a time no more than a statement takes as parameters."""
    for first in range(0, len(values), _AT_ONCE):
        yield values[first : first + _AT_ONCE]


def none_of(column: Column[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """``column NOT IN (…)`` with the values in the text of the statement, in this order.

    A database takes a partial index only for a condition that says what the index says. Of values
    that are sent beside the statement it cannot know that when it plans.
    """
    words = [str(value) for value in values]
    return column.not_in(bindparam("none_of", words, unique=True, literal_execute=True))
