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
└── CommandFailed               a shell or package command ended with an error
"""

from __future__ import annotations

__all__ = [
    "CommandFailed",
    "NotebookExit",
    "NotebookNotFound",
    "NotebookRunFailed",
    "ServerError",
    "ServerRefused",
    "ServerUnreachable",
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
