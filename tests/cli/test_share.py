from __future__ import annotations

from pathlib import Path

import pytest

from quire.cli.common import open_stored, settings_of
from quire.clock import SystemClock
from quire.identity.permissions import Right
from quire.identity.principals import Principals
from quire.store.blobs import BlobStore
from quire.workspace.tree import Workspace
from tests.cli.conftest import Quire

_PATH = "/Users/ann/report"


@pytest.fixture
def shared(quire: Quire, data_dir: Path) -> None:
    quire("group", "create", "staff")
    quire("user", "create", "ann")
    quire("user", "create", "bob", "--group", "staff")
    settings = settings_of(data_dir, None)
    with open_stored(settings) as database:
        blobs = BlobStore.open("", settings.blobs_dir)
        ann = Principals(database, SystemClock()).get_by_name("ann")
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
        Workspace(database, blobs, SystemClock()).import_notebook(ann, _PATH, notebook)


def _right_of(name: str, data_dir: Path) -> Right | None:
    settings = settings_of(data_dir, None)
    with open_stored(settings) as database:
        principals = Principals(database, SystemClock())
        workspace = Workspace(database, BlobStore.open("", settings.blobs_dir), SystemClock())
        node = workspace.get(principals.get_by_name("ann"), _PATH)
        return workspace.right_of(principals.get_by_name(name), node)


@pytest.mark.usefixtures("shared")
def test_gives_and_takes_rights(quire: Quire, data_dir: Path) -> None:
    for right in Right:
        result = quire("share", _PATH, "--user", "bob", "--as", right.value)
        assert (result.exit_code, result.stdout) == (0, f"bob is {right} of {_PATH}.\n")
        assert _right_of("bob", data_dir) is right
    assert quire("share", _PATH, "--group", "staff", "--as", "viewer").exit_code == 0
    taken = quire("share", _PATH, "--user", "bob", "--as", "none")
    assert taken.stdout.startswith(f"bob is still viewer of {_PATH}:")
    taken = quire("share", _PATH, "--group", "staff", "--as", "none")
    assert taken.stdout == f"staff has no right to {_PATH}.\n"
    assert _right_of("bob", data_dir) is None


@pytest.mark.usefixtures("shared")
def test_shares_with_everybody(quire: Quire, data_dir: Path) -> None:
    result = quire("share", _PATH, "--everybody", "--as", "viewer")
    assert (result.exit_code, result.stdout) == (
        0,
        f"Everybody has the right of viewer to {_PATH}.\n",
    )
    assert _right_of("bob", data_dir) is Right.VIEWER
    result = quire("share", _PATH, "--everybody", "--as", "none")
    assert result.stdout == f"Everybody has no right to {_PATH}.\n"
    assert _right_of("bob", data_dir) is None


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([_PATH, "--everybody", "--as", "owner"], 1, "Allowed values: editor, viewer."),
        ([_PATH, "--everybody", "--user", "bob", "--as", "viewer"], 1, "either"),
        (["/none", "--user", "bob", "--as", "viewer"], 1, "Path /none does not exist."),
        (["none", "--user", "bob", "--as", "viewer"], 1, "not absolute"),
        ([_PATH, "--user", "eve", "--as", "viewer"], 1, "User eve does not exist."),
        ([_PATH, "--user", "staff", "--as", "viewer"], 1, "User staff does not exist."),
        ([_PATH, "--as", "viewer"], 1, "--group"),
        ([_PATH, "--user", "bob", "--group", "staff", "--as", "viewer"], 1, "either"),
        ([_PATH, "--user", "bob", "--as", "king"], 2, "king"),
        ([_PATH, "--user", "bob"], 2, "--as"),
    ],
)
def test_says_what_is_wrong(quire: Quire, arguments: list[str], code: int, said: str) -> None:
    result = quire("share", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
