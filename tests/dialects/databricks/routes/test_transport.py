"""What holds for every path of the dialect: reading, answering, credentials, unknown paths."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dialects.databricks.conftest import CLUSTER, Door

JOB = {"notebook_task": {"notebook_path": "/Shared/n"}, "new_cluster": CLUSTER}


class TestReading:
    @pytest.mark.parametrize(
        "kind",
        [
            "application/json",
            "text/json",
            "application/x-www-form-urlencoded",  # what curl --data says
            "application/octet-stream",
            "multipart/form-data; boundary=x",
            None,
        ],
    )
    def test_body_is_json_whatever_the_content_type(self, door: Door, kind: str | None) -> None:
        headers = {"Content-Type": kind} if kind else {}
        body = door.post("/jobs/create", content=json.dumps(JOB).encode(), headers=headers)
        assert set(body) == {"job_id"}

    def test_get_takes_a_json_body_and_the_query_wins(self, door: Door) -> None:
        job_id = door.make_job()
        body = json.dumps({"job_id": job_id}).encode()
        assert door.get("/jobs/get", content=body)["job_id"] == job_id
        other = json.dumps({"job_id": 999}).encode()
        assert door.get(f"/jobs/get?job_id={job_id}", content=other)["job_id"] == job_id

    def test_numbers_come_as_text_and_are_kept_as_numbers(self, door: Door) -> None:
        job_id = door.make_job(timeout_seconds="600", max_retries="0")
        settings = door.get("/jobs/get", {"job_id": str(job_id)})["settings"]
        assert (settings["timeout_seconds"], settings["max_retries"]) == (600, 0)

    def test_null_and_unknown_fields_are_as_if_absent(self, door: Door) -> None:
        job_id = door.make_job(name=None, schedule=None, unheard_of={"a": [1]})
        settings = door.get("/jobs/get", {"job_id": job_id})["settings"]
        assert settings["name"] == "Untitled"
        assert not {"schedule", "unheard_of"} & set(settings)

    def test_empty_and_unknown_query_parameters_are_ignored(self, door: Door) -> None:
        assert door.get("/jobs/list?page_token=&include_user_names=False&limit=") == {"jobs": []}

    def test_repeated_slashes_are_one(self, door: Door) -> None:
        answer = door.client.get(
            "/api//2.0///jobs//list", headers={"Authorization": f"Bearer {door.token}"}
        )
        assert answer.json() == {"jobs": []}

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"[]",
            b'"x"',
            b"5",
            b"\xff\xfe",
            b'{"job_id": NaN}',
            b'{"job_id": 1e400}',
            b'{"job_id": 1, "job_id": 1}',
            b'{"job_id":' + b"[" * 200_000,
            b'{"job_id":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
            b'{"job_id": ' + b"9" * 10_000 + b"}",
            b"job_id=5",
        ],
    )
    @pytest.mark.parametrize("path", ["/jobs/create", "/jobs/runs/submit", "/workspace/mkdirs"])
    def test_unreadable_body_is_malformed(self, door: Door, path: str, body: bytes) -> None:
        before = door.stored()
        assert door.refuse("POST", path, content=body) == (400, "MALFORMED_REQUEST")
        assert door.stored() == before

    def test_declared_length_over_10_mb_is_413(self, door: Door) -> None:
        body = b'{"name": "' + b"x" * 10 * 1024 * 1024 + b'"}'
        assert door.refuse("POST", "/jobs/create", content=body) == (413, "MALFORMED_REQUEST")

    def test_chunked_body_over_10_mb_is_413(self, door: Door) -> None:
        def chunks() -> Iterator[bytes]:
            for _ in range(11):
                yield b" " * 1024 * 1024

        assert door.refuse("POST", "/jobs/create", content=chunks()) == (413, "MALFORMED_REQUEST")

    def test_body_just_below_10_mb_is_read(self, door: Door) -> None:
        body = json.dumps(JOB).encode()
        body += b" " * (10 * 1024 * 1024 - len(body))
        assert "job_id" in door.post("/jobs/create", content=body)


class TestCredentials:
    def _status(self, door: Door, header: str | None) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": header} if header is not None else {}
        answer = door.client.get("/api/2.0/jobs/list", headers=headers)
        return answer.status_code, answer.json()

    def _basic(self, user: str, password: str) -> str:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def test_bearer_and_netrc(self, door: Door) -> None:
        assert self._status(door, f"Bearer {door.token}")[0] == 200
        assert self._status(door, self._basic("token", door.token))[0] == 200

    def test_basic_with_the_users_own_name(self, door: Door) -> None:
        assert self._status(door, self._basic("ada@example.com", door.token))[0] == 200
        assert self._status(door, self._basic("eve@example.com", door.token))[0] == 403

    @pytest.mark.parametrize("header", [None, "", "Digest abc", "Basic ???"])
    def test_without_a_usable_credential(self, door: Door, header: str | None) -> None:
        status, body = self._status(door, header)
        assert status == 401
        assert body == {
            "error_code": "401",
            "message": "Credential was not sent or was of an unsupported type for this API.",
        }

    def test_unknown_revoked_and_expired_tokens(self, door: Door) -> None:
        refused = (403, {"error_code": "403", "message": "Invalid access token."})
        assert self._status(door, "Bearer nobody") == refused
        text, info = door.tokens.create(door.parts.user.id, lifetime_seconds=60)
        assert self._status(door, f"Bearer {text}")[0] == 200
        door.clock.advance(61)
        assert self._status(door, f"Bearer {text}") == refused
        text, info = door.tokens.create(door.parts.user.id)
        door.tokens.revoke(info.id)
        assert self._status(door, f"Bearer {text}") == refused

    def test_every_operation_asks_for_one(self, door: Door) -> None:
        for route in door.dialect.routes[:-2]:
            method = next(iter((route.methods or set()) - {"HEAD"}))
            answer = door.client.request(method, route.path.replace("{id}", "x"))
            assert answer.status_code == 401, route.path


class TestPaths:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/2.0/unheard-of"),
            ("GET", "/api/2.0"),
            ("POST", "/api/2.0/jobs/list"),
            ("GET", "/api/2.0/jobs/create"),
            ("PUT", "/api/2.0/jobs/create"),
            ("GET", "/api/2.0/jobs/list/"),
            ("GET", "/api/2.1/jobs/list"),
            ("POST", "/api/2.2/jobs/create"),
            ("OPTIONS", "/api/2.0/jobs/list"),
        ],
    )
    def test_unknown_path_or_verb(self, door: Door, method: str, path: str) -> None:
        answer = door.client.request(method, path)
        assert answer.status_code == 404
        assert answer.json() == {
            "error_code": "ENDPOINT_NOT_FOUND",
            "message": f"No API found for '{method} {path}'",
        }
        assert answer.headers["x-databricks-org-id"] == "77"

    def test_other_prefixes_are_not_ours(self, door: Door) -> None:
        assert door.client.get("/api/2.00/x").text == "RouteNotFound"
        assert door.client.get("/api/v1.2/commands").text == "RouteNotFound"

    def test_crash_has_the_form_and_tells_nothing(self, door: Door) -> None:
        answer = door.client.get("/api/2.0/test-crash")
        assert answer.status_code == 500
        assert answer.json()["error_code"] == "INTERNAL_ERROR"
        assert "secret detail" not in answer.text


class TestDiscovery:
    def test_needs_no_credential(self, door: Door) -> None:
        answer = door.client.get("/.well-known/databricks-config")
        assert answer.json() == {"oidc_endpoint": "http://testserver/oidc", "workspace_id": "77"}

    def test_a_hostile_host_header_does_no_harm(self, door: Door) -> None:
        answer = door.client.get("/.well-known/databricks-config", headers={"Host": "[x/"})
        assert answer.json()["oidc_endpoint"] == "http://testserver:80/oidc"

    def test_openapi_names_every_operation(self, door: Door) -> None:
        document = door.client.get("/api/2.0/openapi.json").json()
        assert document["openapi"] == "3.1.0"
        served = {
            (route.path, method.lower())
            for route in door.dialect.routes[:-2]
            for method in (route.methods or set()) - {"HEAD"}
        }
        described = {
            (path, method)
            for path, operations in document["paths"].items()
            for method in operations
        }
        assert described == served
        create = document["paths"]["/api/2.0/jobs/create"]["post"]
        schema = create["requestBody"]["content"]["application/json"]["schema"]
        model = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        assert "notebook_task" in model["properties"]
