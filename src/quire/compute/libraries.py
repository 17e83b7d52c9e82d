"""Libraries and environments of runs: from a list of wishes to folders, files and an interpreter.

Implements :class:`quire.compute.uses.Packages`. Work is done in the background, once for all who
ask for the same; asking again tells how far it is. What has failed is told to those who wait for
it and tried again for whoever asks later.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog

from quire.compute.environments import Environment, EnvironmentKind, Environments
from quire.compute.models import Library, LibraryKind
from quire.compute.package_builder import BuildFailed, PackageBuilder, PipRequest
from quire.compute.uses import Prepared, UseState
from quire.errors import NotFound, QuireError
from quire.identity.models import Principal
from quire.loop import BackgroundLoop
from quire.placement.users import plain_environment
from quire.settings import Settings
from quire.workspace.locations import Locations

__all__ = ["Libraries", "LibraryState", "LibraryStatus", "MavenResolver"]

_LOG = structlog.get_logger(__name__)
_LARGEST_FILE_BYTES = 1024 * 1024 * 1024
_WORKERS = 2
_CLEAN_SECONDS = 3600.0
_REMEMBERED = 500
_TOLD_AGAIN_SECONDS = 5.0  # a failure is told again for this long before it is tried again
_PYTHON = (LibraryKind.PYPI, LibraryKind.WHEEL, LibraryKind.REQUIREMENTS)

_R_SCRIPT = (
    "a <- commandArgs(TRUE); dir.create(a[1]); "
    "install.packages(a[2], lib = a[1], repos = a[3]); "
    "if (!requireNamespace(a[2], lib.loc = a[1], quietly = TRUE)) "
    "stop('error: it could not be installed')"
)

MavenResolver = Callable[[Library], Sequence[str]]
"""Files of a library's coordinates and all it needs; raises BuildFailed."""


class LibraryState(StrEnum):
    """Where a library stands."""

    PENDING = "pending"
    RESOLVING = "resolving"
    INSTALLING = "installing"
    INSTALLED = "installed"
    FAILED = "failed"
    SKIPPED = "skipped"  # one before it failed


@dataclass(frozen=True)
class LibraryStatus:
    """A library and where it stands."""

    library: Library
    state: LibraryState
    message: str = ""


class _Failed(Exception):
    """A library could not be installed."""

    def __init__(self, library: Library, reason: str) -> None:
        super().__init__(reason)
        self.library = library
        self.reason = reason


@dataclass
class _Work:
    """One preparation, done or on its way."""

    actor: Principal
    libraries: tuple[Library, ...]
    environment: Environment | None
    states: dict[Library, LibraryStatus] = field(default_factory=dict)
    result: Prepared = field(default_factory=lambda: Prepared(UseState.PENDING, "Waiting."))
    ended_at: float | None = None


