"""Credentials as clients send them (contract 1.5)."""

from __future__ import annotations

import base64

import pytest

from quire.dialects.databricks.credentials import read_credential
from quire.errors import MissingCredential


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        ("Bearer abc", (None, "abc")),
        ("bearer   abc ", (None, "abc")),
        (basic("token:abc"), (None, "abc")),  # what netrc files lead to
        (basic("token:a:b"), (None, "a:b")),
        (basic("ann:abc"), ("ann", "abc")),
    ],
)
def test_accepted(header: str, credential: tuple[str | None, str]) -> None:
    assert read_credential({"authorization": header}) == credential


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer  ",
        "Digest abc",
        "Basic !!",
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        basic("token"),
        basic("token:"),
        "Bearer " + "x" * 5000,
    ],
)
def test_refused(header: str) -> None:
    with pytest.raises(MissingCredential):
        read_credential({"authorization": header})


def test_absent() -> None:
    with pytest.raises(MissingCredential):
        read_credential({})
