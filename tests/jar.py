"""A JAR to run on Spark, compiled by the Scala compiler among Spark's own jars."""

from __future__ import annotations

import subprocess
from pathlib import Path

from quire.compute.java import find_java, write_launcher
from quire.compute.spark_home import find_spark

__all__ = ["MAIN_CLASS", "compile_jar", "store_in_repository"]

MAIN_CLASS = "demo.Main"
_SOURCE = """
package demo

import org.apache.spark.sql.SparkSession

object Main {
  def main(arguments: Array[String]): Unit = {
    println("arguments " + arguments.mkString("|"))
    if (arguments.contains("fail")) throw new IllegalStateException("as asked")
    if (arguments.contains("exit")) sys.exit(7)
    val spark = SparkSession.builder().getOrCreate()
    println("master " + spark.sparkContext.master)
    println("sum " + spark.range(10).selectExpr("sum(id)").head().getLong(0))
    if (arguments.contains("sleep")) {
      println("asleep")
      spark.sparkContext.parallelize(1 to 2, 2).foreach(_ => Thread.sleep(600000))
    }
    spark.stop()
  }
}
"""
_POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.example</groupId><artifactId>demo</artifactId><version>1.0</version>
</project>
"""


def compile_jar(folder: Path) -> Path:
    """Compile the program above into ``folder``."""
    java = write_launcher(find_java(), folder / "java") / "bin" / "java"
    source, jar = folder / "Main.scala", folder / "demo.jar"
    source.write_text(_SOURCE)
    command = [str(java), "-cp", f"{find_spark().jars}/*", "scala.tools.nsc.Main", "-usejavacp"]
    subprocess.run([*command, "-d", str(jar), str(source)], check=True, cwd=folder)
    return jar


def store_in_repository(jar: Path, root: Path) -> str:
    """Put a JAR into a folder laid out as a Maven repository; its coordinates."""
    folder = root / "org" / "example" / "demo" / "1.0"
    folder.mkdir(parents=True)
    (folder / "demo-1.0.jar").write_bytes(jar.read_bytes())
    (folder / "demo-1.0.pom").write_text(_POM)
    return "org.example:demo:1.0"
