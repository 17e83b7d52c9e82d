"""Builds Python environments with uv: a layer of packages above the server's own interpreter.

Owns: which packages are missing (:meth:`PackageBuilder.resolve`), the folders that hold built
layers, and their removal. The server's own environment is read, never written.

A layer is a virtual environment whose ``.pth`` file names the server's packages, so only what those
lack is installed. Its folder is named after what it holds; it counts only once a file in it says
that it is whole, and whoever builds holds a lock, so that many who want the same one build it once
and a half-built one is never used. What is installed may run code of its own, so uv runs as a user
number of the principal it works for, and what it made becomes the server's before anybody uses it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from quire.errors import InvalidValue
from quire.identity.models import Principal
from quire.placement.folders import passable_root
from quire.placement.users import choose_user, plain_environment
from quire.runner.users import KernelUser
from quire.settings import Settings

__all__ = ["BuildFailed", "Layer", "PackageBuilder", "PipRequest", "check_requirement"]

_WHOLE = "quire-layer.json"
_BASE_LAYER = "quire-base.pth"
_USERS_FROM = 1 << 23  # above every process number, which kernels' user numbers are made of
_TAIL_CHARACTERS = 1500
_ADDED = re.compile(r"^ \+ (\S+?)(?:==(\S+)| @ (\S+))$", re.MULTILINE)
_PASSED_ON = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"),
    *("UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_OFFLINE", "UV_NO_INDEX"),
)


class BuildFailed(Exception):
    """Packages could not be found or installed; the message is for people."""


@dataclass(frozen=True)
class PipRequest:
    """What pip would be given. Files are paths that every user may read."""

    requirements: tuple[str, ...] = ()
    wheels: tuple[Path, ...] = ()
    requirement_files: tuple[Path, ...] = ()
    indexes: tuple[str, ...] = ()  # asked before the usual one

    def __bool__(self) -> bool:
        return bool(self.requirements or self.wheels or self.requirement_files)


@dataclass(frozen=True)
class Layer:
    """A built layer."""

    key: str
    python: str  # its interpreter, which sees the layer and the server's packages
    site_packages: str
    packages: tuple[str, ...]  # what it adds: "name==version" or "name @ place"
    replaces: bool  # it holds other versions of packages that the server's interpreter has


def check_requirement(text: str, field: str = "package") -> str:
    """A requirement of one package, cleaned. Raises InvalidValue naming the field."""
    cleaned = text.strip()
    if not cleaned or cleaned.startswith(("-", "#")) or not cleaned.isprintable():
        raise InvalidValue(field, f"{text[:200]!r} is not a requirement such as name==1.2.")
    return cleaned


class PackageBuilder:
    """Resolves and builds; safe to be used by several threads and servers at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._user: KernelUser | None = None
        self._root: Path | None = None

    @property
    def root(self) -> Path:
        """Where layers and files are; every user may pass through it. Raises OSError."""
        if self._root is None:
            settings = self._settings
            self._user = choose_user(settings.kernel_user, settings.kernel_uid_base)
            if settings.environments_dir:
                root = Path(settings.environments_dir).absolute()
                root.mkdir(mode=0o711, parents=True, exist_ok=True)
            else:
                root = passable_root("quire-environments", settings.data_dir)
            for name in ("layers", "files", "locks", "caches"):
                (root / name).mkdir(mode=0o711, exist_ok=True)
            self._root = root
        return self._root

    @property
    def tools_user(self) -> KernelUser | None:
        """Whom tools run as that work for nobody in particular; None: the server's own user."""
        _ = self.root  # which finds the user
        user = self._user
        if user is None or not user.uid_base:
            return user
        number = user.uid_base + _USERS_FROM
        return KernelUser(number, number)

    def keep_file(self, name: str, content: bytes) -> Path:
        """Keep a file where every user may read it, under a folder named after its content."""
        safe = re.sub(r"[^\w.+-]", "_", Path(name).name) or "file"
        folder = self.root / "files" / hashlib.sha256(content).hexdigest()
        folder.mkdir(mode=0o711, exist_ok=True)
        path = folder / safe
        if not path.is_file():
            descriptor, draft = tempfile.mkstemp(dir=folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.chmod(draft, 0o644)
            os.replace(draft, path)
        os.utime(folder)
        return path

    # -- resolving --------------------------------------------------------------------------

    def resolve(self, request: PipRequest, actor: Principal) -> tuple[str, ...]:
        """What the server's packages lack, pinned and sorted. Raises BuildFailed."""
        output = self._uv(
            actor,
            *("pip", "install", "--dry-run", "--python", sys.executable),
            *self._index_options(request),
            *(part for path in request.requirement_files for part in ("-r", str(path))),
            "--",
            *(str(path) for path in request.wheels),
            *(check_requirement(each) for each in request.requirements),
        )
        found = []
        for name, version, place in _ADDED.findall(output):
            found.append(f"{name} @ {place}" if place else f"{name}=={version}")
        return tuple(sorted(found))

    def _index_options(self, request: PipRequest) -> list[str]:
        options: list[str] = []
        if self._settings.package_index_url:
            options += ["--default-index", self._settings.package_index_url]
        for index in request.indexes:
            if index.startswith("-") or "://" not in index:
                raise BuildFailed(f"{index!r} is not the URL of a package index.")
            options += ["--index", index]
        return options

    # -- building ---------------------------------------------------------------------------

    def build(self, pins: Sequence[str], request: PipRequest, actor: Principal) -> Layer:
        """The layer of these packages; built when nobody has, else at once. Raises BuildFailed."""
        key = self._key(pins, actor)
        known = self._known(key)
        if known is not None:
            return known
        with self._alone(key):
            known = self._known(key)
            if known is not None:
                return known
            return self._build(key, tuple(pins), request, actor)

    def _key(self, pins: Sequence[str], actor: Principal) -> str:
        # The server's own packages are part of what a layer stands on.
        parts = [*sorted(pins), sys.version, sys.executable, *_own_packages(), str(actor.id)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def _known(self, key: str) -> Layer | None:
        mark = self.root / "layers" / key / _WHOLE
        try:
            value = json.loads(mark.read_text())
            os.utime(mark)  # in use
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Layer(**{**value, "packages": tuple(value["packages"])})

    def _build(
        self, key: str, pins: tuple[str, ...], request: PipRequest, actor: Principal
    ) -> Layer:
        folder = self.root / "layers" / key
        if folder.exists():
            shutil.rmtree(folder)  # somebody was killed while building it
        folder.mkdir(mode=0o711)
        user = self._user_of(actor)
        if user is not None:
            os.chown(folder, user.uid, user.gid)
        environment = folder / "env"
        try:
            self._uv(actor, "venv", "--no-project", "--python", sys.executable, str(environment))
            version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
            packages = environment / "lib" / version / "site-packages"
            if pins:
                self._uv(
                    actor,
                    *("pip", "install", "--python", str(environment / "bin" / "python")),
                    *("--no-deps", "--link-mode", "copy", "--compile-bytecode"),
                    *self._index_options(request),
                    "--",
                    *pins,
                )
            if user is not None:
                _take_over(folder)
            base = sysconfig.get_paths()
            places = dict.fromkeys((base["purelib"], base["platlib"]))
            (packages / _BASE_LAYER).write_text("".join(f"{place}\n" for place in places))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        layer = Layer(
            key=key,
            python=str(environment / "bin" / "python"),
            site_packages=str(packages),
            packages=pins,
            replaces=_replaces(packages),
        )
        draft = folder / f"{_WHOLE}.new"
        draft.write_text(json.dumps(asdict(layer)))
        draft.chmod(0o644)
        draft.replace(folder / _WHOLE)
        return layer

    def build_with(
        self, parts: Sequence[str], command: Callable[[Path], Sequence[str]], actor: Principal
    ) -> Path:
        """A folder that a command of somebody else's fills; built once for the same parts.

        ``command`` is given the folder to fill. Raises BuildFailed.
        """
        key = self._key(parts, actor)
        folder = self.root / "layers" / key
        with self._alone(key):
            if not (folder / _WHOLE).exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(mode=0o711)
                user = self._user_of(actor)
                if user is not None:
                    os.chown(folder, user.uid, user.gid)
                try:
                    self._run(actor, command(folder / "env"))
                    if user is not None:
                        _take_over(folder)
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
                (folder / _WHOLE).write_text("{}")
            os.utime(folder / _WHOLE)
        return folder / "env"

    def collect_garbage(self, now: float) -> list[str]:
        """Remove layers and files that nobody has used for the time the settings say."""
        limit = now - self._settings.environment_unused_days * 86400
        removed = []
        for folder in (self.root / "layers").iterdir():
            mark = folder / _WHOLE
            with self._alone(folder.name):
                used = mark if mark.exists() else folder
                if used.stat().st_mtime < limit:
                    mark.unlink(missing_ok=True)  # from here on it is not whole
                    shutil.rmtree(folder, ignore_errors=True)
                    removed.append(folder.name)
        for folder in (self.root / "files").iterdir():
            if folder.stat().st_mtime < limit:
                shutil.rmtree(folder, ignore_errors=True)
        return removed

    # -- parts ------------------------------------------------------------------------------

    def _user_of(self, actor: Principal) -> KernelUser | None:
        if self._user is None or not self._user.uid_base:
            return self._user
        number = self._user.uid_base + _USERS_FROM + int(actor.id)
        return KernelUser(number, number)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """While inside, nobody else on this machine works on what the key names."""
        with (self.root / "locks" / key).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _uv(self, actor: Principal, *arguments: str) -> str:
        """Run uv; what it says. Raises BuildFailed with the cause it names."""
        import uv

        return self._run(actor, [uv.find_uv_bin(), *arguments])

    def _run(self, actor: Principal, command: Sequence[str]) -> str:
        user = self._user_of(actor)
        cache = self.root / "caches" / str(actor.id)
        cache.mkdir(mode=0o700, exist_ok=True)
        if user is not None:
            os.chown(cache, user.uid, user.gid)
        environment = {
            **plain_environment(),
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            "HOME": str(cache),
            "TMPDIR": str(cache),
            "UV_CACHE_DIR": str(cache / "uv"),
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "NO_COLOR": "1",
        }
        switch = {}
        if user is not None:
            switch = {"user": user.uid, "group": user.gid, "extra_groups": []}
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            start_new_session=True,
            umask=0o022,
            **switch,  # type: ignore[call-overload]
        )
        try:
            output, _ = process.communicate(timeout=self._settings.environment_build_seconds)
        except subprocess.TimeoutExpired:
            raise BuildFailed(
                "The installation took longer than "
                f"{self._settings.environment_build_seconds:g} seconds."
            ) from None
        finally:
            _end_group(process)
        text: str = output.decode("utf-8", "replace")
        if process.returncode != 0:
            raise BuildFailed(_cause(text))
        return text


def _own_packages() -> list[str]:
    return sorted(
        f"{each.name.lower()}=={each.version}" for each in importlib.metadata.distributions()
    )


def _replaces(packages: Path) -> bool:
    """Whether a layer holds packages that the server's interpreter has, too."""
    own = {_plain_name(each.name) for each in importlib.metadata.distributions()}
    found = importlib.metadata.distributions(path=[str(packages)])
    return any(_plain_name(each.name) in own for each in found)


def _plain_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _take_over(folder: Path) -> None:
    """Make the server the owner of all that is there, so that its builder cannot change it.

    A folder is taken before it is listed, so that nothing in it can be exchanged meanwhile.
    """
    _take(str(folder), is_folder=True)
    for place, folders, files in os.walk(folder):
        for name in folders:
            path = os.path.join(place, name)
            _take(path, is_folder=not os.path.islink(path))
        for name in files:
            _take(os.path.join(place, name), is_folder=False)


def _take(path: str, *, is_folder: bool) -> None:
    os.chown(path, 0, 0, follow_symlinks=False)
    if is_folder:
        os.chmod(path, 0o755)  # noqa: S103 - kernels read it
    elif not os.path.islink(path):
        os.chmod(path, (os.stat(path).st_mode & 0o755) | 0o044)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what an installation may have left behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _cause(text: str) -> str:
    """What uv says went wrong, without what it says of its work."""
    at = text.find("error:")
    return " ".join((text[at + 6 :] if at >= 0 else text).split())[-_TAIL_CHARACTERS:]
