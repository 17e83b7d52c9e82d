"""``quire doctor``: looks at what a server needs on this machine and says what to do.

Changes nothing that lasts: it writes one probe to the blob store and removes it again.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quire.cli.common import BlobUrl, DatabaseUrl, DataDir, is_missing, settings_of
from quire.errors import QuireError, Unavailable, Unsupported

if TYPE_CHECKING:
    from quire.settings import Settings

__all__ = ["Finding", "doctor", "examine"]

_LEAST_PYTHON = (3, 11)
_LEAST_FREE_BYTES = 1024**3
_GIB = 1024**3


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    subject: str
    good: bool
    detail: str
    advice: str = ""  # what to do; empty when all is well


class _Trouble(Exception):
    """A check failed; carries what to do."""

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.advice = advice


def doctor(
    host: Annotated[
        str | None, typer.Option(help="Address the server listens on [env: QUIRE_HOST].")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port the server listens on [env: QUIRE_PORT]."),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    blob_url: BlobUrl = None,
) -> None:
    """Check what a server needs here, and say what to do about what is missing.

    Run it as the user that runs the server. The exit code is 1 when something is wrong.
    """
    settings = settings_of(data_dir, database_url, blob_url)
    settings = replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )
    bad = 0
    for finding in examine(settings):
        typer.echo(f"{'ok ' if finding.good else 'BAD'}  {finding.subject}: {finding.detail}")
        if not finding.good:
            bad += 1
            typer.echo(f"     -> {finding.advice}")
    if bad:
        typer.echo(f"quire: {bad} of the checks failed.", err=True)
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Run all checks, one after another; none of them raises."""
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("Python", _check_python),
        ("data directory", _check_data_directory),
        ("disk space", _check_disk),
        ("database", _check_database),
        ("blob store", _check_blobs),
        ("port", _check_port),
        ("kernel", _check_kernel),
        ("kernel user", _check_kernel_user),
        ("Spark", _check_spark),
    ]
    for subject, check in checks:
        try:
            yield Finding(subject, True, check(settings))
        except _Trouble as trouble:
            yield Finding(subject, False, str(trouble), trouble.advice)


def _check_python(_: Settings) -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _LEAST_PYTHON:
        wanted = ".".join(map(str, _LEAST_PYTHON))
        raise _Trouble(f"{version} is too old", f"Install Quire with Python {wanted} or newer.")
    return f"{version} at {sys.executable}"


def _check_data_directory(settings: Settings) -> str:
    place = _nearest(settings.data_dir)
    if not place.is_dir():
        raise _Trouble(f"{place} is not a directory", "Name another one with --data-dir.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise _Trouble(
            f"{place} is not writable", "Give it to the user that runs the server, or --data-dir."
        )
    if place != settings.data_dir:
        return f"{settings.data_dir} will be made at the first start"
    return str(place)


def _check_disk(settings: Settings) -> str:
    place = _nearest(settings.data_dir)
    free = shutil.disk_usage(place).free
    if free < _LEAST_FREE_BYTES:
        raise _Trouble(
            f"only {free / _GIB:.1f} GiB are free at {place}",
            f"Free at least {_LEAST_FREE_BYTES / _GIB:.0f} GiB, or move --data-dir.",
        )
    return f"{free / _GIB:.1f} GiB are free at {place}"


def _check_database(settings: Settings) -> str:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from quire.store.database import Database

    advice = "Check --database-url, and that the database runs and lets this user in."
    try:
        shown = make_url(settings.database_location).render_as_string(hide_password=True)
        if is_missing(settings):
            return f"{shown} will be made at the first start"
        database = Database(settings.database_location)
    except (ArgumentError, NoSuchModuleError) as error:
        raise _Trouble(f"the URL names no database: {error}", advice) from error
    try:
        present, newest = database.migrations()
    except Unavailable as error:
        raise _Trouble(str(error).partition("\n")[0], advice) from error
    finally:
        database.close()
    if present is None:
        return f"{shown} is empty; it will be filled at the first start"
    if present != newest:
        raise _Trouble(
            f"{shown} is at {present}, this version of Quire needs {newest}",
            "Start the server of this version once: it brings the database up to date.",
        )
    return f"{shown} answers and is up to date"


