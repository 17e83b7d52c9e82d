"""Files under several schemes: the server's file store, and the disk of the kernel's machine.

Paths are texts such as ``dbfs:/a``, ``/a`` (the file store) and ``file:/a``. Errors are Python's
own (FileNotFoundError and so on) with the path as it was given; the vendors' objects dress them.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from quire_runtime.channel import Channel
from quire_runtime.errors import ServerRefused, UnsupportedFeature

__all__ = ["FileStatus", "Files"]

BLOCK_BYTES = 1024 * 1024
SPOOL_BYTES = 8 * 1024 * 1024
STORE_SCHEME = "dbfs"
DISK_SCHEME = "file"


class FileStatus(NamedTuple):
    """What is known of a file or folder. ``modified_at`` in milliseconds since the epoch."""

    path: str  # with scheme, without a trailing slash
    name: str
    is_directory: bool
    size: int
    modified_at: int


class _Location(NamedTuple):
    scheme: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.path}"

    def below(self, name: str) -> _Location:
        return _Location(self.scheme, f"{self.path.rstrip('/')}/{name}")


class Files:
    """File operations over both schemes."""

    def __init__(self, channel: Channel) -> None:
        self._store = _Store(channel)
        self._disk = _Disk()

    def stat(self, path: str) -> FileStatus:
        """Raises FileNotFoundError."""
        place = _locate(path)
        return self._of(place).stat(place)

    def list(self, path: str) -> list[FileStatus]:
        """What a folder holds, by name; a file lists itself. Raises FileNotFoundError."""
        place = _locate(path)
        return self._of(place).list(place)

    def read(self, path: str, length: int | None = None) -> bytes:
        """The first ``length`` bytes. Raises FileNotFoundError, IsADirectoryError."""
        place = _locate(path)
        with self._of(place).reading(place, length) as file:
            return file.read() if length is None else file.read(length)

    def write(self, path: str, data: bytes, *, overwrite: bool) -> None:
        """Make a file with its parents. Raises FileExistsError, IsADirectoryError."""
        place = _locate(path)
        with _spool() as file:
            file.write(data)
            file.seek(0)
            self._of(place).write(place, file, overwrite)

    def make_directories(self, path: str) -> None:
        """Make a folder and its parents. Raises FileExistsError when a file is in the way."""
        place = _locate(path)
        self._of(place).make_directories(place)

    def delete(self, path: str, *, recursive: bool) -> bool:
        """Remove a file or folder; False when nothing was there.

        Raises OSError for a folder that is not empty, unless ``recursive``.
        """
        place = _locate(path)
        return self._of(place).delete(place, recursive)

    def copy(self, source: str, destination: str, *, recursive: bool) -> None:
        """Copy over what is there; into the destination when that is a folder.

        Raises FileNotFoundError; IsADirectoryError for a folder without ``recursive``.
        """
        origin, target = _locate(source), _locate(destination)
        status = self._of(origin).stat(origin)
        if status.is_directory and not recursive:
            raise IsADirectoryError(errno.EISDIR, "Is a directory; copy it recursively", source)
        if origin.scheme == target.scheme == STORE_SCHEME:
            self._store.copy(origin, target)
            return
        if self._is_directory(target):
            target = target.below(status.name)
        self._transfer(origin, target, status)

    def move(self, source: str, destination: str, *, recursive: bool) -> None:
        """Move over what is there; into the destination when that is a folder. Raises as copy."""
        origin, target = _locate(source), _locate(destination)
        status = self._of(origin).stat(origin)
        if status.is_directory and not recursive:
            raise IsADirectoryError(errno.EISDIR, "Is a directory; move it recursively", source)
        if origin.scheme == target.scheme == STORE_SCHEME:
            self._store.move(origin, target)
            return
        if self._is_directory(target):
            target = target.below(status.name)
        self._transfer(origin, target, status)
        self._of(origin).delete(origin, True)

    def _of(self, place: _Location) -> _Store | _Disk:
        return self._store if place.scheme == STORE_SCHEME else self._disk

    def _is_directory(self, place: _Location) -> bool:
        try:
            status = self._of(place).stat(place)
        except FileNotFoundError:
            return False
        return status.is_directory

    def _transfer(self, origin: _Location, target: _Location, status: FileStatus) -> None:
        if not status.is_directory:
            with self._of(origin).reading(origin, None) as incoming, _spool() as spool:
                shutil.copyfileobj(incoming, spool, BLOCK_BYTES)
                spool.seek(0)
                self._of(target).write(target, spool, True)
            return
        children = self._of(origin).list(origin)  # before the copy can appear among them
        self._of(target).make_directories(target)
        for child in children:
            self._transfer(origin.below(child.name), target.below(child.name), child)


class _Store:
    """The server's file store."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def stat(self, place: _Location) -> FileStatus:
        with _as_os_errors(place):
            return _status(self._channel.get("/files/status", {"path": place.path}))

    def list(self, place: _Location) -> list[FileStatus]:
        with _as_os_errors(place):
            answer = self._channel.get("/files/list", {"path": place.path})
        return [_status(each) for each in answer["files"]]

    @contextmanager
    def reading(self, place: _Location, length: int | None) -> Iterator[IO[bytes]]:
        query: dict[str, Any] = {"path": place.path}
        if length is not None:
            query["length"] = length
        with _as_os_errors(place), self._channel.exchange("GET", "/files", query) as response:
            yield response

    def write(self, place: _Location, file: IO[bytes], overwrite: bool) -> None:
        query = {"path": place.path, "overwrite": "true" if overwrite else "false"}
        with _as_os_errors(place):
            self._channel.upload("/files", query, file)

    def make_directories(self, place: _Location) -> None:
        with _as_os_errors(place):
            self._channel.post("/files/directories", {"path": place.path})

    def delete(self, place: _Location, recursive: bool) -> bool:
        query = {"path": place.path, "recursive": "true" if recursive else "false"}
        with _as_os_errors(place):
            return bool(self._channel.delete("/files", query)["deleted"])

    def copy(self, origin: _Location, target: _Location) -> None:
        with _as_os_errors(target):
            self._channel.post("/files/copy", _pair(origin, target), repeatable=False)

    def move(self, origin: _Location, target: _Location) -> None:
        with _as_os_errors(target):
            self._channel.post("/files/move", _pair(origin, target), repeatable=False)


