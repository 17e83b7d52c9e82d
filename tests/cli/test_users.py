from __future__ import annotations

import pytest

from tests.cli.conftest import Quire


def test_makes_and_lists_users(quire: Quire) -> None:
    assert quire("group", "create", "staff").exit_code == 0
    assert quire("group", "create", "night").exit_code == 0
    result = quire("user", "create", "ann", "--group", "staff", "--group", "night")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Created user ann.")
    assert quire("user", "create", "root@example.com", "--admin").exit_code == 0
    lines = quire("user", "list").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["NAME", "ROLE", "GROUPS", "STATE"],
        ["ann", "member", "night,staff", "active"],
        ["root@example.com", "admin", "-", "active"],
    ]


def test_disables_and_enables(quire: Quire) -> None:
    quire("user", "create", "ann")
    assert quire("user", "disable", "ANN").stdout == "Disabled user ann.\n"
    assert "disabled" in quire("user", "list").stdout
    assert quire("user", "enable", "ann").stdout == "Enabled user ann.\n"
    assert "disabled" not in quire("user", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["user", "create", "Ann"], "There is a user named ann already."),
        (["user", "create", "a/b"], "contains a slash"),
        (["user", "create", ""], "Missing required field: name"),
        (["user", "create", "bob", "--group", "ghosts"], "Group ghosts does not exist."),
        (["user", "disable", "bob"], "Principal bob does not exist."),
        (["group", "create", "ann"], "There is a user named ann already."),
        (["group", "add", "ghosts", "ann"], "Group ghosts does not exist."),
    ],
)
def test_says_in_one_line_what_is_wrong(quire: Quire, arguments: list[str], said: str) -> None:
    quire("user", "create", "ann")
    result = quire(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("quire: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_fills_groups(quire: Quire) -> None:
    quire("group", "create", "staff")
    quire("user", "create", "ann")
    assert quire("group", "add", "staff", "ann").stdout == "ann belongs to group staff.\n"
    lines = quire("group", "list").stdout.splitlines()
    assert [line.split() for line in lines] == [["NAME", "MEMBERS"], ["staff", "ann"]]


def test_works_on_postgresql(quire: Quire, postgresql_url: str) -> None:
    there = ["--database-url", postgresql_url]
    assert quire("user", "create", "ann", *there).exit_code == 0
    assert "ann" in quire("user", "list", *there).stdout
    token = quire("token", "create", "--user", "ann", *there)
    assert (token.exit_code, len(token.stdout.split())) == (0, 1)
