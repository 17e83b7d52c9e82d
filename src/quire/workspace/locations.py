"""Files by what people call them: one way of naming for the file store and the workspace.

``dbfs:/jars/a.jar`` lies in the file store, ``/Shared/a.jar`` in the workspace, which may also be
written ``workspace:/Shared/a.jar`` where a bare path means something else. Nothing else can be
read: not the machine's own files, which are not the callers', and no other host.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from quire.errors import InvalidValue
from quire.identity.models import Principal
from quire.workspace.files import FileStore
from quire.workspace.tree import Workspace

__all__ = ["FILE_STORE_PREFIX", "WORKSPACE_PREFIX", "Locations"]

FILE_STORE_PREFIX = "dbfs:/"
WORKSPACE_PREFIX = "workspace:/"


class Locations:
    """Reads files wherever they are kept."""

    def __init__(self, workspace: Workspace, files: FileStore) -> None:
        self._workspace = workspace
        self._files = files

    def open(self, actor: Principal, location: str) -> tuple[BinaryIO, int]:
        """A file, open for reading, and its size in bytes; the caller closes it.

        Raises NotFound, and InvalidValue for a location that is of no file or of no known form.
        """
        if location.startswith(FILE_STORE_PREFIX):
            file = self._files.open("/" + location.removeprefix(FILE_STORE_PREFIX).lstrip("/"))
            return file, os.fstat(file.fileno()).st_size
        if location.startswith(WORKSPACE_PREFIX):
            location = location.removeprefix(WORKSPACE_PREFIX[:-1])
        if location.startswith("/"):
            data = self._workspace.read_file(actor, location)
            return io.BytesIO(data), len(data)
        raise InvalidValue(
            "location",
            f"{location[:200]!r} cannot be read here: it has to begin with "
            f"{FILE_STORE_PREFIX} or be an absolute workspace path.",
        )

    def read(self, actor: Principal, location: str, most_bytes: int) -> bytes:
        """The content of a file. Raises as open, and InvalidValue for one that is larger."""
        file, size = self.open(actor, location)
        with file:
            if size > most_bytes:
                raise InvalidValue(
                    "location", f"{location} has {size} bytes; at most {most_bytes} are read."
                )
            return file.read()
