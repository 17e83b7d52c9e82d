"""Libraries of runs, as a client of the Jobs API gives them; packages made on the spot."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.databricks.conftest import Curl, wait_for_end
from tests.compute.wheels import add_to_index, make_wheel
from tests.jar import MAIN_CLASS

CLUSTER = {"spark_version": "7.5.x-scala2.12", "node_type_id": "n1-highmem-4", "num_workers": 0}
NOTEBOOK = """# Databricks notebook source
import importlib
found = {name: importlib.import_module(name).VERSION for name in ("own", "leaf")}
dbutils.notebook.exit(str(found))
"""
PANDAS = """# Databricks notebook source
import pandas
import matplotlib.pyplot  # the server's packages are there, too
dbutils.notebook.exit(pandas.OURS)
"""
_TRIES = 20


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    """Where a user other than pytest's may read it."""
    with tempfile.TemporaryDirectory(prefix="quire-index-") as folder:
        Path(folder).chmod(0o755)
        add_to_index(Path(folder), "leaf", "1.0", {"leaf.py": "VERSION = '1.0'\n"})
        pandas = {"pandas/__init__.py": "OURS = 'ours'\n"}
        yield add_to_index(Path(folder), "pandas", "0.1", pandas)


def upload(curl: Curl, file: Path, data: bytes, *options: str) -> str:
    file.write_bytes(data)
    path = f"/Shared/{file.name.removesuffix('.py')}"
    answer = curl(
        *("--form", f"path={path}", "--form", "overwrite=true", *options),
        *("--form", f"content=@{file}"),
        path="/workspace/import",
    )
    assert answer == {}
    return path


def submit(curl: Curl, path: str, libraries: list[dict[str, Any]]) -> dict[str, Any]:
    body = {
        "run_name": "with libraries",
        "new_cluster": CLUSTER,
        "libraries": libraries,
        "notebook_task": {"notebook_path": path},
    }
    run_id = curl("--request", "POST", path="/jobs/runs/submit", data=body)["run_id"]
    run = wait_for_end(lambda: curl(path=f"/jobs/runs/get?run_id={run_id}"))
    output: dict[str, Any] = curl(path=f"/jobs/runs/get-output?run_id={run_id}")
    assert output["metadata"]["state"] == run["state"]
    return output


def test_a_wheel_and_a_package(curl: Curl, tmp_path: Path, index: str) -> None:
    notebook = upload(curl, tmp_path / "libs.py", NOTEBOOK.encode(), "--form", "language=PYTHON")
    name, content = make_wheel("own", "3.1", {"own.py": "import leaf\nVERSION = '3.1'\n"}, ["leaf"])
    wheel = upload(curl, tmp_path / name, content, "--form", "format=AUTO")
    libraries = [{"pypi": {"package": "leaf", "repo": index}}, {"whl": f"/Workspace{wheel}"}]
    output = submit(curl, notebook, libraries)
    assert output["metadata"]["state"]["result_state"] == "SUCCESS", output
    assert output["notebook_output"]["result"] == "{'own': '3.1', 'leaf': '1.0'}"


def test_another_version_of_a_package_that_kernels_have(
    curl: Curl, tmp_path: Path, index: str
) -> None:
    notebook = upload(curl, tmp_path / "pd.py", PANDAS.encode(), "--form", "language=PYTHON")
    libraries = [{"pypi": {"package": "pandas==0.1", "repo": index}}]
    output = submit(curl, notebook, libraries)
    assert output["metadata"]["state"]["result_state"] == "SUCCESS", output
    assert output["notebook_output"]["result"] == "ours"


def test_one_that_is_used_often_finds_its_kernel_ready(
    curl: Curl, tmp_path: Path, index: str
) -> None:
    source = PANDAS.replace("pandas.OURS", "f'{pandas.OURS} {__import__(\"os\").getpid()}'")
    notebook = upload(curl, tmp_path / "pid.py", source.encode(), "--form", "language=PYTHON")
    libraries = [{"pypi": {"package": "pandas==0.1", "repo": index}}]
    for _ in range(_TRIES):
        processes = {each.name for each in Path("/proc").iterdir()}
        output = submit(curl, notebook, libraries)
        version, pid = output["notebook_output"]["result"].split()
        assert version == "ours"
        if pid in processes:  # its kernel was there before the run
            return
    pytest.fail("no run found a kernel of its interpreter")


def test_a_library_that_fails(curl: Curl, tmp_path: Path) -> None:
    notebook = upload(curl, tmp_path / "libs.py", NOTEBOOK.encode(), "--form", "language=PYTHON")
    state = submit(curl, notebook, [{"whl": "dbfs:/no/such.whl"}])["metadata"]["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert state["state_message"].startswith(
        "Library installation failed for library due to user error for wheel dbfs:/no/such.whl: "
    )


def test_classes_in_a_notebook(curl: Curl, tmp_path: Path, demo_jar: Path) -> None:
    source = f"""# Databricks notebook source
dbutils.notebook.exit(type(spark._jvm.{MAIN_CLASS}).__name__)
"""
    notebook = upload(curl, tmp_path / "jvm.py", source.encode(), "--form", "language=PYTHON")
    jar = upload(curl, tmp_path / "demo.jar", demo_jar.read_bytes(), "--form", "format=AUTO")
    output = submit(curl, notebook, [{"jar": f"/Workspace{jar}"}])
    assert output["metadata"]["state"]["result_state"] == "SUCCESS", output
    assert output["notebook_output"]["result"] == "JavaClass"  # else a package of that name
