"""What Scala cells of a notebook find beside Spark: ``dbutils``, ``display``, ``displayHTML``.

They are compiled into the run's interpreter when a cell first mentions one. Values travel through a
map in the driver: those of the notebook's widgets before a cell, new widgets and things to show
after it.
"""

from __future__ import annotations

import re
from typing import Any

from quire_runtime import display

__all__ = ["BRIDGE", "SOURCE", "Bridge", "are_used_in", "exit_value"]

BRIDGE = "quireValues"
EXIT = "quire-notebook-exit:"
VALUE, DEFINED, SHOWN = "value:", "defined:", "shown"
SOURCE = f'''
object dbutils extends Serializable {{
  private def missing(name: String) = throw new java.util.NoSuchElementException(
    "com.databricks.dbutils_v1.InputWidgetNotDefined: No input widget named " + name +
    " is defined")
  private def define(name: String, default: String): Unit = {{
    if (!{BRIDGE}.containsKey("{VALUE}" + name)) {BRIDGE}.put("{VALUE}" + name, default)
    {BRIDGE}.put("{DEFINED}" + name, default)
  }}
  object widgets extends Serializable {{
    def get(name: String): String =
      Option({BRIDGE}.get("{VALUE}" + name)).map(_.toString).getOrElse(missing(name))
    def text(name: String, defaultValue: String, label: String = ""): Unit =
      define(name, defaultValue)
    def dropdown(name: String, defaultValue: String, choices: Seq[String], label: String = "")
        : Unit = define(name, defaultValue)
    def combobox(name: String, defaultValue: String, choices: Seq[String], label: String = "")
        : Unit = define(name, defaultValue)
    def multiselect(name: String, defaultValue: String, choices: Seq[String], label: String = "")
        : Unit = define(name, defaultValue)
  }}
  object notebook extends Serializable {{
    def exit(value: String): Nothing = throw new InterruptedException("{EXIT}" + value)
  }}
}}
def getArgument(name: String): String = dbutils.widgets.get(name)
def getArgument(name: String, default: String): String =
  scala.util.Try(dbutils.widgets.get(name)).getOrElse(default)
private def quireShow(kind: String, value: Any): Unit = {BRIDGE}.get("{SHOWN}")
  .asInstanceOf[java.util.List[Object]].add(Array[Object](kind, value.asInstanceOf[Object]))
def display(value: Any): Unit = quireShow("value", value match {{
  case frame: org.apache.spark.sql.Dataset[_] => frame.toDF()
  case other => String.valueOf(other)
}})
def displayHTML(html: String): Unit = quireShow("html", html)
'''

_USED = re.compile(r"\b(?:dbutils|display|displayHTML|getArgument)\b")


def are_used_in(code: str) -> bool:
    """Whether a cell may use one of these names."""
    return _USED.search(code) is not None


def exit_value(error: Any) -> str | None:
    """What a Scala cell ended its notebook with; None when it is an error like any other."""
    while error is not None:
        message = error.getMessage() or ""
        if message.startswith(EXIT):
            return str(message[len(EXIT) :])
        error = error.getCause()
    return None


class Bridge:
    """The values in the driver, and what the notebook does with them."""

    def __init__(self, jvm: Any, dbutils: Any) -> None:
        self._dbutils = dbutils
        self._jvm = jvm
        self.values = jvm.java.util.concurrent.ConcurrentHashMap()

    def serve(self, dbutils: Any) -> None:
        """Have the widgets of another run."""
        for key in [str(each) for each in self.values.keySet().toArray()]:
            self.values.remove(key)
        self._dbutils = dbutils

    def give(self) -> None:
        """Let Scala see the widgets as they are now."""
        for name, value in self._dbutils.widgets.getAll().items():
            self.values.put(VALUE + name, value)
        self.values.put(SHOWN, self._jvm.java.util.ArrayList())

    def take(self, shell: Any) -> None:
        """Make the widgets and show the things that the cell asked for."""
        for key in [str(each) for each in self.values.keySet().toArray()]:
            if key.startswith(DEFINED):
                self._dbutils.widgets.text(key[len(DEFINED) :], self.values.remove(key))
        for kind, value in self.values.get(SHOWN):
            if kind == "html":
                display.displayHTML(value)
            elif isinstance(value, str):
                print(value)
            else:
                from pyspark.sql import DataFrame

                display.display(DataFrame(value, _spark()))


def _spark() -> Any:
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()
