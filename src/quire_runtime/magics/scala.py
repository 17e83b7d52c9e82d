"""``%scala``: Scala in the driver of the run's Spark (Databricks contract 10.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quire_runtime.dbutils import DBUtils
from quire_runtime.errors import UnsupportedFeature
from quire_runtime.magics.languages import whole_cell
from quire_runtime.session import Session
from quire_runtime.spark.attachment import Attachment
from quire_runtime.spark.scala import Scala

__all__ = ["make_scala"]


def make_scala(
    shell: Any, session: Session, dbutils: DBUtils, attachment: Attachment
) -> Callable[..., None]:
    """The magic, for a line or a whole cell. Values stay from cell to cell."""
    for interpreter in attachment.interpreters:  # of an earlier run of this kernel
        interpreter.serve(session, dbutils)

    def scala(line: str, cell: str | None = None) -> None:
        """Run Scala code and show the values it defines."""
        __tracebackhide__ = True
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.getOrCreate()
        if attachment.is_remote:
            raise UnsupportedFeature(
                "Scala cells are not available when Spark is reached through Spark Connect."
            )
        if not attachment.interpreters:
            attachment.interpreters.append(Scala(shell, session, dbutils, spark))
        attachment.interpreters[0].run(whole_cell(line, cell))

    return scala
