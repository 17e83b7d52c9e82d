"""Starting runs, their status and what they left."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from quire.engine.models import (
    Isolation,
    JobDefinition,
    NotebookTask,
    RunRequest,
    WorkingFiles,
)
from quire.identity.permissions import Right
from quire.ids import AttemptId
from quire.store import runs as run_rows
from quire.web.sessions import COOKIE
from quire.workspace.controls import control_metadata, read_control
from quire.workspace.formats.document import code_cell
from tests.dialects.datalore.conftest import PATH, Door

CITY = {"controlType": "TEXT_INPUT", "label": "City", "variable": "city", "value": "Oslo"}
RUN = "/api/run/v1/notebook"
INTERACTIVE = "/api/computation/v1/notebook"


def control(data: dict[str, Any]) -> dict[str, Any]:
    return code_cell("", metadata=control_metadata(read_control(data)))


def definition_of(door: Door, run_id: str) -> JobDefinition:
    return door.runs.get(door.parts.admin, AttemptId(int(run_id))).run.definition


class TestStart:
    def test_answers_at_once_with_an_id(self, door: Door) -> None:
        run_id = door.run()
        assert run_id.isdigit()
        definition = definition_of(door, run_id)
        assert isinstance(definition.task, NotebookTask)
        assert (definition.task.path, definition.task.revision_at) == (PATH, door.clock.now())
        assert definition.isolation is Isolation.SNAPSHOT
        assert definition.working_files is WorkingFiles.ARTIFACTS
        assert not definition.updates_publication

    @pytest.mark.parametrize("form", ["/{}", "{}/", "/{}/"])
    def test_slashes_around_the_id_are_dropped(self, door: Door, form: str) -> None:
        assert door.run({"notebookId": form.format(door.notebook_id)})

    def test_options(self, door: Door) -> None:
        run_id = door.run(
            {"updateReport": "on success", "directFileStorageWrite": True, "colour": "blue"}
        )
        definition = definition_of(door, run_id)
        assert definition.updates_publication
        assert definition.working_files is WorkingFiles.WRITE_BACK
        status = door.status(run_id)
        assert (status["updateReport"], status["directFileStorageWrite"]) == ("on success", True)

    def test_a_body_without_content_type(self, door: Door) -> None:
        body = json.dumps({"notebookId": door.notebook_id}).encode()
        status, answer = door.call("POST", RUN, content=body)
        assert (status, set(answer)) == (200, {"runId"})

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"notebookId": None}, "notebookId"),
            ({"notebookId": 5}, "notebookId"),
            ({"notebookId": ""}, "notebookId"),
            ({"notebookId": "user"}, "notebookId"),
            ({"notebookId": "user/"}, "notebookId"),
            ({"notebookId": "//user/notebook"}, "notebookId"),
            ({"notebookId": "a/b/c"}, "notebookId"),
            ({"updateReport": "On Success"}, "updateReport"),
            ({"updateReport": None}, "updateReport"),
            ({"directFileStorageWrite": "true"}, "directFileStorageWrite"),
            ({"directFileStorageWrite": 1}, "directFileStorageWrite"),
            ({"parameters": {"city": "Rome"}}, "parameters"),
            ({"parameters": ["city"]}, "parameters[0]"),
            ({"parameters": [{"value": 1}]}, "parameters[0].name"),
            ({"parameters": [{"name": 1, "value": 1}]}, "parameters[0].name"),
            ({"parameters": [{"name": "city"}]}, "parameters[0].value"),
            ({"parameters": [{"name": "a", "value": 1}] * 2}, "parameters[1].name"),
            ({"parameters": [{"name": "nobody", "value": 1}]}, "parameters.nobody"),
        ],
    )
    def test_bad_fields(self, door: Door, fields: dict[str, Any], field: str) -> None:
        before = door.stored()
        status, text = door.refuse_run(fields)
        assert status == 400
        assert field in text
        assert door.stored() == before

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"a": 1, "a": 2}'])
    def test_bad_bodies(self, door: Door, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        assert door.refuse("POST", RUN, content=body, headers=headers)[0] == 400

    def test_another_content_type(self, door: Door) -> None:
        headers = {"Content-Type": "text/xml"}
        status, text = door.refuse("POST", RUN, content=b"<a/>", headers=headers)
        assert (status, "text/xml" in text) == (415, True)

    def test_unfinished_runs_of_one_notebook_are_bounded(self, door: Door) -> None:
        runs = [door.run() for _ in range(50)]
        status, text = door.refuse_run()
        assert (status, "start itself" in text) == (400, True)
        door.play(runs[0])
        door.run()

    def test_too_many_runs_in_all(self, door: Door) -> None:
        door.parts.quota._settings = type(door.parts.settings)(max_active_runs=0)
        status, _ = door.refuse_run()
        assert (status, door.answer.headers["retry-after"]) == (429, "5")


class TestParameters:
    def test_values_of_controls(self, door: Door) -> None:
        door.store(control(CITY))
        run_id = door.run({"parameters": [{"name": "city", "value": "Rome"}]})
        assert door.runs.get(door.parts.admin, AttemptId(int(run_id))).run.parameters == {
            "city": "Rome"
        }
        stored = door.workspace.read_notebook(door.owner, PATH)[1]
        assert stored["cells"][0]["source"] == "city = 'Oslo'"

    def test_a_value_that_cannot_be_converted(self, door: Door) -> None:
        door.store(control({**CITY, "controlType": "CHECKBOX", "value": True}))
        status, text = door.refuse_run({"parameters": [{"name": "city", "value": "maybe"}]})
        assert (status, "parameters.city" in text) == (400, True)

    def test_an_unknown_name_lists_the_known_ones(self, door: Door) -> None:
        door.store(control(CITY))
        status, text = door.refuse_run({"parameters": [{"name": "town", "value": "Rome"}]})
        assert (status, "Allowed values: city." in text) == (400, True)

    def test_other_names_need_a_tagged_cell(self, door: Door) -> None:
        door.store(code_cell("town = ''", metadata={"tags": ["parameters"]}), control(CITY))
        door.run({"parameters": [{"name": "town", "value": "Rome"}]})

    @pytest.mark.parametrize("name", ["", "not a name", "class", "x; y"])
    def test_other_names_have_to_be_names(self, door: Door, name: str) -> None:
        door.store(code_cell("town = ''", metadata={"tags": ["parameters"]}))
        status, text = door.refuse_run({"parameters": [{"name": name, "value": "Rome"}]})
        assert (status, f"parameters.{name}: " in text) == (400, True)

    def test_widgets_of_an_imported_notebook(self, door: Door) -> None:
        door.store(code_cell("dbutils.widgets.get('town')"), flavour="databricks")
        door.run({"parameters": [{"name": "town", "value": "Rome"}]})


class TestWho:
    @pytest.mark.parametrize(
        ("who", "start"), [("ann", 200), ("editor", 200), ("viewer", 403), ("stranger", 404)]
    )
    @pytest.mark.parametrize("path", [RUN, INTERACTIVE])
    def test_starts(self, door: Door, path: str, who: str, start: int) -> None:
        status, body = door.call("POST", path, {"notebookId": door.notebook_id}, who=who)
        assert status == start, body

    @pytest.mark.parametrize(
        ("who", "status", "read_only"),
        [("ann", 200, False), ("editor", 200, False), ("viewer", 200, True), ("stranger", 404, 0)],
    )
    def test_reads(self, door: Door, who: str, status: int, read_only: bool) -> None:
        found, body = door.call("GET", f"/api/run/v1/{door.run()}", who=who)
        assert (found, body.get("readOnly", 0)) == (status, read_only)

    def test_invisible_and_missing_look_alike(self, door: Door) -> None:
        other = door.notebook_id[:-1] + ("A" if door.notebook_id[-1] != "A" else "B")
        hidden = door.refuse_run(who="stranger")
        missing = door.refuse_run({"notebookId": other}, who="stranger")
        assert hidden[0] == missing[0] == 404
        assert hidden[1].replace(door.notebook_id, "X") == missing[1].replace(other, "X")
        owner = door.notebook_id.partition("/")[2]
        assert door.refuse_run({"notebookId": f"editor/{owner}"})[0] == 404

    @pytest.mark.parametrize(
        "authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "Bearer wrong"]
    )
    def test_bad_credentials(self, door: Door, authorization: str) -> None:
        for method, path in (
            ("POST", RUN),
            ("POST", INTERACTIVE),
            ("GET", "/api/run/v1/1"),
            ("GET", f"/notebook/{door.notebook_id}/artifacts/1/a.ipynb"),
        ):
            headers = {"Authorization": authorization}
            assert door.refuse(method, path, headers=headers)[0] == 401
            assert door.answer.headers["www-authenticate"] == "Bearer"

    def test_expired_and_revoked_tokens(self, door: Door) -> None:
        text, _ = door.tokens.create(door.owner.id, lifetime_seconds=1800)
        other, info = door.tokens.create(door.owner.id)
        door.token_of.update(short=text, revoked=other)
        door.run(who="short")
        door.clock.advance(1800)
        door.tokens.revoke(info.id)
        for who in ("short", "revoked"):
            assert door.refuse_run(who=who)[0] == 401

    def test_another_notebook_at_the_same_path_shows_no_earlier_runs(self, door: Door) -> None:
        run_id = door.run()
        door.play(run_id)
        door.workspace.delete(door.owner, PATH)
        door.store(code_cell("2"))
        door.workspace.share(door.owner, PATH, door.people["viewer"], Right.VIEWER)
        assert door.refuse("GET", f"/api/run/v1/{run_id}", who="viewer")[0] == 404
        assert door.status(run_id)["notebookId"] == door.notebook_id  # the one it was

    def test_order_of_the_tests(self, door: Door) -> None:
        """401, then the body, then visibility, then rights, then parameter values."""
        bad = {"parameters": [{"name": "nobody", "value": 1}]}
        nobody = {"Authorization": "Bearer wrong"}
        assert door.refuse_run({"notebookId": 5}, headers=nobody)[0] == 401
        assert door.refuse_run({"updateReport": "x"}, who="stranger")[0] == 400
        assert door.refuse_run(bad, who="stranger")[0] == 404
        assert door.refuse_run(bad, who="viewer")[0] == 403
        assert door.refuse_run(bad, who="editor")[0] == 400
        twice = {"parameters": bad["parameters"] * 2}
        assert door.refuse_run(twice, who="stranger")[0] == 404
        assert door.refuse_run(twice, who="viewer")[0] == 403


class TestScopes:
    @pytest.mark.parametrize(
        ("scope", "start", "read"),
        [
            ("admin", 200, 200),
            ("user", 200, 200),
            ("user:read", 403, 200),
            ("workspace", 403, 403),
            ("notebook", 403, 403),
            ("notebook:full:{own}", 200, 200),
            ("notebook-in-workspace:full:{own}", 200, 200),
            ("notebook:create:{own}", 403, 200),
            ("notebook:read:{own}", 403, 200),
            ("notebook:full:{other}", 403, 403),
            ("basic", 403, 403),
        ],
    )
    def test_what_a_token_covers(self, door: Door, scope: str, start: int, read: int) -> None:
        other = door.store(code_cell("1"), path="/Users/ann/other")
        text = scope.format(own=door.node.uid.hex, other=other.uid.hex)
        door.token_of["scoped"], _ = door.tokens.create(door.owner.id, scopes=[text])
        run_id = door.run()
        body = {"notebookId": door.notebook_id}
        assert door.call("POST", RUN, body, who="scoped")[0] == start
        if start == 403:
            challenge = door.answer.headers["www-authenticate"]
            assert challenge == 'Bearer scope="USER_FULL", access="FULL"'
        assert door.call("GET", f"/api/run/v1/{run_id}", who="scoped")[0] == read
        door.refuse("POST", RUN, {"notebookId": "x/y"}, who="scoped")
        assert door.answer.status_code == 404


class TestStatus:
    def test_from_acceptance_to_the_end(self, door: Door) -> None:
        run_id = door.run()
        accepted = door.status(run_id)
        assert accepted == {
            "runId": run_id,
            "userId": "ann",
            "notebookId": door.notebook_id,
            "startTime": "2026-03-01T12:00:00.000Z",
            "status": "WAITING",
            "updateReport": "never",
            "directFileStorageWrite": False,
            "artifacts": [],
            "readOnly": False,
        }
        attempt_id = AttemptId(int(run_id))
        door.clock.advance(1.5)
        door.parts.start(attempt_id)
        assert door.status(run_id) == {**accepted, "status": "STARTED"}
        door.parts.report(
            attempt_id, {"type": "finished", "outcome": "success", "cause": "completed"}
        )
        assert door.status(run_id) == {**accepted, "status": "PROCESSING_OUTPUT"}
        door.parts.report(attempt_id, {"type": "terminated"})
        ended = door.status(run_id)
        assert "status" not in ended
        assert ended["endTime"] == "2026-03-01T12:00:01.500Z"
        assert ended["success"] is True

    @pytest.mark.parametrize("outcome", ["failed", "timed_out", "cancelled"])
    def test_no_success(self, door: Door, outcome: str) -> None:
        run_id = door.run()
        door.play(run_id, outcome)
        ended = door.status(run_id)
        assert (ended["success"], "endTime" in ended) == (False, True)

    @pytest.mark.parametrize("run_id", ["0", "999", "x", "9" * 40, "１", "%20", "1%2F2", "-1"])
    def test_unknown_runs(self, door: Door, run_id: str) -> None:
        assert door.refuse("GET", f"/api/run/v1/{run_id}")[0] == 404

    def test_a_run_of_another_api(self, door: Door) -> None:
        request = RunRequest(definition=JobDefinition(task=NotebookTask(path=PATH)))
        view = door.runs.submit(door.owner, request)
        shown = door.status(str(view.attempt.id), who="viewer")
        assert (shown["notebookId"], shown["readOnly"]) == (door.notebook_id, True)

    def test_a_notebook_that_is_gone(self, door: Door) -> None:
        run_id = door.run(who="editor")
        door.workspace.delete(door.owner, PATH)
        assert door.status(run_id, who="editor")["notebookId"] == door.notebook_id
        assert door.refuse("GET", f"/api/run/v1/{run_id}", who="viewer")[0] == 404


class TestArtifacts:
    def played(self, door: Door) -> dict[str, Any]:
        run_id = door.run()
        view = door.runs.get(door.parts.admin, AttemptId(int(run_id)))
        door.parts.start(view.attempt.id)
        key = "runs/x/snapshot.ipynb"
        door.parts.blobs.put(
            key, json.dumps(door.workspace.read_notebook(door.owner, PATH)[1]).encode()
        )
        with door.parts.database.write() as connection:
            run_rows.update_attempt(connection, view.attempt.id, {"snapshot_key": key})
        for name, data in (("out/ä b.csv", b"1,2"), ("Umsätze 2026.ipynb", b"{}")):
            door.parts.artifacts.keep(view, name, data)
        door.parts.finish(view.attempt.id)
        shown = door.status(run_id)
        assert isinstance(shown, dict)
        return shown

    def fetch(self, door: Door, path: str, **headers: str) -> Any:
        given = headers or {"Authorization": f"Bearer {door.token_of['ann']}"}
        return door.client.get(quote(path), headers=given)

    def test_names_are_raw_and_unique(self, door: Door) -> None:
        shown = self.played(door)
        root = f"/notebook/{door.notebook_id}/artifacts/{shown['runId']}"
        assert [(each["name"], each["path"]) for each in shown["artifacts"]] == [
            (name, f"{root}/{name}")
            for name in ("Umsätze 2026.ipynb", "Umsätze 2026 (2).ipynb", "out/ä b.csv")
        ]

    def test_download(self, door: Door) -> None:
        notebook, clash, table = self.played(door)["artifacts"]
        answer = self.fetch(door, notebook["path"])
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ipynb+json; charset=utf-8"
        assert "".join(answer.json()["cells"][0]["source"]) == "x = 1"
        assert self.fetch(door, clash["path"]).content == b"{}"
        answer = self.fetch(door, table["path"])
        assert (answer.content, answer.headers["content-type"]) == (b"1,2", "text/csv")

    def test_no_file_of_a_run_is_a_page_of_ours(self, door: Door) -> None:
        for each in self.played(door)["artifacts"]:
            headers = self.fetch(door, each["path"]).headers
            assert headers["content-disposition"].startswith("attachment; ")
            assert headers["content-security-policy"] == "sandbox"
            assert headers["x-content-type-options"] == "nosniff"

    def test_who_may_download(self, door: Door) -> None:
        path = self.played(door)["artifacts"][0]["path"]
        for who, status in (("editor", 200), ("viewer", 200), ("stranger", 404)):
            answer = self.fetch(door, path, Authorization=f"Bearer {door.token_of[who]}")
            assert answer.status_code == status
        assert door.client.get(quote(path)).status_code == 401
        assert self.fetch(door, path, Cookie=f"{COOKIE}={door.token_of['ann']}").is_success
        assert self.fetch(door, path, Cookie=f"{COOKIE}=wrong").status_code == 401

    def test_the_cookie_opens_no_api(self, door: Door) -> None:
        cookie = {"Cookie": f"{COOKIE}={door.token_of['ann']}"}
        assert door.client.get("/api/run/v1/1", headers=cookie).status_code == 401

    def test_what_is_not_there(self, door: Door) -> None:
        shown = self.played(door)
        root = f"/notebook/{door.notebook_id}/artifacts/{shown['runId']}"
        other = root.replace("/ann/", "/editor/")
        for path in (f"{root}/x", f"{root}/", f"{other}/out/ä b.csv", f"{root}0/out/ä b.csv"):
            answer = self.fetch(door, path)
            assert answer.status_code == 404
            assert set(answer.json()) == {"error"}


class TestInteractive:
    def test_answers_nothing_and_runs_in_place(self, door: Door) -> None:
        assert door.call("POST", INTERACTIVE, {"notebookId": door.notebook_id}) == (200, {})
        with door.parts.database.read() as connection:
            attempt_id = run_rows.list_candidates(connection, door.clock.now(), 1)[0].attempt_id
        run = door.runs.get(door.owner, attempt_id).run
        assert run.interactive
        assert run.definition.isolation is Isolation.IN_PLACE
        door.play(str(attempt_id))
        assert door.status(str(attempt_id))["artifacts"] == []

    def test_bad_requests(self, door: Door) -> None:
        for fields in ({}, {"notebookId": "x"}, {"notebookId": 5}):
            assert door.refuse("POST", INTERACTIVE, fields)[0] == 400


class TestTransport:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/api/run/v1/notebook/x", 404),
            ("GET", "/api/run/v1", 404),
            ("DELETE", "/api/run/v1/1", 405),
            ("GET", "/api/computation/v1/notebook", 405),
            ("GET", "/notebook/ann/x", 404),
        ],
    )
    def test_unknown_paths_and_verbs(self, door: Door, method: str, path: str, status: int) -> None:
        assert door.refuse(method, path)[0] == status
        assert ("allow" in door.answer.headers) == (status == 405)

    def test_a_body_that_is_too_large(self, door: Door) -> None:
        body = b"x" * (door.parts.settings.max_body_bytes + 1)
        assert door.refuse("POST", RUN, content=body)[0] == 413

    def test_a_failure_tells_nothing(self, door: Door) -> None:
        status, body = door.call("GET", "/api/run/v1/test/crash")
        assert (status, body) == (500, {"error": "The server failed to answer this request."})

    def test_the_document_of_the_api(self, door: Door) -> None:
        status, body = door.call("GET", "/api/run/v1/openapi.json")
        assert (status, "/api/run/v1/notebook" in body["paths"]) == (200, True)


def test_time_passes_without_a_day_too_many(door: Door) -> None:
    door.clock.advance(timedelta(hours=13).total_seconds())
    assert door.status(door.run())["startTime"] == "2026-03-02T01:00:00.000Z"
