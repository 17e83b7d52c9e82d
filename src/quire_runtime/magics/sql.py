"""``%sql``: through Spark, or through a database without Spark (Databricks contract 10.6).

Owns the choice between the two, and nothing of either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quire_runtime.dbutils import DBUtils
from quire_runtime.magics.database import make_database
from quire_runtime.magics.languages import whole_cell
from quire_runtime.session import Session
from quire_runtime.spark.sql import run_sql

__all__ = ["make_sql", "uses_spark"]


def uses_spark(session: Session) -> bool:
    """Whether SQL cells of this run mean Spark's SQL.

    Those of a Databricks notebook always do, others do when a cluster was named for the run.
    """
    return session.flavour == "databricks" or session.has_cluster


def make_sql(shell: Any, session: Session, dbutils: DBUtils) -> Callable[..., None]:
    """The magic, for a line or a whole cell."""

    without_spark = make_database(shell, session)["sql"]

    def sql(line: str, cell: str | None = None) -> None:
        """Run SQL statements and show what the last of them gives."""
        __tracebackhide__ = True
        if uses_spark(session):
            from pyspark.sql import SparkSession

            spark = SparkSession.builder.getOrCreate()
            run_sql(shell, spark, whole_cell(line, cell), dbutils.widgets.getAll().get)
        else:
            without_spark(line, cell)

    return sql
