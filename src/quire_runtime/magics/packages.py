"""``%pip`` and what belongs to it (Databricks contract 10.6)."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from quire_runtime.dbutils.unsupported import RESTART_MISSING
from quire_runtime.errors import UnsupportedFeature
from quire_runtime.packages import run_pip
from quire_runtime.session import Session

__all__ = ["make_packages"]


def make_packages(session: Session) -> dict[str, Callable[[str], Any]]:
    """The package magics by name."""

    def pip(line: str) -> None:
        """Run pip in an environment private to this run."""
        __tracebackhide__ = True
        run_pip(session, shlex.split(line))

    def conda(line: str) -> None:
        """Refused: there is no conda here."""
        raise UnsupportedFeature(
            "conda is not available in this server; use %pip, which installs for this run alone."
        )

    def restart_python(line: str) -> None:
        """Refused: a run keeps one interpreter."""
        raise UnsupportedFeature(RESTART_MISSING)

    return {"pip": pip, "conda": conda, "restart_python": restart_python}
