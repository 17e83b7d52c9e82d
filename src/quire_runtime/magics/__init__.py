"""The magics a notebook may use, and the rule that a leading ``%name`` takes the whole cell."""

from __future__ import annotations

from typing import Any

from quire_runtime.dbutils import DBUtils
from quire_runtime.magics import (
    database,
    files,
    languages,
    leading,
    notebooks,
    packages,
    r,
    scala,
    shell,
    sql,
)
from quire_runtime.session import Session
from quire_runtime.spark.attachment import Attachment

__all__ = ["register"]

NO_EXPANSION = "_ipython_magic_no_var_expand"  # IPython's mark: leave $name and {name} alone


def register(ipython: Any, session: Session, dbutils: DBUtils, attachment: Attachment) -> None:
    """Put the magics into the shell.

    In a notebook of Databricks origin they have Databricks' meaning throughout. In any other,
    IPython's own ``%%sh``, ``%%python`` and ``%run`` of files on disk keep theirs.
    """
    databricks = session.flavour == "databricks"
    run_shell = shell.make_shell()
    whole_cell: dict[str, Any] = {
        "sh": run_shell,
        "fs": files.make_files(dbutils),
        **languages.make_languages(ipython),
        "sql": sql.make_sql(ipython, session, dbutils),
        "database": database.make_database(ipython, session)["sql"],
        "tsql": database.make_database(ipython, session)["tsql"],
        "scala": scala.make_scala(ipython, session, dbutils, attachment),
        "r": r.make_r(session),
    }
    for name, function in whole_cell.items():
        setattr(function, NO_EXPANSION, True)
        ipython.register_magic_function(function, "line", name)
        if databricks or name not in ("sh", "python"):
            ipython.register_magic_function(function, "cell", name)
    ipython.register_magic_function(run_shell, "cell", leading.SHELL_ALIAS)

    def own_run(line: str) -> Any:  # found by its class, since the name leads here from now on
        return ipython.magics_manager.registry["ExecutionMagics"].run(line)

    run = notebooks.make_run(ipython, session, own_run=None if databricks else own_run)
    setattr(run, NO_EXPANSION, True)
    ipython.register_magic_function(run, "line", "run")
    for name, function in packages.make_packages(session).items():
        ipython.register_magic_function(function, "line", name)
    leading.install(ipython, session, whole_cell)
