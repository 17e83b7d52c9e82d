"""What has to be stored before the end of a run may be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from quire.engine.models import Run
from quire.errors import Unavailable
from quire.store.runs import RunView

__all__ = ["Conclusion", "Conclusions"]

_LOG = structlog.get_logger(__name__)


class Conclusion(Protocol):
    """One thing that follows from the end of some runs."""

    def concerns(self, run: Run) -> bool:
        """Whether there is anything to do for a run. Asked of every run, so it costs nothing."""
        ...

    def conclude(self, view: RunView, latest: Sequence[Mapping[str, Any]]) -> None:
        """Do it, while the attempt is still seen to execute. Doing it twice changes nothing more.

        ``latest``: the last events of the attempt, which the journal does not have yet. Raises
        Unavailable when it has to be tried again.
        """
        ...


class Conclusions:
    """All of them."""

    def __init__(self, *conclusions: Conclusion) -> None:
        self._conclusions = conclusions

    def concern(self, run: Run) -> bool:
        """Whether anything has to be done for a run."""
        return any(each.concerns(run) for each in self._conclusions)

    def draw(self, view: RunView, latest: Sequence[Mapping[str, Any]] = ()) -> None:
        """Do what there is to do. Raises Unavailable; a defect keeps no run from its end."""
        for each in self._conclusions:
            if not each.concerns(view.run):
                continue
            try:
                each.conclude(view, latest)
            except Unavailable:
                raise
            except Exception:  # noqa: BLE001 - see above
                _LOG.exception("conclusion.failed", attempt=view.attempt.id)
