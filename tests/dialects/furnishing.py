"""Databases in which people and their things are already, made once for all tests of a dialect.

To make a user and a token takes as long as most tests do.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from quire.clock import ManualClock
from quire.store.blobs import BlobStore
from quire.store.database import Database

__all__ = ["Furnished", "furnish"]

_FILE = "quire.sqlite3"
_BLOBS = "blobs"

T = TypeVar("T")


@dataclass(frozen=True)
class Furnished(Generic[T]):
    """A folder with a database and its blobs, and what made the things that are in them."""

    folder: Path
    by: T

    @contextmanager
    def copied(self, to: Path) -> Iterator[tuple[Database, BlobStore]]:
        """A copy of database and blobs, in a folder that may hold blobs already."""
        shutil.copytree(self.folder, to, dirs_exist_ok=True)
        with _opened(to) as parts:
            yield parts


def furnish(
    template: Path,
    folder: Path,
    clock: ManualClock,
    make: Callable[[Database, BlobStore, ManualClock], T],
) -> Furnished[T]:
    """Let ``make`` furnish a copy of an empty database. Its result must not be used for more."""
    shutil.copyfile(template, folder / _FILE)
    with _opened(folder) as (database, blobs):
        return Furnished(folder, make(database, blobs, clock))


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[Database, BlobStore]]:
    database = Database(f"sqlite:///{folder / _FILE}")
    try:
        yield database, BlobStore.open("", folder / _BLOBS)
    finally:
        database.close()
