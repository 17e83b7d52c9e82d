from __future__ import annotations

import re
import unicodedata

import pytest

from quire.errors import InvalidValue, MissingField
from quire.identity.names import check_name, name_key, url_name


@pytest.mark.parametrize(
    "name",
    ["a", "ann", "ann@example.com", "Data Science", "Jörg", "太郎", "o'neil+test_1-2.x", "x" * 255],
)
def test_takes_simple_and_mail_like_names(name: str) -> None:
    assert check_name(name) == name


def test_stores_names_composed() -> None:
    assert check_name(unicodedata.normalize("NFD", "Jörg")) == "Jörg"


def test_refuses_an_empty_name() -> None:
    with pytest.raises(MissingField):
        check_name("", "user_name")


@pytest.mark.parametrize(
    "name",
    [
        "x" * 256,
        "a/b",
        "a\x00b",
        "a\nb",
        "a\x7fb",
        "a\u202eb",  # turns the direction of writing
        "a\ud800b",
        " a",
        "a ",
        ".",
        "..",
        "Default",  # a namespace
        "server",  # stands for what nobody owns
        "U-" + "0a" * 10,  # what url_name makes of names that no path can hold
    ],
)
def test_refuses_other_names(name: str) -> None:
    with pytest.raises(InvalidValue, match="user_name"):
        check_name(name, "user_name")


@pytest.mark.parametrize(
    ("one", "other"), [("Ann", "aNN"), ("STRASSE", "straße"), ("ÉVA", "éva"), ("Σ", "ς")]
)
def test_names_that_differ_in_case_only_share_a_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


def test_other_names_do_not() -> None:
    assert name_key("ann") != name_key("anna")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ann", "ann"),
        ("Ann.B-c_1", "Ann.B-c_1"),
        (None, "server"),
    ],
)
def test_plain_names_are_parts_of_paths(name: str | None, expected: str) -> None:
    assert url_name(name) == expected


def test_other_names_have_a_short_form_of_their_own() -> None:
    forms = [url_name(name) for name in ("ann@example.com", "bob@example.com", "日本", "a" * 65)]
    assert len(set(forms)) == len(forms)
    assert all(re.fullmatch(r"u-[0-9a-f]{20}", form) for form in forms)
    assert url_name("ann@example.com") == forms[0]
