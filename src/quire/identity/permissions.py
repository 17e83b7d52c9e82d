"""Rights to what the workspace holds, and how they compare. Who holds which is the workspace's."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

__all__ = ["Right", "best"]


class Right(StrEnum):
    """What a principal may do with a folder, notebook or file. No right at all is ``None``."""

    OWNER = "owner"  # everything, sharing included
    EDITOR = "editor"  # change and run
    VIEWER = "viewer"  # open, export, see its runs

    def covers(self, needed: Right) -> bool:
        """Whether this right includes ``needed``."""
        return _STRENGTH[self] >= _STRENGTH[needed]


_STRENGTH = {Right.VIEWER: 1, Right.EDITOR: 2, Right.OWNER: 3}


def best(rights: Iterable[Right | None]) -> Right | None:
    """The strongest of several rights; None when there is none."""
    held = [right for right in rights if right is not None]
    return max(held, key=_STRENGTH.__getitem__, default=None)
