"""Brings a cluster's logs to the folder of the file store that its definition names.

Layout as Databricks has it (contract 2.9): ``<destination>/<cluster id>/driver/stdout`` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from quire.compute.launcher import Driver
from quire.compute.models import Cluster

__all__ = ["Files", "LogDelivery"]

_BLOCK_BYTES = 1024 * 1024


class Files(Protocol):
    """What is asked of a file store."""

    def write(self, path: str, data: Iterator[bytes], *, overwrite: bool = False) -> object: ...


class LogDelivery:
    """Copies logs into a file store."""

    def __init__(self, files: Files) -> None:
        self._files = files

    @staticmethod
    def wanted(cluster: Cluster) -> bool:
        return cluster.spec.log_destination is not None

    def deliver(self, cluster: Cluster, driver: Driver) -> None:
        """Copy the logs of a driver. Raises InvalidValue, Unavailable."""
        destination = (cluster.spec.log_destination or "").rstrip("/")
        for name in driver.log_names():
            try:
                file = driver.open_log(name)
            except OSError:
                continue  # rolled over while we looked
            with file:
                target = f"{destination}/{cluster.id}/{name}"
                self._files.write(target, _blocks(file), overwrite=True)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block
