"""``dbutils.notebook``: this notebook, and others as runs of their own.

Databricks contract 10.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from quire_runtime.child_runs import run_child
from quire_runtime.dbutils.context import Context, EntryPoint
from quire_runtime.dbutils.help import Helpful
from quire_runtime.dbutils.paths import workspace_path
from quire_runtime.exits import exit_notebook
from quire_runtime.session import Session

__all__ = ["Notebook"]


class Notebook(Helpful):
    """Ends this notebook with a result; runs others."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.entry_point = EntryPoint(session)

    def exit(self, value: Any = "") -> NoReturn:
        """End this notebook at once, as a success, with a value that becomes text."""
        __tracebackhide__ = True
        exit_notebook(self._session, value)

    def run(
        self,
        path: str,
        timeout_seconds: float = 0,
        arguments: Mapping[str, Any] | None = None,
    ) -> str:
        """Run another notebook and return the value it ended with, or an empty text.

        A relative path starts at this notebook's folder. 0 seconds mean no limit. ``arguments``
        reach it as widget values. Raises when it is missing, fails or takes too long.
        """
        __tracebackhide__ = True
        if not path:
            raise ValueError("path must not be empty.")
        if isinstance(timeout_seconds, bool) or not isinstance(timeout_seconds, (int, float)):
            raise TypeError("timeout_seconds must be a number of seconds.")
        if timeout_seconds < 0:
            raise ValueError("timeout_seconds cannot be negative; 0 means no limit.")
        texts = {str(name): str(value) for name, value in (arguments or {}).items()}
        value = run_child(
            self._session,
            workspace_path(path),
            timeout_seconds=timeout_seconds or None,
            arguments=texts,
        )
        return value if value is not None else ""

    def getContext(self) -> Context:
        """What is known of this run."""
        return Context(self._session)
