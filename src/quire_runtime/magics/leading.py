"""Cells that start with one magic and belong to it whole, as Databricks writes them.

``%sh`` on the first line of a cell takes every line below it, as ``%%sh`` does elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quire_runtime.session import Session

__all__ = ["SHELL_ALIAS", "install"]

SHELL_ALIAS = "quire_sh"  # the shell magic where %%sh is IPython's own
LANGUAGES = ("sql", "scala", "r")
_LEADING = re.compile(r"(%%?)([A-Za-z][A-Za-z_-]*)(?=\s|$)[ \t]*(.*)", re.DOTALL)


class LeadingMagics:
    """An input transformer: turns a leading ``%name`` into the cell magic of that name."""

    def __init__(self, shell: Any, session: Session, magics: Mapping[str, Any]) -> None:
        self._shell = shell
        self._session = session
        self._magics = magics

    def __call__(self, lines: list[str]) -> list[str]:
        if not lines:
            return lines
        match = _LEADING.match(lines[0])
        if match is None:
            return self._in_own_language(lines)
        percents, name, rest = match.groups()
        databricks = self._session.flavour == "databricks"
        if name == "python" and (percents == "%" or databricks):
            return [rest if rest.strip() else "\n", *lines[1:]]
        if percents == "%%" or not self._is_ours(name):
            return lines
        if name == "sh" and not databricks:
            name = SHELL_ALIAS
        # IPython takes a cell magic with nothing below it for a slip.
        return [f"%%{name} {rest}".rstrip() + "\n", *(lines[1:] or ["\n"])]

    def _is_ours(self, name: str) -> bool:
        """Whether the magic is the one registered here; an extension may have put its own there."""
        registered = self._shell.magics_manager.magics["line"].get(name)
        return name in self._magics and registered is self._magics[name]

    def _in_own_language(self, lines: list[str]) -> list[str]:
        language = self._session.inlined_language
        if language in LANGUAGES and not lines[0].startswith("%") and "".join(lines).strip():
            return [f"%%{language}\n", *lines]
        return lines


def install(shell: Any, session: Session, magics: Mapping[str, Any]) -> None:
    """Make the transformer the first to see a cell's lines; one of an earlier set-up goes."""
    transforms = shell.input_transformer_manager.line_transforms
    transforms[:] = [each for each in transforms if not isinstance(each, LeadingMagics)]
    transforms.insert(0, LeadingMagics(shell, session, magics))
