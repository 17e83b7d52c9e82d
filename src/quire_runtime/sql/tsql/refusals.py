"""How T-SQL that is known and not carried out is refused."""

from __future__ import annotations

from quire_runtime.sql.errors import SqlUnsupported

__all__ = ["not_supported"]


def not_supported(what: str, line: int | None = None) -> SqlUnsupported:
    """The error that names what is refused: ``what``, a sentence's end with its full stop."""
    return SqlUnsupported(f"T-SQL that is not supported here: {what}", line=line)
