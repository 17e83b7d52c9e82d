"""What runs ask of clusters: their request, the first answer, and what they leave at their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quire.compute.interpreters import Interpreters
from quire.compute.uses import Answer, ClusterUses, UseRequest, UseState
from quire.engine.models import Run, TaskKind
from quire.engine.tasks import IN_KERNELS
from quire.identity.models import Principal
from quire.placement.base import RunnerIdentity
from quire.store import runs as run_rows
from quire.store.database import Database
from quire.store.runs import RunView

__all__ = ["RunCompute"]

_SUBMITTED = frozenset({TaskKind.JAR, TaskKind.SUBMIT})  # kinds that cannot do without Spark


class RunCompute:
    """Asks for attempts. As a :class:`~quire.engine.conclusions.Conclusion` it ends job clusters.

    A notebook that has not used Spark has nothing its runner could give back; what was noted for it
    is taken back here, or by the cluster manager.
    """

    def __init__(self, database: Database, uses: ClusterUses, interpreters: Interpreters) -> None:
        self._database = database
        self._uses = uses
        self._interpreters = interpreters

    def begin(self, view: RunView, actor: Principal) -> Mapping[str, Any] | None:
        """The first answer to an attempt that is about to begin; None: it needs none.

        *pending* when more is to be done than noting who uses which cluster: its runner asks then.
        Raises Unavailable.
        """
        definition = view.run.definition
        if definition.compute is None and definition.task.kind not in _SUBMITTED:
            return None
        return self._uses.begin(self._request(view, actor)).to_json()

    def acquire(self, view: RunView, actor: Principal, *, spark: bool) -> Answer:
        """What an attempt gets now. Raises as :meth:`ClusterUses.acquire` does."""
        answer = self._uses.acquire(self._request(view, actor), spark=spark)
        definition = view.run.definition
        if answer.state is UseState.READY and definition.task.kind in IN_KERNELS:
            python = answer.prepared.python
            self._interpreters.used(view.attempt.id, actor.id, definition.compute, python)
        return answer

    def expected_interpreter(self, run: Run) -> str | None:
        """The interpreter a run will ask for, when a kernel of it may be ready; None: any."""
        definition = run.definition
        if definition.task.kind not in IN_KERNELS:
            return None
        return self._interpreters.expected(run.creator_id, definition.compute)

    def release(self, view: RunView) -> None:
        """Take back what an attempt has. Again is no error."""
        self._uses.release(view.attempt.id, self._kernel(view))

    def concerns(self, run: Run) -> bool:
        compute = run.definition.compute
        return compute is not None and compute.new_cluster is not None

    def conclude(self, view: RunView, latest: Sequence[Mapping[str, Any]]) -> None:
        """End the cluster that was made for the attempt, unless its runner has done so."""
        del latest
        self.release(view)

    def _request(self, view: RunView, actor: Principal) -> UseRequest:
        run = view.run
        return UseRequest(
            run_id=run.id,
            attempt_id=view.attempt.id,
            run_name=run.name,
            actor=actor,
            compute=run.definition.compute,
            kernel=self._kernel(view),
            submits=run.definition.task.kind in _SUBMITTED,
        )

    def _kernel(self, view: RunView) -> RunnerIdentity | None:
        """Who keeps the kernel of a run that uses one which outlives it."""
        if view.run.session_id is None:
            return None
        with self._database.read() as connection:
            runner = run_rows.get_runner(connection, view.attempt.id)
        return RunnerIdentity(runner.host, runner.pid, runner.started) if runner else None
