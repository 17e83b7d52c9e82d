"""Runs a Python file as a program that finds the names notebooks find.

Owns: what such a program sees (``spark``, ``sc``, ``sqlContext`` and ``dbutils`` in its globals,
``sys.argv``, its own folder on the path, itself as ``__main__``) and how its end is told. Works in
any interpreter, without IPython. One JSON object a line goes to the descriptor that
``QUIRE_REPORT_FD`` names; the types are described in the runner, which reads them.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from quire_runtime import bootstrap
from quire_runtime.errors import NotebookExit
from quire_runtime.session import Session

__all__ = ["main"]

REPORT_VARIABLE = "QUIRE_REPORT_FD"


def main(arguments: Sequence[str]) -> None:
    """Run a file as ``__main__``. ``arguments``: settings file, the file, its own arguments.

    The settings are those of :func:`quire_runtime.bootstrap.configure`.
    """
    settings_file, path, *words = arguments
    with open(settings_file, encoding="utf-8") as file:
        settings = json.load(file)
    report = _Report(os.environ.pop(REPORT_VARIABLE, ""))
    session = Session(settings)
    session.tell = report.tell
    sys.path = [each for each in sys.path if each]  # without the present folder, where it starts
    bootstrap.set_environment(session, settings.get("environment") or {})
    sys.path.insert(0, os.path.dirname(path))
    sys.argv = [path, *words]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    module = _main_module(path)
    try:
        with open(path, "rb") as source:
            code = compile(source.read(), path, "exec", dont_inherit=True)
        module.__dict__.update(bootstrap.program_names(session, code))
        exec(code, module.__dict__)
    except NotebookExit:
        return
    except SystemExit as leaving:
        if leaving.code not in (None, 0):
            report.tell({"type": "failure", "name": "SystemExit", "value": str(leaving.code)})
        raise
    except BaseException as error:  # noqa: BLE001 - whatever ended it is told, as Python would
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next  # without this function
        report.tell(_failure(error))
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)


class _Report:
    """The way to the runner; nowhere when there is none."""

    def __init__(self, descriptor: str) -> None:
        self._descriptor = int(descriptor) if descriptor else None
        if self._descriptor is not None:
            os.set_inheritable(self._descriptor, False)  # what the program starts has no part in it

    def tell(self, message: Mapping[str, Any]) -> None:
        if self._descriptor is None:
            return
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]


def _main_module(path: str) -> ModuleType:
    """A fresh ``__main__``, also for those who look it up or start processes that import it."""
    module = ModuleType("__main__")
    module.__file__ = path
    module.__dict__["__builtins__"] = __builtins__
    module.__spec__ = None
    sys.modules["__main__"] = module
    return module


def _failure(error: BaseException) -> dict[str, Any]:
    kind = type(error)
    name = kind.__name__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    return {
        "type": "failure",
        "name": name,
        "value": str(error),
        "trace": "".join(traceback.format_exception(kind, error, error.__traceback__)),
    }
