"""The variables of a T-SQL batch: their types, values and literals."""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from typing import Any

from quire_runtime.sql.errors import SqlError
from quire_runtime.sql.tsql.types import variable_conversion
from quire_runtime.sql.values import literal, type_of

__all__ = ["Variable", "Variables"]


@dataclass
class Variable:
    """One variable. ``type_name`` is DuckDB's; ``length`` bounds a text."""

    type_name: str
    value: Any = None
    length: int | None = None
    pads: bool = False
    table: str | None = None  # the table a table variable stands for


class Variables:
    """Variables by name, in lower case with their sign."""

    def __init__(self) -> None:
        self._known: dict[str, Variable] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def declare(self, name: str, type_text: str) -> Variable:
        """A new variable without a value. Raises SqlError when there is one already."""
        if name in self._known:
            raise SqlError(
                f"The variable name '{name}' has already been declared. Variable names must be "
                "unique within a query batch or stored procedure.",
                number=134,
            )
        made, kind, length = variable_conversion(type_text)
        variable = Variable(made, None, length, kind in ("CHAR", "NCHAR"))
        self._known[name] = variable
        return variable

    def declare_value(self, name: str, value: Any) -> None:
        """A variable with the type of its value."""
        self._known[name] = Variable("VARCHAR" if value is None else type_of(value), value)

    def declare_table(self, name: str, table: str) -> None:
        """A variable that stands for a table."""
        if name in self._known:
            raise SqlError(f"The variable name '{name}' has already been declared.", number=134)
        self._known[name] = Variable("TABLE", table=table)

    def replace(self, name: str, variable: Variable) -> None:
        """Put another variable under a name."""
        self._known[name] = variable

    def get(self, name: str) -> Variable:
        """A variable. Raises SqlError when there is none."""
        variable = self._known.get(name)
        if variable is None:
            raise SqlError(f'Must declare the scalar variable "{name}".', number=137)
        return variable

    def literal(self, name: str) -> str:
        """A variable's value as DuckDB reads it."""
        variable = self.get(name)
        if variable.table is not None:
            raise SqlError(f'Must declare the scalar variable "{name}".', number=137)
        return literal(variable.value, variable.type_name)

    def table(self, name: str) -> str | None:
        """The table behind a variable; None when it is no table."""
        variable = self._known.get(name)
        return variable.table if variable is not None else None

    def tables(self) -> list[str]:
        """All tables behind variables."""
        return [each.table for each in self._known.values() if each.table is not None]

    def assign(self, name: str, value: Any) -> None:
        """Give a variable a value that has its type already, but for a text's length."""
        variable = self.get(name)
        if isinstance(value, str) and variable.length is not None:
            value = value[: variable.length]
            if variable.pads:
                value = value.ljust(variable.length)
        if isinstance(value, float) and variable.type_name.startswith("DECIMAL"):
            value = decimal.Decimal(repr(value))
        variable.value = value
