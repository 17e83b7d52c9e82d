"""The examples run as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.server import running_server

from quire.compute.spark_driver import remove_strangers

ROOT = Path(__file__).resolve().parent.parent


def _let_others_through(folder: Path) -> None:
    """Kernels may be another user, who has to reach the server's folders."""
    for each in (folder, *folder.parents):
        if each.owner() == folder.owner() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o011)


def test_the_demo_runs_its_notebook_by_two_apis(tmp_path: Path) -> None:
    _let_others_through(tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "examples" / "demo.py"),
            "--once",
            "--port",
            "0",
            "--data-dir",
            str(tmp_path / "data"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("TERMINATED SUCCESS") == 2
    results = [json.loads(each) for each in re.findall(r"exit value  (\{.*\})", done.stdout)]
    assert [(each["region"], each["days"]) for each in results] == [("south", 30), ("west", 60)]
    assert re.search(r"of notebook admin/\w{22}\n  success     True\n", done.stdout)
    assert re.findall(r"page        (http://127\.0\.0\.1:[0-9]+/\S+)", done.stdout)


@pytest.fixture
def drivers() -> Iterator[Path]:
    """Where a server starts its Spark drivers, which outlive it unless somebody ends them."""
    with tempfile.TemporaryDirectory(prefix="quire-spark-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
        remove_strangers(Path(folder), [])


def test_the_session_of_the_readme_works_as_it_stands(tmp_path: Path, drivers: Path) -> None:
    _let_others_through(tmp_path)
    text = (ROOT / "README.md").read_text()
    session = text[text.index("In another terminal") : text.index("## The command line")]
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", session, re.MULTILINE)
    commands = [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip() for block in blocks]
    with running_server(tmp_path / "data", {"QUIRE_SPARK_DIR": str(drivers)}) as server:
        client = server.client()
        answers: list[str] = []
        shell = ["shopt -s expand_aliases"]
        for command in commands:
            command = command.replace("localhost:8080", f"localhost:{server.port}")
            command = command.replace("open-sesame", server.token)
            command = command.replace("/tmp/netrc", str(tmp_path / "netrc"))
            command = command.replace("> run-1.html", f"> {tmp_path / 'run-1.html'}")
            if "runs/get?" in command:
                client.wait(1, 0.02)  # a reader would ask until it has ended
            prelude = [*shell, command] if "alias api" not in command else [command]
            if "alias api" in command:
                shell += command.splitlines()
            done = subprocess.run(
                ["bash", "-euc", "\n".join(prelude)],
                cwd=ROOT,
                check=False,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
            assert "error_code" not in done.stdout, (command, done.stdout)
            answers.append(done.stdout)
        joined = "\n".join(answers)
        assert '"job_id":1}' in joined
        assert '{"runId":"4"}' in joined
        assert '"life_cycle_state":"TERMINATED"' in joined
        assert '"result_state":"SUCCESS"' in joined
        assert r"\"region\": \"south\", \"days\": 60" in joined
        assert "Sales report" in (tmp_path / "run-1.html").read_text()
        assert client.get("jobs/get", job_id=1)["settings"]["max_retries"] == 2
        client.wait(3, 0.05)  # the one on two workers
