"""What goes wrong in SQL: the error a cell shows, with its place in the text.

SqlError                an engine refused or failed a statement
└── SqlUnsupported      a statement this server does not carry out; no CATCH block sees it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quire_runtime.errors import UnsupportedFeature

if TYPE_CHECKING:
    from quire_runtime.sql.results import SqlResult

__all__ = ["SqlError", "SqlUnsupported"]

_SHOWN_CHARACTERS = 500


class SqlError(Exception):
    """A statement failed.

    ``reason`` is the engine's own sentence, ``line`` counts from 1 in the text that was run,
    ``statement`` is the SQL as it was written. ``number``, ``severity`` and ``state`` are those of
    SQL Server where one of its numbers fits, else 50000, 16 and 1. ``results`` holds what the
    statements before this one gave.
    """

    def __init__(
        self,
        reason: str,
        *,
        line: int | None = None,
        statement: str = "",
        number: int = 50000,
        severity: int = 16,
        state: int = 1,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.statement = statement
        self.number = number
        self.severity = severity
        self.state = state
        self.results: Sequence[SqlResult] = ()

    def at(self, line: int, statement: str = "") -> SqlError:
        """This error, with its place filled in where it had none."""
        if self.line is None:
            self.line = line
        if not self.statement:
            self.statement = statement
        return self

    def __str__(self) -> str:
        parts = [self.reason]
        if self.line is not None:
            parts[0] += f" (line {self.line})"
        statement = self.statement.strip()
        if statement:
            if len(statement) > _SHOWN_CHARACTERS:
                statement = statement[:_SHOWN_CHARACTERS] + " ..."
            parts.append(f"Statement: {statement}")
        return "\n".join(parts)


class SqlUnsupported(SqlError, UnsupportedFeature):
    """A statement, or a part of one, that this server does not carry out; the text names it."""
