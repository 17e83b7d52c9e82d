"""``%fs``: a call of ``dbutils.fs`` in words (Databricks contract 10.6)."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from quire_runtime.dbutils import DBUtils
from quire_runtime.display import display

__all__ = ["make_files"]

WORDS = {"true": True, "false": False}


def make_files(dbutils: DBUtils) -> Callable[..., None]:
    """The magic, for a line or a whole cell of commands."""

    def files(line: str, cell: str | None = None) -> None:
        """Call ``dbutils.fs`` with arguments separated by blanks."""
        commands = [each.strip() for each in [line, *(cell or "").splitlines()] if each.strip()]
        for command in commands or ["help"]:
            name, *words = shlex.split(command)
            method = getattr(dbutils.fs, name, None) if not name.startswith("_") else None
            if method is None:
                raise ValueError(f"%fs knows no command {name!r}; %fs help lists them.")
            arguments: list[Any] = [WORDS.get(word.lower(), word) for word in words]
            if name == "head" and len(arguments) > 1:
                arguments[1] = int(words[1])
            result = method(*arguments)
            if isinstance(result, str):
                print(result)
            elif result is not None:
                display(result)

    return files
