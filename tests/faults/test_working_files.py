"""What a run made of its files survives its kernel's death and the server's."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from quire.ids import RunId
from quire.store.journal import run_prefix
from tests.faults.server import ServerProcess, notebook_of, wait_for

PATH = "/Shared/writes"
FILES = 200
WRITE = f"""
for number in range({FILES}):
    with open(f"part-{{number}}.bin", "wb") as file:
        file.write(bytes([number % 256]) * 50_000)
"""


def notebook_id(server: ServerProcess) -> str:
    """The id that Datalore's API has for the notebook."""
    (shared,) = [
        each["workspace"]["id"]
        for each in server.http.get("/api/user_public/v1/workspaces").json()
        if each["workspace"]["name"] == "Shared"
    ]
    workspace = f"{shared['ownerId']}/{shared['internalId']}"
    listed = server.http.get("/api/workspaces/v1/entries", params={"workspaceId": workspace})
    (found,) = [each["entity"]["id"] for each in listed.json()]
    return f"{found['ownerId']}/{found['id']}"


def start(server: ServerProcess, **options: Any) -> str:
    body = {"notebookId": notebook_id(server), **options}
    return str(server.ask("POST", "/api/run/v1/notebook", **body)["runId"])


def ended(server: ServerProcess, run_id: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        run = server.ask("GET", f"/api/run/v1/{run_id}")
        return run if "endTime" in run else None

    found: dict[str, Any] = wait_for(f"run {run_id} to end", over)
    return found


def part(number: int) -> bytes:
    return bytes([number % 256]) * 50_000


@pytest.mark.parametrize("direct", [False, True])
def test_a_server_killed_while_files_are_delivered_gets_them_all(
    server: ServerProcess, direct: bool
) -> None:
    server.put_notebook(PATH, notebook_of(WRITE))
    run_id = start(server, directFileStorageWrite=direct)
    blobs = server.data_dir / "blobs"
    folder = blobs / ("attachments" if direct else run_prefix(RunId(int(run_id))))
    pattern = "*/*" if direct else "*/files/*"
    wait_for("some files to be stored", lambda: len(list(folder.glob(pattern))) > FILES / 10)
    server.kill()
    server.start()
    run = ended(server, run_id)
    assert run["success"]
    if direct:
        server.put_notebook(PATH, notebook_of("import os\nprint(sorted(os.listdir()))", WRITE))
        run = ended(server, start(server))
        notebook = server.http.get(quote(run["artifacts"][0]["path"])).json()
        shown = "".join(notebook["cells"][0]["outputs"][0]["text"])
        assert all(f"'part-{number}.bin'" in shown for number in range(FILES))
        assert len(run["artifacts"]) == 1  # the same bytes again are no change
        return
    paths = {each["name"]: each["path"] for each in run["artifacts"]}
    assert len(paths) == FILES + 1
    for number in range(FILES):
        assert server.http.get(quote(paths[f"part-{number}.bin"])).content == part(number)


def test_files_outlive_the_kernel(server: ServerProcess) -> None:
    dies = "import os, signal\nopen('before.txt', 'w').write('x')\nprint('seen', flush=True)"
    server.put_notebook(
        PATH, notebook_of(dies, "os.kill(os.getpid(), signal.SIGKILL)", "print('never')")
    )
    run = ended(server, start(server))
    assert not run["success"]
    notebook, file = run["artifacts"]
    assert file["name"] == "before.txt"
    executed = server.http.get(quote(notebook["path"])).json()
    assert executed["cells"][0]["outputs"][0]["text"] == ["seen\n"]
