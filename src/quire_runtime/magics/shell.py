"""``%sh``: shell commands on the machine the kernel runs on (Databricks contract 10.6)."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable

from quire_runtime.errors import CommandFailed
from quire_runtime.processes import run_streaming

__all__ = ["make_shell"]

_STRICT_SCRIPT = re.compile(r"set\s+-[a-zA-Z]*e")
_STRICT_OPTION = re.compile(r"-e(?=\s|$)\s*")


def make_shell() -> Callable[..., None]:
    """The magic, for a line or a whole cell."""

    def shell(line: str, cell: str | None = None) -> None:
        """Run shell commands; a failure fails the cell only with ``-e`` or a leading ``set -e``."""
        __tracebackhide__ = True
        line = line.strip()
        option = _STRICT_OPTION.match(line)
        if option is not None:
            line = line[option.end() :]
        script = "\n".join(part for part in (line, cell or "") if part)
        run_script(script, strict=option is not None or _sets_strict(script))

    return shell


def run_script(script: str, *, strict: bool) -> None:
    """Run a script with bash, or sh where there is none. Raises CommandFailed when strict."""
    __tracebackhide__ = True
    interpreter = shutil.which("bash") or shutil.which("sh") or "/bin/sh"
    descriptor, path = tempfile.mkstemp(prefix="quire-", suffix=".sh")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(script)
        code = run_streaming([interpreter, *(["-e"] if strict else []), path])
    finally:
        os.unlink(path)
    if strict and code != 0:
        raise CommandFailed(f"The shell command ended with exit code {code}.", exit_code=code)


def _sets_strict(script: str) -> bool:
    for line in script.splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            return _STRICT_SCRIPT.match(text) is not None
    return False
