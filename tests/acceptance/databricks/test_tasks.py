"""Tasks that are no notebooks, as the Jobs 2.0 documentation submits them, with curl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.databricks.conftest import Curl, wait_for_end
from tests.jar import MAIN_CLASS, store_in_repository

CLUSTER = {
    "spark_version": "7.5.x-scala2.12",
    "node_type_id": "n1-highmem-4",
    "aws_attributes": {"availability": "ON_DEMAND"},
    "num_workers": 0,
}
SCRIPT = """import sys
from pathlib import Path

print("arguments", sys.argv[1:])
dbutils.fs.put("/tmp/out.txt", "written", True)
print(dbutils.fs.head("/tmp/out.txt"))
if "fail" in sys.argv:
    raise ValueError("as asked")
"""


@pytest.fixture
def script(curl: Curl, tmp_path: Path) -> str:
    return upload(curl, tmp_path / "job.py", SCRIPT.encode())


def upload(curl: Curl, file: Path, data: bytes) -> str:
    """Put a file into the workspace; its path."""
    file.write_bytes(data)
    path = f"/Shared/{file.name}"
    answer = curl(
        *("--form", f"path={path}", "--form", "format=AUTO", "--form", "overwrite=true"),
        *("--form", f"content=@{file}"),
        path="/workspace/import",
    )
    assert answer == {}
    return path


def submit(curl: Curl, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run something once; the run as it ended, and its output."""
    body = {"run_name": "my task", "new_cluster": CLUSTER, **fields}
    answer = curl("--request", "POST", path="/jobs/runs/submit", data=body)
    return ended(curl, answer["run_id"])


