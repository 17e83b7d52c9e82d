"""How a runner gets its run's compute, asks about it after a failure, and gives it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from quire.runner.protocol import Command
from quire_runtime.bootstrap import ATTACHED_MIME
from tests.runner.conftest import Bench, make_notebook

READY: dict[str, Any] = {"state": "ready", "message": "", "cause": None, "lazy": True}
PENDING: dict[str, Any] = {"state": "pending", "message": "Waiting.", "cause": None}
LOST: dict[str, Any] = {
    "state": "failed",
    "message": "The Spark driver of cluster 7 died.",
    "cause": "driver_lost",
}
GETS_SPARK = (
    "from IPython.display import publish_display_data\n"
    f"publish_display_data({{{ATTACHED_MIME!r}: {{}}}})"
)


@pytest.fixture(autouse=True)
def compute(bench: Bench) -> Iterator[None]:
    yield
    bench.sink.compute = []


def test_a_run_begins_when_its_compute_is_ready(bench: Bench) -> None:
    bench.sink.compute = [PENDING, PENDING, {**READY, "environment": {"FROM_CLUSTER": "yes"}}]
    started = bench.start(
        make_notebook("import os\nprint(os.environ['FROM_CLUSTER'], os.environ['OWN'])"),
        compute=PENDING,
        environment={"OWN": "1"},
    )
    ran = started.finish()
    assert ran.outcome == ("success", "completed")
    assert ran.text(0) == "yes 1\n"
    assert len(bench.sink.compute) == 1  # asked as often as it was pending
    assert started.attempt_id in bench.sink.released
    types = [event["type"] for event in ran.events]
    assert types.index("accepted") < types.index("started")


def test_a_first_answer_is_all_that_a_run_needs(bench: Bench) -> None:
    told = {**READY, "environment": {"FROM_CLUSTER": "yes"}}
    started = bench.start(  # the sink has no answer to give
        make_notebook("import os\nprint(os.environ['FROM_CLUSTER'])"), compute=told
    )
    assert started.finish().text(0) == "yes\n"
    assert started.attempt_id not in bench.sink.released


def test_a_first_answer_may_be_a_refusal(bench: Bench) -> None:
    ran = bench.run(make_notebook("print('never')"), compute=LOST)
    assert ran.outcome == ("internal_error", "driver_lost")
    assert "started" not in [event["type"] for event in ran.events]


def test_packages_of_the_compute_come_first(bench: Bench, tmp_path: Any) -> None:
    (tmp_path / "colorsys.py").write_text("HERE = True\n")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and len(folder.parts) > 2:
            folder.chmod(folder.stat().st_mode | 0o055)
    bench.sink.compute = [{**READY, "site_packages": [str(tmp_path)]}]
    ran = bench.run(make_notebook("import colorsys\nprint(colorsys.HERE)"), compute=PENDING)
    assert ran.text(0) == "True\n"


def test_without_compute_nothing_is_asked_or_given_back(bench: Bench) -> None:
    started = bench.start(make_notebook("1"))  # the sink has no answer to give
    assert started.finish().outcome == ("success", "completed")
    assert started.attempt_id not in bench.sink.released


def test_what_a_notebook_got_by_itself_is_given_back(bench: Bench) -> None:
    started = bench.start(make_notebook(GETS_SPARK, "1"))
    ran = started.finish()
    assert started.attempt_id in bench.sink.released
    assert ran.outputs(0) == []  # a word to the runner, not an output


def test_compute_that_is_not_to_be_had_ends_the_run(bench: Bench) -> None:
    bench.sink.compute = [
        PENDING,
        {"state": "failed", "message": "There is no room.", "cause": "cluster_failed"},
    ]
    started = bench.start(make_notebook("print('never')"), compute=PENDING)
    ran = started.finish()
    assert ran.outcome == ("internal_error", "cluster_failed")
    assert ran.finished["message"] == "There is no room."
    assert "started" not in [event["type"] for event in ran.events]
    assert started.attempt_id in bench.sink.released


def test_a_wait_can_be_cancelled(bench: Bench) -> None:
    bench.sink.compute = [PENDING]
    started = bench.start(make_notebook("1"), compute=PENDING)
    started.wait_for("accepted")
    bench.sink.commands[started.attempt_id] = Command.CANCEL
    ran = started.finish()
    assert ran.outcome == ("cancelled", "cancelled_by_user")
    assert started.attempt_id in bench.sink.released


def test_a_wait_longer_than_the_timeout_is_too_long(bench: Bench) -> None:
    bench.sink.compute = [PENDING]
    started = bench.start(make_notebook("1"), compute=PENDING, timeout_seconds=0.3)
    bench.sink.timeouts[started.attempt_id] = 0.3
    assert started.finish().outcome == ("timed_out", "timeout")


def test_a_failure_has_the_drivers_death_as_its_cause(bench: Bench) -> None:
    bench.sink.compute = [READY, LOST]
    ran = bench.run(make_notebook("1", "raise ConnectionError('py4j')"), compute=PENDING)
    assert ran.outcome == ("internal_error", "driver_lost")
    assert ran.finished["message"] == "The Spark driver of cluster 7 died."
    assert ran.finished["error"] == "ConnectionError: py4j"
    assert ran.finished["last_cell"] == 1


def test_the_death_of_a_driver_the_notebook_got_by_itself(bench: Bench) -> None:
    bench.sink.compute = [LOST]
    ran = bench.run(make_notebook(GETS_SPARK, "1 / 0"))
    assert ran.outcome == ("internal_error", "driver_lost")


def test_a_failure_of_the_notebooks_own_stays_one(bench: Bench) -> None:
    bench.sink.compute = [READY]
    ran = bench.run(make_notebook("1 / 0"), compute=PENDING)
    assert ran.outcome == ("failed", "cell_error")


def test_a_kernel_that_dies_still_gives_back(bench: Bench) -> None:
    bench.sink.compute = [READY]
    started = bench.start(make_notebook("import os\nos._exit(3)"), compute=PENDING)
    assert started.finish().outcome == ("failed", "kernel_died")
    assert started.attempt_id in bench.sink.released
