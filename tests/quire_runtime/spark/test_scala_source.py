from __future__ import annotations

import pytest

from quire_runtime.spark.scala_source import parts_of


def texts(code: str) -> list[str]:
    return [part.text for part in parts_of(code)]


@pytest.mark.parametrize("code", ["", "  \n", "// only\n", "/* only\n */ // more"])
def test_a_cell_of_comments_has_no_parts(code: str) -> None:
    assert texts(code) == []


@pytest.mark.parametrize(
    "code",
    [
        "val a = 1\na + 1",
        "def f(x: Int) = {\n  class Inner\n  x\n}",
        'val text = "class Not"\nprintln(text)',
        "val names = List(\n  1,\n  2)\n",
        "def f(p: P) = p.x\ncase class P(x: Int)",  # used before it is defined
        "val x = '{'\nval y = 2",
    ],
)
def test_most_cells_are_one_part(code: str) -> None:
    assert texts(code) == [code]


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("case class P(x: Int)\nval p = P(1)", ["case class P(x: Int)\n", "\nval p = P(1)"]),
        (
            "import a.b\nfinal case class P(\n  x: Int\n) extends Q {\n  def y = 1\n}\nP(1)",
            [
                "import a.b\n",
                "\nfinal case class P(\n  x: Int\n) extends Q {\n  def y = 1\n}\n",
                "\n\n\n\n\n\nP(1)",
            ],
        ),
        (
            "class A\n\nobject A { val x = 1 }\nA.x",  # companions stay together
            ["class A\n\nobject A { val x = 1 }\n", "\n\n\nA.x"],
        ),
        ("trait T; val x = 1", ["trait T;", " val x = 1"]),
        ("object O extends\n  Base\nO.x", ["object O extends\n  Base\n", "\n\nO.x"]),
    ],
)
def test_definitions_are_parts_that_keep_their_lines(code: str, parts: list[str]) -> None:
    assert texts(code) == parts


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("try 1 finally spark.stop()\nx", "try 1 finally ()          \nx"),
        ("sc.stop( )", "()        "),
        ('println("spark.stop()") // sc.stop()', 'println("spark.stop()") // sc.stop()'),
        ("my.spark.stop()", "my.spark.stop()"),
        ("query.stop()", "query.stop()"),
    ],
)
def test_the_end_of_a_program_of_its_own_is_left_out(code: str, text: str) -> None:
    assert texts(code) == [text]
