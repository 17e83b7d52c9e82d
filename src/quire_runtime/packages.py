"""Packages for one run alone.

The first use makes a virtual environment in the run's own folder that also sees the packages of the
kernel's environment. Installing writes there and nowhere else; the kernel's environment, which
others share, stays as it is.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import site
import sys
from collections.abc import Sequence

from quire_runtime.errors import CommandFailed
from quire_runtime.processes import run_streaming
from quire_runtime.session import Session

__all__ = ["run_pip"]

PIP_VARIABLES = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "UV_NO_PROGRESS": "1",
    "NO_COLOR": "1",
}


def run_pip(session: Session, arguments: Sequence[str]) -> None:
    """Run a pip command in this run's environment; what it installs can be imported at once.

    Uses the pip of the kernel's environment, else uv, else the pip that comes with Python. Raises
    CommandFailed when the command fails or no installer is there.
    """
    __tracebackhide__ = True
    if not arguments:
        raise CommandFailed("%pip needs a command, such as: %pip install NAME.", exit_code=2)
    folder = session.package_dir
    python = os.path.join(folder, "bin", "python")
    packages = os.path.join(
        folder, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages"
    )
    if not os.path.exists(os.path.join(packages, "quire-parent.pth")):
        _make_environment(folder, packages)
    before = _installed(packages)
    environment = {**os.environ, **PIP_VARIABLES}
    environment.pop("PYTHONHOME", None)
    code = run_streaming(_command(python, arguments), environment=environment)
    _make_importable(folder, packages)
    session.on_packages()
    if code != 0:
        raise CommandFailed(
            f"pip {' '.join(arguments)} ended with exit code {code}.", exit_code=code
        )
    after = _installed(packages)
    _tell_of_imported({name for name in after if after[name] != before.get(name)})


def _make_environment(folder: str, packages: str) -> None:
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    code = run_streaming([sys.executable, "-m", "venv", "--without-pip", folder])
    if code != 0:
        raise CommandFailed(
            "No environment for the packages of this run could be made: "
            f"{sys.executable} -m venv ended with exit code {code}.",
            exit_code=code,
        )
    shared = [
        entry
        for entry in sys.path
        if os.path.basename(entry) in ("site-packages", "dist-packages") and os.path.isdir(entry)
    ]
    with open(os.path.join(packages, "quire-parent.pth"), "w", encoding="utf-8") as file:
        file.writelines(f"{entry}\n" for entry in shared)


def _command(python: str, arguments: Sequence[str]) -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [python, "-m", "pip", *arguments]
    uv = _find_uv()
    if uv is not None:
        return [uv, "pip", arguments[0], "--python", python, *arguments[1:]]
    packages = os.path.join(os.path.dirname(os.path.dirname(python)), "lib")
    if not any("pip" in names for _, names, _ in os.walk(packages)):
        if importlib.util.find_spec("ensurepip") is None:
            raise CommandFailed(
                "Neither pip nor uv nor ensurepip is there to install packages with; "
                f"add pip to the environment of {sys.executable}.",
                exit_code=1,
            )
        code = run_streaming([python, "-m", "ensurepip"])
        if code != 0:
            raise CommandFailed(f"ensurepip ended with exit code {code}.", exit_code=code)
    return [python, "-m", "pip", *arguments]


def _find_uv() -> str | None:
    if importlib.util.find_spec("uv") is not None:
        try:
            path: str = importlib.import_module("uv").find_uv_bin()
        except (AttributeError, FileNotFoundError):
            return shutil.which("uv")
        return path
    return shutil.which("uv")


def _make_importable(folder: str, packages: str) -> None:
    if packages not in sys.path:
        known = list(sys.path)
        site.addsitedir(packages)
        added = [entry for entry in sys.path if entry not in known]
        first = next(
            (
                index
                for index, entry in enumerate(known)
                if os.path.basename(entry) in ("site-packages", "dist-packages")
            ),
            len(known),
        )
        sys.path[:] = [*known[:first], *added, *known[first:]]
        programs = os.path.join(folder, "bin")
        os.environ["PATH"] = programs + os.pathsep + os.environ.get("PATH", os.defpath)
    importlib.invalidate_caches()


def _installed(packages: str) -> dict[str, str]:
    return {
        each.metadata["Name"]: each.version
        for each in importlib.metadata.distributions(path=[packages])
    }


def _tell_of_imported(names: set[str]) -> None:
    """Say which packages this run goes on using as they were before."""
    for name in sorted(names):
        files = importlib.metadata.Distribution.from_name(name).files or []
        tops = {os.path.splitext(file.parts[0])[0] for file in files if file.suffix == ".py"}
        if tops & sys.modules.keys():
            print(
                f"Note: {name} was imported before it was installed; "
                "this run goes on with what it has imported."
            )
