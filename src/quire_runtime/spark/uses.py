"""Which global names the code of a cell uses when it runs, before it has given them itself.

What a function uses counts when the function is mentioned, in this cell or a later one, not when it
is defined: a notebook full of helpers is not one that uses them.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Set
from types import CodeType

__all__ = ["GlobalUses"]

_LOADS = frozenset({"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"})
_STORES = frozenset({"STORE_NAME", "STORE_GLOBAL"})
_AT_ONCE = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"})


class GlobalUses:
    """Remembers what the functions of a notebook use."""

    def __init__(self, names: Set[str]) -> None:
        """``names``: those that are looked for."""
        self._names = names
        self._functions: dict[str, set[str]] = {}

    def knows(self, function: str) -> bool:
        """Whether this is a function or class that has been seen."""
        return function in self._functions

    def find(self, code: CodeType) -> set[str]:
        """The names looked for that a cell uses."""
        used: set[str] = set()
        self._scan(code, set(), used)
        return used

    def _scan(self, code: CodeType, given: set[str], used: set[str]) -> None:
        for instruction in dis.get_instructions(code):
            value = instruction.argval
            if isinstance(value, CodeType):
                if value.co_name in _AT_ONCE:
                    self._scan(value, set(given), used)
                elif value.co_flags & inspect.CO_OPTIMIZED:
                    self._functions[value.co_name] = _mentioned(value)
                else:  # the body of a class runs at once, its methods later
                    self._scan(value, set(given), used)
                    self._functions[value.co_name] = _mentioned(value)
            elif instruction.opname in _STORES:
                given.add(value)
            elif instruction.opname in _LOADS:
                self._use(value, given, used, set())

    def _use(self, name: str, given: Set[str], used: set[str], seen: set[str]) -> None:
        if name in self._names and name not in given:
            used.add(name)
        if name not in seen:
            seen.add(name)
            for each in self._functions.get(name, ()):
                self._use(each, given, used, seen)


def _mentioned(code: CodeType) -> set[str]:
    """All global names that code and what is nested in it mention."""
    names: set[str] = set()
    for instruction in dis.get_instructions(code):
        if isinstance(instruction.argval, CodeType):
            names |= _mentioned(instruction.argval)
        elif instruction.opname in _LOADS:
            names.add(instruction.argval)
    return names
