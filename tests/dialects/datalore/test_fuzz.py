"""Requests made from the OpenAPI document: never a failure, always the vendor's form."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from tests.dialects.datalore.conftest import Door


@pytest.fixture
def operations(door: Door) -> list[APIOperation]:
    document = schemathesis.openapi.from_dict(dict(door.dialect.openapi()))
    return [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]


@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_every_answer_has_the_form(
    door: Door, operations: list[APIOperation], data: st.DataObject
) -> None:
    operation = data.draw(st.sampled_from(operations), label="operation")
    case = data.draw(operation.as_strategy(), label="case")
    body = case.body if isinstance(case.body, dict | list | str | int | float | None) else None
    if isinstance(body, dict) and isinstance(body.get("notebookId"), dict):
        owner, identifier = door.notebook_id.split("/")  # else all is refused at the first look
        body = {**body, "notebookId": {"ownerId": owner, "id": identifier}}
    answer = door.client.request(
        case.method,
        case.formatted_path,
        params={name: str(value) for name, value in (case.query or {}).items()},
        json=body,
        headers={"Authorization": f"Bearer {door.token_of['ann']}"},
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert set(answer.json()) in ({"error"}, {"error", "state"})
