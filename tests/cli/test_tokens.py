from __future__ import annotations

import re
from pathlib import Path

import pytest

from quire.cli.common import open_stored, settings_of
from quire.clock import SystemClock
from quire.errors import InvalidCredential
from quire.identity.principals import Principals
from quire.identity.tokens import Tokens
from quire.store.blobs import BlobStore
from quire.workspace.formats.document import code_cell, new_notebook
from quire.workspace.tree import Workspace
from tests.cli.conftest import Quire


def test_prints_a_token_alone_that_works_until_it_is_revoked(quire: Quire, data_dir: Path) -> None:
    quire("user", "create", "ann")
    result = quire("token", "create", "--user", "Ann", "--expires-in", "30d", "--comment", "laptop")
    assert result.exit_code == 0
    text = result.stdout.removesuffix("\n")
    assert re.fullmatch(r"quire_\w{43}", text)
    assert re.fullmatch(r"Token 1 of ann, expires: \S+ \S+\n", result.stderr)
    listed = quire("token", "list")
    assert text not in listed.output
    assert "laptop" in listed.stdout
    with open_stored(settings_of(data_dir, None)) as database:
        tokens = Tokens(database, SystemClock())
        assert tokens.authenticate(text).name == "ann"
        assert quire("token", "revoke", "1").stdout == "Revoked token 1 of ann.\n"
        with pytest.raises(InvalidCredential):
            tokens.authenticate(text)
    assert quire("token", "list").stdout.splitlines()[1:] == []


def test_lists_the_tokens_of_one_user(quire: Quire) -> None:
    for name in ("ann", "bob"):
        quire("user", "create", name)
        quire("token", "create", "--user", name)
    assert len(quire("token", "list").stdout.splitlines()) == 3
    line = quire("token", "list", "--user", "bob").stdout.splitlines()[1]
    assert line.split()[:2] == ["2", "bob"]
    assert "never" in line


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["token", "create", "--user", "nobody"], 1, "Principal nobody does not exist."),
        (["token", "create", "--user", "staff"], 1, "groups have no tokens"),
        (["token", "create", "--user", "ann", "--expires-in", "soon"], 1, "--expires-in"),
        (["token", "create"], 2, "--user"),
        (["token", "revoke", "7"], 1, "Token 7 does not exist."),
        (["token", "revoke", "x"], 2, "ID"),
        (["token", "list", "--user", "nobody"], 1, "Principal nobody does not exist."),
    ],
)
def test_says_what_is_wrong(quire: Quire, arguments: list[str], code: int, said: str) -> None:
    quire("user", "create", "ann")
    quire("group", "create", "staff")
    result = quire(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


def test_scopes(quire: Quire, data_dir: Path) -> None:
    quire("user", "create", "ann")
    with open_stored(settings_of(data_dir, None)) as database:
        clock = SystemClock()
        ann = Principals(database, clock).get_by_name("ann")
        blobs = BlobStore.open("", data_dir / "blobs")
        workspace = Workspace(database, blobs, clock)
        workspace.ensure_roots()
        notebook = new_notebook("python", "plain", [code_cell("1")])
        node = workspace.import_notebook(ann, "/Users/ann/n", notebook, make_parents=True)

        def scopes(*options: str) -> set[str] | None:
            result = quire("token", "create", "--user", "ann", *options)
            assert result.exit_code == 0, result.stderr
            found = Tokens(database, clock).authenticate(result.stdout.strip()).scopes
            return None if found is None else set(found)

        assert scopes() is None
        assert scopes("--scope", "workspace:read", "--scope", "basic") == {
            "workspace:read",
            "basic",
        }
        bound = f"notebook:full:{node.uid.hex}"
        assert scopes("--notebook", "/Users/ann/n") == {bound}
        read = scopes("--scope", "notebook:read", "--notebook", "/Users/ann/n")
        assert read == {f"notebook:read:{node.uid.hex}"}
    assert quire("token", "list").stdout.splitlines()[2].split()[-2] == "basic,workspace:read"
    for options in (
        ("--scope", "everything"),
        ("--scope", "user", "--notebook", "/Users/ann/n"),
        ("--notebook", "/Users/ann/m"),
        ("--notebook", "/Users/ann"),
    ):
        assert quire("token", "create", "--user", "ann", *options).exit_code != 0
