from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from quire.web.sessions import safe_next
from tests.web.conftest import TOKEN, Shown, make_view


@pytest.mark.parametrize("path", ["/", "/runs/7", "/runs/7/notebook", "/runs/7/log"])
def test_who_has_not_signed_in_is_sent_to_do_so(
    client: TestClient, shown: Shown, path: str
) -> None:
    shown.add(make_view(7))
    answer = client.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={path.replace('/', '%2F')}"


def test_the_query_survives_signing_in(client: TestClient) -> None:
    location = client.get("/?o=1&active=1").headers["location"]
    assert location == "/login?next=%2F%3Fo%3D1%26active%3D1"


def test_a_token_opens_a_session(client: TestClient, shown: Shown) -> None:
    shown.add(make_view(7))
    answer = client.post("/login", data={"token": f" {TOKEN} ", "next": "/runs/7"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/runs/7"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert client.get("/runs/7").status_code == 200


def test_by_https_the_cookie_is_secure(make_app: Callable[..., FastAPI]) -> None:
    client = TestClient(make_app(public_url="https://quire.example"), follow_redirects=False)
    cookie = client.post("/login", data={"token": TOKEN}).headers["set-cookie"]
    assert "; Secure" in cookie


@pytest.mark.parametrize("token", ["wrong", "", "with space", "tök", "x" * 5000, "a\r\nb"])
def test_a_wrong_token_opens_none(client: TestClient, token: str) -> None:
    answer = client.post("/login", data={"token": token, "next": "/runs/7"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "unknown or revoked" in answer.text
    assert 'value="/runs/7"' in answer.text


def test_a_token_of_narrow_scope_opens_none(client: TestClient, shown: Shown) -> None:
    shown.person = replace(shown.person, scopes=frozenset({"workspace"}))
    answer = client.post("/login", data={"token": TOKEN})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "needs user with full access" in answer.text
    assert client.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 403


def test_a_revoked_token_ends_its_sessions(signed_in: TestClient, shown: Shown) -> None:
    assert signed_in.get("/").status_code == 200
    shown.revoked = True
    assert signed_in.get("/").status_code == 303


def test_signing_out_removes_the_cookie(signed_in: TestClient) -> None:
    answer = signed_in.post("/logout")
    assert answer.headers["location"] == "/login"
    assert 'quire_session=""' in answer.headers["set-cookie"]
    assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},  # a sandboxed frame
        {"Origin": "http://quire.test.evil.test"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another host of the same domain
    ],
)
def test_forms_of_other_sites_are_refused(
    client: TestClient, path: str, headers: dict[str, str]
) -> None:
    answer = client.post(path, data={"token": TOKEN}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://quire.test", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://quire.example"},  # the public address, with a proxy in front
    ],
)
def test_our_own_forms_are_taken(make_app: Callable[..., FastAPI], headers: dict[str, str]) -> None:
    client = TestClient(
        make_app(public_url="https://quire.example"),
        base_url="http://quire.test",
        follow_redirects=False,
    )
    assert client.post("/login", data={"token": TOKEN}, headers=headers).status_code == 303


def test_a_large_form_is_refused(client: TestClient) -> None:
    assert client.post("/login", data={"token": "x" * 20_000}).status_code == 413


@pytest.mark.parametrize(
    ("target", "safe"),
    [
        ("/runs/7", "/runs/7"),
        ("/?o=1&active=1", "/?o=1&active=1"),
        (None, "/"),
        ("", "/"),
        ("runs/7", "/"),
        ("//evil.test", "/"),  # another host, in the form without a scheme
        ("/\\evil.test", "/"),  # browsers read a backslash as a slash
        ("/\t/evil.test", "/"),  # and drop control characters
        ("https://evil.test/", "/"),
        ("javascript:alert(1)", "/"),
        ("/ü", "/"),
    ],
)
def test_only_paths_of_this_server_are_gone_to(target: str | None, safe: str) -> None:
    assert safe_next(target) == safe
