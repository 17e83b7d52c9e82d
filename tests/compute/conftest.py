from __future__ import annotations

from pathlib import Path

import pytest

from quire.clock import ManualClock
from quire.store.blobs import BlobStore
from quire.store.database import Database
from tests.compute.parts import ClusterParts


@pytest.fixture
def parts(database: Database, blobs: BlobStore, clock: ManualClock, tmp_path: Path) -> ClusterParts:
    return ClusterParts(database, blobs, clock, tmp_path / "spark")
