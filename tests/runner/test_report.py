"""Delivery of events when the server is away, slow, forgetful or done with the run."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from pathlib import Path

from quire.runner.spool import read_spool
from tests.runner.conftest import Bench, make_notebook
from tests.runner.sink import ReportSink

WAIT_FOR_FILE = """import os, time
print('begun', flush=True)
while not os.path.exists({path!r}): time.sleep(0.01)
print('ended')"""


def _open_folder(bench: Bench, name: str) -> Path:
    folder = bench.folder / name
    folder.mkdir()
    for parent in [folder, *list(folder.parents)[:4]]:
        parent.chmod(parent.stat().st_mode | 0o011)
    return folder


def test_answers_that_get_lost_do_no_harm(bench: Bench) -> None:
    bench.sink.forget_answers = 2
    run = bench.run(make_notebook("print(1)", "print(2)"))
    assert run.outcome == ("success", "completed")
    assert (run.text(0), run.text(1)) == ("1\n", "2\n")


def test_a_server_in_trouble_is_tried_again(bench: Bench) -> None:
    bench.sink.statuses = [503, 500, 404, 503]
    run = bench.run(make_notebook("print(1)"))
    assert run.outcome == ("success", "completed")


def test_a_runner_outlives_its_server_and_finds_the_next(bench: Bench) -> None:
    folder = _open_folder(bench, "outlives")
    first = ReportSink()
    started = bench.start(
        make_notebook(WAIT_FOR_FILE.format(path=str(folder / "go"))), server_url=first.url
    )
    first.wait_for(started.attempt_id, "output")
    first.close()
    (folder / "go").touch()
    # The run ends while no server is there; everything waits in the spool.
    spool = bench.spool_root

    def has_ended() -> bool:
        return any(e["type"] == "terminated" for e in read_spool(spool, started.attempt_id))

    give_up_at = time.monotonic() + 60
    while not has_ended() and time.monotonic() < give_up_at:
        os.sched_yield()
    second = ReportSink()
    second.events[started.attempt_id] = list(first.events[started.attempt_id])
    (spool / "server-url").write_text(second.url)
    second.wait_for(started.attempt_id, "terminated")
    bench.wait_for_departure(started.identity)
    (spool / "server-url").unlink()
    texts = [
        e["output"]["text"] for e in second.events[started.attempt_id] if e["type"] == "output"
    ]
    assert "".join(texts) == "begun\nended\n"
    assert not (spool / str(started.attempt_id)).exists()
    second.close()


def test_a_server_that_forgot_is_told_again(bench: Bench) -> None:
    folder = _open_folder(bench, "forgot")
    started = bench.start(make_notebook(WAIT_FOR_FILE.format(path=str(folder / "go"))))
    started.wait_for("output")
    with bench.sink.condition:
        del bench.sink.events[started.attempt_id][1:]
    (folder / "go").touch()
    run = started.finish()
    assert run.text(0) == "begun\nended\n"


def test_a_dismissed_runner_kills_its_kernel_and_leaves(bench: Bench) -> None:
    started = bench.start(
        make_notebook("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    )
    kernel_pid = started.wait_for("output")["output"]["text"].strip()
    bench.sink.gone.add(started.attempt_id)
    bench.placement.nudge(started.identity)
    assert bench.wait_for_departure(started.identity).cause == "exit code 0"
    assert not Path(f"/proc/{kernel_pid}").exists()
    assert not (bench.spool_root / str(started.attempt_id)).exists()
    assert "finished" not in bench.sink.types(started.attempt_id)


def test_a_runner_leaves_when_its_server_and_its_data_directory_are_gone(bench: Bench) -> None:
    root = _open_folder(bench, "removed")
    sink = ReportSink()
    started = bench.start(
        make_notebook("import time\nprint('begun', flush=True)\ntime.sleep(600)"),
        server_url=sink.url,
        spool_root=str(root),
    )
    sink.wait_for(started.attempt_id, "output")
    sink.close()
    shutil.rmtree(root)
    bench.wait_for_departure(started.identity)


def test_the_spool_holds_what_a_killed_runner_did_not_deliver(bench: Bench) -> None:
    started = bench.start(
        make_notebook("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)"),
        server_url="http://127.0.0.1:9",
    )
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at and not any(
        e["type"] == "output" for e in read_spool(bench.spool_root, started.attempt_id)
    ):
        os.sched_yield()
    os.kill(started.identity.pid, signal.SIGKILL)
    assert bench.wait_for_departure(started.identity).cause == "killed by SIGKILL"
    events = read_spool(bench.spool_root, started.attempt_id)
    assert [e["sequence"] for e in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "accepted"
    kernel_pid = events[-1]["output"]["text"].strip()
    assert not Path(f"/proc/{kernel_pid}").exists()


def test_a_full_disk_ends_the_run_and_loses_nothing(bench: Bench) -> None:
    reservation = bench.placement.reserve(60)
    assert reservation is not None
    # Files of the runner may not grow any further than this: what a full disk is, for one process.
    resource.prlimit(reservation.identity.pid, resource.RLIMIT_FSIZE, (8192, 8192))
    reservation.release()
    notebook = make_notebook(
        "for i in range(300): print('x' * 100)", "import time; time.sleep(600)"
    )
    started = bench.start(notebook)
    assert started.identity == reservation.identity
    run = started.finish()
    assert run.outcome == ("internal_error", "storage_failed")
    assert run.text(0) == ("x" * 100 + "\n") * 300
    assert "disk" in run.finished["message"]


def test_a_short_run_needs_few_requests(bench: Bench) -> None:
    before = bench.sink.posts
    run = bench.run(make_notebook("1 + 1"), heartbeat_seconds=30.0)
    assert len(run.events) == 8
    assert bench.sink.posts - before <= 3


def test_events_survive_odd_text(bench: Bench) -> None:
    run = bench.run(make_notebook(r"print('\U0001f600 \u2028 \x00 lone')", "'a\\rb'"))
    assert run.outcome == ("success", "completed"), run.finished
    assert "lone" in run.text(0)
    assert json.loads(json.dumps(run.notebook)) == run.notebook
