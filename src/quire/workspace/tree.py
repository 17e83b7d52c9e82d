"""The workspace: folders, notebooks with their revisions, and files, each seen through rights.

One transaction at a time changes the tree. Contents are stored as blobs before the transaction that
names them, and are removed after the one that forgets them, so a reader never finds half of either.
What contents mean is the formats' business; a notebook comes here in its canonical form.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from quire.clock import Clock
from quire.errors import (
    AlreadyExists,
    InvalidState,
    InvalidValue,
    NotEmpty,
    NotFound,
    PermissionDenied,
    QuireError,
    Unavailable,
)
from quire.identity.models import Principal
from quire.identity.permissions import Right, best
from quire.ids import NodeId
from quire.store import grants as grant_rows
from quire.store import nodes as node_rows
from quire.store import principals as principal_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.locks import lock_tree
from quire.store.nodes import ROOTS
from quire.workspace.addressing import ancestors, check_path, parent_of
from quire.workspace.controls import refresh_sources
from quire.workspace.models import Node, NodeKind, Revision

__all__ = ["Grant", "Node", "NodeKind", "Revision", "Workspace"]

_log = logging.getLogger(__name__)
_SHARED = "/Shared"

_LONGEST_LANGUAGE = 64
_EDIT_LOCKS = 64
_TRIES = 20  # against others' edits
_KEPT_REVISIONS = 100

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Grant:
    """A right that was given to somebody on a node itself."""

    principal: Principal
    right: Right


@dataclass(frozen=True)
class _Target:
    """Where something is about to be written."""

    existing: Node | None  # None: it is to be made
    folder: Node  # the nearest folder above that exists
    missing: Sequence[str]  # folders to make between that one and the target, outermost first


@dataclass(frozen=True)
class _Found:
    """A node whose content is to be read."""

    node: Node
    revision: Revision


class Workspace:
    """The tree of one server.

    Each method raises NotFound for what does not exist or the actor may not see, PermissionDenied
    for what the actor sees and may not do, InvalidValue for a path that is not allowed, Unavailable
    when the database or the blob store is away.
    """

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._edit_locks = [threading.Lock() for _ in range(_EDIT_LOCKS)]

    def ensure_roots(self) -> None:
        """Make ``/``, ``/Users``, ``/Shared`` and ``/Repos`` where they are missing."""
        with self._database.write() as connection:
            lock_tree(connection)
            node_rows.ensure_roots(connection, self._clock.now())

    # Writing

    def import_notebook(
        self,
        actor: Principal,
        path: str,
        notebook: Mapping[str, Any],
        *,
        overwrite: bool = False,
        make_parents: bool = False,
    ) -> Node:
        """Store a canonical notebook; with ``overwrite`` as a new revision of the one that exists.

        Raises AlreadyExists when the path is taken: by a notebook without ``overwrite``, by
        anything else always. Needs an editor's right to the notebook or, for a new one, to its
        folder. InvalidValue also when the notebook is not JSON.
        """
        return self._write(
            actor,
            check_path(path),
            NodeKind.NOTEBOOK,
            _encode(notebook),
            overwrite=overwrite,
            make_parents=make_parents,
            language=_language(notebook),
            flavour=_flavour(notebook),
        )

    def edit_notebook(
        self,
        actor: Principal,
        node_id: NodeId,
        change: Callable[[dict[str, Any]], _Answer],
        *,
        only_outputs: bool = False,
    ) -> tuple[Node, _Answer]:
        """Change a notebook as it is now; edits that come at once follow one another.

        ``change`` alters the notebook it is given, in place, and may be called again when somebody
        else was faster; what it raises leaves the notebook as it was. The edit becomes a revision,
        of which the newest hundred are kept. ``only_outputs``: what runs leave in a notebook is no
        new version of it, so the newest revision takes it in. Needs an editor's right. Raises
        InvalidValue when the node is not a notebook, InvalidState when its content is lost,
        Unavailable when others never let it through.
        """

        def look(connection: Connection) -> _Found:
            node = self.require(actor, node_id, Right.EDITOR, connection)
            _require_kind(node, NodeKind.NOTEBOOK)
            base = node_rows.find_revision(connection, node_id)
            assert base is not None  # a notebook is made together with its first
            return _Found(node, base)

        with self._edit_locks[node_id % _EDIT_LOCKS]:  # only other servers' edits are met
            for _ in range(_TRIES):
                found, data = self._read(look)
                notebook = json.loads(data)
                answer = change(notebook)
                edited = self._store_edit(actor, found, notebook, only_outputs=only_outputs)
                if edited is not None:
                    return edited, answer
        raise Unavailable(f"{found.node.path} changes too fast to be edited.")

    def _store_edit(
        self,
        actor: Principal,
        base: _Found,
        notebook: Mapping[str, Any],
        *,
        only_outputs: bool,
    ) -> Node | None:
        """Store what ``base`` was changed to; None when that is not the newest any more."""
        key = _new_key(NodeKind.NOTEBOOK)
        self._blobs.put(key, _encode(notebook))
        with self._discarding(key), self._database.write() as connection:
            lock_tree(connection)
            node = self.require(actor, base.node.id, Right.EDITOR, connection)
            newest = node_rows.find_revision(connection, node.id)
            if newest != base.revision:
                self.discard([key])
                return None
            at = self._clock.now()
            number = node.revision
            if only_outputs:
                node_rows.replace_content(connection, node.id, number, key)
                forgotten: Sequence[str] = [base.revision.blob_key]
            else:
                number = node_rows.insert_revision(
                    connection, node, blob_key=key, creator_id=actor.id, at=at
                )
                forgotten = node_rows.remove_revisions_before(
                    connection, node.id, number - _KEPT_REVISIONS + 1
                )
            facts: dict[str, Any] = {
                "revision": number,
                "modified_at": at,
                "language": _language(notebook),
                "flavour": _flavour(notebook),
            }
            node_rows.update_node(connection, node.id, **facts)
        self.discard(forgotten)
        return replace(node, **facts)

    def write_file(
        self,
        actor: Principal,
        path: str,
        data: bytes,
        *,
        overwrite: bool = False,
        make_parents: bool = False,
    ) -> Node:
        """Store a file as it is; only the newest content is kept.

        Raises as import_notebook does.
        """
        return self._write(
            actor,
            check_path(path),
            NodeKind.FILE,
            data,
            overwrite=overwrite,
            make_parents=make_parents,
            size=len(data),
        )

    def make_folders(self, actor: Principal, path: str) -> None:
        """Make a folder and those above it; what exists is fine.

        Raises AlreadyExists when something else than a folder is in the way.
        """
        path = check_path(path)
        with self._database.write() as connection:
            lock_tree(connection)
            lineage = self._lineage(connection, path)
            existing = lineage.get(path)
            if existing is not None:
                self._require(connection, actor, path, lineage, Right.VIEWER)
                if existing.kind is not NodeKind.FOLDER:
                    raise AlreadyExists(f"{path} is a {existing.kind}.")
                return
            target = self._target(connection, actor, path, make_parents=True)
            self._make(connection, actor, target.folder, [*target.missing, path])

    def delete(self, actor: Principal, path: str, *, recursive: bool = False) -> None:
        """Remove a node; with ``recursive`` also all that a folder holds.

        Raises NotEmpty for a folder that holds something. Needs an editor's right to the folder it
        is in, or an owner's to the node itself.
        """
        path = check_path(path)
        with self._database.write() as connection:
            lock_tree(connection)
            lineage = self._lineage(connection, path)
            node = self._require(connection, actor, path, lineage, Right.VIEWER)
            self._refuse_to_delete_what_stays(connection, node)
            self._require_deletion(connection, actor, path, lineage)
            if not recursive and node_rows.has_children(connection, node.id):
                raise NotEmpty(f"{path} is not empty.")
            forgotten = node_rows.list_blob_keys(connection, node.id)
            node_rows.delete_tree(connection, node.id)
        self.discard(forgotten)

    # Reading

    def get(self, actor: Principal, path: str) -> Node:
        path = check_path(path)
        with self._database.read() as connection:
            return self._visible(connection, actor, path)

    def get_by_id(self, actor: Principal, node_id: NodeId) -> Node:
        with self._database.read() as connection:
            return self._visible_by_id(connection, actor, node_id)

    def get_by_uid(self, actor: Principal, uid: UUID) -> Node:
        with self._database.read() as connection:
            node = node_rows.find_by_uid(connection, uid)
            if node is None:
                raise NotFound("path", uid)
            return self._visible_by_id(connection, actor, node.id)

    def list(self, actor: Principal, path: str) -> Sequence[Node]:
        """What a folder holds and the actor may see, by name; of anything else, just that."""
        path = check_path(path)
        with self._database.read() as connection:
            node = self._visible(connection, actor, path)
            if node.kind is not NodeKind.FOLDER:
                return [node]
            children = node_rows.list_children(connection, node.id)
            inherited = self._inherited(connection, actor, path)
            if inherited is not None:
                return children
            granted = grant_rows.find_rights_of_children(connection, node.id, actor.acting_ids)
            return [
                child
                for child in children
                if _own_right(actor, child, granted.get(child.id)) is not None
                or child.path in ROOTS
            ]

    def read_notebook(
        self, actor: Principal, path: str, *, at: datetime | None = None
    ) -> tuple[Node, dict[str, Any]]:
        """A notebook as it is, or as it was ``at`` a moment; the node's revision says which.

        Raises InvalidValue when the path is of something else, NotFound also when the notebook had
        no revision yet at that moment.
        """
        path = check_path(path)

        def look(connection: Connection) -> _Found:
            node = self._visible(connection, actor, path)
            _require_kind(node, NodeKind.NOTEBOOK)
            revision = node_rows.find_revision(connection, node.id, at=at)
            if revision is None:
                raise NotFound("path", path, f"{path} did not exist at {at}.")
            return _Found(node, revision)

        return self._read_notebook(look)

    def read_revision(
        self, actor: Principal, node_id: NodeId, number: int
    ) -> tuple[Node, dict[str, Any]]:
        """A notebook as one of its revisions has it. Raises as read_notebook does."""

        def look(connection: Connection) -> _Found:
            node = self._visible_by_id(connection, actor, node_id)
            _require_kind(node, NodeKind.NOTEBOOK)
            revision = node_rows.find_revision(connection, node.id, number=number)
            if revision is None:
                raise NotFound("revision", number, f"{node.path} has no revision {number}.")
            return _Found(node, revision)

        return self._read_notebook(look)

    def list_revisions(self, actor: Principal, path: str) -> Sequence[Revision]:
        """All revisions of a notebook, newest first."""
        path = check_path(path)
        with self._database.read() as connection:
            node = self._visible(connection, actor, path)
            _require_kind(node, NodeKind.NOTEBOOK)
            return node_rows.list_revisions(connection, node.id)

    def read_file(self, actor: Principal, path: str) -> bytes:
        """The content of a file. Raises InvalidValue when the path is of something else."""
        path = check_path(path)

        def look(connection: Connection) -> _Found:
            node = self._visible(connection, actor, path)
            _require_kind(node, NodeKind.FILE)
            revision = node_rows.find_revision(connection, node.id)
            assert revision is not None  # a file is made together with its first
            return _Found(node, revision)

        return self._read(look)[1]

    # Rights

    def share(
        self, actor: Principal, path: str, principal: Principal, right: Right | None
    ) -> Right | None:
        """Give ``principal`` a right to a node and all below it; None takes the given one away.

        Needs an owner's right. The answer is what the principal may do from now on, which is more
        than ``right`` when they own the node, or hold more by a group or a folder above.
        """
        path = check_path(path)
        with self._database.write() as connection:
            lock_tree(connection)
            lineage = self._lineage(connection, path)
            node = self._require(connection, actor, path, lineage, Right.OWNER)
            if right is None:
                grant_rows.remove_grant(connection, node.id, principal.id)
            else:
                grant_rows.set_grant(connection, node.id, principal.id, right)
            return self._right(connection, principal, path, lineage)

    def share_with_everybody(self, actor: Principal, path: str, right: Right | None) -> None:
        """Let all who have an account view or edit a node and all below it; None: no longer.

        Needs an owner's right. Raises InvalidValue for the right of an owner.
        """
        path = check_path(path)
        if right is Right.OWNER:
            raise InvalidValue("right", "not everybody can own it.", allowed=["editor", "viewer"])
        with self._database.write() as connection:
            lock_tree(connection)
            lineage = self._lineage(connection, path)
            node = self._require(connection, actor, path, lineage, Right.OWNER)
            node_rows.update_node(connection, node.id, public_right=right)

    def list_grants(self, actor: Principal, path: str) -> Sequence[Grant]:
        """What was given on a node itself, oldest principal first. Needs a viewer's right."""
        path = check_path(path)
        with self._database.read() as connection:
            node = self._visible(connection, actor, path)
            grants: list[Grant] = []
            for principal_id, right in grant_rows.list_grants(connection, node.id):
                principal = principal_rows.get_principal(connection, principal_id)
                assert principal is not None  # principals are never removed
                grants.append(Grant(principal, right))
            return grants

    def require(
        self,
        actor: Principal,
        node_id: NodeId,
        needed: Right,
        connection: Connection | None = None,
    ) -> Node:
        """A node, when the actor has that right to it; ``connection`` is the caller's, if any."""
        if connection is None:
            with self._database.read() as connection:
                return self.require(actor, node_id, needed, connection)
        node = self._visible_by_id(connection, actor, node_id)
        lineage = self._lineage(connection, node.path)
        return self._require(connection, actor, node.path, lineage, needed)

    def right_of(self, principal: Principal, node: Node) -> Right | None:
        """What a principal may do with a node; None: it is invisible to them."""
        with self._database.read() as connection:
            lineage = self._lineage(connection, node.path)
            return self._right(connection, principal, node.path, lineage)

    # Inside

    def _write(
        self,
        actor: Principal,
        path: str,
        kind: NodeKind,
        data: bytes,
        *,
        overwrite: bool,
        make_parents: bool,
        language: str | None = None,
        flavour: str | None = None,
        size: int | None = None,
    ) -> Node:
        def target(connection: Connection) -> _Target:
            return self._target(
                connection, actor, path, kind=kind, overwrite=overwrite, make_parents=make_parents
            )

        with self._database.read() as connection:
            target(connection)  # nothing is uploaded for a request that will be refused
        key = _new_key(kind)
        self._blobs.put(key, data)
        forgotten: Sequence[str] = ()
        with self._discarding(key), self._database.write() as connection:
            lock_tree(connection)
            place = target(connection)
            at = self._clock.now()
            node = place.existing or node_rows.insert_node(
                connection,
                parent_id=self._make(connection, actor, place.folder, place.missing).id,
                kind=kind,
                path=path,
                owner_id=actor.id,
                at=at,
            )
            number = node_rows.insert_revision(
                connection, node, blob_key=key, creator_id=actor.id, at=at
            )
            node_rows.update_node(
                connection,
                node.id,
                revision=number,
                modified_at=at,
                language=language,
                flavour=flavour,
                size=size,
            )
            if kind is NodeKind.FILE:
                forgotten = node_rows.remove_revisions_before(connection, node.id, number)
        self.discard(forgotten)
        return replace(
            node, revision=number, modified_at=at, language=language, flavour=flavour, size=size
        )

    def _target(
        self,
        connection: Connection,
        actor: Principal,
        path: str,
        *,
        kind: NodeKind = NodeKind.FOLDER,
        overwrite: bool = False,
        make_parents: bool = False,
    ) -> _Target:
        lineage = self._lineage(connection, path)
        above = ancestors(path)
        present = [each for each in above if each in lineage]
        missing = above[len(present) :]
        nearest = lineage[present[-1] if present else path]
        existing = lineage.get(path)
        # What the actor may not see lies where they may not write, which is refused further down.
        if existing is not None and self._right(connection, actor, path, lineage) is not None:
            if existing.kind is not kind:
                raise AlreadyExists(f"{path} is a {existing.kind}.")
            if not overwrite:
                raise AlreadyExists(f"{path} exists already.")
            self._require(connection, actor, path, lineage, Right.EDITOR)
            return _Target(existing, nearest, [])
        if self._right(connection, actor, nearest.path, lineage) is None:
            raise NotFound("path", parent_of(path))
        if missing and not make_parents:
            raise NotFound("path", parent_of(path))
        if nearest.kind is not NodeKind.FOLDER:
            raise AlreadyExists(f"{nearest.path} is a {nearest.kind}, not a folder.")
        self._require(connection, actor, nearest.path, lineage, Right.EDITOR)
        return _Target(None, nearest, missing)

    def _make(
        self, connection: Connection, actor: Principal, folder: Node, paths: Iterable[str]
    ) -> Node:
        for path in paths:
            folder = node_rows.insert_node(
                connection,
                parent_id=folder.id,
                kind=NodeKind.FOLDER,
                path=path,
                owner_id=actor.id,
                at=self._clock.now(),
            )
        return folder

    def _read_notebook(self, look: Callable[[Connection], _Found]) -> tuple[Node, dict[str, Any]]:
        found, data = self._read(look)
        notebook: dict[str, Any] = json.loads(data)
        return replace(found.node, revision=found.revision.number), notebook

    def _read(self, look: Callable[[Connection], _Found]) -> tuple[_Found, bytes]:
        """What ``look`` finds, and its content.

        The content may be replaced or deleted between the two looks, so a miss is looked into
        again. Raises InvalidState when the same content is missed twice: it is lost.
        """
        missed: set[str] = set()
        for _ in range(_TRIES):
            with self._database.read() as connection:
                found = look(connection)
            key = found.revision.blob_key
            try:
                return found, self._blobs.get(key)
            except NotFound:
                if key in missed:
                    raise InvalidState(
                        f"The content of {found.node.path} is no longer in the blob store."
                    ) from None
                missed.add(key)
        raise Unavailable(f"{found.node.path} changes too fast to be read.")

    @contextmanager
    def _discarding(self, key: str) -> Iterator[None]:
        """Drop a blob when the transaction that names it is refused."""
        try:
            yield
        except QuireError as error:
            # When the database went away it may have committed, and then the blob is needed.
            if not isinstance(error, Unavailable):
                self.discard([key])
            raise

    def discard(self, keys: Sequence[str]) -> None:
        """Drop contents that no row names any more."""
        try:
            self._blobs.delete(keys)
        except Unavailable as error:
            # The tree is right already; what stays behind only takes space.
            _log.warning("blobs %s could not be removed: %s", ", ".join(keys), error)

    def _visible(self, connection: Connection, actor: Principal, path: str) -> Node:
        lineage = self._lineage(connection, path)
        return self._require(connection, actor, path, lineage, Right.VIEWER)

    def _visible_by_id(self, connection: Connection, actor: Principal, node_id: NodeId) -> Node:
        node = node_rows.get_node(connection, node_id)
        if node is None:
            raise NotFound("path", node_id)
        lineage = self._lineage(connection, node.path)
        if self._right(connection, actor, node.path, lineage) is None:
            raise NotFound("path", node_id)
        return node

    def _require(
        self,
        connection: Connection,
        actor: Principal,
        path: str,
        lineage: Mapping[str, Node],
        needed: Right,
    ) -> Node:
        held = self._right(connection, actor, path, lineage)
        if path not in lineage or held is None:
            raise NotFound("path", path)
        if not held.covers(needed):
            raise PermissionDenied(
                f"{actor.name} is {held} of {path}; this needs the right of {needed}."
            )
        return lineage[path]

    def _require_deletion(
        self, connection: Connection, actor: Principal, path: str, lineage: Mapping[str, Node]
    ) -> None:
        own = self._right(connection, actor, path, lineage)
        above = self._right(connection, actor, parent_of(path), lineage)
        if own is not Right.OWNER and (above is None or not above.covers(Right.EDITOR)):
            raise PermissionDenied(
                f"{actor.name} neither owns {path} nor may change the folder it is in."
            )

    @staticmethod
    def _lineage(connection: Connection, path: str) -> dict[str, Node]:
        """The nodes at a path and above it that exist, by path."""
        return node_rows.find_by_paths(connection, [*ancestors(path), path])

    @staticmethod
    def _right(
        connection: Connection, principal: Principal, path: str, lineage: Mapping[str, Node]
    ) -> Right | None:
        """What a principal may do at a path, which holds below it too, and at the roots anyway."""
        if principal.is_admin:
            return Right.OWNER
        nodes = [lineage[each] for each in [*ancestors(path), path] if each in lineage]
        granted = grant_rows.find_rights(
            connection, [node.id for node in nodes], principal.acting_ids
        )
        held = best(_own_right(principal, node, granted.get(node.id)) for node in nodes)
        return best([held, Right.VIEWER]) if path in ROOTS else held

    def _inherited(self, connection: Connection, principal: Principal, folder: str) -> Right | None:
        """What a principal may do with everything a folder holds, whatever it is."""
        if principal.is_admin:
            return Right.OWNER
        nodes = self._lineage(connection, folder).values()
        granted = grant_rows.find_rights(
            connection, [node.id for node in nodes], principal.acting_ids
        )
        return best(_own_right(principal, node, granted.get(node.id)) for node in nodes)

    @staticmethod
    def _refuse_to_delete_what_stays(connection: Connection, node: Node) -> None:
        home = False
        if parent_of(node.path) == "/Users" and node.owner_id is not None:
            owner = principal_rows.get_principal(connection, node.owner_id)
            home = owner is not None and owner.name == node.name
        if home or node.path in ROOTS:
            raise PermissionDenied(f"{node.path} belongs to the server and cannot be deleted.")


