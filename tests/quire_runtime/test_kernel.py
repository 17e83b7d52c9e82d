"""The runtime in a real kernel, and against real routes where it asks the server."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import IPython
import pytest

from quire.engine.runs import RunView
from quire.engine.states import State
from quire_runtime.bootstrap import EXIT_MIME
from tests.quire_runtime.conftest import Kernel
from tests.quire_runtime.served import Served


def test_setting_up_a_run(kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    kernel.configure(
        {
            "environment": {"MY_VARIABLE": "é", "DATABRICKS_RUNTIME_VERSION": "15.4"},
            "working_dir": str(folder),
            "parameters": {"p": "1"},
            "server_url": "http://127.0.0.1:1",
            "runtime_token": "very secret",
            "flavour": "databricks",
        }
    )
    assert kernel.value("__import__('os').getcwd()") == str(folder)
    environment = kernel.value("dict(__import__('os').environ)")
    assert environment["MY_VARIABLE"] == "é"
    assert environment["MLFLOW_TRACKING_URI"] == f"file:{folder}/mlruns"
    assert "very secret" not in str(environment)
    assert "DATABRICKS_TOKEN" not in environment
    assert kernel.value("[dbutils.widgets.get('p'), getArgument('q', 'other')]") == ["1", "other"]
    assert kernel.run("%who").stdout.strip() == "Interactive namespace is empty."
    assert kernel.value("__import__('sys').modules.get('pandas') is None") is True


def test_a_token_for_the_public_api_is_put_where_clients_look(kernel: Kernel) -> None:
    kernel.configure({"server_url": "http://127.0.0.1:1", "api_token": "short lived"})
    environment = kernel.value("dict(__import__('os').environ)")
    assert environment["DATABRICKS_HOST"] == "http://127.0.0.1:1"
    assert environment["DATABRICKS_TOKEN"] == "short lived"


def test_exit_travels_as_a_message_and_not_as_an_error(kernel: Kernel) -> None:
    kernel.configure({"flavour": "databricks"})
    reply = kernel.run(
        "try:\n    dbutils.notebook.exit(5)\nexcept Exception:\n    print('caught')\nprint('on')"
    )
    assert reply.outputs == [
        {
            "kind": "display_data",
            "data": {EXIT_MIME: {"value": "5"}},
            "metadata": {},
            "transient": {},
        }
    ]
    assert (reply.status, reply.ename, reply.evalue) == ("error", "NotebookExit", "5")
    swallowed = kernel.run("try:\n    dbutils.notebook.exit('x')\nexcept:\n    pass\nprint('on')")
    assert swallowed.status == "ok"
    assert swallowed.displays == [{EXIT_MIME: {"value": "x"}}]
    awaited = kernel.run("import asyncio\nawait asyncio.sleep(0)\ndbutils.notebook.exit('late')")
    assert awaited.ename == "NotebookExit"
    assert [each["kind"] for each in awaited.outputs] == ["display_data"]
    assert kernel.run("def f():\n    1/0\nf()").ename == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("%r\nx <- 1", "R cells are not available"),
        ("%conda install x", "conda is not available"),
        ("%restart_python", "Restarting the interpreter"),
        ("dbutils.library.restartPython()", "Restarting the interpreter"),
        ("dbutils.secrets.get('a', 'b')", "Secrets are not available in this server yet"),
        ("dbutils.secrets.listScopes()", "Secrets are not available"),
        ("dbutils.jobs.taskValues.set('a', 1)", "Task values are not available"),
        ("dbutils.data.summarize(1)", "Data summaries are not available"),
        ("dbutils.credentials.showRoles()", "Cloud credentials are not available"),
        ("dbutils.fs.mount('s3a://b', '/mnt/b')", "Mounting cloud storage is not available"),
        ("dbutils.fs.ls('s3://bucket')", "Paths that begin with s3: are not available"),
        ("dbutils.notebook.getContext().apiToken().get()", "has no token"),
    ],
)
def test_what_is_not_served_says_so(shared_kernel: Kernel, code: str, sentence: str) -> None:
    reply = shared_kernel.run(code)
    assert reply.ename == "UnsupportedFeature"
    assert reply.evalue is not None
    assert sentence in reply.evalue
    assert reply.evalue.count(". ") <= 1


@pytest.mark.parametrize(
    "code",
    [
        "spark.sql('select 1')",
        "sc.parallelize([1])",
        "sql('select 1')",
        "table('t')",
        "@udf\ndef f(x):\n    return x",
        "%sql\nselect 1",
        "%%scala\nval x = 1",
        "x = 1\n%scala val x = 1",
    ],
)
def test_spark_needs_a_server(shared_kernel: Kernel, code: str) -> None:
    reply = shared_kernel.run(code)
    assert reply.ename == "SparkUnavailable"
    assert reply.evalue is not None
    assert "not run by a Quire server" in reply.evalue


@pytest.mark.parametrize("flavour", ["databricks", "plain"])
def test_a_leading_magic_takes_the_cell(kernel: Kernel, flavour: str, tmp_path: Path) -> None:
    kernel.configure({"flavour": flavour, "working_dir": str(tmp_path / "work")})
    assert kernel.run("\n%sh\necho one\necho two >&2\nexit 3").stdout == "one\n"
    assert kernel.run("%sh echo $HOME {x} 'a?'").stdout == f"{os.environ['HOME']} {{x}} a?\n"
    assert kernel.run("%sh\necho é | tr é ü").status == "ok"
    assert kernel.run("%python\nx = 1\nx").result == "1"
    assert kernel.run("%md\n# Title?").displays == [
        {"text/markdown": "# Title?", "text/plain": "# Title?"}
    ]
    assert kernel.run("%md-sandbox\n<b>x</b>").displays[0]["text/markdown"] == "<b>x</b>"
    assert kernel.run("%skip\nraise ValueError").status == "ok"
    assert kernel.run("%timeit -n1 -r1 1\n").status == "ok"
    assert kernel.run("y = %sh echo in line\n").stdout == "in line\n"


@pytest.mark.parametrize(
    ("code", "fails"),
    [
        ("%sh\nfalse", False),
        ("%sh -e\nfalse\necho on", True),
        ("%sh\n# strict\nset -e\nfalse\necho on", True),
        ("%sh\nset -euo pipefail\nfalse\necho on", True),
        ("%sh\necho -e x\nfalse", False),
        ("%sh\nkill -9 $$", False),
    ],
)
def test_a_shell_command_fails_the_cell_only_when_asked(
    shared_kernel: Kernel, code: str, fails: bool
) -> None:
    reply = shared_kernel.run(code)
    assert (reply.ename == "CommandFailed") is fails
    assert "on" not in reply.stdout
    if fails:
        assert reply.evalue == "The shell command ended with exit code 1."


def test_shell_output_comes_as_it_is_written_and_an_interrupt_ends_it(kernel: Kernel) -> None:
    kernel.configure({})
    message = kernel.start("%sh\nsleep 1000 & echo $! $$\n(sleep 2000)\necho never")
    seen = ""
    while "\n" not in seen:
        content = kernel.client.get_iopub_msg(timeout=60)["content"]
        seen += content.get("text", "")
    kernel.interrupt()
    reply = kernel.finish(message)
    assert reply.ename == "KeyboardInterrupt"
    assert "never" not in reply.stdout
    for pid in seen.split():
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_what_a_shell_leaves_in_the_background_is_not_waited_for(kernel: Kernel) -> None:
    kernel.configure({})
    reply = kernel.run("%sh\nsleep 1000 &\necho $!")
    assert reply.status == "ok"
    os.kill(int(reply.stdout), 9)


def test_a_notebook_of_another_origin_keeps_its_magics(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("answer = 42\n")
    kernel.configure({"flavour": "plain", "working_dir": str(tmp_path)})
    assert kernel.run("%run helper.py\nanswer").result == "42"
    assert kernel.run("%%sh\nexit 3").ename == "CalledProcessError"
    assert kernel.run("%%python\nx = 1").status == "ok"
    assert kernel.run("x").ename == "NameError"
    frame = kernel.run("import pandas\ndisplay(pandas.DataFrame({'a': [1]}))").displays[0]
    assert set(frame) == {"text/html", "text/plain"}
    own = (
        "from IPython.core.magic import register_line_cell_magic\n"
        "@register_line_cell_magic\n"
        "def sql(line, cell=None):\n    return line.upper()"
    )
    assert kernel.run(own).status == "ok"
    assert kernel.run("%sql select 1\n").result == "'SELECT 1'"


def test_cells_of_an_inlined_notebook_in_another_language(kernel: Kernel, served: Served) -> None:
    served.store("/Shared/mixed", "%python\nx = 1", "%md text", "  ", "select 1", language="sql")
    kernel.configure(served.settings())
    reply = kernel.run("%run /Shared/mixed")
    assert reply.ename == "SparkUnavailable"  # so it was Spark's SQL that was meant
    assert reply.displays == [{"text/markdown": "text", "text/plain": "text"}]
    assert kernel.value("x") == 1


def test_display_of_databricks(shared_kernel: Kernel) -> None:
    table = shared_kernel.run("import pandas\ndisplay(pandas.DataFrame({'a': [1]}))").displays[0]
    assert set(table) == {"text/html", "text/plain", "application/vnd.dataresource+json"}
    assert shared_kernel.run("displayHTML('<b>x</b>')").displays[0]["text/html"] == "<b>x</b>"
    other = shared_kernel.run("display('text', {'a': 1})")
    assert [each["text/plain"] for each in other.displays] == ["'text'", "{'a': 1}"]
    handle = shared_kernel.run("h = display('x', display_id=True)\nh.update('y')")
    assert [each["kind"] for each in handle.outputs] == ["display_data", "update_display_data"]


def test_figures(shared_kernel: Kernel) -> None:
    shown = shared_kernel.run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nNone")
    assert [set(each) for each in shown.displays] == [{"image/png", "text/plain"}]
    once = shared_kernel.run("fig, ax = plt.subplots()\nax.plot([1])\ndisplay(fig)")
    assert [set(each) for each in once.displays] == [{"image/png", "text/plain"}]
    assert once.displays[0]["image/png"].startswith("iVBOR")


def test_help(shared_kernel: Kernel) -> None:
    overview = shared_kernel.run("dbutils.help()").stdout
    assert "widgets" in overview
    files = shared_kernel.run("dbutils.fs.help()").stdout
    for name in ("ls(dir)", "head(file, maxBytes=65536)", "put(file, contents, overwrite=False)"):
        assert name in files
    one = shared_kernel.run("dbutils.widgets.help('dropdown')").stdout
    assert one.startswith("dropdown(name, defaultValue, choices, label=None)\n")
    assert "Secrets" in shared_kernel.run("dbutils.secrets.help()").stdout
    assert shared_kernel.run("dbutils.fs.help('nothing')").ename == "ValueError"


def test_the_context(kernel: Kernel) -> None:
    kernel.configure(
        {
            "server_url": "http://quire:1",
            "runtime_token": "secret",
            "api_token": "token",
            "run": {
                "run_id": 12,
                "job_id": 3,
                "notebook_path": "/Users/a/n",
                "user": "a",
                "workspace_id": "1",
                "cluster_id": "c",
            },
        }
    )
    chain = "dbutils.notebook.entry_point.getDbutils().notebook().getContext()"
    kernel.run(f"c = {chain}")
    assert kernel.value("[c.apiUrl().get(), c.apiToken().get(), c.notebookPath().get()]") == [
        "http://quire:1",
        "token",
        "/Users/a/n",
    ]
    assert kernel.value("[c.currentRunId().get().id(), c.tags().apply('jobId')]") == [12, "3"]
    assert kernel.value("c.tags().get('nothing').isDefined()") is False
    context = json.loads(kernel.value("c.toJson()"))
    assert context["tags"] == {
        "jobId": "3",
        "runId": "12",
        "clusterId": "c",
        "user": "a",
        "orgId": "1",
        "browserHostName": "quire:1",
    }
    assert context["currentRunId"] == {"id": 12}
    assert context["extraContext"]["notebook_path"] == "/Users/a/n"


def test_files(kernel: Kernel, served: Served, tmp_path: Path) -> None:
    kernel.configure(served.settings(working_dir=str(tmp_path)))
    put = kernel.run("dbutils.fs.put('/tmp/d/a.txt', 'é' * 3)")
    assert (put.stdout, put.result) == ("Wrote 6 bytes.\n", "True")
    assert served.files.read("/tmp/d/a.txt") == "ééé".encode()
    again = kernel.run("dbutils.fs.put('dbfs:/tmp/d/a.txt', 'x')")
    assert again.evalue is not None
    assert "FileAlreadyExistsException: dbfs:/tmp/d/a.txt" in again.evalue
    assert kernel.run("dbutils.fs.put('/tmp/d/a.txt', 'abc', True)").status == "ok"
    kernel.run("dbutils.fs.mkdirs('/tmp/d/sub')")
    listed = kernel.value("[list(each)[:3] for each in dbutils.fs.ls('/tmp/d')]")
    assert listed == [["dbfs:/tmp/d/a.txt", "a.txt", 3], ["dbfs:/tmp/d/sub/", "sub/", 0]]
    assert kernel.value("[each.isDir() for each in dbutils.fs.ls('/tmp/d')]") == [False, True]
    assert kernel.value("dbutils.fs.ls('/tmp/d/a.txt')[0].name") == "a.txt"
    assert kernel.value("dbutils.fs.ls('/')[0].path") == "dbfs:/FileStore/"
    head = kernel.run("dbutils.fs.put('/tmp/u', 'aéz', True)\ndbutils.fs.head('/tmp/u', 2)")
    assert "[Truncated to first 2 bytes]" in head.stdout
    assert head.result == "'a'"
    for code in (
        "dbutils.fs.ls('/nothing')",
        "dbutils.fs.head('/nothing')",
        "dbutils.fs.cp('/nothing', '/tmp/x')",
        "dbutils.fs.mv('file:/nothing', '/tmp/x')",
        "dbutils.fs.ls('file:/nothing')",
    ):
        missing = kernel.run(code)
        assert "java.io.FileNotFoundException" in str(missing.evalue)
    assert kernel.value("dbutils.fs.rm('/nothing')") is False
    assert kernel.run("dbutils.fs.rm('/tmp/d')").status == "error"
    assert kernel.value("dbutils.fs.rm('/tmp/d', True)") is True
    assert kernel.run("dbutils.fs.ls('relative')").evalue == (
        "The path must be absolute: 'relative'"
    )
    assert kernel.value("dbutils.fs.mounts()") == [["/", "DatabricksRoot", ""]]
    magic = kernel.run("%fs ls /tmp").displays[0]["application/vnd.dataresource+json"]
    assert [row["name"] for row in magic["data"]] == ["u"]
    assert "aéz" in kernel.run("%fs head /tmp/u").stdout
    assert (
        kernel.run("%fs nothing").evalue == "%fs knows no command 'nothing'; %fs help lists them."
    )


def test_files_between_the_store_and_the_disk(
    kernel: Kernel, served: Served, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "b").write_bytes(b"b" * 3_000_000)
    (source / "a").write_text("a")
    kernel.configure(served.settings())
    assert kernel.run(f"dbutils.fs.cp('file:{source}', '/data')").ename == "IsADirectoryError"
    assert kernel.value(f"dbutils.fs.cp('file:{source}', '/data', True)") is True
    assert served.files.read("/data/deep/b") == b"b" * 3_000_000
    assert kernel.value(f"dbutils.fs.cp('file:{source}/a', '/tmp')") is True
    assert served.files.read("/tmp/a") == b"a"
    assert kernel.value(f"dbutils.fs.mv('/data', 'file:{tmp_path}/back', True)") is True
    assert (tmp_path / "back" / "deep" / "b").stat().st_size == 3_000_000
    assert kernel.run("dbutils.fs.ls('/data')").status == "error"
    assert kernel.value("dbutils.fs.cp('/tmp/a', '/tmp/c') and dbutils.fs.mv('/tmp/c', '/mnt')")
    assert served.files.read("/mnt/c") == b"a"


def test_run_inline(kernel: Kernel, served: Served) -> None:
    served.store(
        "/Users/ada@example.com/lib/helpers",
        "dbutils.widgets.text('who', 'nobody')\nwho = dbutils.widgets.get('who')",
        "%md\n# text",
        "%run ../more",
        "def fail():\n    raise ValueError('from helpers')",
        "print('outside', who)\nwho.upper()",
    )
    served.store(
        "/Users/ada@example.com/more",
        "import asyncio\nawait asyncio.sleep(0)\nmore = 'more'",
        "dbutils.notebook.exit('only this one')",
        "more = 'never'",
    )
    kernel.configure(served.settings(parameters={"who": "run"}))
    reply = kernel.run('%run ./lib/helpers $who="ada l" $other=1')
    assert reply.status == "ok", reply.traceback
    assert reply.stdout == "outside ada l\n"
    assert reply.result == "'ADA L'"
    assert kernel.value("[who, more, dbutils.widgets.get('who')]") == ["ada l", "more", "run"]
    failed = kernel.run("fail()")
    assert failed.evalue == "from helpers"
    assert "<notebook /Users/ada@example.com/lib/helpers, cell 4>" in failed.traceback
    assert "raise ValueError('from helpers')" in failed.traceback


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ("./nothing", "NotebookNotFound", "Notebook not found: /Users/ada@example.com/nothing"),
        ("/Users/root@example.com/hidden", "NotebookNotFound", "not found"),
        ("/Workspace/Shared/broken", "ZeroDivisionError", "division by zero"),
        ("/Shared/syntax", "SyntaxError", "notebook /Shared/syntax, cell 1"),
        ("/Shared/sql", "SparkUnavailable", "404"),
        ("/Shared/itself", "RecursionError", "more than 50 deep"),
        ("", "ValueError", "needs the path"),
        ("./x y=1", "ValueError", "$name=value"),
    ],
)
def test_run_inline_that_fails(
    kernel: Kernel, served: Served, line: str, name: str, text: str
) -> None:
    served.workspace.import_notebook(
        served.parts.admin,
        "/Users/root@example.com/hidden",
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []},
    )
    served.store("/Shared/broken", "x = 1", "\n1/0")
    served.store("/Shared/syntax", "def f(:")
    served.store("/Shared/sql", "select 1", language="sql")
    served.store("/Shared/itself", "%run ./itself")
    kernel.configure(served.settings())
    reply = kernel.run(f"%run {line}")
    assert reply.ename == name
    assert text in f"{reply.evalue}\n{reply.traceback}"
    if name == "ZeroDivisionError":
        assert "<notebook /Shared/broken, cell 2>" in reply.traceback
    assert kernel.value("dbutils.notebook.getContext().notebookPath().get()") == (
        "/Users/ada@example.com/main"
    )


def finish_child(served: Served, outcome: str = "success", **facts: Any) -> Any:
    def play(view: RunView) -> None:
        parts = served.parts
        parts.claim(view.attempt.id)
        events: list[dict[str, Any]] = [
            {"type": "accepted", "pid": 1},
            {
                "type": "started",
                "kernel_pid": 2,
                "kernel_name": "python3",
                "language_info": {"name": "python"},
            },
        ]
        if "exit_value" in facts:
            events.append({"type": "exit_value", "value": facts["exit_value"]})
        parts.report(view.attempt.id, *events)
        parts.finish(
            view.attempt.id, outcome, **{k: v for k, v in facts.items() if k != "exit_value"}
        )

    return play


def test_a_child_run_gives_its_value(kernel: Kernel, served: Served) -> None:
    served.store("/Users/ada@example.com/child", "1")
    kernel.configure(served.settings())
    with served.playing(finish_child(served, exit_value="42")):
        reply = kernel.run("dbutils.notebook.run('./child', 60, {'a': '1', 'b': 2})")
    assert reply.status == "ok", reply.traceback
    assert reply.result == "'42'"
    (child,) = served.children()
    task = child.run.definition.task
    assert (task.path, task.parameters) == (
        "/Users/ada@example.com/child",
        {"a": "1", "b": "2"},
    )
    assert child.run.definition.timeout_seconds == 60
    assert child.run.definition.environment == {"FROM_PARENT": "1"}
    assert child.run.parent_run_id == served.run_id
    assert child.run.creator_id == served.parts.user.id


def test_children_in_threads(kernel: Kernel, served: Served) -> None:
    served.store("/Users/ada@example.com/child", "1")
    kernel.configure(served.settings())
    with served.playing(finish_child(served)):
        assert kernel.value(
            "(lambda pool: list(pool.map(lambda n: dbutils.notebook.run('child', 0), range(4))))"
            "(__import__('concurrent.futures').futures.ThreadPoolExecutor(4))"
        ) == ["", "", "", ""]
    assert [view.run.definition.timeout_seconds for view in served.children()] == [None] * 4


@pytest.mark.parametrize(
    ("outcome", "facts", "text"),
    [
        ("failed", {"error": "ValueError: boom"}, "ended as FAILED: ValueError: boom"),
        ("timed_out", {"message": "Timed out."}, "ended as TIMED_OUT: Timed out."),
    ],
)
def test_a_child_that_fails_raises(
    kernel: Kernel, served: Served, outcome: str, facts: dict[str, Any], text: str
) -> None:
    served.store("/Shared/child", "1")
    kernel.configure(served.settings())
    with served.playing(finish_child(served, outcome, **facts)):
        reply = kernel.run("dbutils.notebook.run('/Shared/child', 1)")
    assert reply.ename == "NotebookRunFailed"
    assert reply.evalue is not None
    assert text in reply.evalue


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("run('./nothing', 60)", "NotebookNotFound"),
        ("run('/Shared', 60)", "ServerRefused"),
        ("run('', 60)", "ValueError"),
        ("run('/Shared/child', -1)", "ValueError"),
        ("run('/Shared/child', '60')", "TypeError"),
    ],
)
def test_a_child_that_cannot_start(kernel: Kernel, served: Served, call: str, name: str) -> None:
    kernel.configure(served.settings())
    assert kernel.run(f"dbutils.notebook.{call}").ename == name
    assert served.children() == []


def test_an_interrupt_cancels_the_child(kernel: Kernel, served: Served) -> None:
    served.store("/Shared/child", "1")
    kernel.configure(served.settings())

    def interrupt(view: RunView) -> None:
        served.parts.start(view.attempt.id)
        kernel.interrupt()

    with served.playing(interrupt):
        reply = kernel.run("dbutils.notebook.run('/Shared/child', 0)")
    assert reply.ename == "KeyboardInterrupt"
    (child,) = served.children()
    assert child.attempt.state is State.RUNNING
    assert child.attempt.cancel_requested_at is not None


def make_wheel(folder: Path, name: str, version: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name}-tool = {name}:go\n")
        wheel.writestr(
            f"{info}/RECORD",
            "".join(
                f"{each},,\n"
                for each in (
                    f"{name}.py",
                    f"{info}/METADATA",
                    f"{info}/WHEEL",
                    f"{info}/entry_points.txt",
                    f"{info}/RECORD",
                )
            ),
        )
    return path


def test_packages_of_one_run(kernel: Kernel, tmp_path: Path) -> None:
    work = tmp_path / "work"
    kernel.configure({"working_dir": str(work), "environment": {"PIP_NO_INDEX": "1"}})
    shared = Path(IPython.__file__).parent.parent
    before = sorted(os.listdir(shared))
    first = make_wheel(tmp_path, "quiretestpackage", "1.0")
    reply = kernel.run(f"%pip install {first}\nimport quiretestpackage\nquiretestpackage.version")
    assert reply.status == "ok", reply.stdout + reply.stderr
    assert reply.result == "'1.0'"
    assert kernel.value("quiretestpackage.__file__").startswith(str(work))
    assert "quiretestpackage-tool" in kernel.run("%sh command -v quiretestpackage-tool").stdout
    assert "numpy" in kernel.run("%pip list").stdout
    second = make_wheel(tmp_path, "quiretestpackage", "2.0")
    changed = kernel.run(f"%pip install {second}")
    assert "Note: quiretestpackage was imported before it was installed" in changed.stdout
    missing = kernel.run("%pip install there-is-no-such-package")
    assert missing.ename == "CommandFailed"
    assert "ended with exit code" in str(missing.evalue)
    assert kernel.run("%pip").ename == "CommandFailed"
    assert sorted(os.listdir(shared)) == before
