"""SQL and Scala cells, and frames as outputs, on a real driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from quire.compute.spark_driver import SparkDriver
from quire_runtime.bootstrap import EXIT_MIME
from quire_runtime.tables import TABLE_MIME
from tests.quire_runtime.spark.conftest import Notebook, attached
from tests.spark import until

COMPILE = "ScalaCompileError"
DIVISION = "java.lang.ArithmeticException"


@pytest.fixture(scope="module")
def scala(spark_driver: SparkDriver) -> Iterator[Notebook]:
    with attached(spark_driver) as made:
        yield made


# -- SQL ------------------------------------------------------------------------------------


def test_the_last_result_is_shown_and_kept(notebook: Notebook) -> None:
    reply = notebook.run(
        "%sql\ncreate or replace temp view numbers as select id from range(3);\n"
        "select 'first; not last' as a;\n"
        "select id + 1 as next, string(id) as text from numbers order by id"
    )
    (shown,) = [each for each in reply.displays if "text/html" in each]
    assert shown[TABLE_MIME]["data"] == [
        {"next": 1, "text": "0"},
        {"next": 2, "text": "1"},
        {"next": 3, "text": "2"},
    ]
    assert shown["text/plain"] == "next  text\n1     0\n2     1\n3     2"
    assert notebook.value("[_sqldf.count(), spark.table('numbers').count()]") == [3, 3]
    assert notebook.run("%sql drop view numbers").displays == [{"text/plain": "OK"}]
    assert notebook.run("%sql\n-- nothing").outputs == []


def test_a_failing_statement_ends_the_cell(notebook: Notebook) -> None:
    reply = notebook.run("%sql\nselect 1;\nselect assert_true(1 = 2, 'not so');\nselect 2")
    assert reply.status == "error"
    assert "not so" in (reply.evalue or "")
    assert [each for each in reply.displays if "text/html" in each] == []
    assert notebook.run("%sql select nope").ename == "AnalysisException"
    assert notebook.run("%sql selec 1").ename == "ParseException"


def test_widgets_in_sql(notebook: Notebook) -> None:
    notebook.run("dbutils.widgets.text('city', \"L'Aquila\")\ndbutils.widgets.text('n', '2')")
    notebook.run(
        "%sql select :city as a, getArgument('city') as b, \"${city}\" as c, $n + 1 as d, "
        "'${spark.app.name}' as e"
    )
    assert notebook.value("list(_sqldf.first())")[:4] == ["L'Aquila"] * 3 + [3]
    notebook.run("dbutils.widgets.removeAll()")


# -- frames ---------------------------------------------------------------------------------


def test_a_frame_at_the_end_of_a_cell_is_a_table(notebook: Notebook) -> None:
    reply = notebook.run("spark.createDataFrame([(1, 'é<b>', None)], 'a int, b string, c date')")
    output = reply.outputs[-1]
    assert "<td>é&lt;b&gt;</td>" in output["data"]["text/html"]
    assert output["data"]["text/plain"] == "a  b     c\n1  é<b>  null"


def test_long_frames_say_that_they_are_cut(notebook: Notebook) -> None:
    bare = notebook.run("spark.range(100000)").outputs[-1]["data"]
    assert bare["text/html"].endswith("<p>Showing the first 1000 rows.</p>")
    whole = notebook.run("display(spark.range(100000))").displays[-1]
    assert whole["text/html"].endswith("<p>Showing the first 10000 rows.</p>")
    assert "9980 or more further rows" in whole["text/plain"]
    exact = notebook.run("display(spark.range(10000))").displays[-1]
    assert "Showing" not in exact["text/html"]


def test_nested_values_are_json(notebook: Notebook) -> None:
    reply = notebook.run(
        "display(spark.sql(\"select array(1, 2) as a, named_struct('x', 1, 'y', date'2020-01-02')"
        " as s, map('k', 1) as m, X'0AFF' as b, 1.50 as d, timestamp'2020-01-02 03:04:05' as t\"))"
    )
    assert reply.displays[-1][TABLE_MIME]["data"] == [
        {
            "a": "[1, 2]",
            "s": '{"x": 1, "y": "2020-01-02"}',
            "m": '{"k": 1}',
            "b": "0aff",
            "d": "1.50",
            "t": "2020-01-02T03:04:05",
        }
    ]


def test_a_frame_that_cannot_be_computed(notebook: Notebook) -> None:
    broken = "spark.range(1).selectExpr('raise_error(\"no\") as x')"
    reply = notebook.run(broken)
    assert reply.status == "ok"
    assert "Its rows cannot be shown" in reply.result
    assert notebook.run(f"display({broken})").status == "error"
    stream = "spark.readStream.format('rate').load()"
    assert notebook.run(stream).result == "DataFrame[timestamp: timestamp, value: bigint]"


# -- Scala ----------------------------------------------------------------------------------


def test_values_are_shown_and_kept(scala: Notebook) -> None:
    reply = scala.run('%scala\nval a = 20\nval b = a + 1\nprintln(s"é $b")\na + b')
    assert reply.stdout == "é 21\nval a: Int = 20\nval b: Int = 21\nval res0: Int = 41\n"
    assert scala.run("%scala a * 2").stdout == "val res1: Int = 40\n"
    assert scala.run("%scala\n// nothing").outputs == []


def test_output_comes_while_the_cell_runs(scala: Notebook) -> None:
    started = scala.start('%scala\nprintln("early")\nThread.sleep(600000)')
    while True:
        message = scala.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream" and "early" in message["content"]["text"]:
            break
    scala.interrupt()
    assert scala.finish(started).ename == "KeyboardInterrupt"
    # Its end, which takes the compiler a moment, does not get in the way of the next cell.
    assert scala.run("%scala 1 + 1").stdout.endswith("Int = 2\n")


def test_views_are_shared_both_ways(scala: Notebook) -> None:
    scala.run("spark.range(4).createOrReplaceTempView('from_python')")
    reply = scala.run(
        '%scala\nval n = spark.table("from_python").count()\n'
        'spark.range(n * 2).createOrReplaceTempView("from_scala")'
    )
    assert reply.stdout == "val n: Long = 4\n"
    assert scala.value("spark.table('from_scala').count()") == 8


def test_classes_of_a_cell_reach_executors(scala: Notebook) -> None:
    reply = scala.run(
        "%scala\ncase class Point(x: Int)\nval offset = 10\n"
        "println(Seq(Point(1), Point(2)).toDS.map(p => Point(p.x + offset)).collect().toList)\n"
        "println(sc.parallelize(Seq(Point(3))).map(p => Point(p.x + offset)).collect().toList)"
    )
    assert reply.status == "ok", reply.evalue
    assert "List(Point(11), Point(12))\nList(Point(13))\n" in reply.stdout


def test_two_runs_have_scala_values_of_their_own(
    scala: Notebook, make_notebook: Callable[..., Notebook]
) -> None:
    other = make_notebook()
    one = "%scala\ncase class Same(x: {0})\nval mine = Seq(Same({1})).toDS.map(s => s).head.x"
    assert "mine: Int = 1" in scala.run(one.format("Int", "1")).stdout
    assert "mine: String = a" in other.run(one.format("String", '"a"')).stdout
    assert scala.run("%scala mine").stdout.endswith("Int = 1\n")
    assert other.run("%scala offset").ename == COMPILE


@pytest.mark.parametrize(
    ("code", "name", "message", "line"),
    [
        ("val x = 1\nval y: Int = \"a\"", COMPILE, "type mismatch; (line 2)", "On line 2"),
        ("nope", COMPILE, "not found: value nope (line 1)", "nope"),
        ("class Z\n\nnew Z().y", COMPILE, "value y is not a member of Z (line 3)", "On line 3"),
        ("val open = (1", COMPILE, "The cell ends in the middle of a statement.", ""),
        ("def f(x: Int) = {\n  x / 0\n}\nf(1)", DIVISION, "/ by zero", "f(<console>:2)"),
        ("throw new RuntimeException(\"a\\nb\")", "java.lang.RuntimeException", "a\nb", "a"),
    ],
)  # fmt: skip
def test_errors_are_those_of_the_cell(
    scala: Notebook, code: str, name: str, message: str, line: str
) -> None:
    reply = scala.run(f"%scala\n{code}")
    assert (reply.status, reply.ename, reply.evalue) == ("error", name, message)
    assert line in reply.traceback
    assert "python" not in reply.traceback.lower()


def test_an_error_in_an_executor_tells_its_cause(scala: Notebook) -> None:
    reply = scala.run("%scala spark.range(3).map(x => 1 / x).collect()")
    assert reply.ename == "org.apache.spark.SparkException"
    assert "/ by zero" in (reply.evalue or "")


def test_the_notebooks_utilities_in_scala(scala: Notebook) -> None:
    scala.run("dbutils.widgets.text('from_python', 'p')")
    reply = scala.run(
        '%scala\ndbutils.widgets.text("from_scala", "s")\n'
        'println(dbutils.widgets.get("from_python") + dbutils.widgets.get("from_scala") +\n'
        '  getArgument("nobody", "d"))\n'
        'display(spark.range(2))\ndisplayHTML("<b>x</b>")'
    )
    assert reply.stdout.startswith("psd\n")
    assert [next(iter(each)) for each in reply.displays] == ["text/html", "text/html"]
    assert scala.value("dbutils.widgets.get('from_scala')") == "s"
    missing = scala.run('%scala dbutils.widgets.get("nobody")')
    assert missing.ename == "java.util.NoSuchElementException"
    assert "InputWidgetNotDefined: No input widget named nobody" in (missing.evalue or "")
    ended = scala.run('%scala\ndbutils.notebook.exit("bye")\nprintln("never")')
    assert ended.ename == "NotebookExit"
    assert {EXIT_MIME: {"value": "bye"}} in ended.displays
    assert ended.stdout == ""


def test_a_view_of_the_jobs_of_scala(scala: Notebook, spark_driver: SparkDriver) -> None:
    started = scala.start("%scala spark.range(2).map { x => Thread.sleep(600000); x }.count()")
    until(lambda: [job for job in spark_driver.status().jobs if job.group == scala.group])
    scala.interrupt()
    assert scala.finish(started).ename == "KeyboardInterrupt"
