"""A notebook and the driver it is attached to: real kernels, a real JVM."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from quire.compute.spark_driver import SparkDriver
from quire_runtime.spark.attachment import ATTACHED_MIME
from tests.quire_runtime.conftest import Kernel
from tests.quire_runtime.spark.conftest import Notebook, Server, attached, place
from tests.spark import SparkPlace, until

SLEEP = "__import__('time').sleep(600)"


def active_jobs(driver: SparkDriver, group: str) -> int:
    return sum(job.group == group for job in driver.status().jobs)


def test_nothing_of_spark_is_there_until_it_is_used(
    make_notebook: Callable[..., Notebook],
) -> None:
    notebook = make_notebook()
    loaded = "[m for m in __import__('sys').modules if m.partition('.')[0] in ('pyspark', 'py4j')]"
    assert notebook.value(loaded) == []
    reply = notebook.run("def helper():\n    return spark.range(3).count()\nx = 1")
    assert (reply.status, reply.outputs) == ("ok", [])  # a definition uses nothing
    assert notebook.value(loaded) == []
    reply = notebook.run("print(helper())")
    assert reply.stdout == "3\n"
    assert reply.displays == [{ATTACHED_MIME: {}}]  # told the runner, once
    assert notebook.run("print(helper())").displays == []


def test_names_are_the_things_themselves(notebook: Notebook) -> None:
    assert notebook.value(
        "[f'{type(each).__module__}.{type(each).__qualname__}' for each in (spark, sc, sqlContext)]"
    ) == [
        "pyspark.sql.session.SparkSession",
        "pyspark.core.context.SparkContext",
        "pyspark.sql.context.SQLContext",
    ]
    assert notebook.value("sc.parallelize(range(10), 2).map(lambda x: x * 2).sum()") == 90
    assert notebook.value("sql('select 1 as a').first().a") == 1
    notebook.run("@udf('int')\ndef double(x):\n    return x * 2")
    assert notebook.run("spark.range(2).select(double('id')).collect()").result.count("=") == 2
    assert notebook.run("%who").stdout.strip() != ""  # what the notebook made, and not ours
    assert "spark" not in notebook.run("%who").stdout.split()


def test_the_builder_gives_the_session_of_the_run(make_notebook: Callable[..., Notebook]) -> None:
    notebook = make_notebook()
    reply = notebook.run(
        "from pyspark.sql import SparkSession\n"
        "mine = SparkSession.builder.appName('x').master('local[7]')"
        ".config('spark.sql.shuffle.partitions', '3').getOrCreate()"
    )
    assert reply.status == "ok", reply.evalue
    assert notebook.value("[mine is spark, SparkSession.getActiveSession() is spark]") == [True] * 2
    assert notebook.value("[sc.master, spark.conf.get('spark.sql.shuffle.partitions')]") == [
        "local[2]",
        "3",
    ]
    again = "__import__('pyspark').SparkContext.getOrCreate() is sc"
    assert notebook.value(again) is True


def test_an_active_session_is_there_for_notebooks(make_notebook: Callable[..., Notebook]) -> None:
    notebook = make_notebook()
    code = (
        "from pyspark.sql import SparkSession\nprint(SparkSession.getActiveSession().version[:2])"
    )
    assert notebook.run(code).stdout == "4.\n"


@pytest.mark.parametrize(
    "code",
    [
        "sc = 5\nsc + 1",
        "from math import tau as table\ntable",
        "def f(spark):\n    return spark\nf(1)",
        "[sql for sql in (1, 2)]",
        "class Report:\n    table = 1\n    def show(self):\n        return self.table\nReport()",
        "def f():\n    return table\ntable = 2\nf()",
    ],
)
def test_a_name_of_the_notebooks_own_is_not_spark(shared_kernel: Kernel, code: str) -> None:
    reply = shared_kernel.run(code)  # has no server, so Spark would be an error
    shared_kernel.run("%reset -f")
    assert reply.status == "ok", reply.evalue


@pytest.mark.parametrize(
    "code",
    [
        "if 'spark' in globals():\n    print(spark.range(1).count())",
        "%%time\nprint(spark.range(1).count())",
        "%%prun -q\nprint(spark.range(1).count())",
        "class Job:\n    def run(self):\n        print(spark.range(1).count())\nJob().run()",
        "def inner():\n    print(spark.range(1).count())\ndef outer():\n    inner()\nouter()",
        "from __future__ import annotations\nprint(spark.range(1).count())",
        "import asyncio\nawait asyncio.sleep(0)\nprint(spark.range(1).count())",
        "print((lambda: spark.range(1).count())())",
    ],
)
def test_uses_that_are_not_plain_to_see(make_notebook: Callable[..., Notebook], code: str) -> None:
    reply = make_notebook().run(code)
    assert reply.stdout.startswith("1\n"), (reply.evalue, reply.stdout)


def test_what_the_notebook_can_read_of_its_cluster(notebook: Notebook) -> None:
    notebook.run("tags = 'spark.databricks.clusterUsageTags.'")
    names = "('clusterId', 'clusterName', 'sparkVersion')"
    assert notebook.value(f"[spark.conf.get(tags + each) for each in {names}]") == [
        "0101-000000-abcdefgh",
        "mine",
        "15.4.x-scala2.13",
    ]
    notebook.run("import os, sys")
    assert notebook.value("os.environ['SPARK_HOME']") == "/somewhere/spark"
    assert notebook.value("[os.environ['PYSPARK_PYTHON'] == sys.executable]") == [True]
    assert notebook.value("[name for name in os.environ if 'GATEWAY' in name]") == []
    assert notebook.run("%sh env | grep -c GATEWAY").stdout == "0\n"


def test_two_runs_share_nothing(make_notebook: Callable[..., Notebook]) -> None:
    one, other = make_notebook(), make_notebook()
    one.run("spark.range(3).createOrReplaceTempView('mine')\nspark.conf.set('my.own', 'x')")
    assert one.value("spark.table('mine').count()") == 3
    reply = other.run("spark.table('mine')")
    assert reply.ename == "AnalysisException"
    assert "TABLE_OR_VIEW_NOT_FOUND" in (reply.evalue or "")
    assert other.value("spark.conf.get('my.own', 'none')") == "none"


def test_two_runs_of_one_session_tag_share_the_session(
    make_notebook: Callable[..., Notebook],
) -> None:
    one, other = make_notebook(session_key="ours"), make_notebook(session_key="ours")
    one.run("spark.range(3).createOrReplaceTempView('shared_view')\nx = 1")
    assert other.value("spark.table('shared_view').count()") == 3
    assert other.run("x").ename == "NameError"
    one.run("spark.stop()")
    assert other.value("spark.table('shared_view').count()") == 3


def test_stopping_spark_stops_nobody_else(make_notebook: Callable[..., Notebook]) -> None:
    one, other = make_notebook(), make_notebook()
    other.run("spark.range(1).createOrReplaceTempView('kept')")
    assert one.run("spark.range(1).createOrReplaceTempView('v')\nspark.stop()").status == "ok"
    assert one.run("spark.range(1).count()").status == "error"  # as it is anywhere
    again = one.run(
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "print(spark.range(4).count(), [t.name for t in spark.catalog.listTables()])"
    )
    assert again.stdout == "4 []\n"
    assert one.run("spark.sparkContext.stop()").status == "ok"
    assert other.value("spark.table('kept').count()") == 1


def test_no_language_stops_the_context_of_the_cluster(
    make_notebook: Callable[..., Notebook],
) -> None:
    one, other = make_notebook(), make_notebook()
    other.run("spark.range(1).createOrReplaceTempView('kept')")
    ended = one.run("%scala\nprintln(spark.range(2).count())\nspark.stop()\nsc.stop()")
    assert (ended.status, ended.stdout) == ("ok", "2\n")
    aside = one.run("%scala\nval context = spark.sparkContext\ncontext.stop()")
    assert aside.ename == "org.apache.spark.SparkException"
    assert one.run("spark.sparkContext._jsc.stop()").status == "error"
    assert one.run("%scala println(spark.range(3).count())").stdout == "3\n"
    assert other.value("spark.table('kept').count()") == 1


@pytest.mark.parametrize(
    ("code", "cell"),
    [
        (f"spark.range(4).rdd.map(lambda x: {SLEEP}).count()", "rdd"),
        (f"next(sc.parallelize(range(4)).map(lambda x: {SLEEP}).toLocalIterator())", "iterator"),
        (f"@udf\ndef f(x):\n    {SLEEP}\nspark.range(4).select(f('id')).toPandas()", "pandas"),
        (
            "%sql select max(id % 7) from range(0, 100000000000000, 1, 4)",
            "sql",
        ),
        ("%scala\nspark.range(4).map { x => Thread.sleep(600000); x }.collect()", "scala"),
    ],
    ids=lambda value: value if " " not in value else "",
)
def test_an_interrupt_ends_the_cell_and_its_jobs(
    notebook: Notebook, spark_driver: SparkDriver, code: str, cell: str
) -> None:
    notebook.run("spark.range(1).count()")
    started = notebook.start(code)
    until(lambda: active_jobs(spark_driver, notebook.group))
    notebook.interrupt()
    reply = notebook.finish(started)
    assert reply.ename == "KeyboardInterrupt", (cell, reply.evalue)
    until(lambda: not active_jobs(spark_driver, notebook.group))
    assert notebook.value("spark.range(3).count()") == 3
    assert "ERROR" not in reply.stderr


def test_an_interrupt_leaves_other_runs_alone(
    make_notebook: Callable[..., Notebook], spark_driver: SparkDriver
) -> None:
    one, other = make_notebook(), make_notebook()
    other.run("done = sc.accumulator(0)")
    one.run("spark.range(1).count()")
    slow = "sc.parallelize([1], 1).map(lambda x: __import__('time').sleep(3) or x).collect()"
    theirs = other.start(slow)
    until(lambda: active_jobs(spark_driver, other.group))
    mine = one.start(f"sc.parallelize([1], 1).map(lambda x: {SLEEP}).count()")
    until(lambda: active_jobs(spark_driver, one.group))
    one.interrupt()
    assert one.finish(mine).ename == "KeyboardInterrupt"
    assert other.finish(theirs).result == "[1]"


def test_threads_belong_to_the_run(notebook: Notebook) -> None:
    reply = notebook.run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def group(_):\n"
        "    return sc.getLocalProperty('spark.jobGroup.id'), sc.getJobTags()\n"
        "with ThreadPoolExecutor(3) as pool:\n"
        "    found = list(pool.map(group, range(3)))\n"
        "print(all(found[0] == each for each in found), found[0][0], *found[0][1])"
    )
    assert reply.stdout == f"True {notebook.group} {notebook.group}\n"


def test_calls_from_spark_reach_the_run_that_asked_for_them(
    make_notebook: Callable[..., Notebook],
) -> None:
    """Two streams at once, each with a Python function of its own."""
    stream = (
        "seen = []\n"
        "query = (spark.readStream.format('rate').option('rowsPerSecond', 50).load().writeStream\n"
        "    .foreachBatch(lambda frame, number: seen.append(number)).start())\n"
    )
    one, other = make_notebook(), make_notebook()
    for each in (one, other):
        assert each.run(stream).status == "ok"
    for each in (one, other):
        reply = each.run(
            "import time\n"
            "until = time.monotonic() + 60\n"
            "while len(seen) < 3 and time.monotonic() < until and query.isActive:\n"
            "    time.sleep(0.1)\n"
            "query.stop()\n"
            "print(seen[:3])"
        )
        assert reply.stdout == "[0, 1, 2]\n", reply.evalue


def test_executors_run_the_interpreter_and_packages_of_the_run(
    make_notebook: Callable[..., Notebook], spark_place: SparkPlace
) -> None:
    packages = spark_place.root / "packages"
    packages.mkdir(exist_ok=True)
    (packages / "only_here.py").write_text("VALUE = 41\n")
    packages.chmod(0o755)
    notebook = make_notebook(compute={"site_packages": [str(packages)]})
    code = (
        "import sys, only_here\n"
        "def look(_):\n"
        "    import sys, only_here\n"
        "    return sys.executable, only_here.VALUE\n"
        "print(only_here.VALUE, sc.parallelize([1], 1).map(look).first() == (sys.executable, 41))"
    )
    assert notebook.run(code).stdout == "41 True\n"


def test_files_go_both_ways(make_notebook: Callable[..., Notebook]) -> None:
    notebook = make_notebook()
    reply = notebook.run(
        "import os, shutil, pandas as pd\n"
        "here = 'file:' + os.getcwd()\n"
        "pd.DataFrame({'a': [1, 2]}).to_csv('before.csv', index=False)\n"
        "os.mkdir('folder')\n"
        "print(spark.read.csv(here + '/before.csv', header=True).count())\n"
        "pd.DataFrame({'a': [1, 2, 3]}).to_csv('folder/after.csv', index=False)\n"
        "print(spark.read.csv(here + '/folder/after.csv', header=True).count())\n"
        "spark.range(5).write.parquet(here + '/folder/out.parquet')\n"
        "print(len(pd.read_parquet('folder/out.parquet')))\n"
        "spark.range(4).write.mode('overwrite').parquet(here + '/folder/out.parquet')\n"
        "print(len(pd.read_parquet('folder/out.parquet')))\n"
        "shutil.rmtree('folder')\n"
        "print(sorted(os.listdir()))"
    )
    assert reply.stdout == "2\n3\n5\n4\n['before.csv']\n", reply.evalue


def test_files_and_modules_are_handed_over(make_notebook: Callable[..., Notebook]) -> None:
    notebook = make_notebook()
    reply = notebook.run(
        "from pyspark import SparkFiles\n"
        "open('data.txt', 'w').write('hi')\n"
        "open('helper_module.py', 'w').write('def double(x): return x * 2')\n"
        "sc.addFile('data.txt')\n"
        "sc.addPyFile('helper_module.py')\n"
        "import helper_module\n"
        "print(open(SparkFiles.get('data.txt')).read(), helper_module.double(2))\n"
        "big = sc.broadcast(list(range(100_000)))\n"
        "def work(x):\n"
        "    import helper_module\n"
        "    text = open(SparkFiles.get('data.txt')).read()\n"
        "    return helper_module.double(x) + len(big.value) + len(text)\n"
        "print(sc.parallelize([1, 2], 2).map(work).collect())\n"
        "import pandas as pd\n"
        "print(spark.createDataFrame(pd.DataFrame({'a': [1, 2]})).toPandas().a.sum())\n"
        "total = sc.accumulator(0)\n"
        "sc.parallelize(range(5)).foreach(total.add)\n"
        "print(total.value)"
    )
    assert reply.stdout == "hi 4\n[100004, 100006]\n3\n10\n", reply.evalue


def test_what_the_server_says_when_it_is_asked(kernel: Kernel, server: Server) -> None:
    kernel.configure({"server_url": server.url, "runtime_token": "t"})
    server.answer = {"state": "failed", "cause": "cluster_failed", "message": "It is full."}
    reply = kernel.run("spark.range(1)")
    assert (reply.ename, reply.evalue) == (
        "SparkUnavailable",
        "Spark cannot be used in this run: It is full.",
    )
    assert len(reply.traceback.splitlines()) == 1


def test_a_driver_that_starts_is_waited_for(
    kernel: Kernel, server: Server, spark_driver: SparkDriver
) -> None:
    server.pending = 3
    server.answer = {"state": "ready", "spark": place(spark_driver, "lazily")}
    kernel.configure({"server_url": server.url, "runtime_token": "t"})
    assert kernel.value("spark.range(2).count()") == 2
    assert server.asked == 4
    spark_driver.release("lazily")


def test_a_wait_for_the_driver_can_be_interrupted(kernel: Kernel, server: Server) -> None:
    server.pending = 1_000_000
    kernel.configure({"server_url": server.url, "runtime_token": "t"})
    started = kernel.start("spark.range(2).count()")
    until(lambda: server.asked > 1)
    kernel.interrupt()
    assert kernel.finish(started).ename == "KeyboardInterrupt"


def test_a_kernel_that_serves_several_runs_keeps_its_session(
    kernel: Kernel, server: Server, spark_driver: SparkDriver
) -> None:
    server.answer = {"state": "ready", "spark": place(spark_driver, "session-1")}
    kernel.configure({"server_url": server.url, "runtime_token": "first"})
    kernel.run("spark.range(3).createOrReplaceTempView('v')\nmine = spark")
    spark_driver.release("session-1", keep=True)
    kernel.configure({"server_url": server.url, "runtime_token": "second"})
    assert kernel.value("[spark is mine, spark.table('v').count()]") == [True, 3]
    spark_driver.release("session-1")
    server.answer = {"state": "ready", "spark": place(spark_driver, "session-2")}
    kernel.configure({"server_url": server.url, "runtime_token": "third"})
    assert kernel.value("[spark is mine, spark.range(1).count()]") == [False, 1]
    spark_driver.release("session-2")


def test_the_death_of_the_driver_is_the_error_of_the_cell(
    kernel: Kernel, server: Server, spark_place: SparkPlace
) -> None:
    with spark_place.ready() as driver:
        server.answer = {"state": "ready", "spark": place(driver, "doomed")}
        kernel.configure({"server_url": server.url, "runtime_token": "t"})
        kernel.run("spark.range(1).count()")
        started = kernel.start(f"spark.range(1).rdd.map(lambda x: {SLEEP}).count()")
        until(lambda: active_jobs(driver, "doomed"))
        message = "The Spark driver of cluster 1 was killed by SIGKILL."
        server.answer = {"state": "failed", "cause": "driver_lost", "message": message}
        process = driver.status().jvm_pid
        assert process is not None
        os.kill(process, signal.SIGKILL)
        reply = kernel.finish(started)
        assert (reply.ename, reply.evalue) == ("SparkDriverLost", message)
        later = kernel.run("spark.range(1).count()")
        assert (later.ename, later.evalue) == ("SparkDriverLost", message)


def test_the_kernel_ends_without_waiting_for_spark(spark_driver: SparkDriver) -> None:
    with attached(spark_driver) as notebook:
        notebook.run("frames = [spark.range(n) for n in range(200)]")
        notebook.client.shutdown()
        until(lambda: not notebook.manager.is_alive(), 30)


def test_the_private_names_of_pyspark_that_are_relied_on() -> None:
    """Guards an upgrade: what ``patches`` changes and calls is still there, as it was."""
    import inspect

    from py4j.clientserver import ClientServer, JavaClient
    from pyspark import java_gateway
    from pyspark.core import context
    from pyspark.sql.context import SQLContext
    from pyspark.sql.session import SparkSession

    def names(function: Any) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert java_gateway.ClientServer is ClientServer
    assert names(java_gateway.launch_gateway) == ["conf", "popen_kwargs"]
    assert context.launch_gateway is java_gateway.launch_gateway
    assert names(context.SparkContext._do_init)[:10] == [
        "self", "master", "appName", "sparkHome", "pyFiles", "environment", "batchSize",
        "serializer", "conf", "jsc",
    ]  # fmt: skip
    for name in ("_active_spark_context", "_gateway", "_jvm", "_lock", "stop"):
        assert hasattr(context.SparkContext, name)
    assert names(SparkSession.__init__) == ["self", "sparkContext", "jsparkSession", "options"]
    for name in (
        "_instantiatedSession", "_activeSession", "_should_update_active_session",
        "_get_j_spark_session_class", "getActiveSession", "stop",
    ):  # fmt: skip
        assert name in vars(SparkSession)
    assert "_instantiatedContext" in vars(SQLContext)
    assert names(SQLContext._get_or_create)[0] == "sc"
    assert names(JavaClient.send_command) == ["self", "command", "retry", "binary"]
    for name in ("_get_connection", "get_thread_connection", "_create_connection_guard"):
        assert name in vars(JavaClient)
    for name in ("_create_gateway_client", "_create_finalizer_worker"):
        assert hasattr(ClientServer, name)
    source = inspect.getsource(context.SparkContext._do_init)
    assert "_accumulatorServer" in source
    assert names(JavaClient.garbage_collect_object) == ["self", "target_id", "enqueue"]
