"""Requests made from the OpenAPI document: never a failure, always the vendor's form."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from tests.dialects.databricks.conftest import Door


@pytest.fixture
def operations(door: Door) -> list[APIOperation]:
    document = schemathesis.openapi.from_dict(dict(door.dialect.openapi()))
    return [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]


@settings(
    max_examples=80,
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
    answer = door.client.request(
        case.method,
        case.formatted_path,
        params={name: str(value) for name, value in (case.query or {}).items()},
        json=body,
        headers={"Authorization": f"Bearer {door.admin_token}"},
    )
    assert answer.status_code < 500, answer.text
    if answer.headers["content-type"] == "application/json":
        assert isinstance(answer.json(), list if case.path == "/api/1.2/clusters/list" else dict)
    if answer.status_code >= 400:
        assert set(answer.json()) in (
            {"error_code", "message"},
            {"schemas", "detail", "status"},
        )