def _own_right(principal: Principal, node: Node, granted: Right | None) -> Right | None:
    """What a principal holds on a node by the node itself."""
    owned = Right.OWNER if node.owner_id in principal.acting_ids else None
    common = Right.EDITOR if node.path == _SHARED else None
    return best([owned, granted, common, node.public_right])


def _require_kind(node: Node, kind: NodeKind) -> None:
    if node.kind is not kind:
        raise InvalidValue("path", f"{node.path} is a {node.kind}, not a {kind}.")


def _new_key(kind: NodeKind) -> str:
    token = secrets.token_hex(16)
    return f"{kind.value}s/{token[:2]}/{token[2:]}"


def _language(notebook: Mapping[str, Any]) -> str:
    language = _metadata(notebook, "language_info").get("name", "python")
    if not isinstance(language, str) or not 1 <= len(language) <= _LONGEST_LANGUAGE:
        raise InvalidValue("content", "metadata.language_info.name is not the name of a language.")
    return language


def _flavour(notebook: Mapping[str, Any]) -> str:
    return "databricks" if _metadata(notebook, "quire").get("flavour") == "databricks" else "plain"


def _metadata(notebook: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = notebook.get("metadata", {}).get(key)
    return value if isinstance(value, Mapping) else {}


def _encode(notebook: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(refresh_sources(notebook), ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidValue("content", f"the notebook is not JSON: {error}") from error
    # An output may hold half a surrogate pair; json.loads reads it back.
    return text.encode("utf-8", "surrogatepass")
