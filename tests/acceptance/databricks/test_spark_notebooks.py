"""Notebooks in several languages on real Spark, through the vendor's own SDK.

The runs name a cluster that never was, so they get the one the server shares among runs.
"""

from __future__ import annotations

import base64
import re
import threading
from typing import Any
from urllib.parse import unquote

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.workspace import ImportFormat, Language

from tests.acceptance.databricks.conftest import RunningServer, wait_for_end
from tests.acceptance.servers import poll

FOLDER = "/Shared/spark"

MIXED = b"""# Databricks notebook source
dbutils.widgets.text("least", "0")
from pyspark.sql.functions import udf
double = udf(lambda x: x * 2, "long")
spark.range(5).select(double("id").alias("n")).createOrReplaceTempView("numbers")

# COMMAND ----------

# MAGIC %sql
# MAGIC create or replace temp view large as select n from numbers where n >= ${least};
# MAGIC select count(*) as found from large

# COMMAND ----------

# MAGIC %scala
# MAGIC case class Number(n: Long)
# MAGIC val total = spark.table("large").as[Number].map(_.n + 1).reduce(_ + _)
# MAGIC Seq(total).toDF("total").createOrReplaceTempView("sum")

# COMMAND ----------

found = _sqldf.first().found
dbutils.notebook.exit(f"{found} {spark.table('sum').first().total}")
"""
SQL = b"""-- Databricks notebook source
create or replace temp view mine as select :word as word

-- COMMAND ----------

select upper(word) as loud from mine

-- COMMAND ----------

-- MAGIC %python
-- MAGIC dbutils.notebook.exit(_sqldf.first().loud)
"""
SCALA = b"""// Databricks notebook source
val word = dbutils.widgets.get("word")

// COMMAND ----------

// MAGIC %python
// MAGIC spark.range(3).createOrReplaceTempView("three")

// COMMAND ----------

dbutils.notebook.exit(word + spark.table("three").count())
"""
BROKEN = b"""// Databricks notebook source
val number: Int =
  "text"

// COMMAND ----------

println("never")
"""
VIEWS = b"""# Databricks notebook source
spark.range(1).createOrReplaceTempView("left_by_another_run")
before = [each.name for each in spark.catalog.listTables() if each.isTemporary]
dbutils.notebook.exit(str(before))
"""
SLOW = b"""# Databricks notebook source
print("be" + "gun", flush=True)
sc.parallelize(range(4), 4).map(lambda x: __import__("time").sleep(600)).count()
"""
JOBS = b"""# Databricks notebook source
import time
until = time.monotonic() + 30
tasks = None
while tasks != 0 and time.monotonic() < until:
    time.sleep(0.05)
    executors = sc._jsc.sc().statusStore().executorList(True)
    tasks = sum(executors.apply(n).activeTasks() for n in range(executors.size()))
dbutils.notebook.exit(f"{tasks} tasks")
"""


@pytest.fixture(scope="module")
def sdk(server: RunningServer) -> WorkspaceClient:
    sdk = WorkspaceClient(host=server.url, token=server.token, auth_type="pat")
    sdk.workspace.mkdirs(FOLDER)
    for name, language, source in (
        ("mixed", Language.PYTHON, MIXED),
        ("sql", Language.SQL, SQL),
        ("scala", Language.SCALA, SCALA),
        ("broken", Language.SCALA, BROKEN),
        ("views", Language.PYTHON, VIEWS),
        ("slow", Language.PYTHON, SLOW),
        ("jobs", Language.PYTHON, JOBS),
    ):
        sdk.workspace.upload(
            f"{FOLDER}/{name}",
            source,
            format=ImportFormat.SOURCE,
            language=language,
            overwrite=True,
        )
    return sdk


def submit(sdk: WorkspaceClient, name: str, **parameters: str) -> int:
    task = {"notebook_path": f"{FOLDER}/{name}", "base_parameters": parameters}
    answer: Any = sdk.api_client.do(
        "POST",
        "/api/2.0/jobs/runs/submit",
        body={"existing_cluster_id": "0000-000000-moved123", "notebook_task": task},
    )
    return int(answer["run_id"])


def look(sdk: WorkspaceClient, run_id: int) -> dict[str, Any]:
    found: Any = sdk.api_client.do("GET", "/api/2.0/jobs/runs/get", query={"run_id": run_id})
    return dict(found)


def finish(sdk: WorkspaceClient, run_id: int) -> dict[str, Any]:
    return wait_for_end(lambda: look(sdk, run_id))


def output(sdk: WorkspaceClient, run_id: int) -> dict[str, Any]:
    found: Any = sdk.api_client.do("GET", "/api/2.0/jobs/runs/get-output", query={"run_id": run_id})
    return dict(found)


def result(sdk: WorkspaceClient, name: str, **parameters: str) -> str:
    run_id = submit(sdk, name, **parameters)
    state = finish(sdk, run_id)["state"]
    assert state.get("result_state") == "SUCCESS", (state, output(sdk, run_id))
    return str(output(sdk, run_id)["notebook_output"]["result"])


@pytest.mark.parametrize(
    ("name", "parameters", "value"),
    [
        ("mixed", {"least": "4"}, "3 21"),  # 4, 6 and 8; each and one more
        ("sql", {"word": "quiet"}, "QUIET"),
        ("scala", {"word": "n"}, "n3"),
    ],
)
def test_notebooks_of_each_language(
    sdk: WorkspaceClient, name: str, parameters: dict[str, str], value: str
) -> None:
    assert result(sdk, name, **parameters) == value


def test_a_scala_cell_that_fails_fails_the_run(sdk: WorkspaceClient) -> None:
    run_id = submit(sdk, "broken")
    assert finish(sdk, run_id)["state"]["result_state"] == "FAILED"
    assert output(sdk, run_id)["error"] == "ScalaCompileError: type mismatch; (line 2)"


def test_runs_on_one_cluster_do_not_see_each_others_views(sdk: WorkspaceClient) -> None:
    expected = "['left_by_another_run']"
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(result(sdk, "views"))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 2


def test_a_cancelled_run_leaves_idle_executors(sdk: WorkspaceClient) -> None:
    run_id = submit(sdk, "slow")

    def shown() -> str:
        found: Any = sdk.api_client.do("GET", "/api/2.0/jobs/runs/export", query={"run_id": run_id})
        (model,) = re.findall(r"NOTEBOOK_MODEL = '([^']+)'", found["views"][0]["content"])
        return unquote(base64.b64decode(model).decode())

    poll(lambda: look(sdk, run_id)["state"]["life_cycle_state"], lambda it: it == "RUNNING")
    poll(shown, lambda notebook: "begun" in notebook)
    sdk.api_client.do("POST", "/api/2.0/jobs/runs/cancel", body={"run_id": run_id})
    ended = finish(sdk, run_id)
    assert ended["state"]["result_state"] == "CANCELED"
    assert result(sdk, "jobs") == "0 tasks"
