from __future__ import annotations

import pytest

from quire.clock import ManualClock
from quire.store.blobs import BlobStore
from quire.store.database import Database
from tests.compute.parts import ClusterParts


@pytest.fixture
def parts(database: Database, blobs: BlobStore, clock: ManualClock) -> ClusterParts:
    return ClusterParts(database, blobs, clock)
