"""``%sql`` and ``%tsql`` in a real kernel, where SQL means a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from quire_runtime.tables import TABLE_MIME
from tests.quire_runtime.conftest import Kernel
from tests.quire_runtime.served import Served


@pytest.mark.parametrize("flavour", ["plain"])
def test_results_are_tables_and_frames(kernel: Kernel, flavour: str) -> None:
    kernel.configure({"flavour": flavour})
    kernel.run("import pandas as pd\nframe = pd.DataFrame({'a': [1, 2]})\nleast = 2")
    reply = kernel.run(
        "%%sql -bind found\nCREATE TABLE t AS SELECT * FROM frame;\n"
        "SELECT a, '<b>' AS b FROM t WHERE a >= {least};"
    )
    assert reply.stdout == "(2 rows affected)\n"
    (shown,) = reply.displays
    assert shown[TABLE_MIME]["data"] == [{"a": 2, "b": "<b>"}]
    assert "<td>&lt;b&gt;</td>" in shown["text/html"]
    assert shown["text/plain"].splitlines() == ["a  b", "2  <b>"]
    assert kernel.value("[found.a.tolist(), _sqldf is found]") == [[2], True]
    # The line form, the leading form, and the other dialect on the same database.
    assert kernel.run("%sql SELECT count(*) AS n FROM t").displays[0][TABLE_MIME]["data"] == [
        {"n": 2}
    ]
    assert kernel.run("%sql\nSELECT 1 AS one").displays[0][TABLE_MIME]["data"] == [{"one": 1}]
    spoken = kernel.run("%%tsql\nDECLARE @x INT = {least}\nPRINT @x\nSELECT TOP 1 @x AS x FROM t")
    assert spoken.stdout == "2\n"
    assert spoken.displays[0][TABLE_MIME]["data"] == [{"x": 2}]


def test_an_error_shows_what_came_before_it(kernel: Kernel) -> None:
    kernel.configure({"flavour": "plain"})
    reply = kernel.run("%%sql\nSELECT 1 AS a;\nSELECT * FROM missing")
    assert len(reply.displays) == 1
    assert reply.ename == "SqlError"
    assert reply.evalue is not None
    assert "missing does not exist" in reply.evalue
    assert "(line 2)\nStatement: SELECT * FROM missing" in reply.evalue
    assert "session.py" not in reply.traceback
    for options, sentence in (
        ("-wrong x", "The option -wrong is not known"),
        ("-dialect mysql", "The dialect is one of duckdb, tsql"),
        ("-bind 1x", "-bind needs the name of a variable"),
        ("-connection x", "not run by a Quire server"),
    ):
        assert sentence in str(kernel.run(f"%%sql {options}\nSELECT 1").evalue)


def test_settings_of_the_run_say_which_database(kernel: Kernel, tmp_path: Path) -> None:
    path = str(tmp_path / "warehouse.duckdb")
    settings = {
        "flavour": "plain",
        "parameters": {"n": 5},
        "sql": {"dialect": "tsql", "database": path, "parameters": True},
    }
    kernel.configure(settings)
    kernel.run("%%sql\nSELECT @n AS n INTO dbo.kept")
    # A later run in the same kernel goes on with the same database.
    kernel.configure({**settings, "parameters": {"n": 6}})
    reply = kernel.run("%%sql\nSELECT n, @n AS now FROM kept")
    assert reply.displays[0][TABLE_MIME]["data"] == [{"n": 5, "now": 6}]


def test_an_interrupt_ends_a_long_statement(kernel: Kernel) -> None:
    kernel.configure({"flavour": "plain"})
    kernel.run("%sql SELECT 1")
    request = kernel.start(
        "print('begun', flush=True)\n"
        "get_ipython().run_cell_magic('sql', '', 'SELECT sum(a.range * b.range) FROM "
        "range(10000000) a, range(10000000) b')"
    )
    while kernel.client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
        continue
    kernel.interrupt()
    reply = kernel.finish(request)
    assert reply.status == "error"
    assert reply.ename in ("KeyboardInterrupt", "InterruptException")
    after = kernel.run("%sql SELECT 2 AS a")
    assert after.status == "ok", after.evalue
    assert after.displays[0][TABLE_MIME]["data"] == [{"a": 2}]


def test_a_named_database_of_the_server(kernel: Kernel, served: Served, tmp_path: Path) -> None:
    path = tmp_path / "sales.duckdb"
    admin, user = served.parts.admin, served.parts.user
    served.connections.create(admin, "sales", f"duckdb:///{path}", allowed=[user.id])
    served.connections.create(admin, "closed", "postgresql://u:hush-hush@h/d", allowed=[])
    kernel.configure(served.settings(flavour="plain"))
    made = kernel.run("%%sql -connection sales\nCREATE TABLE t AS SELECT 7 AS a; SELECT a FROM t")
    assert made.displays[0][TABLE_MIME]["data"] == [{"a": 7}]
    assert path.exists()
    for name in ("closed", "nothing"):
        refused = kernel.run(f"%%sql -connection {name}\nSELECT 1")
        assert (refused.ename, refused.evalue) == ("SqlError", f"Connection {name} does not exist.")
