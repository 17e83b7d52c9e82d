"""A T-SQL batch as a tree: what the interpreter carries out itself, and plain statements between.

Texts are slices of the batch; ``line`` counts in the text of the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "Argument",
    "Begin",
    "Block",
    "Break",
    "Commit",
    "Continue",
    "CreateProcedure",
    "Declaration",
    "Declare",
    "DropProcedure",
    "Execute",
    "ExecuteText",
    "If",
    "InsertExecute",
    "Node",
    "Parameter",
    "Plain",
    "Print",
    "Raise",
    "Return",
    "Rollback",
    "SetOption",
    "SetVariable",
    "TryCatch",
    "Use",
    "WaitFor",
    "While",
]


@dataclass(frozen=True)
class _Placed:
    line: int
    text: str


@dataclass(frozen=True)
class Plain(_Placed):
    """A statement of plain SQL."""


@dataclass(frozen=True)
class Declaration:
    """One variable: its type as written, and its first value. A table has columns instead."""

    name: str
    type_text: str
    value: str | None = None
    columns: str | None = None


@dataclass(frozen=True)
class Declare(_Placed):
    """``DECLARE``."""

    declarations: Sequence[Declaration] = ()


@dataclass(frozen=True)
class SetVariable(_Placed):
    """``SET @x = value``; ``operator`` is "" or what stands before the equals sign."""

    name: str = ""
    operator: str = ""
    value: str = ""


@dataclass(frozen=True)
class SetOption(_Placed):
    """``SET option [object] value``."""

    words: Sequence[str] = ()


@dataclass(frozen=True)
class Block(_Placed):
    """``BEGIN … END``."""

    body: Sequence[Node] = ()


@dataclass(frozen=True)
class If(_Placed):
    """``IF condition … ELSE …``."""

    condition: str = ""
    then: Node | None = None
    otherwise: Node | None = None


@dataclass(frozen=True)
class While(_Placed):
    """``WHILE condition …``."""

    condition: str = ""
    body: Node | None = None


@dataclass(frozen=True)
class Break(_Placed):
    """``BREAK``."""


@dataclass(frozen=True)
class Continue(_Placed):
    """``CONTINUE``."""


@dataclass(frozen=True)
class Return(_Placed):
    """``RETURN [value]``."""

    value: str = ""


@dataclass(frozen=True)
class TryCatch(_Placed):
    """``BEGIN TRY … END TRY BEGIN CATCH … END CATCH``."""

    body: Sequence[Node] = ()
    handler: Sequence[Node] = ()


@dataclass(frozen=True)
class Print(_Placed):
    """``PRINT value``."""

    value: str = ""


@dataclass(frozen=True)
class Raise(_Placed):
    """``THROW`` or ``RAISERROR`` with its arguments; THROW without any raises again."""

    keyword: str = "THROW"
    arguments: Sequence[str] = ()


@dataclass(frozen=True)
class WaitFor(_Placed):
    """``WAITFOR DELAY value``."""

    value: str = ""


@dataclass(frozen=True)
class Use(_Placed):
    """``USE database``."""

    database: str = ""


@dataclass(frozen=True)
class Begin(_Placed):
    """``BEGIN TRANSACTION``."""


@dataclass(frozen=True)
class Commit(_Placed):
    """``COMMIT``."""


@dataclass(frozen=True)
class Rollback(_Placed):
    """``ROLLBACK``."""


@dataclass(frozen=True)
class Argument:
    """One argument of a call: ``@name = value OUTPUT``."""

    value: str
    name: str = ""
    output: bool = False


@dataclass(frozen=True)
class Execute(_Placed):
    """``EXEC [@result =] procedure arguments``."""

    procedure: Sequence[str] = ()
    arguments: Sequence[Argument] = ()
    result: str = ""


@dataclass(frozen=True)
class ExecuteText(_Placed):
    """``EXEC (text)``."""

    value: str = ""


@dataclass(frozen=True)
class InsertExecute(_Placed):
    """``INSERT INTO table [(columns)] EXEC …``."""

    target: str = ""
    call: Execute | ExecuteText | None = None


@dataclass(frozen=True)
class Parameter:
    """A parameter of a procedure."""

    name: str
    type_text: str
    default: str | None = None
    output: bool = False


@dataclass(frozen=True)
class CreateProcedure(_Placed):
    """``CREATE [OR ALTER] PROCEDURE name parameters AS body``; the text is kept as it is."""

    name: Sequence[str] = ()
    parameters: Sequence[Parameter] = ()
    body: Sequence[Node] = ()
    replaces: bool = False
    must_exist: bool = False  # ALTER


@dataclass(frozen=True)
class DropProcedure(_Placed):
    """``DROP PROCEDURE [IF EXISTS] names``."""

    names: Sequence[Sequence[str]] = ()
    if_exists: bool = False


Node = _Placed
