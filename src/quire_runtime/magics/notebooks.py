"""``%run``: another notebook inside this one (Databricks contract 10.6)."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Any

from quire_runtime.dbutils.paths import workspace_path
from quire_runtime.inline import run_inline
from quire_runtime.session import Session

__all__ = ["make_run", "parse_run"]

FILE_SUFFIXES = (".py", ".ipy", ".ipynb")


def make_run(
    shell: Any, session: Session, *, own_run: Callable[[str], Any] | None
) -> Callable[[str], None]:
    """The magic. ``own_run`` is IPython's, used for options and for files that exist on disk."""

    def run(line: str) -> None:
        """Run a notebook of the workspace here: ``%run path [$name=value ...]``."""
        __tracebackhide__ = True
        if own_run is not None and _names_a_file(line):
            own_run(line)
            return
        path, arguments = parse_run(line)
        run_inline(shell, session, workspace_path(path), arguments)

    return run


def parse_run(line: str) -> tuple[str, dict[str, str]]:
    """The path and the ``$name=value`` pairs of a line. Raises ValueError for another form."""
    words = shlex.split(line)
    if not words:
        raise ValueError("%run needs the path of a notebook.")
    arguments: dict[str, str] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not word.startswith("$") or not equals or len(name) == 1:
            raise ValueError(f"%run takes parameters as $name=value, not {word!r}.")
        arguments[name[1:]] = value
    return words[0], arguments


def _names_a_file(line: str) -> bool:
    words = shlex.split(line)
    if not words:
        return False
    if words[0].startswith("-"):
        return True
    return words[0].endswith(FILE_SUFFIXES) and os.path.isfile(words[0])
