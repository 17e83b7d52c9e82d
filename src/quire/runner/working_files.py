"""The files a notebook finds in its working folder, and what it made of them.

Before the cells run, the files attached to the notebook are brought into the folder; afterwards,
what was made, changed or removed there is told to the server. Both go over HTTP, so a runner needs
no disk in common with the server. The server decides whether such files become artifacts of the run
or the notebook's own.

The folder is the kernel's, whose code may put anything there, at any time. So this module looks at
it with the rights of the kernel's user, and what that user may not read or write, neither may it.
Links are not followed. Hidden files and ``__pycache__`` are what programs leave for themselves, and
stay behind: the folder is also the kernel's home.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from quire.runner.protocol import Files
from quire.runner.server import Refused, Server
from quire.runner.users import KernelUser

__all__ = ["WorkingFolder"]

_WHAT = "working-files"
_BLOCK_BYTES = 1024 * 1024
_MOST_NAMED = 5
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class _Known:
    """What a file was when the server and the folder last agreed."""

    digest: str
    mark: tuple[int, ...]  # tells cheaply that a file was not touched since


class WorkingFolder:
    """The working folder of one kernel, which may see several runs."""

    def __init__(self, root: Path, user: KernelUser | None) -> None:
        """``user``: whose the folder is; None: this process's own."""
        self._root = root
        self._user = user
        self._known: dict[str, _Known] = {}
        self._folders: set[str] = set()

    def bring_in(self, files: Files, server: Server) -> None:
        """Make the folder hold what is attached to the notebook now.

        Raises NotWanted, and OSError when the folder cannot take a file.
        """
        if not files.attached and not self._known:
            return
        wanted = {each["path"]: each["digest"] for each in files.attached}
        with _acting_as(self._user):
            for path in set(self._known) - set(wanted):
                self._forget(path)
        for path, digest in wanted.items():
            target = self._root / path
            if digest is None:
                with _acting_as(self._user):
                    target.mkdir(parents=True, exist_ok=True)
                self._folders.add(path)
            elif not self._has(path, digest):
                self._fetch(path, target, server)

    def carry_out(self, files: Files, server: Server) -> str:
        """Tell the server what became of the files; in words for people, what it does not keep.

        Raises NotWanted.
        """
        refused: list[str] = []
        with _acting_as(self._user):
            present = dict(self._walk())
            folders = set(self._folders)
        if files.removes:
            gone = [path for path in self._known if path not in present]
            gone += [path for path in folders if not (self._root / path).is_dir()]
            for path in sorted(gone, reverse=True):
                self._tell(server, "DELETE", path, None, refused)
                self._known.pop(path, None)
                self._folders.discard(path)
        total = count = 0
        for path, mark in present.items():
            known = self._known.get(path)
            if known is not None and known.mark == mark:
                continue
            size = mark[0]
            too_much = total + size > files.total_bytes or count >= files.most
            if too_much or size > files.file_bytes:
                refused.append(path)
                continue
            with _acting_as(self._user):
                data = _read(self._root / path, files.file_bytes)
            if data is None:
                continue  # it went, or changed what it is, in this moment
            digest = hashlib.sha256(data).hexdigest()
            if known is None or known.digest != digest:
                total += len(data)
                count += 1
                self._tell(server, "PUT", path, data, refused)
            self._known[path] = _Known(digest, mark)
        return _describe(refused)

    def _has(self, path: str, digest: str) -> bool:
        """Whether a file is there as an earlier run left it, and as it is wanted."""
        known = self._known.get(path)
        if known is None or known.digest != digest:
            return False
        with _acting_as(self._user):
            return _mark(self._root / path) == known.mark

    def _fetch(self, path: str, target: Path, server: Server) -> None:
        try:
            data = server.request("GET", _WHAT, path=path)
        except Refused:
            return  # it was removed in this moment
        with _acting_as(self._user):
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, data)
            mark = _mark(target)
        if mark is not None:
            self._known[path] = _Known(hashlib.sha256(data).hexdigest(), mark)

    def _forget(self, path: str) -> None:
        """Remove a file that is not the notebook's any more."""
        del self._known[path]
        with suppress(OSError):
            (self._root / path).unlink()

    def _tell(
        self, server: Server, method: str, path: str, data: bytes | None, refused: list[str]
    ) -> None:
        try:
            server.request(method, _WHAT, data, path=path)
        except Refused as error:
            if error.status != 404:  # what is not there needs no removing
                refused.append(path)

    def _walk(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Path and mark of each file, in order of paths."""
        for folder, names, file_names in os.walk(self._root):
            names[:] = sorted(name for name in names if not _stays(name))
            for name in sorted(file_names):
                file = Path(folder, name)
                mark = None if _stays(name) else _mark(file)
                if mark is not None:
                    yield file.relative_to(self._root).as_posix(), mark


def _stays(name: str) -> bool:
    # A name that is not UTF-8 has no form that a client could ask for.
    return name.startswith(".") or name == "__pycache__" or not _is_text(name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mark(file: Path) -> tuple[int, ...] | None:
    """Size first; None for what is no plain file."""
    try:
        found = file.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _read(file: Path, limit: int) -> bytes | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = opened.read(limit + 1)
    return data if len(data) <= limit else None


def _write(file: Path, data: bytes) -> None:
    """Put a file in the place of whatever is there, whole or not at all."""
    draft = file.with_name(f".{file.name[:200]}.quire-new")
    with suppress(FileNotFoundError):
        draft.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, 0o644), "wb") as opened:
        for start in range(0, len(data), _BLOCK_BYTES):
            opened.write(data[start : start + _BLOCK_BYTES])
    draft.replace(file)


@contextmanager
def _acting_as(user: KernelUser | None) -> Iterator[None]:
    """Let this thread touch files as ``user``; other threads go on as before.

    Linux keeps a user for file accesses with each thread. Leaving root's takes root's powers over
    files away from the thread for so long.
    """
    if user is None:
        yield
        return
    if os.geteuid() == 0 and os.getgroups():
        os.setgroups([])  # they would count beside the user's; root itself has no use for them
    _libc.setfsgid(user.gid)
    _libc.setfsuid(user.uid)
    if _libc.setfsuid(-1) != user.uid:  # an invalid number changes nothing and tells the present
        raise PermissionError("the working folder's user cannot be taken")
    try:
        yield
    finally:
        _libc.setfsuid(os.geteuid())
        _libc.setfsgid(os.getegid())


def _describe(refused: Sequence[str]) -> str:
    if not refused:
        return ""
    named = ", ".join(refused[:_MOST_NAMED])
    more = len(refused) - _MOST_NAMED
    return f"Files that could not be kept: {named}" + (f" and {more} more." if more > 0 else ".")
