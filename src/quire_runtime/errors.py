"""The errors the runtime raises on purpose, and the signal that ends a notebook.

BaseException
└── NotebookExit                the notebook asked to stop; not an error
Exception
├── UnsupportedFeature          promised by the vendor, not offered by this server
├── ServerError                 the server refused or failed
│   ├── ServerUnreachable       no answer within the time allowed
│   └── ServerRefused           an answer that says no; has code and status
├── NotebookRunFailed           a child run ended otherwise than with success
├── NotebookNotFound            no such notebook, or none this run may read
├── CommandFailed               a shell or package command ended with an error
├── SparkUnavailable            this run can get no Spark
├── SparkDriverLost             the Spark driver of this run ended under it
└── ScalaError                  a Scala cell failed; its class has the name of what was thrown
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "CommandFailed",
    "NotebookExit",
    "NotebookNotFound",
    "NotebookRunFailed",
    "ScalaError",
    "ServerError",
    "ServerRefused",
    "ServerUnreachable",
    "SparkDriverLost",
    "SparkUnavailable",
    "UnsupportedFeature",
]


class NotebookExit(BaseException):
    """The notebook asked to stop, with ``value`` as its result.

    Derives from BaseException so that ``except Exception`` in a notebook does not hold it up
    (Databricks contract 10.2).
    """

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value

    def _render_traceback_(self) -> list[str]:
        """Asked for by IPython, which else formats a traceback for its history."""
        return []


class UnsupportedFeature(Exception):
    """Something the vendor offers and this server does not."""


class ServerError(Exception):
    """The server could not do what the notebook asked of it."""


class ServerUnreachable(ServerError):
    """The server did not answer within the time allowed."""


class ServerRefused(ServerError):
    """The server answered that it will not do it."""

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class NotebookRunFailed(Exception):
    """A notebook that was run from this one did not succeed."""

    def __init__(
        self,
        message: str,
        *,
        run_id: int,
        outcome: str | None = None,
        error: str | None = None,
    ) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.outcome = outcome
        self.error = error


class NotebookNotFound(Exception):
    """No such notebook, or none this run may read."""


class CommandFailed(Exception):
    """A command ended with an error."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Plain(Exception):
    """One whose text says all there is; a notebook shows it without the way to it."""

    def _render_traceback_(self) -> list[str]:
        """Asked for by IPython."""
        return [f"{type(self).__name__}: {self}"]


class SparkUnavailable(_Plain):
    """This run can get no Spark; the text says why."""


class SparkDriverLost(_Plain):
    """The Spark driver of this run ended under it; the text says how."""


class ScalaError(Exception):
    """A Scala cell failed. ``lines`` is what the interpreter said."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = list(lines)

    @classmethod
    def named(cls, name: str, message: str, lines: Sequence[str]) -> ScalaError:
        """An error that shows itself by the name of what Scala threw."""
        error: ScalaError = type(name, (cls,), {"__module__": "scala"})(message, lines)
        return error

    def _render_traceback_(self) -> list[str]:
        """Asked for by IPython: Scala's own words instead of how Python came to hear them."""
        first = f"{type(self).__name__}: {self}"
        return (
            self.lines
            if self.lines and str(self) in "\n".join(self.lines)
            else [
                first,
                *self.lines,
            ]
        )
