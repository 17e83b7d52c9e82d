"""What an earlier run left set up in the same kernel.

The kernel of a session serves one run after another. What a run was given goes with it: variables
of the environment that the next one does not have, names, its token. What its code has made of
them stays: a name that a notebook has bound to something of its own, a variable it has set, the
folder it has gone to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["Earlier"]

_ATTRIBUTE = "quire_earlier"


class Earlier:
    """Kept in the shell from one run to the next."""

    def __init__(self) -> None:
        self._environment: dict[str, tuple[str, str | None]] = {}  # as set, and as it was before
        self._names: dict[str, Any] = {}
        self._working_dir: str | None = None

    @classmethod
    def of(cls, shell: Any) -> Earlier:
        """That of a shell; of one that is new, an empty one."""
        found = shell.__dict__.setdefault(_ATTRIBUTE, cls())
        assert isinstance(found, cls)
        return found

    def set_environment(self, variables: Mapping[str, str]) -> None:
        """Set a run's variables; what only the earlier run had is as it was before that."""
        for name, (value, before) in self._environment.items():
            if os.environ.get(name) != value:
                continue
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
        self._environment = {
            name: (value, os.environ.get(name)) for name, value in variables.items()
        }
        os.environ.update(variables)

    def enter(self, working_dir: str | None) -> None:
        """Go to a run's folder, unless the earlier run was there already and has gone on."""
        if working_dir is not None and working_dir != self._working_dir:
            os.makedirs(working_dir, exist_ok=True)
            os.chdir(working_dir)
        self._working_dir = working_dir

    def push(self, shell: Any, names: Mapping[str, Any]) -> None:
        """Give a notebook its names, but for those it has bound itself."""
        present = shell.user_ns
        given = {
            name: value
            for name, value in names.items()
            if name not in present or name not in self._names or present[name] is self._names[name]
        }
        self._names = dict(names)
        shell.push(given, interactive=False)