class Libraries:
    """Installs what runs ask for."""

    def __init__(
        self,
        settings: Settings,
        builder: PackageBuilder,
        environments: Environments,
        locations: Locations,
        resolve_maven: MavenResolver,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._builder = builder
        self._environments = environments
        self._locations = locations
        self._resolve_maven = resolve_maven
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._works: dict[str, _Work] = {}
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="libraries")
        self.loop = BackgroundLoop("libraries", self._clean)

    def close(self) -> None:
        """Begin nothing more. What is being installed is finished by its next asker."""
        self.loop.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def prepare(
        self, actor: Principal, libraries: tuple[Library, ...], environment: str | None
    ) -> Prepared:
        """Begin, or see how far it is. Returns at once."""
        found: Environment | None = None
        if environment is not None:
            try:
                found = self._environments.get(environment)
            except NotFound as error:
                return Prepared(UseState.FAILED, error.message)
        key = self._key(actor, libraries, found)
        with self._lock:
            work = self._works.get(key)
            if work is None or self._is_stale(work):
                work = _Work(actor, libraries, found)
                self._works.pop(key, None)
                self._works[key] = work
                self._forget()
                self._threads.submit(self._do, work)
            return work.result

    def statuses(
        self, actor: Principal, libraries: tuple[Library, ...], environment: str | None = None
    ) -> list[LibraryStatus]:
        """Where each library stands for whoever prepares exactly these."""
        found = None
        if environment is not None:
            found = self._environments.get(environment)
        with self._lock:
            work = self._works.get(self._key(actor, libraries, found))
            states = dict(work.states) if work is not None else {}
        return [states.get(each, LibraryStatus(each, LibraryState.PENDING)) for each in libraries]

    def _clean(self) -> float:
        """Remove what nobody has used for long."""
        for removed in self._builder.collect_garbage(time.time()):
            _LOG.info("libraries.layer_removed", layer=removed)
        return _CLEAN_SECONDS

    # -- what is remembered -----------------------------------------------------------------

    def _key(
        self, actor: Principal, libraries: tuple[Library, ...], environment: Environment | None
    ) -> str:
        parts = [
            actor.id,
            [[each.kind, each.value, each.repository, each.exclusions] for each in libraries],
            [environment.id, str(environment.updated_at)] if environment is not None else None,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _is_stale(self, work: _Work) -> bool:
        if work.ended_at is None:
            return False
        age = self._monotonic() - work.ended_at
        if work.result.state is UseState.FAILED:
            return age > _TOLD_AGAIN_SECONDS
        # Files may be replaced, and newer versions appear.
        return age > self._settings.library_refresh_seconds

    def _forget(self) -> None:
        while len(self._works) > _REMEMBERED:
            self._works.pop(next(iter(self._works)))

    # -- the work ---------------------------------------------------------------------------

    def _do(self, work: _Work) -> None:
        for each in work.libraries:
            work.states[each] = LibraryStatus(each, LibraryState.PENDING)
        try:
            work.result = self._install(work)
        except _Failed as failure:
            self._mark_failed(work, failure)
            work.result = Prepared(UseState.FAILED, _message(failure))
        except BuildFailed as error:
            name = work.environment.name if work.environment is not None else ""
            work.result = Prepared(
                UseState.FAILED, f"The environment {name} could not be built: {error}"
            )
        except QuireError as error:
            work.result = Prepared(UseState.FAILED, error.message)
        except Exception as error:  # noqa: BLE001 - whoever waits must be told
            _LOG.exception("libraries.failed")
            work.result = Prepared(
                UseState.FAILED, f"The libraries could not be installed: {error}"
            )
        finally:
            work.ended_at = self._monotonic()

    def _install(self, work: _Work) -> Prepared:
        python = [each for each in work.libraries if each.kind in _PYTHON]
        jars: list[str] = []
        folders: list[str] = []
        for library in work.libraries:
            if library.kind in _PYTHON:
                continue
            work.states[library] = LibraryStatus(library, LibraryState.RESOLVING)
            try:
                if library.kind is LibraryKind.CRAN:
                    folders.append(str(self._install_r(work.actor, library)))
                else:
                    jars += self._install_other(work.actor, library)
            except BuildFailed as error:
                raise _Failed(library, str(error)) from error
            except QuireError as error:
                raise _Failed(library, error.message) from error
            work.states[library] = LibraryStatus(library, LibraryState.INSTALLED)
        prepared = self._install_python(work, python)
        for library in python:
            work.states[library] = LibraryStatus(library, LibraryState.INSTALLED)
        return Prepared(
            python=prepared.python,
            site_packages=prepared.site_packages,
            jars=tuple(dict.fromkeys(jars)),
            environment={
                **prepared.environment,
                **({"R_LIBS": ":".join(folders)} if folders else {}),
            },
        )

    def _install_other(self, actor: Principal, library: Library) -> Sequence[str]:
        match library.kind:
            case LibraryKind.JAR:
                return [str(self._file(actor, library.value))]
            case LibraryKind.MAVEN:
                return self._resolve_maven(library)
            case LibraryKind.EGG:
                raise BuildFailed("eggs are not supported any more; build a wheel (.whl) instead.")
            case _:
                raise AssertionError(library.kind)

    def _install_r(self, actor: Principal, library: Library) -> Path:
        program = shutil.which("Rscript")
        if program is None:
            raise BuildFailed("R is not installed on this server.")
        repository = library.repository or "https://cloud.r-project.org"
        if not library.value.replace(".", "").isalnum() or repository.startswith("-"):
            raise BuildFailed(f"{library.value!r} is not the name of an R package.")
        parts = ["cran", library.value, repository]
        return self._builder.build_with(
            parts,
            lambda folder: [program, "-e", _R_SCRIPT, str(folder), library.value, repository],
            actor,
        )

    def _install_python(self, work: _Work, libraries: Sequence[Library]) -> Prepared:
        environment = work.environment
        if environment is not None and environment.kind is EnvironmentKind.CONDA:
            if libraries:
                raise _Failed(
                    libraries[0], "Python libraries cannot be added to a conda environment."
                )
            return Prepared(python=self._environments.build_conda(environment, work.actor))
        base: tuple[str, ...] = ()
        indexes: tuple[str, ...] = ()
        if environment is not None:
            base = self._environments.pins(environment, work.actor)
            indexes = environment.indexes
        if not libraries and environment is None:
            return Prepared()
        request = self._request(work, libraries, base, indexes)
        pins = self._resolve(work, libraries, request, base, indexes) if libraries else base
        for library in libraries:
            work.states[library] = LibraryStatus(library, LibraryState.INSTALLING)
        try:
            layer = self._builder.build(pins, request, work.actor)
        except BuildFailed as error:
            if libraries:
                raise _Failed(_blamed(libraries, str(error)), str(error)) from error
            raise
        programs = f"{Path(layer.python).parent}:{plain_environment()['PATH']}"
        return Prepared(
            python=layer.python if layer.replaces else None,
            site_packages=(layer.site_packages,) if layer.packages else (),
            environment={"PATH": programs},
        )

    def _request(
        self,
        work: _Work,
        libraries: Sequence[Library],
        base: tuple[str, ...],
        indexes: tuple[str, ...],
    ) -> PipRequest:
        requirements, wheels, files = list(base), [], []
        found_indexes = list(indexes)
        for library in libraries:
            work.states[library] = LibraryStatus(library, LibraryState.RESOLVING)
            try:
                if library.kind is LibraryKind.PYPI:
                    requirements.append(library.value)
                    if library.repository:
                        found_indexes.append(library.repository)
                elif library.kind is LibraryKind.WHEEL:
                    wheels.append(self._file(work.actor, library.value))
                else:
                    files.append(self._file(work.actor, library.value))
            except QuireError as error:
                raise _Failed(library, error.message) from error
        return PipRequest(
            tuple(requirements), tuple(wheels), tuple(files), tuple(dict.fromkeys(found_indexes))
        )

    def _resolve(
        self,
        work: _Work,
        libraries: Sequence[Library],
        request: PipRequest,
        base: tuple[str, ...],
        indexes: tuple[str, ...],
    ) -> tuple[str, ...]:
        """What has to be installed. Raises _Failed with the first library that does not go."""
        try:
            return self._builder.resolve(request, work.actor)
        except (BuildFailed, QuireError) as error:
            reason = error.message if isinstance(error, QuireError) else str(error)
            for count in range(1, len(libraries)):
                part = self._request(work, libraries[:count], base, indexes)
                try:
                    self._builder.resolve(part, work.actor)
                except (BuildFailed, QuireError) as earlier:
                    reason = earlier.message if isinstance(earlier, QuireError) else str(earlier)
                    raise _Failed(libraries[count - 1], reason) from earlier
            raise _Failed(libraries[-1], reason) from error

    def _file(self, actor: Principal, location: str) -> Path:
        """A file that a library is, read with the actor's rights and kept where all may read it."""
        content = self._locations.read(actor, location, _LARGEST_FILE_BYTES)
        return self._builder.keep_file(location.rpartition("/")[2], content)

    def _mark_failed(self, work: _Work, failure: _Failed) -> None:
        for library, status in work.states.items():
            if library == failure.library:
                work.states[library] = LibraryStatus(library, LibraryState.FAILED, failure.reason)
            elif status.state is not LibraryState.INSTALLED:
                work.states[library] = LibraryStatus(library, LibraryState.SKIPPED)


def _message(failure: _Failed) -> str:
    """What a run says whose library failed (Databricks contract 2.10)."""
    library = failure.library
    return (
        f"Library installation failed for library due to user error for {library.kind} "
        f"{library.value}: {failure.reason}"
    )


def _blamed(libraries: Sequence[Library], reason: str) -> Library:
    """The library an installation's error names, else the last one."""
    lowered = reason.lower()
    for library in libraries:
        name = library.value.rpartition("/")[2].lower()
        if name and name in lowered:
            return library
    return libraries[-1]
