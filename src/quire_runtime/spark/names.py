"""Names of Spark in a notebook's namespace, made when code is about to use one.

A cell that uses such a name gets a statement before its first that makes it, so that what the
notebook sees is the thing itself and not something that stands for it, and so that waiting for
Spark, or not getting it, happens inside the cell. A name the notebook has given itself stays its
own, also when the cell gives it before using it (``sc = StandardScaler()``).
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

from quire_runtime.errors import UnsupportedFeature
from quire_runtime.spark.attachment import Attachment
from quire_runtime.spark.uses import GlobalUses

__all__ = ["NAMES", "Names"]

NAMES = frozenset({"spark", "sc", "sqlContext", "sql", "table", "udf"})
QUOTED_NAMES = frozenset({"spark", "sc", "sqlContext"})  # as in: if "spark" in globals()
PROVIDER = "_quire_provide"

_PYTHON_MAGICS = frozenset({"prun", "memit", "mprun", "lprun", "debug"})
_MAGIC = re.compile(r"\bspark\b")


class Names(ast.NodeTransformer):
    """A transformer of the shell's: sees each cell, and each inlined one, before it runs."""

    def __init__(self, shell: Any, attachment: Attachment) -> None:
        self._shell = shell
        self._attachment = attachment
        self._made: dict[str, Any] = {}
        self._uses = GlobalUses(NAMES)

    def install(self) -> None:
        """Look at cells from here on, in place of an earlier one."""
        transformers = self._shell.ast_transformers
        transformers[:] = [each for each in transformers if not isinstance(each, Names)]
        transformers.append(self)
        setattr(self._shell, PROVIDER, self.provide)

    def visit(self, node: ast.AST) -> Any:
        """Put the statement before the first of a cell that uses a name not there yet."""
        if isinstance(node, ast.Module):
            wanted = self._wanted(node)
            if wanted:
                _insert(node, wanted)
        return node

    def provide(self, *names: str) -> None:
        """Make names and all that come with them. Raises SparkUnavailable, SparkDriverLost."""
        __tracebackhide__ = True
        if all(name in self._shell.user_ns for name in names):
            return
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.getOrCreate()
        made: dict[str, Any] = {"spark": spark, "sql": spark.sql, "table": spark.table}
        if not self._attachment.is_remote:
            made["sc"] = spark.sparkContext
            made["sqlContext"] = _sql_context(spark)
        elif "sc" in names or "sqlContext" in names:
            raise UnsupportedFeature(
                "'sc' and 'sqlContext' are not there when Spark is reached through Spark Connect; "
                "use 'spark'."
            )
        if "udf" in names:
            from pyspark.sql import functions

            made["udf"] = functions.udf
        known = self._shell.user_ns
        # What reads like an ordinary word is not put there unless it is asked for.
        made = {
            name: value
            for name, value in made.items()
            if name not in known and (name in names or name in QUOTED_NAMES)
        }
        self._made.update(made)
        self._shell.push(made, interactive=False)

    def forget(self) -> None:
        """Take away what was made here, so that the next use makes it anew."""
        for name, value in self._made.items():
            if self._shell.user_ns.get(name) is value:
                self._shell.drop_by_id({name: value})
        self._made.clear()

    def _wanted(self, module: ast.Module) -> list[str]:
        missing = {name for name in NAMES if name not in self._shell.user_ns}
        if not missing:
            return []
        mentioned, wanted = False, set()
        for node in ast.walk(module):
            if isinstance(node, ast.Name):
                mentioned = mentioned or node.id in missing or self._uses.knows(node.id)
            elif isinstance(node, ast.Constant) and node.value in QUOTED_NAMES:
                wanted.add(str(node.value))
            elif isinstance(node, ast.Call) and _runs_python(node):
                wanted.add("spark")
        if mentioned:
            flags = self._shell.compile.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            try:
                code = compile(module, "<cell>", "exec", flags, dont_inherit=True)
            except (SyntaxError, ValueError):
                return []  # the cell's own compilation will say it
            wanted |= self._uses.find(code)
        return sorted(wanted & missing)


def _runs_python(call: ast.Call) -> bool:
    """Whether a call is a magic that may run Python with Spark in it (``%%time``, ``%%prun``)."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return False
    if function.attr not in ("run_cell_magic", "run_line_magic"):
        return False
    texts = [each.value for each in call.args if isinstance(each, ast.Constant)]
    return (
        bool(texts)
        and texts[0] in _PYTHON_MAGICS
        and any(_MAGIC.search(str(each)) is not None for each in texts[1:])
    )


def _insert(module: ast.Module, names: list[str]) -> None:
    call = ast.Expr(
        ast.Call(
            ast.Attribute(
                ast.Call(ast.Name("get_ipython", ast.Load()), [], []), PROVIDER, ast.Load()
            ),
            [ast.Constant(name) for name in names],
            [],
        )
    )
    at = 0
    while at < len(module.body) and _must_be_first(module.body[at]):
        at += 1
    place = module.body[min(at, len(module.body) - 1)]
    for node in ast.walk(call):
        ast.copy_location(node, place)
    module.body.insert(at, call)


def _must_be_first(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _sql_context(spark: Any) -> Any:
    from pyspark.sql import SQLContext

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its age, which the notebook did not ask for
        return SQLContext._get_or_create(spark.sparkContext)
