"""``{name}`` in SQL: the notebook's variable of that name, passed as a bound parameter.

A list becomes as many parameters as it has items, so that ``IN ({names})`` works; an empty one
matches nothing. Inside quotes and comments braces stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quire_runtime.sql.errors import SqlError
from quire_runtime.sql.lexer import Statement, tokenize
from quire_runtime.sql.values import as_list, as_value

__all__ = ["bind", "replace"]

PREFIX = "quire_"
_NOTHING = "SELECT NULL WHERE 1 = 0"


def bind(
    statement: Statement,
    variables: Mapping[str, Any],
    *,
    dialect: str = "duckdb",
    mark: Callable[[str], str] = "${}".format,
) -> tuple[str, dict[str, Any]]:
    """A statement with parameters for its placeholders, and their values by name.

    ``mark`` writes a parameter as the database wants it. Raises SqlError for a name that the
    notebook has not defined and for a value no database takes.
    """
    return replace(statement.text, statement.line, variables, dialect=dialect, mark=mark)


def replace(
    text: str,
    line: int,
    variables: Mapping[str, Any],
    *,
    dialect: str,
    mark: Callable[[str], str],
    escape: Callable[[str], str] = str,
) -> tuple[str, dict[str, Any]]:
    """As :func:`bind`; ``escape`` is applied to all text between placeholders."""
    parts: list[str] = []
    values: dict[str, Any] = {}
    at = 0
    previous = ""
    for token in tokenize(text, dialect):
        if token.kind == "placeholder":
            parts.append(escape(text[at : token.start]))
            at = token.end
            name = token.key
            if name not in variables:
                raise SqlError(
                    f"The notebook has no variable named {name!r}, which the SQL asks for as "
                    f"{{{name}}}.",
                    line=line + token.line - 1,
                )
            try:
                parts.append(_parameters(name, variables[name], previous == "(", values, mark))
            except TypeError as error:
                raise SqlError(
                    f"The variable {name!r} cannot be used in SQL: {error}.",
                    line=line + token.line - 1,
                ) from None
        previous = token.text
    parts.append(escape(text[at:]))
    return "".join(parts), values


def _parameters(
    name: str,
    value: Any,
    in_parentheses: bool,
    values: dict[str, Any],
    mark: Callable[[str], str],
) -> str:
    items = as_list(value)
    if items is None:
        key = PREFIX + name
        values[key] = as_value(value)
        return mark(key)
    marks = []
    for number, item in enumerate(items):
        key = f"{PREFIX}{name}_{number}"
        values[key] = item
        marks.append(mark(key))
    text = ", ".join(marks) if marks else _NOTHING
    return text if in_parentheses else f"({text})"
