from __future__ import annotations

import unicodedata
from uuid import UUID

import pytest

from quire.errors import InvalidValue, MissingField
from quire.workspace.addressing import (
    ancestors,
    base62,
    check_path,
    from_base62,
    join,
    parent_of,
)


@pytest.mark.parametrize(
    "path",
    ["/", "/a", "/Users/ann@example.com/a b", "/日本/é", "/a/...", "/a/.hidden", "/" + "x" * 4095],
)
def test_takes_absolute_paths(path: str) -> None:
    assert check_path(path) == path


def test_stores_paths_composed() -> None:
    assert check_path(unicodedata.normalize("NFD", "/é")) == unicodedata.normalize("NFC", "/é")


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b",
        "//",
        "/a/",
        "/a//b",
        "/a/./b",
        "/a/..",
        "/a\x00",
        "/a\nb",
        "/a\x85b",
        "/\ud800",
        "/" + "x" * 4096,
        "/" + "é" * 2048,  # bytes count, not characters
    ],
)
def test_refuses_other_paths(path: str) -> None:
    with pytest.raises(InvalidValue, match="notebook_path"):
        check_path(path, "notebook_path")


def test_refuses_an_empty_path() -> None:
    with pytest.raises(MissingField):
        check_path("")


@pytest.mark.parametrize(
    ("path", "parent", "above"),
    [
        ("/", "/", []),
        ("/a", "/", ["/"]),
        ("/a/b/c", "/a/b", ["/", "/a", "/a/b"]),
    ],
)
def test_knows_what_lies_above(path: str, parent: str, above: list[str]) -> None:
    assert parent_of(path) == parent
    assert ancestors(path) == above


@pytest.mark.parametrize(
    ("folder", "relative", "expected"),
    [
        ("/a/b", "c", "/a/b/c"),
        ("/a/b", "./c/d", "/a/b/c/d"),
        ("/a/b", "../c", "/a/c"),
        ("/a/b", "../..", "/"),
        ("/", "c", "/c"),
        ("/a", "/x/y", "/x/y"),
    ],
)
def test_follows_relative_paths(folder: str, relative: str, expected: str) -> None:
    assert join(folder, relative) == expected


def test_nothing_lies_above_the_root() -> None:
    with pytest.raises(InvalidValue, match="above the root"):
        join("/a", "../../b")


@pytest.mark.parametrize("number", [0, 1, 61, 62, 2**64 + 5, 2**128 - 1])
def test_identifiers_have_a_short_form(number: int) -> None:
    text = base62(UUID(int=number))
    assert len(text) == 22
    assert text.isascii()
    assert text.isalnum()
    assert from_base62(text) == UUID(int=number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 21,
        "0" * 23,
        "0" * 21 + "-",
        "0" * 21 + "ä",
        "z" * 22,  # more than 128 bits
    ],
)
def test_other_texts_are_no_identifiers(text: str) -> None:
    assert from_base62(text) is None