def ended(curl: Curl, run_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
    run = wait_for_end(lambda: curl(path=f"/jobs/runs/get?run_id={run_id}"))
    return run, curl(path=f"/jobs/runs/get-output?run_id={run_id}")


def test_python_file(curl: Curl, script: str) -> None:
    task = {"python_file": f"/Workspace{script}", "parameters": ["john doe", "35"]}
    run, output = submit(curl, spark_python_task=task)
    assert run["state"]["result_state"] == "SUCCESS", output
    assert run["task"] == {"spark_python_task": task}
    assert output["logs"] == "arguments ['john doe', '35']\nWrote 7 bytes.\nwritten\n"
    assert output["logs_truncated"] is False
    assert "notebook_output" not in output


def test_python_file_that_fails(curl: Curl, script: str) -> None:
    run, output = submit(curl, spark_python_task={"python_file": script, "parameters": ["fail"]})
    state = run["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATED", "FAILED")
    assert state["state_message"].startswith("Workload failed, see run output for details")
    assert output["error"] == "ValueError: as asked"
    assert output["error_trace"].startswith("Traceback (most recent call last):")
    assert output["logs"].endswith("ValueError: as asked\n")


def test_python_file_that_is_missing(curl: Curl) -> None:
    run, output = submit(curl, spark_python_task={"python_file": "dbfs:/no/such.py"})
    state = run["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert "File not found: dbfs:/no/such.py" in state["state_message"]
    assert output["error"] == "File not found: dbfs:/no/such.py"


def test_parameters_of_a_python_job(curl: Curl, script: str) -> None:
    task = {"python_file": script, "parameters": ["of the job"]}
    body = {"name": "python", "new_cluster": CLUSTER, "spark_python_task": task}
    job_id = curl("--request", "POST", path="/jobs/create", data=body)["job_id"]
    passed = ["{{job_id}}", "2"]
    answer = curl(
        *("--request", "POST"),
        path="/jobs/run-now",
        data={"job_id": job_id, "python_params": passed, "jar_params": ["ignored"]},
    )
    run, output = ended(curl, answer["run_id"])
    assert output["logs"].startswith(f"arguments ['{job_id}', '2']\n")
    assert run["overriding_parameters"] == {"python_params": passed}
    assert run["task"] == {"spark_python_task": task}
    curl("--request", "POST", path="/jobs/delete", data={"job_id": job_id})


def test_shell_command(curl: Curl) -> None:
    task = {"command": ["bash", "-c", "echo $WHO; exit 3"], "env_vars": {"WHO": "me"}}
    run, output = submit(curl, shell_command_task=task)
    assert run["task"] == {"shell_command_task": task}
    assert run["state"]["result_state"] == "FAILED"
    assert output["logs"] == "me\n"
    assert output["error"] == "The program ended with exit code 3."


def test_a_program_has_no_export(curl: Curl) -> None:
    run, _ = submit(curl, shell_command_task={"command": ["true"]})
    answer = curl(path=f"/jobs/runs/export?run_id={run['run_id']}")
    assert answer["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "ran no notebook" in answer["message"]


@pytest.fixture
def jar(curl: Curl, tmp_path: Path, demo_jar: Path) -> str:
    return upload(curl, tmp_path / "demo.jar", demo_jar.read_bytes())


def test_jar(curl: Curl, jar: str) -> None:
    libraries = [{"jar": f"/Workspace{jar}"}]
    task = {"main_class_name": MAIN_CLASS, "parameters": ["of the job"]}
    body = {
        "name": "Nightly model training",
        "new_cluster": CLUSTER,
        "libraries": libraries,
        "spark_jar_task": task,
    }
    job_id = curl("--request", "POST", path="/jobs/create", data=body)["job_id"]
    passed = ["john doe", "35"]
    answer = curl(
        *("--request", "POST"),
        path="/jobs/run-now",
        data={"job_id": job_id, "jar_params": passed},
    )
    run, output = ended(curl, answer["run_id"])
    assert run["state"]["result_state"] == "SUCCESS", output
    assert run["task"] == {"spark_jar_task": task}
    assert run["overriding_parameters"] == {"jar_params": passed}
    assert run["cluster_spec"]["libraries"] == libraries
    assert "arguments john doe|35\n" in output["logs"]
    assert "master local[" in output["logs"]
    assert "sum 45\n" in output["logs"]
    curl("--request", "POST", path="/jobs/delete", data={"job_id": job_id})


def test_jar_on_workers_with_a_library_of_a_repository(
    curl: Curl, demo_jar: Path, tmp_path: Path
) -> None:
    repository = demo_jar.parent / "repository"
    library = {"coordinates": store_in_repository(demo_jar, repository)}
    run, output = submit(
        curl,
        new_cluster={**CLUSTER, "num_workers": 1},
        libraries=[{"maven": {**library, "repo": repository.as_uri()}}],
        spark_jar_task={"main_class_name": MAIN_CLASS},
    )
    assert run["state"]["result_state"] == "SUCCESS", output
    assert "master spark://" in output["logs"]
    assert "sum 45\n" in output["logs"]


def test_jar_that_fails(curl: Curl, jar: str) -> None:
    run, output = submit(
        curl,
        libraries=[{"jar": f"/Workspace{jar}"}],
        spark_jar_task={"main_class_name": MAIN_CLASS, "parameters": ["fail"]},
    )
    state = run["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATED", "FAILED")
    assert output["error"] == "java.lang.IllegalStateException: as asked"
    assert "demo.Main" in output["error_trace"]


def test_spark_submit(curl: Curl, jar: str) -> None:
    task = {"parameters": ["--class", MAIN_CLASS, f"/Workspace{jar}", "10"]}
    run, output = submit(curl, spark_submit_task=task)
    assert run["state"]["result_state"] == "SUCCESS", output
    assert run["task"] == {"spark_submit_task": task}
    assert output == {"metadata": run}
    task = {"parameters": [*task["parameters"], "fail"]}
    run, output = submit(curl, spark_submit_task=task)
    assert run["state"]["result_state"] == "FAILED"
    assert output["error"] == "java.lang.IllegalStateException: as asked"


def test_python_file_uses_the_clusters_spark(curl: Curl, tmp_path: Path) -> None:
    source = (
        b"from pyspark.sql import SparkSession\n"
        b"print(spark.range(10).count(), sc.parallelize([1, 2]).sum())\n"
        b"spark.range(3).createOrReplaceTempView('numbers')\n"
        b"own = SparkSession.builder.appName('mine').getOrCreate()\n"
        b"print(own.sql('SELECT sum(id) FROM numbers').first()[0])\n"
        b"own.stop()\n"
    )
    path = upload(curl, tmp_path / "uses_spark.py", source)
    run, output = submit(curl, spark_python_task={"python_file": path})
    assert run["state"]["result_state"] == "SUCCESS", output
    assert output["logs"].startswith("10 3\n3\n")
