"""The server's file store: an ordinary directory that notebooks and clients share.

Owns path checks, atomic writes and the layout below its directory. Every step of a path is opened
relative to the one before and never through a symbolic link, so nothing put into the store, also by
code that sees it as a directory, leads out of it. Who may use the store is decided by callers.

A file appears whole: it is written under ``/.staging`` first, a name no caller may use.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from quire.errors import (
    AlreadyExists,
    InvalidValue,
    MissingField,
    NotEmpty,
    NotFound,
    PermissionDenied,
    Unavailable,
)

__all__ = ["FileStatus", "FileStore", "FileUpload"]

DIRECTORIES = (
    "/FileStore",
    "/tmp",  # noqa: S108 - a folder of the store, not of the machine
    "/mnt",
    "/databricks-datasets",
    "/user/hive/warehouse",
)
"""Folders there from the start: notebooks write to them unasked (Databricks contract 8.3)."""

_Parts = list[str]  # the names of a path, from the root on

_STAGING = ".staging"
_LONGEST_PATH_BYTES = 4096
_LONGEST_NAME_BYTES = 255
_BLOCK_BYTES = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True)
class FileStatus:
    """What is known of a file or folder."""

    path: str  # absolute in the store, without a slash at the end
    is_directory: bool
    size: int  # bytes; 0 for a folder
    modified_at: datetime

    @property
    def name(self) -> str:
        """The last part of the path; empty for the root."""
        return self.path.rpartition("/")[2]


class FileStore:
    """Files below ``directory``, addressed by absolute paths such as ``/tmp/a.csv``.

    Every method raises MissingField and InvalidValue for a path that is not allowed: empty,
    relative, with ``..``, with NUL, too long. PermissionDenied when a symbolic link is in the way,
    Unavailable when the disk is full.
    """

    def __init__(self, directory: Path) -> None:
        """Use ``directory``, made with its first folders when it is not there."""
        directory.mkdir(parents=True, exist_ok=True)
        self._root = directory.resolve()
        staging = self._root / _STAGING
        staging.mkdir(mode=0o700, exist_ok=True)
        for path in DIRECTORIES:
            (self._root / path[1:]).mkdir(parents=True, exist_ok=True)

    def stat(self, path: str) -> FileStatus:
        """Raises NotFound."""
        parts = _split(path)
        with self._parent(parts) as (folder, name):
            return _status(parts, _look(folder, name, parts))

    def list(self, path: str) -> list[FileStatus]:
        """What a folder holds, by name; a file lists itself. Raises NotFound."""
        parts = _split(path)
        status = self.stat(path)
        if not status.is_directory:
            return [status]
        found = []
        with self._folder(parts) as folder, os.scandir(folder) as entries:
            for entry in entries:
                if not parts and entry.name == _STAGING:
                    continue
                with suppress(FileNotFoundError):  # gone while we looked
                    result = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(result.st_mode) or stat.S_ISREG(result.st_mode):
                        found.append(_status([*parts, entry.name], result))
        return sorted(found, key=lambda each: each.name)

    def open(self, path: str) -> BinaryIO:
        """A file, open for reading; the caller closes it. Raises NotFound, InvalidValue."""
        parts = _split(path)
        with self._parent(parts) as (folder, name):
            if _is_directory(_look(folder, name, parts)):
                raise InvalidValue("path", f"{_join(parts)} is a directory.")
            with _store_errors(parts):
                return open(os.open(name, _OPEN_FILE, dir_fd=folder), "rb")

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file, from ``offset``; fewer, or none, at its end. Raises as open."""
        if offset < 0 or (length is not None and length < 0):
            raise InvalidValue("offset", "offset and length cannot be negative.")
        with self.open(path) as file:
            file.seek(offset)
            return file.read(-1 if length is None else length)

    def write(
        self, path: str, data: bytes | Iterable[bytes], *, overwrite: bool = False
    ) -> FileStatus:
        """Make a file, with its parents; it appears whole or not at all. Raises AlreadyExists."""
        with self.begin(path, overwrite=overwrite) as upload:
            for block in (data,) if isinstance(data, bytes) else data:
                upload.write(block)
            return upload.commit()

    def begin(self, path: str, *, overwrite: bool = False) -> FileUpload:
        """A file that is written block by block and appears at its commit. Raises AlreadyExists."""
        parts = _split(path)
        if not parts:
            raise InvalidValue("path", "/ is a directory.")
        with self._parent(parts, make=True) as (folder, name):
            _check_free(folder, name, parts, overwrite)
        return FileUpload(self, parts, overwrite)

    def make_directories(self, path: str) -> None:
        """Make a folder and its parents. Raises AlreadyExists when a file is in the way."""
        with self._folder(_split(path), make=True):
            pass

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Remove a file or folder; False when nothing was there.

        Raises NotEmpty for a folder that holds something unless ``recursive``.
        """
        parts = _split(path)
        if not parts:
            raise InvalidValue("path", "/ cannot be deleted.")
        try:
            with self._parent(parts) as (folder, name):
                if not _is_directory(os.stat(name, dir_fd=folder, follow_symlinks=False)):
                    os.unlink(name, dir_fd=folder)
                elif recursive:
                    self._discard_tree(folder, name)
                else:
                    os.rmdir(name, dir_fd=folder)
        except (FileNotFoundError, NotFound):
            return False
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise NotEmpty(f"{_join(parts)} is not empty.") from error
            raise
        return True

    def move(self, source: str, destination: str, *, overwrite: bool = False) -> FileStatus:
        """Move a file or folder; into the destination when that is a folder.

        Raises NotFound, AlreadyExists, InvalidValue when a folder is moved into itself.
        """
        origin, target = self._ends(source, destination)
        with (
            self._parent(origin) as (folder, name),
            self._parent(target, make=True) as (new_folder, new_name),
        ):
            is_directory = _is_directory(_look(folder, name, origin))
            _check_free(new_folder, new_name, target, overwrite and not is_directory)
            with _store_errors(target):
                if is_directory or overwrite:
                    os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)
                else:  # a link, unlike a rename, never replaces what came meanwhile
                    _link(folder, name, new_folder, new_name)
                    os.unlink(name, dir_fd=folder)
            return _status(target, _look(new_folder, new_name, target))

    def copy(
        self, source: str, destination: str, *, recursive: bool = False, overwrite: bool = False
    ) -> FileStatus:
        """Copy a file, or a folder if ``recursive``; into the destination when that is a folder.

        Raises NotFound, AlreadyExists, InvalidValue for a folder unless ``recursive`` and when a
        folder is copied into itself.
        """
        origin, target = self._ends(source, destination)
        if self.stat(_join(origin)).is_directory and not recursive:
            raise InvalidValue("source", f"{_join(origin)} is a directory.")
        self._copy(origin, target, overwrite)
        return self.stat(_join(target))

    def _copy(self, origin: _Parts, target: _Parts, overwrite: bool) -> None:
        if not self.stat(_join(origin)).is_directory:
            with self.open(_join(origin)) as file:
                blocks = iter(lambda: file.read(_BLOCK_BYTES), b"")
                self.write(_join(target), blocks, overwrite=overwrite)
            return
        children = self.list(_join(origin))
        self.make_directories(_join(target))
        for child in children:
            self._copy([*origin, child.name], [*target, child.name], overwrite)

    def _ends(self, source: str, destination: str) -> tuple[_Parts, _Parts]:
        """The checked ends of a move or copy, the second as it will be called."""
        origin, target = _split(source, "source"), _split(destination, "destination")
        if not origin:
            raise InvalidValue("source", "/ cannot be moved or copied.")
        status = self.stat(_join(origin))
        try:
            if self.stat(_join(target)).is_directory:
                target = [*target, origin[-1]]
        except NotFound:
            pass  # it takes the name it was given
        if status.is_directory and target[: len(origin)] == origin:
            raise InvalidValue("destination", f"{_join(target)} lies inside {_join(origin)}.")
        return origin, target

    @contextmanager
    def _folder(self, parts: _Parts, *, make: bool = False) -> Iterator[int]:
        """A descriptor of a folder, reached without following a link."""
        descriptor = os.open(self._root, _OPEN_DIRECTORY)
        try:
            for index, name in enumerate(parts):
                inner = _enter(descriptor, name, parts[: index + 1], make)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _parent(self, parts: _Parts, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """A descriptor of the folder something lies in, and its name there; "." for the root."""
        with self._folder(parts[:-1], make=make) as folder:
            yield folder, parts[-1] if parts else "."

    @contextmanager
    def _staging(self) -> Iterator[int]:
        descriptor = os.open(self._root / _STAGING, _OPEN_DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _discard_tree(self, folder: int, name: str) -> None:
        """Take a folder out of sight at once, then remove it."""
        with self._staging() as staging:
            hidden = secrets.token_hex(16)
            os.rename(name, hidden, src_dir_fd=folder, dst_dir_fd=staging)
            shutil.rmtree(hidden, dir_fd=staging)


class FileUpload:
    """A file on its way into the store; nothing of it is seen before :meth:`commit`."""

    def __init__(self, store: FileStore, parts: _Parts, overwrite: bool) -> None:
        self._store = store
        self._parts = parts
        self._overwrite = overwrite
        self._name = secrets.token_hex(16)
        with store._staging() as staging:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(self._name, flags, 0o644, dir_fd=staging)
        self._file: BinaryIO | None = open(descriptor, "wb")  # noqa: SIM115 - until discard

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def write(self, block: bytes) -> None:
        """Append to the file. Raises Unavailable when the disk is full."""
        assert self._file is not None
        with _store_errors(self._parts):
            self._file.write(block)

    def commit(self) -> FileStatus:
        """Make the file visible under its path. Raises AlreadyExists, Unavailable."""
        assert self._file is not None
        parts, store = self._parts, self._store
        with _store_errors(parts):
            self._file.flush()
            os.fsync(self._file.fileno())
        with store._parent(parts, make=True) as (folder, name), store._staging() as staging:
            _check_free(folder, name, parts, self._overwrite)
            with _store_errors(parts):
                if self._overwrite:
                    os.rename(self._name, name, src_dir_fd=staging, dst_dir_fd=folder)
                else:
                    _link(staging, self._name, folder, name)
            return _status(parts, _look(folder, name, parts))

    def discard(self) -> None:
        """Drop what was not committed; may be called at any time."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(OSError):  # the rest of a full buffer is dropped with the file
            file.close()
        with self._store._staging() as staging, suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=staging)


