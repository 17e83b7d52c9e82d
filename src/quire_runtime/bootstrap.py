"""Sets a kernel up for one run: environment, folder, names and magics.

A runner executes :func:`configuration_code` as one hidden, silent request before the first cell.
Importing this module brings in all of the package, so that a process which forks kernels pays for
it once.

What a runner sees of a notebook that ends itself with ``dbutils.notebook.exit(value)``:

1. on iopub, a ``display_data`` with the one MIME type :data:`EXIT_MIME` and the data
   ``{"value": text}``;
2. no ``error`` message for it;
3. a reply of status "error" with ename ``NotebookExit`` and an empty traceback, so that requests
   queued behind it are dropped. When the notebook swallows the signal with a bare ``except``, the
   reply is that of the rest of the cell.

No credential goes into the environment unless ``api_token`` is given; the runtime token stays in
the channel.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from types import CodeType
from typing import Any

from quire_runtime import display, magics
from quire_runtime.dbutils import DBUtils
from quire_runtime.earlier import Earlier
from quire_runtime.errors import NotebookExit
from quire_runtime.exits import EXIT_MIME
from quire_runtime.session import Session
from quire_runtime.spark import notebook, programs
from quire_runtime.spark.attachment import ATTACHED_MIME

__all__ = [
    "ATTACHED_MIME",
    "EXIT_MIME",
    "configuration_code",
    "configure",
    "program_names",
    "set_environment",
]


def configure(settings: Mapping[str, Any]) -> None:
    """Set the running IPython kernel up for one run; again for each further one it serves.

    Keys of ``settings``, all optional:

    ``environment``
        Variables to set, name to text. ``DATABRICKS_RUNTIME_VERSION`` is set only when it is among
        them; ``MLFLOW_TRACKING_URI`` then points into the working folder unless it is given too,
        because mlflow takes that variable as a sign of a hosted tracking server
        (Databricks contract 10.7).
    ``working_dir``
        Folder to change to; packages installed by the notebook go below it.
    ``home_dir``
        Folder that was made for this run alone and holds the working folder. Only with it may
        Spark's driver, which is another user, be let into the working folder.
    ``parameters``
        Parameters of the run, name to JSON value.
    ``server_url``, ``server_url_file``, ``runtime_token``, ``patience_seconds``
        How to reach the server: its address, a file that holds its present address, the run's
        token, and how long to wait for a server that is away (60).
    ``api_url``, ``api_token``
        Public address of the server (``server_url`` when absent) and a token for its public API
        that dies with the run. Only with a token are ``DATABRICKS_HOST`` and ``DATABRICKS_TOKEN``
        set, which lets vendors' clients work without arguments.
    ``run``
        What the notebook may know of its run: run_id, job_id, parent_run_id,
        notebook_path, notebook_id, user, workspace_id, cluster_id.
    ``compute``
        The server's answer to what this run computes on: ``spark`` (where its driver is; absent
        until it is asked for), ``site_packages`` (folders to import from first), ``environment``,
        ``cluster_id``, ``cluster_name``, ``spark_version``. Absent when no cluster was named;
        the server's own is then used when the notebook asks for Spark.
    ``sql``
        Where SQL cells without Spark go: ``dialect`` ("duckdb" or "tsql"), ``database`` (a DuckDB
        file; in memory when absent), ``attached`` (further files: name to [path, read only]),
        ``connection`` (a named one instead), ``parameters`` (whether the run's are ``@name``).
    ``flavour``
        "databricks" or "plain": whose meaning ``display``, ``%run`` and ``%%sh`` have.
    """
    from IPython import get_ipython

    shell: Any = get_ipython()
    if shell is None:
        raise RuntimeError("The runtime can be set up only inside an IPython kernel.")
    session = Session(settings)
    earlier = Earlier.of(shell)
    earlier.enter(session.working_dir)
    _add_package_folders(session)
    earlier.set_environment(_variables(session, settings.get("environment") or {}))
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    dbutils = DBUtils(session)
    names: dict[str, Any] = {
        "dbutils": dbutils,
        "getArgument": dbutils.widgets.getArgument,
        "displayHTML": display.displayHTML,
    }
    if session.flavour == "databricks":
        names["display"] = display.display
    earlier.push(shell, names)
    attachment = notebook.offer(shell, session)
    magics.register(shell, session, dbutils, attachment)
    shell.set_custom_exc((NotebookExit,), _end_quietly)


def configuration_code(settings: Mapping[str, Any]) -> str:
    """The Python to execute silently in a kernel; leaves no name behind."""
    text = json.dumps(settings)
    return (
        "__import__('quire_runtime.bootstrap').bootstrap.configure("
        f"__import__('json').loads({text!r}))"
    )


def program_names(session: Session, code: CodeType) -> dict[str, Any]:
    """What a Python file that is run as a program finds in its globals.

    Raises SparkUnavailable when its ``code`` uses names of Spark and there is none.
    """
    return {"dbutils": DBUtils(session), **programs.spark_names(session, code)}


def set_environment(session: Session, environment: Mapping[str, str]) -> None:
    """Set the run's variables, and go to its folder."""
    if session.working_dir is not None:
        os.makedirs(session.working_dir, exist_ok=True)
        os.chdir(session.working_dir)
    _add_package_folders(session)
    os.environ.update(_variables(session, environment))


def _add_package_folders(session: Session) -> None:
    for folder in reversed(session.package_folders()):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def _variables(session: Session, environment: Mapping[str, str]) -> dict[str, str]:
    """The run's variables, with those that follow from them."""
    variables = {**(session.compute.get("environment") or {}), **environment}
    if "DATABRICKS_RUNTIME_VERSION" in variables:
        store = os.path.join(session.working_dir or os.getcwd(), "mlruns")
        variables.setdefault("MLFLOW_TRACKING_URI", f"file:{store}")
    if session.api_token and session.api_url:
        variables.setdefault("DATABRICKS_HOST", session.api_url)
        variables.setdefault("DATABRICKS_TOKEN", session.api_token)
    return variables


def _end_quietly(
    shell: Any, kind: type, value: BaseException, trace: Any, tb_offset: int | None = None
) -> list[str]:
    """Show nothing of the signal that ends a notebook; its reply has an empty traceback."""
    del kind, value, trace, tb_offset
    shell._last_traceback = []
    return []
