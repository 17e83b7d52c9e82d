"""Runs a first aggregation and a first Python function on a fresh driver, then leaves.

A program of its own, run by a driver process with the cluster's interpreter: it imports PySpark and
nothing of the server. It attaches as kernels do, through the gateway its environment names.
"""

from __future__ import annotations

__all__ = ["main"]


def _shown(value: int) -> str:
    return str(value)


def main() -> None:
    """Attach, run both, and detach; raises what Spark raises."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import udf

    gateway = launch_gateway()  # type: ignore[no-untyped-call]
    java_context = gateway.jvm.JavaSparkContext.fromSparkContext(
        gateway.jvm.org.apache.spark.SparkContext.getOrCreate()
    )
    context = SparkContext(
        gateway=gateway, jsc=java_context, conf=SparkConf(_jconf=java_context.getConf())
    )
    classic = gateway.jvm.org.apache.spark.sql.classic.SparkSession
    session = SparkSession(context, classic.builder().getOrCreate().newSession())
    numbers = session.range(100).selectExpr("id", "id % 7 as remainder")
    numbers.groupBy("remainder").count().collect()
    numbers.createOrReplaceTempView("numbers")
    session.sql("select count(*) from numbers").collect()
    numbers.select(udf(_shown)("id")).collect()
    gateway.shutdown_callback_server()
    gateway.close()


if __name__ == "__main__":
    main()