def _split(path: str, field: str = "path") -> _Parts:
    if not path:
        raise MissingField(field)
    if not path.startswith("/"):
        raise InvalidValue(field, f"{path!r} is not absolute: it must begin with a slash.")
    if "\0" in path:
        raise InvalidValue(field, "it contains a NUL character.")
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise InvalidValue(field, f"{path!r} is not valid Unicode.") from None
    if size > _LONGEST_PATH_BYTES:
        raise InvalidValue(field, f"the path is longer than {_LONGEST_PATH_BYTES} bytes.")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidValue(field, f"{path!r} contains '..'.")
    if any(len(part.encode()) > _LONGEST_NAME_BYTES for part in parts):
        raise InvalidValue(field, f"a name is longer than {_LONGEST_NAME_BYTES} bytes.")
    if parts and parts[0] == _STAGING:
        raise InvalidValue(field, f"/{_STAGING} is kept for the server.")
    return parts


def _join(parts: _Parts) -> str:
    return "/" + "/".join(parts)


def _enter(folder: int, name: str, parts: _Parts, make: bool) -> int:
    if make:
        with _store_errors(parts), suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=folder)
    try:
        return os.open(name, _OPEN_DIRECTORY, dir_fd=folder)
    except FileNotFoundError:
        raise NotFound("path", _join(parts)) from None
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
    _look(folder, name, parts)  # refuses a link
    if make:
        raise AlreadyExists(f"{_join(parts)} is a file.")
    raise NotFound("path", _join(parts))


