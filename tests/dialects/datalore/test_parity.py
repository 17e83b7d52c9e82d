"""The parity page names every endpoint, every field of a run, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quire.dialects.datalore import wire_notebooks, wire_runs
from tests.dialects.datalore.conftest import Door

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "parity" / "datalore.md").read_text()
FILES = dict(re.findall(r"\*\*([A-Z])\*\*\s+`(tests/[\w/]+\.py)`", PAGE))
PROOFS = sorted(set(re.findall(r"\b([A-Z])::(test_\w+)", PAGE)))


@pytest.mark.parametrize(("letter", "test"), PROOFS)
def test_proof_exists(letter: str, test: str) -> None:
    source = (ROOT / FILES[letter]).read_text()
    assert re.search(rf"def {test}\(", source), f"{FILES[letter]} has no {test}"


def test_every_endpoint_is_named(door: Door) -> None:
    named = {
        f"`{method} {route.path}`"
        for route in door.dialect.routes
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert [each for each in sorted(named) if each not in PAGE] == []


def test_every_field_of_a_run_is_named(door: Door) -> None:
    asked = {field.alias or name for name, field in wire_runs.RunNotebook.model_fields.items()}
    run_id = door.run()
    shown = set(door.status(run_id))
    door.play(run_id)
    assert [
        each for each in asked | shown | set(door.status(run_id)) if f"`{each}`" not in PAGE
    ] == []


def test_every_field_of_the_notebook_apis_is_named() -> None:
    models = [getattr(wire_notebooks, name) for name in wire_notebooks.__all__]
    fields = {field.alias for model in models for field in model.model_fields.values()}
    assert [each for each in sorted(fields) if f"`{each}`" not in PAGE] == []
