from __future__ import annotations

import pytest

from tests.cli.conftest import Quire


@pytest.fixture
def cluster(quire: Quire) -> str:
    """A cluster of ann's, with the label ``etl``."""
    quire("user", "create", "ann")
    result = quire("cluster", "create", "nightly", "--owner", "ann", "--label", "etl")
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.strip()


def test_makes_lists_and_shows(quire: Quire, cluster: str) -> None:
    lines = quire("cluster", "list").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["ID", "NAME", "STATE", "WORKERS", "OWNER", "LABELS"],
        [cluster, "nightly", "running", "0", "ann", "etl"],
    ]
    shown = {
        line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1].strip()
        for line in quire("cluster", "show", "etl").stdout.splitlines()
    }
    assert (shown["id"], shown["state"], shown["owner"]) == (cluster, "running", "ann")
    assert shown["ends"] == "when idle for  7200 s"


def test_every_option_of_a_definition(quire: Quire, cluster: str) -> None:
    options = ("--workers", "1-3", "--conf", "a=b=c", "--env", "X=y", "--idle", "0", "--stopped")
    made = quire("cluster", "create", "big", "--owner", "ann", *options).stdout.strip()
    shown = quire("cluster", "show", made).stdout
    for text in ("terminated", "1-3 (0 run)", "spark_conf a", "b=c", "environment X", "never"):
        assert text in shown
    changed = quire("cluster", "edit", made, "--workers", "2", "--name", "huge", "--label", "x")
    assert changed.stdout == f"Cluster {made} is terminated.\n"
    shown = quire("cluster", "show", "x").stdout
    assert "huge" in shown
    assert "b=c" in shown
    assert "2 (0 run)" in shown


def test_life(quire: Quire, cluster: str) -> None:
    for command, state in (
        ("restart", "restarting"),
        ("delete", "terminated"),
        ("start", "running"),
    ):
        assert quire("cluster", command, "etl").stdout == f"Cluster {cluster} is {state}.\n"
    assert quire("cluster", "resize", cluster, "2").stdout == f"Cluster {cluster} is restarting.\n"
    assert quire("cluster", "pin", cluster).stdout == f"Pinned cluster {cluster}.\n"
    assert quire("cluster", "unpin", cluster).stdout == f"Unpinned cluster {cluster}.\n"
    lines = quire("cluster", "events", cluster, "--limit", "3").stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["unpinned", "pinned", "restarting"]
    assert "the operator" in lines[1]
    assert quire("cluster", "permanent-delete", "etl").stdout == f"Removed cluster {cluster}.\n"
    assert len(quire("cluster", "list").stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "a", "--owner", "ghost"], "Principal ghost does not exist."),
        (["create", "a", "--owner", "ann", "--workers", "x"], "'x' is neither a number"),
        (["create", "a", "--owner", "ann", "--conf", "x"], "'x' is not of the form NAME=VALUE"),
        (["create", "a", "--owner", "ann", "--conf", "a=1", "--conf", "a=2"], "'a' is given twice"),
        (["create", "a", "--owner", "analysts"], "groups own no clusters"),
        (["create", "a\nb", "--owner", "ann"], "contains a control character"),
        (["create", "a", "--owner", "ann", "--idle", "x"], "'x' is no lifetime"),
        (["create", "a", "--owner", "ann", "--label", "etl"], "Label etl is already in use"),
        (["create", "a", "--owner", "ann", "--master", "x"], "spark://, yarn, k8s://, sc://"),
        (["start", "etl"], "unexpected state Running"),
        (["show", "nothing"], "Cluster nothing does not exist"),
    ],
)
def test_errors_are_one_line(quire: Quire, cluster: str, arguments: list[str], said: str) -> None:
    quire("group", "create", "analysts")
    result = quire("cluster", *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_sharing(quire: Quire, cluster: str) -> None:
    quire("user", "create", "bob")
    quire("group", "create", "data")
    answer = quire("cluster", "share", "etl", "--user", "bob", "--as", "attach")
    assert answer.stdout == f"bob has the right 'attach' to cluster {cluster}.\n"
    quire("cluster", "share", "etl", "--user", "bob", "--as", "restart")
    quire("cluster", "share", "etl", "--group", "data", "--as", "manage")
    lines = [line.split() for line in quire("cluster", "show", "etl").stdout.splitlines()]
    assert ["shared", "with", "bob", "restart"] in lines
    assert ["shared", "with", "data", "manage"] in lines
    answer = quire("cluster", "share", "etl", "--user", "bob", "--as", "none")
    assert answer.stdout == f"bob may not use cluster {cluster}.\n"
    assert "bob" not in quire("cluster", "show", "etl").stdout
    for wrong, why in (
        (("--as", "attach"), "Share either with a --user or with a --group."),
        (("--user", "nobody", "--as", "attach"), "nobody"),
        (("--user", "bob", "--as", "own"), "'attach', 'restart', 'manage', 'none'"),
    ):
        result = quire("cluster", "share", "etl", *wrong)
        assert result.exit_code != 0
        assert why in result.stderr
