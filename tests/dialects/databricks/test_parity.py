"""The parity page names every endpoint and field, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quire.dialects.databricks import wire
from tests.dialects.databricks.conftest import Door

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "parity" / "databricks.md").read_text()
FILES = dict(re.findall(r"\*\*([A-Z]+)\*\*\s+`(tests/[\w/]+\.py)`", PAGE))
PROOFS = sorted(set(re.findall(r"\b([A-Z]+)::(test_\w+)", PAGE)))


@pytest.mark.parametrize(("letter", "test"), PROOFS)
def test_proof_exists(letter: str, test: str) -> None:
    source = (ROOT / FILES[letter]).read_text()
    assert re.search(rf"def {test}\(", source), f"{FILES[letter]} has no {test}"


def test_every_endpoint_is_named(door: Door) -> None:
    for route in door.dialect.routes:
        for method in (route.methods or set()) - {"HEAD"}:
            assert f"`{method} {route.path}`" in PAGE


@pytest.mark.parametrize("model", [wire.JobSettings, wire.SubmitRun, wire.NewCluster, wire.RunNow])
def test_every_field_is_named(model: type[wire.Model]) -> None:
    assert [name for name in model.model_fields if f"`{name}`" not in PAGE] == []
