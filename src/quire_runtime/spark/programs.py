"""Spark for a Python file that is run as a program, without a notebook around it."""

from __future__ import annotations

from types import CodeType
from typing import Any

from quire_runtime.session import Session
from quire_runtime.spark import patches
from quire_runtime.spark.attachment import Attachment
from quire_runtime.spark.uses import GlobalUses

__all__ = ["spark_names"]

NAMES = frozenset({"spark", "sc", "sqlContext"})


def spark_names(session: Session, code: CodeType) -> dict[str, Any]:
    """The names of Spark that a program uses and does not give itself; none is made for others.

    However it asks for a session (``SparkSession.builder.getOrCreate()``), it gets the run's.
    """
    patches.install(Attachment(session, tell=lambda: _tell(session)))
    used = GlobalUses(NAMES).find(code)
    if not used:
        return {}
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    names: dict[str, Any] = {"spark": spark}
    if "sc" in used:
        names["sc"] = spark.sparkContext
    if "sqlContext" in used:
        from pyspark.sql import SQLContext

        names["sqlContext"] = SQLContext._get_or_create(spark.sparkContext)
    return names


def _tell(session: Session) -> None:
    if session.tell is not None:
        session.tell({"type": "spark"})
