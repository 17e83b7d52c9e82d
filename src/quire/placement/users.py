"""Whom this server runs untrusted processes as, and what such processes may know of it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import structlog

from quire.runner.users import KernelUser

__all__ = ["choose_user", "plain_environment"]

_LOG = structlog.get_logger(__name__)

_PROBED_PACKAGES = ("quire_runtime", "ipykernel", "IPython", "numpy", "pandas", "zmq")
_KEPT_VARIABLES = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")


def plain_environment() -> dict[str, str]:
    """What untrusted processes may know of the server's environment."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment.setdefault("LANG", "C.UTF-8")
    tools = str(Path(sys.executable).parent)
    environment["PATH"] = f"{tools}:/usr/local/bin:/usr/bin:/bin"
    return environment


def choose_user(name: str, uid_base: int) -> KernelUser | None:
    """Whom kernels and clusters run as; None: the server's own user.

    Another user only when the server is root, and only one who can read this interpreter and its
    packages; otherwise a warning says so, and kernels run as root.
    """
    if not name or os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        _LOG.warning("placement.kernel_user_unknown", user=name, consequence="kernels run as root")
        return None
    probe = (
        "import importlib.util as u\n"
        f"for name in {_PROBED_PACKAGES!r}: open(u.find_spec(name).origin).close()"
    )
    try:
        result = subprocess.run(
            [sys.executable, "-I", "-c", probe],
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=[],
            cwd="/",
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
        failure = result.stderr.strip()[-500:] if result.returncode != 0 else None
    except OSError as error:
        failure = str(error)
    if failure is not None:
        _LOG.warning(
            "placement.kernel_user_cannot_read",
            user=name,
            interpreter=sys.executable,
            why=failure,
            consequence="kernels run as root",
        )
        return None
    return KernelUser(entry.pw_uid, entry.pw_gid, uid_base)
