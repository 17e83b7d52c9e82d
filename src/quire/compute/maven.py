"""Gets libraries out of Maven repositories, with all they need, by the Ivy that comes with Spark.

For what is got before Spark starts. Spark may also get libraries itself: :mod:`quire.compute.ivy`
tells it where.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from quire.compute.ivy import ivy_settings
from quire.compute.java import USER_VARIABLE
from quire.errors import InvalidValue
from quire.placement.users import plain_environment
from quire.runner.users import KernelUser

__all__ = ["Coordinates", "LibraryNotResolved", "read_coordinates", "resolve"]

_PATIENCE_SECONDS = 600.0
_LONGEST_MESSAGE = 1500
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_EXCLUDED_PART = re.compile(r"[A-Za-z0-9_.*-]+")

# What every Spark has already, in the words of Spark's own resolver.
_PARTS_OF_SPARK = (
    *("catalyst", "core", "graphx", "hive", "kvstore", "launcher", "mllib", "mllib-local"),
    *("network-common", "network-shuffle", "repl", "sketch", "sql", "streaming", "tags", "unsafe"),
)


class LibraryNotResolved(Exception):
    """A library, or something it needs, could not be got; the message says what."""


@dataclass(frozen=True)
class Coordinates:
    """What a Maven repository knows a library by."""

    group: str
    artifact: str
    version: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def read_coordinates(text: str, field: str = "coordinates") -> Coordinates:
    """Read ``group:artifact:version``. Raises InvalidValue naming the field."""
    parts = text.strip().replace("/", ":").split(":")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        raise InvalidValue(field, f"{text!r} is not of the form group:artifact:version.")
    return Coordinates(*parts)


def resolve(
    coordinates: Sequence[str],
    *,
    spark_jars: Path,
    java_home: Path,
    cache: Path,
    repositories: Sequence[str] = (),
    exclusions: Sequence[str] = (),
    user: KernelUser | None = None,
) -> list[Path]:
    """Get libraries and all they need; the files, which nobody but the server can change.

    ``repositories`` are asked in their order and no others; none: Maven Central and Spark's own.
    ``exclusions`` are ``group:artifact``. What was got before is taken from ``cache``, a folder
    that every user can pass. ``user`` is who talks to the repositories.

    Raises LibraryNotResolved, InvalidValue for coordinates and exclusions that are none.
    """
    wanted = [read_coordinates(each) for each in coordinates]
    left_out = [_read_exclusion(each) for each in exclusions]
    cache.mkdir(mode=0o711, parents=True, exist_ok=True)
    with _alone(cache), tempfile.TemporaryDirectory(dir=cache) as made:
        work, ivy = Path(made), cache / "ivy"
        work.chmod(0o711)
        ivy.mkdir(mode=0o700, exist_ok=True)
        output = work / "output"
        output.mkdir(mode=0o700)
        if user is not None:
            for folder in (ivy, output):
                os.chown(folder, user.uid, user.gid)
        (work / "settings.xml").write_text(ivy_settings(repositories, ivy))
        (work / "ivy.xml").write_text(_module(wanted, left_out))
        for name in ("settings.xml", "ivy.xml"):
            (work / name).chmod(0o644)
        _run_ivy(work, output, spark_jars, java_home, user, wanted)
        found = _plain(output / "path").read_text().strip().split(":")
        return [_keep(cache, path) for path in dict.fromkeys(found) if path]


def _run_ivy(
    work: Path,
    output: Path,
    spark_jars: Path,
    java_home: Path,
    user: KernelUser | None,
    wanted: Sequence[Coordinates],
) -> None:
    command = [
        str(java_home / "bin" / "java"),
        "-Xmx256m",
        f"-Djava.io.tmpdir={output}",
        *("-cp", str(spark_jars / "*"), "org.apache.ivy.Main", "-warn"),
        *("-settings", str(work / "settings.xml"), "-ivy", str(work / "ivy.xml")),
        *("-confs", "default", "-cachepath", str(output / "path")),
    ]
    environment = {**plain_environment(), "HOME": str(output), USER_VARIABLE: "quire"}
    names = ", ".join(map(str, wanted))
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=output,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_PATIENCE_SECONDS,
            check=False,
            user=user.uid if user is not None else None,
            group=user.gid if user is not None else None,
            extra_groups=[] if user is not None else None,
        )
    except subprocess.TimeoutExpired:
        raise LibraryNotResolved(f"Resolving {names} took too long.") from None
    if done.returncode != 0 or not (output / "path").is_file():
        raise LibraryNotResolved(f"{names} could not be resolved. {_trouble(done.stdout)}".strip())


def _trouble(said: str) -> str:
    """The lines of Ivy's output that say what is missing."""
    lines = (line.strip(" \t:") for line in said.splitlines())
    told = [line for line in lines if line and ("not found" in line or "unresolved" in line)]
    if not told:
        told = [line.strip() for line in said.splitlines() if line.strip()][-5:]
    return "; ".join(dict.fromkeys(told))[:_LONGEST_MESSAGE]


def _keep(cache: Path, location: str) -> Path:
    """A copy of a file that its user could change, in a place named for its content."""
    source = _plain(Path(location))
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = cache / "jars" / digest / source.name
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        for folder in (kept.parent, kept.parent.parent):
            folder.chmod(0o755)
        fresh = kept.with_name(f".{kept.name}")
        shutil.copyfile(source, fresh, follow_symlinks=False)
        fresh.chmod(0o644)
        fresh.replace(kept)
    return kept


def _plain(path: Path) -> Path:
    """The path itself, if it is a plain file. Raises LibraryNotResolved otherwise."""
    if path.is_symlink() or not path.is_file():
        raise LibraryNotResolved(f"{path.name} is no file.")
    return path


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Ivy's cache bears one user at a time."""
    with (cache / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_exclusion(text: str) -> tuple[str, str]:
    parts = text.strip().split(":")
    if len(parts) != 2 or not all(_EXCLUDED_PART.fullmatch(part) for part in parts):
        raise InvalidValue("exclusions", f"{text!r} is not of the form group:artifact.")
    return parts[0], parts[1]


def _module(wanted: Sequence[Coordinates], left_out: Sequence[tuple[str, str]]) -> str:
    """A module of our own that needs what is wanted."""
    dependencies = "".join(
        f"    <dependency org={quoteattr(each.group)} name={quoteattr(each.artifact)} "
        f'rev={quoteattr(each.version)} conf="default->default(runtime)"/>\n'
        for each in wanted
    )
    present = [("org.apache.spark", f"spark-{part}_*") for part in _PARTS_OF_SPARK]
    exclusions = "".join(
        f'    <exclude org={quoteattr(group)} module={quoteattr(artifact)} matcher="glob"/>\n'
        for group, artifact in [*present, ("*", "scala-library"), *left_out]
    )
    return f"""\
<ivy-module version="2.0">
  <info organisation="quire" module="libraries" revision="1"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
{dependencies}{exclusions}  </dependencies>
</ivy-module>
"""