class _Disk:
    """The disk of the machine the kernel runs on, with the kernel's own rights."""

    def stat(self, place: _Location) -> FileStatus:
        try:
            return _disk_status(place, os.stat(place.path))
        except NotADirectoryError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place.path) from None

    def list(self, place: _Location) -> list[FileStatus]:
        status = self.stat(place)
        if not status.is_directory:
            return [status]
        found = []
        for name in sorted(os.listdir(place.path)):
            child = place.below(name)
            try:
                found.append(_disk_status(child, os.stat(child.path)))
            except FileNotFoundError:
                continue  # a link to nothing, or gone meanwhile
        return found

    def reading(self, place: _Location, length: int | None) -> IO[bytes]:
        del length
        return open(place.path, "rb")

    def write(self, place: _Location, file: IO[bytes], overwrite: bool) -> None:
        os.makedirs(os.path.dirname(place.path), exist_ok=True)
        with open(place.path, "wb" if overwrite else "xb") as target:
            shutil.copyfileobj(file, target, BLOCK_BYTES)

    def make_directories(self, place: _Location) -> None:
        os.makedirs(place.path, exist_ok=True)

    def delete(self, place: _Location, recursive: bool) -> bool:
        try:
            if os.path.isdir(place.path) and not os.path.islink(place.path):
                if recursive:
                    shutil.rmtree(place.path)
                else:
                    os.rmdir(place.path)
            else:
                os.unlink(place.path)
        except FileNotFoundError:
            return False
        return True


def _spool() -> IO[bytes]:
    """A temporary file, in memory while it is small."""
    return tempfile.SpooledTemporaryFile(SPOOL_BYTES)


def _locate(path: str) -> _Location:
    if not isinstance(path, str):
        raise TypeError(f"A path is a text, not {type(path).__name__}.")
    head, colon, tail = path.partition(":")
    if colon and "/" not in head:
        if head not in (STORE_SCHEME, DISK_SCHEME):
            raise UnsupportedFeature(
                f"Paths that begin with {head}: are not available in this server yet; "
                "dbfs: and file: are."
            )
        scheme = head
    else:
        scheme, tail = STORE_SCHEME, path
    if not tail.startswith("/"):
        raise ValueError(f"The path must be absolute: {path!r}")
    trimmed = "/" + tail.strip("/")
    return _Location(scheme, trimmed)


def _pair(origin: _Location, target: _Location) -> dict[str, Any]:
    return {"source": origin.path, "destination": target.path, "overwrite": True}


def _status(value: dict[str, Any]) -> FileStatus:
    return FileStatus(
        path=f"{STORE_SCHEME}:{value['path']}",
        name=value["path"].rpartition("/")[2],
        is_directory=value["is_directory"],
        size=value["size"],
        modified_at=value["modified_at"],
    )


def _disk_status(place: _Location, result: os.stat_result) -> FileStatus:
    is_directory = (result.st_mode & 0o170000) == 0o040000
    return FileStatus(
        path=str(place),
        name=place.path.rpartition("/")[2],
        is_directory=is_directory,
        size=0 if is_directory else result.st_size,
        modified_at=result.st_mtime_ns // 1_000_000,
    )


@contextmanager
def _as_os_errors(place: _Location) -> Iterator[None]:
    try:
        yield
    except ServerRefused as refusal:
        path = str(place)
        if refusal.code == "not_found":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        if refusal.code == "already_exists":
            raise FileExistsError(errno.EEXIST, str(refusal), path) from None
        if refusal.code == "not_empty":
            raise OSError(errno.ENOTEMPTY, str(refusal), path) from None
        if refusal.code == "permission_denied":
            raise PermissionError(errno.EACCES, str(refusal), path) from None
        if refusal.code == "invalid_value":
            raise ValueError(str(refusal)) from None
        raise
