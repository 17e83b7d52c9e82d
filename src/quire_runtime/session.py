"""What one run knows inside its kernel: parameters, notebook paths, folders, the channel.

One :class:`Session` is made by :func:`quire_runtime.bootstrap.configure`; every name a notebook
sees holds it. It shows nothing to the notebook by itself.
"""

from __future__ import annotations

import json
import os
import posixpath
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from quire_runtime.channel import Channel

__all__ = ["Session"]


class Session:
    """The run this kernel belongs to.

    ``settings`` is described at :func:`quire_runtime.bootstrap.configure`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.flavour: str = settings.get("flavour") or "plain"
        self.run: dict[str, Any] = dict(settings.get("run") or {})
        self.parameters: dict[str, Any] = dict(settings.get("parameters") or {})
        self.api_url: str | None = settings.get("api_url") or settings.get("server_url")
        self.api_token: str | None = settings.get("api_token")
        self.working_dir: str | None = settings.get("working_dir")
        self.home_dir: str | None = settings.get("home_dir")
        self.channel = Channel(
            settings.get("server_url"),
            settings.get("runtime_token"),
            url_file=settings.get("server_url_file"),
            patience_seconds=float(settings.get("patience_seconds") or 60.0),
        )
        self.tell: Callable[[Mapping[str, Any]], None] | None = None  # set where no kernel is
        self._inlined: list[tuple[str, str]] = []  # path and language, outermost first
        self._arguments: list[Mapping[str, Any]] = []
        self.compute: dict[str, Any] = dict(settings.get("compute") or {})
        self.on_packages: Callable[[], None] = _nothing
        self.sql: dict[str, Any] = dict(settings.get("sql") or {})
        self._package_dir: str | None = None

    @property
    def notebook_path(self) -> str:
        """Workspace path of the notebook whose code runs now, an inlined one included."""
        if self._inlined:
            return self._inlined[-1][0]
        return str(self.run.get("notebook_path") or "/")

    @property
    def inlined_language(self) -> str | None:
        """Language of an inlined notebook's cells that do not say theirs; None when none is."""
        return self._inlined[-1][1] if self._inlined else None

    @property
    def inline_depth(self) -> int:
        """How many notebooks are being run inside this one."""
        return len(self._inlined)

    @contextmanager
    def inlining(self, path: str, language: str, arguments: Mapping[str, Any]) -> Iterator[None]:
        """While a notebook is run inside this one, it is the current one and has its arguments."""
        self._inlined.append((path, language))
        self._arguments.append(arguments)
        try:
            yield
        finally:
            self._inlined.pop()
            self._arguments.pop()

    def resolve(self, path: str) -> str:
        """An absolute workspace path; a relative one starts at the current notebook's folder."""
        folder = posixpath.dirname(self.notebook_path)
        return posixpath.normpath(posixpath.join("/", folder, path))

    def argument(self, name: str) -> str | None:
        """The text this run, or the innermost inlining, passed under ``name``; None for none."""
        for arguments in reversed(self._arguments):
            if name in arguments:
                return as_text(arguments[name])
        if name in self.parameters:
            return as_text(self.parameters[name])
        return None

    def argument_names(self) -> list[str]:
        """Every name a value was passed for."""
        names = dict.fromkeys(self.parameters)
        for arguments in self._arguments:
            names.update(dict.fromkeys(arguments))
        return list(names)

    @property
    def has_cluster(self) -> bool:
        """Whether a cluster was named for this run."""
        return bool(self.compute)

    def package_folders(self) -> list[str]:
        """Folders of packages this run has beside its interpreter's own, the first to win first."""
        folders = [str(each) for each in self.compute.get("site_packages") or ()]
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        if self._package_dir is not None:
            own = os.path.join(self._package_dir, "lib", version, "site-packages")
            if os.path.isdir(own):
                folders.insert(0, own)
        return folders

    @property
    def package_dir(self) -> str:
        """A folder for packages of this run alone, made when first asked for.

        Inside the run's working folder when there is one, so that it goes when the run's files go.
        """
        if self._package_dir is None:
            if self.working_dir is not None:
                self._package_dir = os.path.join(self.working_dir, ".quire", "environment")
            else:
                self._package_dir = tempfile.mkdtemp(prefix="quire-environment-")
        return self._package_dir


def _nothing() -> None:
    """Nobody has to be told."""


def as_text(value: Any) -> str:
    """A parameter as notebooks see it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