def _check_blobs(settings: Settings) -> str:
    import secrets

    from quire.store.blobs import BlobStore

    if not settings.blob_url and not settings.blobs_dir.exists():
        return "a folder in the data directory; it will be made at the first start"
    key, data = f"doctor/{secrets.token_hex(8)}", b"probe"
    try:
        store = BlobStore.open(settings.blob_url, settings.blobs_dir)
        store.put(key, data)
        whole = store.get(key) == data
        store.delete([key])
    except QuireError as error:
        raise _Trouble(
            str(error), "Check --blob-url, its credentials, and that there is room."
        ) from error
    if not whole:
        raise _Trouble(
            f"{store.description} gives back other data than it took", "Use another store."
        )
    return f"{store.description} takes and gives"


def _check_port(settings: Settings) -> str:
    shown = f"{settings.host}:{settings.port}"
    advice = "Name another with --host and --port, or stop what listens there."
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise _Trouble(f"cannot listen on {shown}: {reason}", advice) from error
    return f"{shown} is free"


def _check_kernel(settings: Settings) -> str:
    from jupyter_client.manager import start_new_kernel

    advice = "Reinstall Quire: its interpreter must be able to run: python -m ipykernel_launcher"
    try:
        manager, client = start_new_kernel(
            startup_timeout=settings.kernel_start_seconds,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except Exception as error:  # whatever keeps a kernel from starting is the finding
        raise _Trouble(f"a Python kernel does not start: {error}", advice) from error
    try:
        reply = client.execute_interactive(
            "1 + 1", timeout=settings.kernel_start_seconds, output_hook=lambda _: None
        )
    except TimeoutError as error:
        raise _Trouble("a Python kernel starts and does not answer", advice) from error
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.context.destroy(linger=0)
    if reply["content"]["status"] != "ok":
        raise _Trouble(f"a Python kernel answers with {reply['content']['status']}", advice)
    return "a Python kernel starts and runs code"


def _check_kernel_user(settings: Settings) -> str:
    import pwd

    if os.geteuid() != 0:
        return "kernels run as the user of the server, which is not root"
    if not settings.kernel_user:
        raise _Trouble(
            "kernels would run as root",
            "Name an unprivileged user in QUIRE_KERNEL_USER (such as nobody).",
        )
    try:
        user = pwd.getpwnam(settings.kernel_user)
    except KeyError as error:
        raise _Trouble(
            f"there is no user {settings.kernel_user}", "Make it, or change QUIRE_KERNEL_USER."
        ) from error
    tried = subprocess.run(
        [sys.executable, "-c", "import ipykernel, quire_runtime"],
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode != 0:
        said = tried.stderr.strip().rpartition("\n")[2]
        raise _Trouble(
            f"{user.pw_name} cannot use {sys.executable}: {said}",
            f"Make {sys.prefix} and the folders above it readable for everybody, or install Quire "
            "where they are.",
        )
    return f"{user.pw_name} can use {sys.executable}"


def _check_spark(settings: Settings) -> str:
    from quire.compute.java import find_java
    from quire.compute.spark_home import find_spark

    if importlib.util.find_spec("pyspark") is None and not os.environ.get("SPARK_HOME"):
        return "not installed; runs that use it fail (pip install 'quire[spark]' brings it)"
    try:
        spark, java = find_spark(), find_java(settings.java_home)
    except Unsupported as error:
        raise _Trouble("it cannot be started", str(error)) from error
    return f"{spark.version} in {spark.home}, on Java {java.major} ({java.source}: {java.home})"


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest one above it that exists."""
    while not path.exists():
        path = path.parent
    return path
