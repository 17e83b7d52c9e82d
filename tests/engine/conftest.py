from __future__ import annotations

import pytest

from quire.clock import ManualClock
from quire.store.blobs import BlobStore
from quire.store.database import Database
from tests.engine.parts import Parts


@pytest.fixture
def parts(database: Database, blobs: BlobStore, clock: ManualClock) -> Parts:
    return Parts(database, blobs, clock)
