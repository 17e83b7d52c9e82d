"""Runs a notebook through a server of its own, over HTTP alone, and leaves the server up.

python examples/demo.py            until Ctrl-C
python examples/demo.py --once     stop after the runs (exit code 1 when one did not succeed)
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "sales_report.ipynb"
START_SECONDS = 60
RUN_SECONDS = 120


class Client:
    """The few calls the demo makes."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token

    def call(self, method: str, endpoint: str, /, **fields: Any) -> dict[str, Any]:
        """A call of Databricks' API."""
        return self.send(method, f"/api/2.0/{endpoint}", fields)

    def send(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
        """A call of any API; fields go to the query of a GET, else to a JSON body."""
        url, body = self.url + path, None
        headers = {"Authorization": f"Bearer {self._token}"}
        if method == "GET":
            url += "?" + urllib.parse.urlencode(fields) if fields else ""
        else:
            body = json.dumps(fields).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read().decode()}")

    def wait(self, run_id: int) -> dict[str, Any]:
        """Poll a run until it is over."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            run = self.call("GET", "jobs/runs/get", run_id=run_id)
            if run["state"]["life_cycle_state"] in ("TERMINATED", "SKIPPED", "INTERNAL_ERROR"):
                return run
            time.sleep(0.05)
        sys.exit(f"run {run_id} did not end within {RUN_SECONDS} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="stop the server after the runs")
    parser.add_argument("--port", type=int, default=8080, help="another is taken when it is busy")
    parser.add_argument("--data-dir", type=Path, default=ROOT / ".demo-data")
    arguments = parser.parse_args()

    arguments.data_dir.mkdir(parents=True, exist_ok=True)
    token = read_token(arguments.data_dir / "admin-token")
    port = free_port(arguments.port)
    server = start_server(arguments.data_dir, port, token)
    try:
        client = Client(f"http://127.0.0.1:{port}", token)
        wait_until_ready(server, client.url, arguments.data_dir / "server.log")
        succeeded = run_notebook(client) and run_through_datalore(client)
        print(f"\nSign in at {client.url} with the token {token}")
        if arguments.once:
            return 0 if succeeded else 1
        print("The server goes on; Ctrl-C stops it.", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        print("\nStopping.")
        return 0
    finally:
        stop(server)


def run_notebook(client: Client) -> bool:
    """Run the example once by runs/submit and once as a saved job."""
    folder, path = "/Users/admin/demo", "/Users/admin/demo/sales_report"
    client.call("POST", "workspace/mkdirs", path=folder)
    client.call(
        "POST",
        "workspace/import",
        path=path,
        format="JUPYTER",
        language="PYTHON",
        overwrite=True,
        content=base64.b64encode(NOTEBOOK.read_bytes()).decode(),
    )
    print(f"\nImported {NOTEBOOK.relative_to(ROOT)} as {path}")

    began = time.perf_counter()
    submitted = client.call(
        "POST",
        "jobs/runs/submit",
        run_name="Demo, submitted",
        existing_cluster_id="local",
        notebook_task={"notebook_path": path, "base_parameters": {"region": "south"}},
    )
    first = client.wait(submitted["run_id"])
    report("jobs/runs/submit", client, first, time.perf_counter() - began)

    job = client.call(
        "POST",
        "jobs/create",
        name="Demo, saved job",
        existing_cluster_id="local",
        notebook_task={"notebook_path": path},
        max_retries=1,
    )
    began = time.perf_counter()
    started = client.call(
        "POST",
        "jobs/run-now",
        job_id=job["job_id"],
        notebook_params={"region": "west", "days": "60"},
    )
    second = client.wait(started["run_id"])
    report("jobs/create + jobs/run-now", client, second, time.perf_counter() - began)
    return all(run["state"].get("result_state") == "SUCCESS" for run in (first, second))


def run_through_datalore(client: Client) -> bool:
    """Run the same notebook by Datalore's run API, and download it as it was executed."""
    (own,) = [
        each["workspace"]["id"]
        for each in client.send("GET", "/api/user_public/v1/workspaces")
        if each["workspace"]["isDefault"]
    ]
    workspace = f"{own['ownerId']}/{own['internalId']}"
    (folder,) = entries(client, workspace, "demo")
    (notebook,) = entries(client, workspace, "sales_report", folder)
    began = time.perf_counter()
    parameters = [{"name": "region", "value": "east"}, {"name": "days", "value": 14}]
    started = client.send(
        "POST", "/api/run/v1/notebook", {"notebookId": notebook, "parameters": parameters}
    )
    deadline = time.monotonic() + RUN_SECONDS
    run: dict[str, Any] = {}
    while not run.get("endTime"):
        if time.monotonic() > deadline:
            sys.exit(f"run {started['runId']} did not end within {RUN_SECONDS} s")
        time.sleep(0.05)
        run = client.send("GET", f"/api/run/v1/{started['runId']}")
    seconds = time.perf_counter() - began
    (artifact,) = run["artifacts"]
    executed = client.send("GET", urllib.parse.quote(artifact["path"]))
    print(f"\nDatalore's run API: run {run['runId']} of notebook {notebook}")
    print(f"  success     {run['success']}")
    print(f"  artifact    {artifact['path']}, {len(executed['cells'])} cells with their outputs")
    print(f"  timings     {seconds * 1000:.0f} ms from request to result over HTTP", flush=True)
    return bool(run["success"])


def entries(client: Client, workspace: str, name: str, folder: str = "") -> list[str]:
    """The ids of what has a name in a workspace, or in a folder of it."""
    query = {"workspaceId": workspace, **({"folderId": folder} if folder else {})}
    listed = client.send("GET", "/api/workspaces/v1/entries", query)
    found = [each["entity"] for each in listed if each["entity"]["name"] == name]
    return [f"{each['id']['ownerId']}/{each['id']['id']}" for each in found]


def report(title: str, client: Client, run: dict[str, Any], seconds: float) -> None:
    state = run["state"]
    output = client.call("GET", "jobs/runs/get-output", run_id=run["run_id"])
    print(f"\n{title}: run {run['run_id']}")
    print(f"  state       {state['life_cycle_state']} {state.get('result_state', '')}")
    if state.get("state_message"):
        print(f"  message     {state['state_message']}")
    if output.get("error"):
        print(f"  error       {output['error']}")
    print(f"  exit value  {output.get('notebook_output', {}).get('result')}")
    print(
        f"  timings     setup {run['setup_duration']} ms, execution"
        f" {run['execution_duration']} ms, cleanup {run['cleanup_duration']} ms;"
        f" {seconds * 1000:.0f} ms from request to result over HTTP"
    )
    print(f"  page        {run['run_page_url']}", flush=True)


def read_token(path: Path) -> str:
    """The token of the demo's administrator, the same each time the demo starts."""
    if path.exists():
        return path.read_text().strip()
    token = f"demo-{secrets.token_hex(16)}"
    path.touch(mode=0o600)
    path.write_text(token + "\n")
    return token


def free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    sys.exit("no port is free")


def start_server(data_dir: Path, port: int, token: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).parent / "quire"), "serve"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--data-dir", str(data_dir)]
    environment = {**os.environ, "QUIRE_ADMIN_TOKEN": token}
    print(f"Starting: quire {' '.join(command[1:])}", flush=True)
    with (data_dir / "server.log").open("wb") as log:
        # A group of its own: Ctrl-C reaches this script alone, which then stops the server.
        return subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"the server stopped with code {server.returncode}:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"the server did not answer within {START_SECONDS} s:\n{log.read_text()}")


def stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


if __name__ == "__main__":
    sys.exit(main())
