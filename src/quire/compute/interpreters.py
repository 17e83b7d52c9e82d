"""Interpreters that runs start because a library of theirs replaces a package kernels have.

Owns: which of them are used often, and so have a kernel kept ready, and which one a run that has
not begun will ask for. All of it is learned from what runs got and forgotten with the process.

What a layer's interpreter imports may be code of whoever chose its packages. So no process of the
server's user forks kernels from it, as the nursery does from the server's own interpreter: a runner
starts it ahead of need, as the user of its kernel.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from quire.compute.codec import compute_to_json
from quire.compute.models import Compute
from quire.ids import AttemptId, PrincipalId
from quire.loop import BackgroundLoop
from quire.placement.base import Placement
from quire.settings import Settings

__all__ = ["Interpreters"]

_WINDOW_SECONDS = 3600.0
_REVIEW_SECONDS = 60.0
_REMEMBERED = 500


class Interpreters:
    """Has kernels of often used interpreters kept ready; safe to be used by several threads."""

    def __init__(
        self,
        placement: Placement,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._placement = placement
        self._settings = settings
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._found: OrderedDict[str, str] = OrderedDict()  # interpreter by what was asked for
        # When attempts used an interpreter, by interpreter; the one used last comes last.
        self._uses: OrderedDict[str, dict[AttemptId, float]] = OrderedDict()
        self._kept: tuple[str, ...] = ()
        self.loop = BackgroundLoop("interpreters", self._review)

    def used(
        self,
        attempt_id: AttemptId,
        principal_id: PrincipalId,
        compute: Compute | None,
        python: str | None,
    ) -> None:
        """An attempt was told its interpreter; ``python``: None when the usual one will do."""
        if compute is None:
            return
        key = _key(principal_id, compute)
        with self._lock:
            if python is None:
                self._found.pop(key, None)
                return
            self._found[key] = python
            self._found.move_to_end(key)
            while len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)
            uses = self._uses.setdefault(python, {})
            if attempt_id in uses:
                return
            uses[attempt_id] = self._monotonic()
            self._uses.move_to_end(python)
        self.loop.wake()

    def expected(self, principal_id: PrincipalId, compute: Compute | None) -> str | None:
        """The interpreter a run will ask for, when kernels of it are kept ready; else None.

        It may ask for another: what its libraries are is looked at when it begins.
        """
        if compute is None or not self._kept:
            return None
        with self._lock:
            python = self._found.get(_key(principal_id, compute))
            return python if python in self._kept else None

    def review(self) -> None:
        """Decide anew which interpreters have a kernel kept ready."""
        room = self._placement.has_room()
        with self._lock:
            self._forget()
            often = [
                python
                for python, uses in reversed(self._uses.items())
                if len(uses) >= self._settings.warm_environment_after and os.path.exists(python)
            ]
            limit = self._settings.warm_environments if room else 0
            self._kept = tuple(often[:limit])
            self._placement.keep_ready(self._kept)

    def _forget(self) -> None:
        oldest = self._monotonic() - _WINDOW_SECONDS
        for python, uses in list(self._uses.items()):
            for attempt_id in [each for each, at in uses.items() if at < oldest]:
                del uses[attempt_id]
            if not uses:
                del self._uses[python]

    def _review(self) -> float:
        self.review()
        return _REVIEW_SECONDS


def _key(principal_id: PrincipalId, compute: Compute) -> str:
    """Names what a run asks for; layers are of one principal, so it is part of the name."""
    return json.dumps([principal_id, compute_to_json(compute)], sort_keys=True)
