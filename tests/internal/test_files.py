from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from quire.clock import ManualClock
from quire.identity.run_tokens import RunTokenUse
from quire.internal.files import file_routes
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.locations import Locations
from tests.quire_runtime.served import Served, serving


@pytest.fixture
def served(
    sqlite_url: str, blobs: BlobStore, clock: ManualClock, tmp_path: Path
) -> Iterator[Served]:
    database = Database(sqlite_url)
    served = Served(database, blobs, clock, tmp_path)
    locations = Locations(served.workspace, served.files)
    served.app = FastAPI()
    served.app.router.routes.extend(
        file_routes(locations, served.run_tokens, served.parts.principals, served.parts.runs)
    )
    yield served
    database.close()


@pytest.fixture
def get(served: Served) -> Iterator[httpx2.Client]:
    token = served.token_of(served.run_id, RunTokenUse.REPORT)
    with (
        serving(served.app) as url,
        httpx2.Client(
            base_url=f"{url}/internal/v1/attempts/{served.run_id}",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        ) as client,
    ):
        yield client


def test_a_runner_gets_the_files_its_task_names(served: Served, get: httpx2.Client) -> None:
    data = bytes(range(256)) * 5000
    served.files.write("/jars/ü a.jar", data)
    answer = get.get("/files", params={"location": "dbfs:/jars/ü a.jar"})
    assert answer.content == data
    assert answer.headers["content-length"] == str(len(data))


@pytest.mark.parametrize(
    ("location", "status", "code"),
    [
        ("dbfs:/nothing", 404, "not_found"),
        ("/Shared/nothing", 404, "not_found"),
        ("file:/etc/passwd", 400, "invalid_value"),
        ("", 400, "missing_field"),
    ],
)
def test_what_is_not_there(get: httpx2.Client, location: str, status: int, code: str) -> None:
    answer = get.get("/files", params={"location": location})
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_only_the_runner_of_a_living_attempt_gets_any(served: Served, get: httpx2.Client) -> None:
    served.files.write("/a.jar", b"x")
    asked = {"location": "dbfs:/a.jar"}
    for header in ("", "Basic x", f"Bearer {served.token}", "Bearer nonsense"):
        answer = get.get("/files", params=asked, headers={"Authorization": header})
        assert answer.status_code == 401
    other = served.start_run()
    token = served.token_of(other, RunTokenUse.REPORT)
    answer = get.get("/files", params=asked, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    served.parts.finish(served.run_id)
    assert get.get("/files", params=asked).status_code == 410
