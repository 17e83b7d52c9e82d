"""The examples run as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_demo_runs_its_notebook_both_ways(tmp_path: Path) -> None:
    # Kernels may be another user, who has to get through to the server's folders.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
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
    assert re.findall(r"page        (http://127\.0\.0\.1:[0-9]+/\S+)", done.stdout)
