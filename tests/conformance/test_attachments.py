"""What may be done with files attached to nodes, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest

from quire.clock import ManualClock
from quire.errors import (
    AlreadyExists,
    InvalidValue,
    MissingField,
    NotFound,
    PermissionDenied,
    TooLarge,
)
from quire.identity.permissions import Right
from quire.identity.principals import Principal, Principals
from quire.ids import NodeId
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.attachments import Attachments, check_attachment_path
from quire.workspace.tree import Workspace

_LIMIT = 100


@dataclass(frozen=True)
class _Place:
    files: Attachments
    workspace: Workspace
    blobs: BlobStore
    clock: ManualClock
    ann: Principal  # the notebook's owner
    bob: Principal  # its viewer
    eve: Principal  # a stranger
    node: NodeId

    def paths(self) -> list[str]:
        return [each.path for each in self.files.snapshot(self.node)]

    def stored(self) -> list[str]:
        return self.blobs.list("attachments/")


@pytest.fixture
def place(database: Database, blobs: BlobStore, clock: ManualClock) -> _Place:
    workspace = Workspace(database, blobs, clock)
    principals = Principals(database, clock)
    ann, bob, eve = (principals.create_user(name) for name in ("ann", "bob", "eve"))
    notebook: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
    node = workspace.import_notebook(ann, "/Users/ann/n", notebook)
    workspace.share(ann, "/Users/ann/n", bob, Right.VIEWER)
    files = Attachments(database, blobs, clock, workspace, limit_bytes=_LIMIT)
    return _Place(files, workspace, blobs, clock, ann, bob, eve, node.id)


def test_a_written_file_has_its_folders_and_facts(place: _Place) -> None:
    written = place.files.write(place.ann, place.node, "/a//b/./c.bin", b"\x00\xff")
    assert (written.path, written.name, written.is_folder, written.size) == (
        "a/b/c.bin",
        "c.bin",
        False,
        2,
    )
    assert written.digest == sha256(b"\x00\xff").digest()
    assert written.modified_at == place.clock.now()
    assert place.files.read(place.bob, place.node, "a/b/c.bin") == b"\x00\xff"
    assert place.files.find(place.bob, place.node, "a/b/c.bin") == written
    assert [each.path for each in place.files.list(place.bob, place.node)] == ["a"]
    assert [each.path for each in place.files.list(place.bob, place.node, "a")] == ["a/b"]
    assert place.files.list(place.bob, place.node, "a/b") == [written]
    assert place.paths() == ["a", "a/b", "a/b/c.bin"]


def test_overwriting_keeps_one_content(place: _Place) -> None:
    place.files.write(place.ann, place.node, "x", b"old")
    place.files.write(place.ann, place.node, "x", b"new")
    assert place.files.read(place.ann, place.node, "x") == b"new"
    assert len(place.stored()) == 1


@pytest.mark.parametrize(("length", "expected"), [(0, b""), (3, b"012"), (99, b"0123456789")])
def test_the_beginning_of_a_file(place: _Place, length: int, expected: bytes) -> None:
    place.files.write(place.ann, place.node, "x", b"0123456789")
    assert place.files.read(place.ann, place.node, "x", length=length) == expected


def test_names_that_differ_in_case_are_two(place: _Place) -> None:
    place.files.write(place.ann, place.node, "A/x", b"1")
    place.files.write(place.ann, place.node, "a/x", b"2")
    place.files.write(place.ann, place.node, "a%/x", b"3")
    assert [each.path for each in place.files.list(place.ann, place.node, "a")] == ["a/x"]
    place.files.delete(place.ann, place.node, "a")
    assert place.paths() == ["A", "A/x", "a%", "a%/x"]


def test_a_folder_goes_with_all_it_holds(place: _Place) -> None:
    for path in ("a/1", "a/b/2", "ab"):
        place.files.write(place.ann, place.node, path, b"x")
    place.files.delete(place.ann, place.node, "a/")
    assert place.paths() == ["ab"]
    assert len(place.stored()) == 1


def test_files_and_folders_do_not_change_places(place: _Place) -> None:
    place.files.write(place.ann, place.node, "a/x", b"1")
    with pytest.raises(AlreadyExists, match="a is a folder"):
        place.files.write(place.ann, place.node, "a", b"2")
    with pytest.raises(AlreadyExists, match="a/x is a file"):
        place.files.write(place.ann, place.node, "a/x/y", b"3")
    with pytest.raises(InvalidValue, match="a/x is a file"):
        place.files.list(place.ann, place.node, "a/x")
    with pytest.raises(InvalidValue, match="a is a folder"):
        place.files.read(place.ann, place.node, "a")
    assert place.paths() == ["a", "a/x"]
    assert len(place.stored()) == 1


def test_what_is_not_there(place: _Place) -> None:
    assert place.files.find(place.ann, place.node, "x") is None
    for attempt in (
        lambda: place.files.read(place.ann, place.node, "x"),
        lambda: place.files.delete(place.ann, place.node, "x"),
        lambda: place.files.list(place.ann, place.node, "x"),
        lambda: place.files.list(place.ann, NodeId(99)),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_viewers_read_and_strangers_see_nothing(place: _Place) -> None:
    place.files.write(place.ann, place.node, "x", b"1")
    for attempt in (
        lambda: place.files.write(place.bob, place.node, "x", b"2"),
        lambda: place.files.delete(place.bob, place.node, "x"),
    ):
        with pytest.raises(PermissionDenied):
            attempt()
    for attempt in (
        lambda: place.files.write(place.eve, place.node, "x", b"2"),
        lambda: place.files.delete(place.eve, place.node, "x"),
        lambda: place.files.read(place.eve, place.node, "x"),
        lambda: place.files.list(place.eve, place.node),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert place.files.read(place.bob, place.node, "x") == b"1"
    assert len(place.stored()) == 1


def test_all_files_together_have_a_limit(place: _Place) -> None:
    place.files.write(place.ann, place.node, "x", b"1" * _LIMIT)
    with pytest.raises(TooLarge):
        place.files.write(place.ann, place.node, "y", b"1")
    place.files.write(place.ann, place.node, "x", b"2" * _LIMIT)  # in place of the first
    assert place.paths() == ["x"]
    assert len(place.stored()) == 1


def test_files_go_with_their_notebook(place: _Place) -> None:
    place.files.write(place.ann, place.node, "a/x", b"1")
    place.workspace.delete(place.ann, "/Users/ann/n")
    assert place.stored() == []
    with pytest.raises(NotFound):
        place.files.list(place.ann, place.node)


def test_writes_at_once_lose_none(place: _Place) -> None:
    names = [f"f/{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: place.files.write(place.ann, place.node, name, b"x"), names))
    assert place.paths() == ["f", *sorted(names)]


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../x",
        "a/..",
        "/..",
        "a\x00b",
        "a\nb",
        "\ud800",
        "x" * 256,
        "/".join(["x" * 200] * 6),
    ],
)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(InvalidValue):
        check_attachment_path(path)


@pytest.mark.parametrize("path", ["", "/", ".", "//."])
def test_the_root_is_no_file(path: str) -> None:
    assert check_attachment_path(path, allow_root=True) == ""
    with pytest.raises(MissingField):
        check_attachment_path(path)
