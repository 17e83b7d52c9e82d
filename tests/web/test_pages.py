from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from quire.engine.models import Isolation, JobDefinition, NotebookTask, PythonFileTask
from quire.engine.states import Cause, Outcome, State
from quire.errors import Unavailable
from quire.ids import NodeId
from tests.web.conftest import START, Shown, make_view


def test_a_run_shows_what_is_known_of_it(signed_in: TestClient, shown: Shown) -> None:
    definition = JobDefinition(
        task=NotebookTask(path="/Users/ada/report", parameters={"region": "north", "n": 3}),
        notices=("new_cluster.num_workers is not honoured.",),
    )
    shown.add(make_view(7, exit_value="<42>", run_definition=definition))
    page = signed_in.get("/runs/7").text
    assert "nightly report" in page
    assert '<span class="badge success">success</span>' in page
    assert "All cells ran." in page
    assert "new_cluster.num_workers is not honoured." in page
    assert "<code>south</code>" in page  # the run's value wins over the task's
    assert "<code>3</code>" in page
    assert '<pre id="exit-value">&lt;42&gt;</pre>' in page
    assert "2026-01-02 03:04:05.678 UTC" in page
    assert "running 5.0 s" in page
    assert "/Users/ada/report" in page
    assert "run.js" not in page  # it is over: nothing to wait for


def test_the_run_of_a_program_shows_its_words(signed_in: TestClient, shown: Shown) -> None:
    task = PythonFileTask("dbfs:/jobs/a.py", ("--day", "<today>"))
    shown.add(make_view(7, run_definition=JobDefinition(task=task), run_parameters={}))
    page = signed_in.get("/runs/7").text
    assert "<code>dbfs:/jobs/a.py</code>" in page
    assert "<li><code>--day</code></li><li><code>&lt;today&gt;</code></li>" in page
    assert "Parameters" not in page


def test_a_failed_run_shows_its_error_without_terminal_colours(
    signed_in: TestClient, shown: Shown
) -> None:
    shown.add(
        make_view(
            7,
            outcome=Outcome.FAILED,
            cause=Cause.CELL_ERROR,
            error="ValueError: <b>",
            error_trace="\x1b[0;31mValueError\x1b[0m: <b>",
        )
    )
    page = signed_in.get("/runs/7").text
    assert "ValueError: &lt;b&gt;" in page
    assert "\x1b" not in page
    assert "cell error" in page


@pytest.mark.parametrize("state", [State.QUEUED, State.PENDING, State.RUNNING])
def test_an_active_run_is_refreshed(signed_in: TestClient, shown: Shown, state: State) -> None:
    shown.add(make_view(7, state=state, outcome=None, cause=None, ended_at=None))
    page = signed_in.get("/runs/7").text
    assert "run.js" in page
    assert f'<span class="badge {state}">' in page


def test_a_run_that_never_began_has_no_notebook_frame(signed_in: TestClient, shown: Shown) -> None:
    shown.add(
        make_view(
            7,
            state=State.SKIPPED,
            outcome=None,
            claimed_at=None,
            started_at=None,
            finished_at=None,
            ended_at=START,
        )
    )
    page = signed_in.get("/runs/7").text
    assert "<iframe" not in page
    assert "skipped" in page


def test_a_retry_links_to_its_first_attempt_and_the_other_way_round(
    signed_in: TestClient, shown: Shown
) -> None:
    shown.add(make_view(8, number_in_run=1, run_id=7, run_attempt_id=8))
    shown.add(make_view(7, run_attempt_id=8))
    assert '(retry 1 of <a href="/runs/7">run 7</a>)' in signed_in.get("/runs/8").text
    assert 'Newest try</dt><dd><a href="/runs/8">' in signed_in.get("/runs/7").text


def test_the_status_changes_when_the_page_would(signed_in: TestClient, shown: Shown) -> None:
    running = {"state": State.RUNNING, "outcome": None, "ended_at": None}
    shown.add(make_view(7, **running, applied_sequence=3))
    first = signed_in.get("/runs/7/status").json()
    shown.add(make_view(7, **running, applied_sequence=4))
    second = signed_in.get("/runs/7/status").json()
    assert first["active"] is True
    assert first["stamp"] != second["stamp"]
    assert f'data-stamp="{second["stamp"]}"' in signed_in.get("/runs/7").text


def test_runs_are_listed_newest_first_in_pages(signed_in: TestClient, shown: Shown) -> None:
    for number in range(1, 61):
        shown.add(make_view(number))
    first = signed_in.get("/").text
    assert first.index('href="/runs/60"') < first.index('href="/runs/59"')
    assert 'href="/runs/10"' not in first
    assert 'href="/?offset=50" rel="next"' in first
    second = signed_in.get("/?offset=50").text
    assert 'href="/runs/10"' in second
    assert 'href="/?offset=0" rel="prev"' in second