def _look(folder: int, name: str, parts: _Parts) -> os.stat_result:
    """What is there. Raises NotFound, and PermissionDenied for a link or a device."""
    try:
        result = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        raise NotFound("path", _join(parts)) from None
    if not (stat.S_ISDIR(result.st_mode) or stat.S_ISREG(result.st_mode)):
        raise PermissionDenied(f"{_join(parts)} is neither a file nor a directory.")
    return result


def _check_free(folder: int, name: str, parts: _Parts, overwrite: bool) -> None:
    try:
        result = _look(folder, name, parts)
    except NotFound:
        return
    if _is_directory(result):
        raise AlreadyExists(f"{_join(parts)} is a directory.")
    if not overwrite:
        raise AlreadyExists(f"{_join(parts)} already exists.")


def _link(folder: int, name: str, new_folder: int, new_name: str) -> None:
    os.link(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder, follow_symlinks=False)


def _is_directory(result: os.stat_result) -> bool:
    return stat.S_ISDIR(result.st_mode)


def _status(parts: _Parts, result: os.stat_result) -> FileStatus:
    is_directory = _is_directory(result)
    return FileStatus(
        path=_join(parts),
        is_directory=is_directory,
        size=0 if is_directory else result.st_size,
        modified_at=datetime.fromtimestamp(result.st_mtime, UTC),
    )


@contextmanager
def _store_errors(parts: _Parts) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise AlreadyExists(f"{_join(parts)} already exists.") from None
    except OSError as error:
        if error.errno in _FULL:
            raise Unavailable(f"{_join(parts)} cannot be stored: {error.strerror}.") from error
        raise
