"""How much memory clusters take, and whether one more fits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import psutil

from quire.compute.models import Cluster, ClusterSpec, ClusterState
from quire.errors import QuotaExceeded
from quire.settings import Settings

__all__ = ["Budget", "heap_size"]

_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_LEAST_OVERHEAD = 384 * _MIB  # what a JVM takes beyond its heap, as Spark itself reckons
_OVERHEAD = 0.1
_DAEMON = 256 * _MIB  # a standalone master or worker, apart from its executor
_SIZE = re.compile(r"([0-9]{1,15})([kmgtp]?)b?")
_UNITS = "bkmgtp"
_SHARE = 0.6  # of the machine's memory, where no setting says how much


class Budget:
    """The memory that clusters of this server may take together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.most_workers = settings.max_cluster_workers or max(2, os.cpu_count() or 1)
        self.total: int = settings.cluster_memory_bytes or int(
            psutil.virtual_memory().total * _SHARE
        )

    def driver_heap(self, spec: ClusterSpec) -> int:
        """Bytes of heap the driver gets: by its configuration, its size, or the setting."""
        named = heap_size(spec.spark_conf.get("spark.driver.memory", ""))
        return named or spec.driver_memory_bytes or self._settings.spark_driver_memory_bytes

    def executor_heap(self, spec: ClusterSpec) -> int:
        """Bytes of heap of a worker's executor, likewise."""
        named = heap_size(spec.spark_conf.get("spark.executor.memory", ""))
        return named or spec.executor_memory_bytes or self._settings.spark_executor_memory_bytes

    def driver_need(self, spec: ClusterSpec) -> int:
        """Bytes of the driver, and of the standalone master where there is one."""
        if spec.master is not None and spec.master.startswith("sc://"):
            return 0
        standalone = spec.master is None and spec.most_workers > 0
        return _with_overhead(self.driver_heap(spec)) + (_DAEMON if standalone else 0)

    def worker_need(self, spec: ClusterSpec) -> int:
        """Bytes of one worker on this machine."""
        if spec.master is not None:
            return 0
        return _with_overhead(self.executor_heap(spec)) + _DAEMON

    def worker_cap(self, spec: ClusterSpec) -> int:
        """How many workers this server starts at most for a cluster that asks for more."""
        each = self.worker_need(spec)
        cap = self.most_workers
        if each == 0:
            return cap
        return max(1, min(cap, (self.total - self.driver_need(spec)) // each))

    def need(self, spec: ClusterSpec) -> int:
        """Bytes a cluster needs to come up, its workers capped."""
        workers = min(spec.least_workers, self.worker_cap(spec))
        return self.driver_need(spec) + workers * self.worker_need(spec)

    def taken(self, clusters: Iterable[Cluster]) -> int:
        """Bytes that clusters have, or will have as soon as they are up."""
        return sum(
            self.driver_need(each.spec)
            + max(each.worker_count, min(each.spec.least_workers, self.worker_cap(each.spec)))
            * self.worker_need(each.spec)
            for each in clusters
            if each.wants_spark or each.driver is not None or each.state is ClusterState.PENDING
        )

    def check(self, spec: ClusterSpec, others: Iterable[Cluster] = ()) -> None:
        """Raise QuotaExceeded, with the numbers, when a cluster does not fit beside others."""
        need, taken = self.need(spec), self.taken(others)
        if taken + need <= self.total:
            return
        workers = min(spec.least_workers, self.worker_cap(spec))
        parts = f"{_shown(self.driver_need(spec))} for its driver"
        if workers:
            parts += f" and {_shown(self.worker_need(spec))} for each of {workers} workers"
        free = max(0, self.total - taken)
        raise QuotaExceeded(
            f"The cluster needs {_shown(need)} of memory ({parts}); this server gives clusters "
            f"{_shown(self.total)}, of which {_shown(free)} are free."
        )


def heap_size(text: str) -> int | None:
    """Bytes of a size as Spark writes it, such as ``4g``; without a unit, MiB. None: it is none."""
    found = _SIZE.fullmatch(text.strip().lower())
    return int(found[1]) * 1024 ** _UNITS.index(found[2] or "m") if found else None


def _with_overhead(heap: int) -> int:
    return heap + max(_LEAST_OVERHEAD, int(heap * _OVERHEAD))


def _shown(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
