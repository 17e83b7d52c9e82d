from __future__ import annotations

import pytest

from quire.compute.submit_arguments import (
    SubmitOption,
    bound_memory,
    read_submit_arguments,
    replace_files,
)


@pytest.mark.parametrize(
    ("words", "options", "resource", "rest"),
    [
        ([], [], None, ()),
        (["a.jar", "--master", "x"], [], "a.jar", ("--master", "x")),
        (
            ["--class", "a.B", "--conf=k=v", "-v", "a.jar"],
            [("--class", "a.B"), ("--conf", "k=v"), ("-v", None)],
            "a.jar",
            (),
        ),
        (["--supervise", "--jars", "a,b"], [("--supervise", None), ("--jars", "a,b")], None, ()),
        (["--class"], [("--class", None)], None, ()),
    ],
)
def test_the_first_word_that_is_no_option_is_run(
    words: list[str],
    options: list[tuple[str, str | None]],
    resource: str | None,
    rest: tuple[str, ...],
) -> None:
    read = read_submit_arguments(words)
    assert [(each.name, each.value) for each in read.options] == options
    assert (read.resource, read.words) == (resource, rest)


def test_options_know_where_they_stand_and_what_they_set() -> None:
    words = ["-v", "--conf", "spark.master = local", "-c", "a=b", "--conf", "x.jar"]
    options = read_submit_arguments(words).options
    assert [each.index for each in options] == [0, 1, 3, 5]
    assert [each.property_name for each in options] == [None, "spark.master", "a", "x.jar"]
    assert SubmitOption("--files", "a=b", 0).property_name is None


def test_files_are_replaced_wherever_they_are_named() -> None:
    words = ["--jars=a,b", "--files", "c#alias", "--class", "a", "m.jar", "a"]
    replaced = replace_files(read_submit_arguments(words), lambda location: f"/x/{location}")
    assert replaced.render() == (
        "--jars", "/x/a,/x/b", "--files", "/x/c#alias", "--class", "a", "/x/m.jar", "a",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "given"),
    [("512m", "512m"), ("64g", "1024m"), ("2048", "1024m"), ("1048576k", "1024m"), ("x", "x")],
)
def test_no_more_memory_than_there_is(wanted: str, given: str) -> None:
    words = ["--driver-memory", wanted, "--driver-cores", "9999", "a.jar", "--driver-memory"]
    bounded = bound_memory(read_submit_arguments(words), {"--driver-memory": 1024**3})
    assert bounded.render() == ("--driver-memory", given, *words[2:])
