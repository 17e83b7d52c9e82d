"""``dbutils.fs``: files of the server's store and of the machine (Databricks contract 10.3)."""

from __future__ import annotations

import codecs
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from quire_runtime.dbutils.help import Helpful
from quire_runtime.errors import UnsupportedFeature
from quire_runtime.files import Files
from quire_runtime.session import Session

__all__ = ["FileInfo", "FileSystem", "MountInfo"]

MOUNT_MISSING = (
    "Mounting cloud storage is not available in this server; "
    "put files into its own store with dbutils.fs.put or cp."
)


class FileInfo(NamedTuple):
    """One entry of a listing. A directory's path and name end with a slash; times in ms."""

    path: str
    name: str
    size: int
    modificationTime: int

    def isDir(self) -> bool:
        return self.name.endswith("/")

    def isFile(self) -> bool:
        return not self.isDir()


class MountInfo(NamedTuple):
    """One mount point."""

    mountPoint: str
    source: str
    encryptionType: str


class JavaFileNotFound(FileNotFoundError):
    """A missing path, in the words notebooks look for."""

    def __str__(self) -> str:
        return f"java.io.FileNotFoundException: No such file or directory {self.filename}"


class JavaFileExists(FileExistsError):
    """A file in the way, in the words notebooks look for."""

    def __str__(self) -> str:
        return (
            "org.apache.hadoop.fs.FileAlreadyExistsException: "
            f"{self.filename} already exists and overwrite is false"
        )


class FileSystem(Helpful):
    """Files. ``/x`` and ``dbfs:/x`` are in the server's store, ``file:/x`` on this machine."""

    def __init__(self, session: Session) -> None:
        self._files = Files(session.channel)

    def ls(self, dir: str) -> list[FileInfo]:
        """List a directory; a file lists itself."""
        __tracebackhide__ = True
        with _java_words():
            found = self._files.list(dir)
        return [
            FileInfo(
                path=each.path + ("/" if each.is_directory else ""),
                name=each.name + ("/" if each.is_directory else ""),
                size=each.size,
                modificationTime=each.modified_at,
            )
            for each in found
        ]

    def head(self, file: str, maxBytes: int = 65536) -> str:
        """The start of a file, at most that many bytes, as UTF-8 text."""
        __tracebackhide__ = True
        with _java_words():
            data = self._files.read(file, maxBytes + 1)
        if len(data) > maxBytes:
            print(f"[Truncated to first {maxBytes} bytes]")
        # A character cut in two at the limit is left out.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(data[:maxBytes], final=len(data) <= maxBytes)

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:
        """Write a text as a file, in UTF-8."""
        __tracebackhide__ = True
        data = contents.encode()
        with _java_words():
            self._files.write(file, data, overwrite=overwrite)
        print(f"Wrote {len(data)} bytes.")
        return True

    def cp(self, from_: str, to: str, recurse: bool = False) -> bool:
        """Copy a file, or with recurse a directory, over what is there."""
        __tracebackhide__ = True
        with _java_words():
            self._files.copy(from_, to, recursive=recurse)
        return True

    def mv(self, from_: str, to: str, recurse: bool = False) -> bool:
        """Move a file, or with recurse a directory, over what is there."""
        __tracebackhide__ = True
        with _java_words():
            self._files.move(from_, to, recursive=recurse)
        return True

    def rm(self, dir: str, recurse: bool = False) -> bool:
        """Remove a file, or with recurse a directory; False when nothing was there."""
        __tracebackhide__ = True
        with _java_words():
            return self._files.delete(dir, recursive=recurse)

    def mkdirs(self, dir: str) -> bool:
        """Make a directory and its parents."""
        __tracebackhide__ = True
        with _java_words():
            self._files.make_directories(dir)
        return True

    def mounts(self) -> list[MountInfo]:
        """The mount points: the root alone."""
        return [MountInfo("/", "DatabricksRoot", "")]

    def refreshMounts(self) -> bool:
        """Nothing can have changed: there is the root alone."""
        return True

    def mount(self, *arguments: Any, **named: Any) -> NoReturn:
        """Refused: cloud storage cannot be mounted."""
        __tracebackhide__ = True
        raise UnsupportedFeature(MOUNT_MISSING)

    updateMount = mount

    def unmount(self, *arguments: Any, **named: Any) -> NoReturn:
        """Refused: nothing is mounted."""
        __tracebackhide__ = True
        raise UnsupportedFeature(MOUNT_MISSING)


@contextmanager
def _java_words() -> Iterator[None]:
    __tracebackhide__ = True
    try:
        yield
    except FileNotFoundError as error:
        raise JavaFileNotFound(errno.ENOENT, error.strerror, error.filename) from None
    except FileExistsError as error:
        raise JavaFileExists(errno.EEXIST, error.strerror, error.filename) from None
