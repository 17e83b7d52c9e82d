"""Parts of dbutils that are named here and not served: each use says what is missing."""

from __future__ import annotations

from typing import Any, NoReturn

from quire_runtime.dbutils.help import Helpful
from quire_runtime.errors import UnsupportedFeature
from quire_runtime.placeholders import Placeholder

__all__ = ["Library", "unsupported_modules"]

RESTART_MISSING = (
    "Restarting the interpreter in the middle of a run is not available in this server yet; "
    "packages installed with %pip can be used at once without it."
)

SENTENCES = {
    "secrets": "Secrets are not available in this server yet, so dbutils.secrets cannot be used.",
    "jobs": "Task values are not available in this server yet, so dbutils.jobs cannot be used.",
    "data": "Data summaries are not available in this server yet: dbutils.data needs Spark.",
    "credentials": "Cloud credentials are not available in this server, so dbutils.credentials "
    "cannot be used.",
    "preview": "Previews are not available in this server, so dbutils.preview cannot be used.",
    "meta": "Package building is not available in this server, so dbutils.meta cannot be used.",
}


class Library(Helpful):
    """Packages of this notebook. Use %pip, which installs for this run alone."""

    def restartPython(self) -> NoReturn:
        """Refused: a run keeps one interpreter."""
        __tracebackhide__ = True
        raise UnsupportedFeature(RESTART_MISSING)

    def install(self, *arguments: Any, **named: Any) -> NoReturn:
        """Refused: use %pip install."""
        __tracebackhide__ = True
        raise UnsupportedFeature("dbutils.library.install is not served; use %pip install.")

    def installPyPI(self, *arguments: Any, **named: Any) -> NoReturn:
        """Refused: use %pip install."""
        __tracebackhide__ = True
        raise UnsupportedFeature("dbutils.library.installPyPI is not served; use %pip install.")

    def list(self) -> NoReturn:
        """Refused: use %pip list."""
        __tracebackhide__ = True
        raise UnsupportedFeature("dbutils.library.list is not served; use %pip list.")


class UnsupportedModule(Placeholder):
    """A part of dbutils of which only ``help`` works."""

    def help(self, method: Any = None) -> None:
        """Print what is missing."""
        print(self._quire_message)


def unsupported_modules() -> dict[str, Placeholder]:
    """The parts by name."""
    return {
        name: UnsupportedModule(f"dbutils.{name}", sentence) for name, sentence in SENTENCES.items()
    }