def test_the_list_can_show_active_runs_alone(signed_in: TestClient, shown: Shown) -> None:
    shown.add(make_view(1))
    shown.add(make_view(2, state=State.RUNNING, outcome=None, ended_at=None))
    page = signed_in.get("/?active=1").text
    assert 'href="/runs/2"' in page
    assert 'href="/runs/1"' not in page


def test_work_in_notebooks_is_listed_when_asked_for(signed_in: TestClient, shown: Shown) -> None:
    task = NotebookTask(path="/Users/ada/report", cells=("a", "b"))
    in_place = JobDefinition(task=task, isolation=Isolation.IN_PLACE)
    work: dict[str, Any] = {
        "run_definition": in_place,
        "run_interactive": True,
        "run_session_id": NodeId(5),
    }
    shown.add(make_view(1, **work))
    shown.add(make_view(2, state=State.RUNNING, outcome=None, ended_at=None, **work))
    assert 'href="/runs/1"' not in signed_in.get("/").text
    assert 'href="/runs/2"' in signed_in.get("/?active=1").text
    page = signed_in.get("/?interactive=1").text
    assert 'href="/runs/1"' in page
    assert "in place, 2 cells" in page
    page = signed_in.get("/runs/1").text
    assert "the notebook's own, kept between runs" in page
    assert "2 chosen" in page


def test_names_are_escaped(signed_in: TestClient, shown: Shown) -> None:
    shown.add(make_view(7, run_name="<script>alert(1)</script>"))
    for path in ("/", "/runs/7"):
        assert "<script>alert" not in signed_in.get(path).text


def test_the_log_is_plain_text(signed_in: TestClient, shown: Shown) -> None:
    shown.add(make_view(7))
    shown.log = "<b>5 € \ud800</b>\n"
    answer = signed_in.get("/runs/7/log")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text == "<b>5 € ?</b>\n"


def test_the_notebook_is_downloaded_under_its_name(signed_in: TestClient, shown: Shown) -> None:
    definition = JobDefinition(task=NotebookTask(path='/Users/ada/Übersicht "1"'))
    shown.add(make_view(7, run_definition=definition))
    answer = signed_in.get("/runs/7/notebook.ipynb")
    assert answer.json() == shown.notebook
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"run-7.ipynb\"; filename*=UTF-8''%C3%9Cbersicht%20%221%22-7.ipynb"
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/8", 404),
        ("/runs/abc", 404),
        ("/runs/99999999999999999999", 404),
        ("/runs/-1", 404),
        ("/runs/7/nothing", 404),
        ("/?offset=x", 404),
        ("/nothing", 404),
        ("/static/nothing.css", 404),
        ("/static/..%2fpages.py", 404),
    ],
)
def test_errors_are_pages(signed_in: TestClient, shown: Shown, path: str, status: int) -> None:
    shown.add(make_view(7))
    answer = signed_in.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>Not found</h1>" in answer.text


def test_a_wrong_verb_says_which_are_right(signed_in: TestClient) -> None:
    answer = signed_in.post("/runs/7")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


def test_clients_that_want_no_html_get_json(signed_in: TestClient) -> None:
    answer = signed_in.get("/nothing", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer.json()["error"] == "route_not_found"


def test_a_database_that_is_away_is_said(signed_in: TestClient, shown: Shown) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("The database does not answer.")

    shown.get = fail  # type: ignore[method-assign, assignment]
    answer = signed_in.get("/runs/7")
    assert answer.status_code == 503
    assert "The database does not answer." in answer.text


def test_a_crash_shows_nothing_of_itself(signed_in: TestClient, shown: Shown) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    shown.get = fail  # type: ignore[method-assign, assignment]
    answer = signed_in.get("/runs/7")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text


@pytest.mark.parametrize("path", ["/", "/login", "/runs/7", "/nothing"])
def test_our_pages_load_nothing_from_elsewhere(
    signed_in: TestClient, shown: Shown, path: str
) -> None:
    shown.add(make_view(7, exit_value="x"))
    answer = signed_in.get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert "://" not in answer.text
    assert "style=" not in answer.text


def test_a_notebook_is_served_without_scripts_and_origin(
    make_app: Callable[..., FastAPI], signed_in: TestClient, shown: Shown
) -> None:
    shown.add(make_view(7))
    policy = signed_in.get("/runs/7/notebook").headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none';")
    assert "script" not in policy


def test_durations_of_an_active_run_go_up_to_now(signed_in: TestClient, shown: Shown) -> None:
    # The clock stands 60 s after the run was made; its cells began 2 s after that.
    shown.add(make_view(7, state=State.RUNNING, outcome=None, finished_at=None, ended_at=None))
    assert "running 58.0 s" in signed_in.get("/runs/7").text
    shown.add(
        make_view(
            7,
            state=State.RUNNING,
            outcome=None,
            created_at=START - timedelta(hours=2),
            finished_at=None,
            ended_at=None,
        )
    )
    assert "waiting 2 h 00 min" in signed_in.get("/runs/7").text
