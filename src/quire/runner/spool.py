"""The spool: every event of an attempt, in a file beside the server, before anybody is told.

Owns: the spool folder of an attempt and the form of its file (one JSON object a line). The file
outlives its runner and the server; it need not outlive the machine, so nothing is synced.

When the disk is full the spool goes on in memory, so that what can be delivered still is.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

__all__ = ["Spool", "StorageFull", "read_spool", "remove_spool", "spool_folder"]

_FILE = "events.jsonl"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class StorageFull(OSError):
    """The spool could not be written; its events are in memory only."""


def spool_folder(root: Path | str, attempt_id: int) -> Path:
    """Where the spool of an attempt lives."""
    return Path(root) / str(attempt_id)


class Spool:
    """Events of one attempt, appended by one thread and read by another."""

    def __init__(self, root: Path | str, attempt_id: int) -> None:
        """Raises OSError when the folder is another runner's or may not be made.

        A disk that is full already is told by the first :meth:`append`.
        """
        self._folder = spool_folder(root, attempt_id)
        self._file: int | None = None
        try:
            os.makedirs(self._folder, mode=0o700)
            self._file = os.open(self._folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            if error.errno not in _FULL:
                raise
        self._lock = threading.Lock()
        self._written = 0  # bytes of whole lines in the file
        self._memory = bytearray()  # what came after the disk was full
        self._full = False

    def append(self, line: bytes) -> None:
        """Add one event (JSON with a line feed at its end).

        Raises StorageFull once, for the first event the disk did not take; it is kept in memory,
        as all later ones are.
        """
        with self._lock:
            if self._full:
                self._memory += line
                return
            try:
                self._write(line)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._full = True
                self._memory += line
                raise StorageFull(error.errno, error.strerror) from error
            self._written += len(line)

    def _write(self, line: bytes) -> None:
        if self._file is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = memoryview(line)
        position = self._written
        while view:
            count = os.pwrite(self._file, view, position)
            view = view[count:]
            position += count

    @property
    def size(self) -> int:
        """Bytes of all events so far."""
        with self._lock:
            return self._written + len(self._memory)

    def read(self, position: int, size: int) -> list[bytes]:
        """Whole lines from a byte position on: at least one when there is one, up to ``size``."""
        with self._lock:
            written = self._written
            if position >= written:
                start = position - written
                data = bytes(self._memory[start : start + size])
                if data and b"\n" not in data:
                    data = bytes(self._memory[start : self._memory.index(b"\n", start) + 1])
                return _whole_lines(data)
        assert self._file is not None  # something was written
        data = os.pread(self._file, min(size, written - position), position)
        while b"\n" not in data:
            data += os.pread(self._file, size, position + len(data))
        return _whole_lines(data)

    def remove(self) -> None:
        """Everything is delivered; nothing is left behind."""
        if self._file is not None:
            os.close(self._file)
        shutil.rmtree(self._folder, ignore_errors=True)


def _whole_lines(data: bytes) -> list[bytes]:
    return data[: data.rfind(b"\n") + 1].splitlines()


def read_spool(root: Path | str, attempt_id: int) -> list[dict[str, Any]]:
    """What a runner left in its spool, in order; a line that was cut off is left out."""
    try:
        data = (spool_folder(root, attempt_id) / _FILE).read_bytes()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in _whole_lines(data)]


def remove_spool(root: Path | str, attempt_id: int) -> None:
    """Remove the spool of an attempt whose runner is gone; nothing happens when there is none."""
    shutil.rmtree(spool_folder(root, attempt_id), ignore_errors=True)
