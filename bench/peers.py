"""papermill and nbclient, in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

__all__ = ["Peers"]

_REQUIREMENTS = (
    "papermill==2.7.0",
    "ipykernel==7.4.0",
    "nbclient==0.11.0",
    "jupyter_client==8.10.0",
)
_NBCLIENT = """
import sys, time
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=600, kernel_name="python3")
with client.setup_kernel():
    info = client.wait_for_reply(client.kc.kernel_info())
    began = time.perf_counter()
    for index, cell in enumerate(notebook.cells):
        client.execute_cell(cell, index)
    print(time.perf_counter() - began)
"""


class Peers:
    """The tools Quire is measured against."""

    def __init__(self, root: Path, work_dir: Path) -> None:
        self._environment = root / ".bench-venv"
        self._uv = root / ".tools" / "bin" / "uv"
        self._work_dir = work_dir

    def install(self) -> None:
        """Make the environment, bytecode included; nothing to do when it is there."""
        stamp = self._environment / ".installed"
        wanted = "\n".join(_REQUIREMENTS)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        interpreter = getattr(sys, "_base_executable", sys.executable)
        self._run_uv("venv", "--clear", "--python", interpreter, str(self._environment))
        python = str(self._environment / "bin" / "python")
        self._run_uv("pip", "install", "--compile-bytecode", "--python", python, *_REQUIREMENTS)
        stamp.write_text(wanted)

    def run_papermill(self, notebook: dict[str, Any]) -> float:
        """Seconds the command takes, from start to exit."""
        source = self._write(notebook)
        return self._papermill(source, source.with_suffix(".out.ipynb"))

    def run_papermill_in_pairs(self, notebook: dict[str, Any], count: int) -> float:
        """Runs a second, two commands at a time."""
        source = self._write(notebook)
        began = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            targets = [self._work_dir / f"pair-{index}.ipynb" for index in range(count)]
            list(pool.map(lambda target: self._papermill(source, target), targets))
        return count / (time.perf_counter() - began)

    def run_nbclient(self, notebook: dict[str, Any]) -> float:
        """Seconds the cells take, with the kernel already up."""
        script = self._work_dir / "run_nbclient.py"
        script.write_text(_NBCLIENT)
        command = [str(self._environment / "bin" / "python"), str(script)]
        done = subprocess.run(
            [*command, str(self._write(notebook))],
            env=self._variables(),
            check=True,
            capture_output=True,
            text=True,
        )
        return float(done.stdout.split()[-1])

    def _papermill(self, source: Path, target: Path) -> float:
        command = [str(self._environment / "bin" / "papermill"), "--no-progress-bar"]
        began = time.perf_counter()
        subprocess.run(
            [*command, str(source), str(target)],
            env=self._variables(),
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - began

    def _write(self, notebook: dict[str, Any]) -> Path:
        path = self._work_dir / f"peer-{len(notebook['cells'])}.ipynb"
        path.write_text(json.dumps(notebook))
        return path

    def _variables(self) -> dict[str, str]:
        """Our environment without what would slow the peers down or lend them our packages."""
        dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV"}
        kept = {key: value for key, value in os.environ.items() if key not in dropped}
        return {**kept, "PATH": f"{self._environment / 'bin'}:{kept.get('PATH', '')}"}

    def _run_uv(self, *arguments: str) -> None:
        subprocess.run(
            [str(self._uv), "--quiet", "--system-certs", *arguments],
            env=self._variables(),
            check=True,
        )
