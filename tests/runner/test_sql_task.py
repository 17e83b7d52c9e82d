"""SQL as a task of its own: statements become a notebook that a kernel executes."""

from __future__ import annotations

from quire.engine.models import JobDefinition, SqlTask
from quire.engine.pins import Pinner
from quire.identity.models import Principal
from tests.runner.conftest import Bench, Finished


def run_sql(bench: Bench, text: str) -> Finished:
    # Statements that come with the task are read from nowhere.
    pinner = Pinner(None, None)  # type: ignore[arg-type]
    actor: Principal = None  # type: ignore[assignment]
    pin = pinner.pin(actor, JobDefinition(task=SqlTask(text=text)))
    return bench.run(pin.notebook, flavour=pin.flavour)


def test_statements_run_and_show_their_results(bench: Bench) -> None:
    ran = run_sql(
        bench,
        "CREATE TABLE sales AS SELECT * FROM (VALUES ('north', 2), ('south', 3)) t(region, n);\n"
        "SELECT sum(n) AS total FROM sales;\n"
        "SELECT region FROM sales WHERE n = 3",
    )
    assert ran.outcome == ("success", "completed"), ran.finished
    shown = "".join(str(each.get("data", each)) for each in ran.outputs(0))
    assert "total" in shown
    assert "5" in shown
    assert "south" in shown


def test_a_statement_that_fails(bench: Bench) -> None:
    ran = run_sql(bench, "SELECT * FROM nowhere")
    assert ran.outcome == ("failed", "cell_error")
    assert "nowhere" in ran.finished["error"]
