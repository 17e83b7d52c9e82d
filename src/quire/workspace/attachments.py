"""Files attached to a node of the workspace: a notebook's own files, and those a folder shares.

Owns their paths, their rights (those of the node) and their storage: a row each, the content a
blob. Does not own how they become a directory that code works in, nor how what it changed there
comes back. Two roots are what notebooks know: ``notebook_files``, attached to the notebook, and
``workspace_files``, attached to the folder that is its workspace; which folder is the caller's
business: here a root is only a node.
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Sequence

from sqlalchemy import Connection

from quire.clock import Clock
from quire.errors import (
    AlreadyExists,
    InvalidValue,
    MissingField,
    NotFound,
    QuireError,
    TooLarge,
    Unavailable,
)
from quire.identity.models import Principal
from quire.identity.permissions import Right
from quire.ids import NodeId
from quire.store import attachments as rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.locks import lock_tree
from quire.workspace.models import Attachment
from quire.workspace.tree import Workspace

__all__ = ["Attachment", "Attachments", "check_attachment_path"]

_LONGEST_PATH_BYTES = 1024
_LONGEST_NAME_BYTES = 255
_READS = 3


def check_attachment_path(text: str, field: str = "path", *, allow_root: bool = False) -> str:
    """``text`` in the form it is stored in (NFC): relative, such as ``data/a.csv``.

    Slashes at its ends, doubled ones and ``.`` are dropped; the root is the empty text. Raises
    MissingField for the root unless ``allow_root``, InvalidValue for ``..``, control characters and
    what is too long for a file system.
    """
    path = unicodedata.normalize("NFC", text)
    if any(unicodedata.category(each) in ("Cc", "Cs") for each in path):
        raise InvalidValue(field, f"{path!r} contains a control character.")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidValue(field, f"{path!r} leads out of its folder.")
    if any(len(part.encode()) > _LONGEST_NAME_BYTES for part in parts):
        raise InvalidValue(field, f"a name is longer than {_LONGEST_NAME_BYTES} bytes.")
    path = "/".join(parts)
    if len(path.encode()) > _LONGEST_PATH_BYTES:
        raise InvalidValue(field, f"the path is longer than {_LONGEST_PATH_BYTES} bytes.")
    if not path and not allow_root:
        raise MissingField(field)
    return path


class Attachments:
    """The files attached to nodes.

    Methods raise NotFound for a node or file that does not exist or is invisible, PermissionDenied
    for a viewer who writes, InvalidValue for a path that is not allowed, Unavailable when the
    database or the blob store is away.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Clock,
        workspace: Workspace,
        *,
        limit_bytes: int,
    ) -> None:
        """``limit_bytes`` is what may be attached to one node in all."""
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._workspace = workspace
        self._limit_bytes = limit_bytes

    # One file

    def list(self, actor: Principal, node_id: NodeId, folder: str = "") -> Sequence[Attachment]:
        """What a folder holds directly, by name. Raises NotFound, InvalidValue for a file."""
        folder = check_attachment_path(folder, "directory", allow_root=True)
        self._workspace.get_by_id(actor, node_id)
        with self._database.read() as connection:
            if folder:
                found = rows.find_attachment(connection, node_id, folder)
                if found is None:
                    raise NotFound("file", folder)
                if not found.is_folder:
                    raise InvalidValue("directory", f"{folder} is a file.")
            below = rows.list_attachments(connection, node_id, folder)
        depth = folder.count("/") + 2 if folder else 1
        return [each for each in below if each.path.count("/") + 1 == depth]

    def find(self, actor: Principal, node_id: NodeId, path: str) -> Attachment | None:
        """What is at a path; None when nothing is."""
        path = check_attachment_path(path)
        self._workspace.get_by_id(actor, node_id)
        with self._database.read() as connection:
            return rows.find_attachment(connection, node_id, path)

    def read(
        self,
        actor: Principal,
        node_id: NodeId,
        path: str,
        *,
        length: int | None = None,
    ) -> bytes:
        """A file's content, or its first ``length`` bytes. Raises InvalidValue for a folder."""
        for _ in range(_READS):
            found = self.find(actor, node_id, path)
            if found is None:
                raise NotFound("file", path)
            if found.blob_key is None:
                raise InvalidValue("path", f"{found.path} is a folder.")
            try:
                if length is None:
                    return self._blobs.get(found.blob_key)
                return self._blobs.get_range(found.blob_key, 0, length)
            except NotFound:
                continue  # overwritten or deleted between the two looks
        raise Unavailable(f"{path} changes too fast to be read.")

    def write(self, actor: Principal, node_id: NodeId, path: str, data: bytes) -> Attachment:
        """Store a file with the folders above it, in place of the one that is there.

        Raises AlreadyExists when a folder is there, or a file is in the place of a folder, TooLarge
        when the node's files would be over their limit.
        """
        path = check_attachment_path(path)
        with self._database.read() as connection:
            self._check_place(connection, actor, node_id, path, len(data))
        key, digest = _new_key(), hashlib.sha256(data).digest()
        stored = Attachment(path, False, len(data), digest, key, self._clock.now())
        self._blobs.put(key, data)
        try:
            with self._database.write() as connection:
                lock_tree(connection)
                replaced = self._check_place(connection, actor, node_id, path, len(data))
                self._make_folders(connection, node_id, path)
                rows.put_attachment(connection, node_id, stored)
        except QuireError as error:
            # When the database went away it may have committed, and then the blob is needed.
            if not isinstance(error, Unavailable):
                self._workspace.discard([key])
            raise
        if replaced is not None and replaced.blob_key is not None:
            self._workspace.discard([replaced.blob_key])
        return stored

    def delete(self, actor: Principal, node_id: NodeId, path: str) -> None:
        """Remove a file, or a folder with all it holds. Raises NotFound."""
        path = check_attachment_path(path)
        with self._database.write() as connection:
            lock_tree(connection)
            self._workspace.require(actor, node_id, Right.EDITOR, connection)
            found = rows.find_attachment(connection, node_id, path)
            if found is None:
                raise NotFound("file", path)
            gone = [found, *rows.list_attachments(connection, node_id, path)]
            rows.delete_paths(connection, node_id, [each.path for each in gone])
        self._workspace.discard([each.blob_key for each in gone if each.blob_key is not None])

    def snapshot(self, node_id: NodeId) -> Sequence[Attachment]:
        """Everything attached to a node, folders included, in the order of paths.

        Nobody's right is asked: it is for runs that were allowed to start.
        """
        with self._database.read() as connection:
            return rows.list_attachments(connection, node_id)

    # Inside

    def _check_place(
        self, connection: Connection, actor: Principal, node_id: NodeId, path: str, size: int
    ) -> Attachment | None:
        """What a file would replace, when it may be stored at all."""
        self._workspace.require(actor, node_id, Right.EDITOR, connection)
        present = rows.find_attachments(connection, node_id, [*_folders_above(path), path])
        replaced = present.pop(path, None)
        if replaced is not None and replaced.is_folder:
            raise AlreadyExists(f"{path} is a folder.")
        for above in present.values():
            if not above.is_folder:
                raise AlreadyExists(f"{above.path} is a file.")
        total = rows.sum_sizes(connection, node_id) + size
        if total - (replaced.size if replaced else 0) > self._limit_bytes:
            raise TooLarge("What is attached", self._limit_bytes, field="file")
        return replaced

    def _make_folders(self, connection: Connection, node_id: NodeId, path: str) -> None:
        """Make the folders above a path that are missing."""
        wanted = _folders_above(path)
        present = rows.find_attachments(connection, node_id, wanted)
        for each in wanted:
            if each not in present:
                folder = Attachment(each, True, 0, None, None, self._clock.now())
                rows.put_attachment(connection, node_id, folder)


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _new_key() -> str:
    token = secrets.token_hex(16)
    return f"attachments/{token[:2]}/{token[2:]}"
