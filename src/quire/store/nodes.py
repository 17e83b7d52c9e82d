"""Rows of the workspace's tree and of the revisions of what it holds."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from quire.errors import AlreadyExists
from quire.identity.models import Principal
from quire.identity.permissions import Right
from quire.ids import NodeId, PrincipalId
from quire.store.database import next_number
from quire.store.keys import text_digest
from quire.store.tables import attachments, nodes, publications, revisions
from quire.workspace.models import Node, NodeKind, Revision

__all__ = [
    "ROOTS",
    "delete_tree",
    "ensure_home",
    "ensure_roots",
    "find_by_path",
    "find_by_paths",
    "find_by_uid",
    "find_existing",
    "find_revision",
    "get_node",
    "has_children",
    "insert_node",
    "insert_revision",
    "list_blob_keys",
    "list_children",
    "list_revisions",
    "remove_revisions_before",
    "replace_content",
    "update_node",
]

ROOTS = ("/", "/Users", "/Shared", "/Repos")
"""Folders that always exist."""

_NO_ID = 2**63  # the databases know no number from here on

_NODES: Select[Any] = select(
    nodes.c.id,
    nodes.c.uid,
    nodes.c.kind,
    nodes.c.path,
    nodes.c.language,
    nodes.c.flavour,
    nodes.c.owner_id,
    nodes.c.revision,
    nodes.c.size,
    nodes.c.public_right,
    nodes.c.created_at,
    nodes.c.modified_at,
)


def get_node(connection: Connection, node_id: NodeId) -> Node | None:
    if not 0 < node_id < _NO_ID:
        return None
    row = connection.execute(_NODES.where(nodes.c.id == node_id)).first()
    return None if row is None else _node(row)


def find_by_uid(connection: Connection, uid: uuid.UUID) -> Node | None:
    row = connection.execute(_NODES.where(nodes.c.uid == uid.hex)).first()
    return None if row is None else _node(row)


def find_existing(connection: Connection, ids: Collection[NodeId]) -> set[NodeId]:
    """Those of the ids that a node has."""
    rows = connection.execute(select(nodes.c.id).where(nodes.c.id.in_(ids)))
    return {NodeId(row.id) for row in rows}


def find_by_path(connection: Connection, path: str) -> Node | None:
    row = connection.execute(_NODES.where(nodes.c.path_digest == text_digest(path))).first()
    return None if row is None else _node(row)


def find_by_paths(connection: Connection, paths: Iterable[str]) -> dict[str, Node]:
    """The nodes at some paths, by path; paths without a node are left out."""
    digests = [text_digest(path) for path in paths]
    rows = connection.execute(_NODES.where(nodes.c.path_digest.in_(digests)))
    return {row.path: _node(row) for row in rows}


def list_children(connection: Connection, parent_id: NodeId) -> Sequence[Node]:
    """What a folder holds directly, in the order of code points of the names."""
    rows = connection.execute(_NODES.where(nodes.c.parent_id == parent_id))
    return sorted(map(_node, rows), key=lambda node: node.path)


def has_children(connection: Connection, parent_id: NodeId) -> bool:
    query = select(nodes.c.id).where(nodes.c.parent_id == parent_id).limit(1)
    return connection.execute(query).first() is not None


def insert_node(
    connection: Connection,
    *,
    parent_id: NodeId | None,
    kind: NodeKind,
    path: str,
    owner_id: PrincipalId | None,
    at: datetime,
    language: str | None = None,
    flavour: str | None = None,
    size: int | None = None,
) -> Node:
    """Store a new node without a revision. Call under ``lock_tree``, when the path is free."""
    number = NodeId(next_number(connection, "nodes"))
    uid = uuid.uuid4()
    connection.execute(
        insert(nodes).values(
            id=number,
            uid=uid.hex,
            parent_id=parent_id,
            kind=kind.value,
            path=path,
            path_digest=text_digest(path),
            language=language,
            flavour=flavour,
            owner_id=owner_id,
            revision=0,
            size=size,
            created_at=at,
            modified_at=at,
        )
    )
    return Node(
        id=number,
        uid=uid,
        kind=kind,
        path=path,
        language=language,
        flavour=flavour,
        owner_id=owner_id,
        revision=0,
        size=size,
        public_right=None,
        created_at=at,
        modified_at=at,
    )


def update_node(connection: Connection, node_id: NodeId, **values: Any) -> None:
    connection.execute(update(nodes).where(nodes.c.id == node_id).values(**values))


def delete_tree(connection: Connection, node_id: NodeId) -> None:
    """Remove a node with everything below it, revisions and grants included."""
    connection.execute(delete(nodes).where(nodes.c.id.in_(_tree(node_id))))


def list_blob_keys(connection: Connection, node_id: NodeId) -> Sequence[str]:
    """Where everything is kept that a node, and what lies below it, have in the blob store."""
    found: list[str] = []
    for table in (revisions, attachments, publications):
        query = select(table.c.blob_key).where(table.c.node_id.in_(_tree(node_id)))
        found += connection.execute(query.where(table.c.blob_key.is_not(None))).scalars()
    return found


def insert_revision(
    connection: Connection,
    node: Node,
    *,
    blob_key: str,
    creator_id: PrincipalId | None,
    at: datetime,
) -> int:
    """Store the next revision of ``node`` as it was read under ``lock_tree``; its number."""
    number = node.revision + 1
    connection.execute(
        insert(revisions).values(
            node_id=node.id,
            number=number,
            blob_key=blob_key,
            created_at=at,
            creator_id=creator_id,
        )
    )
    return number


def replace_content(connection: Connection, node_id: NodeId, number: int, blob_key: str) -> None:
    """Give a revision another content. Call under ``lock_tree``."""
    connection.execute(
        update(revisions)
        .where(revisions.c.node_id == node_id)
        .where(revisions.c.number == number)
        .values(blob_key=blob_key)
    )


def find_revision(
    connection: Connection,
    node_id: NodeId,
    *,
    number: int | None = None,
    at: datetime | None = None,
) -> Revision | None:
    """The revision of that number, else the newest one not later than ``at``, else the newest."""
    query = _revisions(node_id)
    if number is not None:
        query = query.where(revisions.c.number == number)
    if at is not None:
        query = query.where(revisions.c.created_at <= at)
    row = connection.execute(query.order_by(revisions.c.number.desc()).limit(1)).first()
    return None if row is None else _revision(row)


def list_revisions(connection: Connection, node_id: NodeId) -> Sequence[Revision]:
    """All revisions of a node, newest first."""
    rows = connection.execute(_revisions(node_id).order_by(revisions.c.number.desc()))
    return [_revision(row) for row in rows]


def remove_revisions_before(connection: Connection, node_id: NodeId, number: int) -> Sequence[str]:
    """Forget the revisions older than ``number``; where they were kept."""
    query = (
        delete(revisions)
        .where(revisions.c.node_id == node_id)
        .where(revisions.c.number < number)
        .returning(revisions.c.blob_key)
    )
    return connection.execute(query).scalars().all()


def ensure_roots(connection: Connection, at: datetime) -> None:
    """Make the folders that always exist. Call under ``lock_tree``."""
    present = find_by_paths(connection, ROOTS)
    for path in ROOTS:
        if path not in present:
            parent_id = None if path == "/" else present["/"].id
            present[path] = insert_node(
                connection,
                parent_id=parent_id,
                kind=NodeKind.FOLDER,
                path=path,
                owner_id=None,
                at=at,
            )


def ensure_home(connection: Connection, user: Principal, at: datetime) -> None:
    """Make the folder of a user, or give them the folder that is there. Call under ``lock_tree``.

    Raises AlreadyExists when something else than a folder is there.
    """
    ensure_roots(connection, at)
    path = f"/Users/{user.name}"
    present = find_by_path(connection, path)
    if present is None:
        users = find_by_path(connection, "/Users")
        assert users is not None
        insert_node(
            connection,
            parent_id=users.id,
            kind=NodeKind.FOLDER,
            path=path,
            owner_id=user.id,
            at=at,
        )
    elif present.kind is NodeKind.FOLDER:
        update_node(connection, present.id, owner_id=user.id)
    else:
        raise AlreadyExists(f"{path} is a {present.kind}, so {user.name} can have no folder there.")


def _tree(node_id: NodeId) -> Select[tuple[int]]:
    tree = select(nodes.c.id).where(nodes.c.id == node_id).cte("tree", recursive=True)
    below = select(nodes.c.id).join(tree, nodes.c.parent_id == tree.c.id)
    return select(tree.union_all(below).c.id)


def _revisions(node_id: NodeId) -> Select[Any]:
    return select(
        revisions.c.node_id,
        revisions.c.number,
        revisions.c.blob_key,
        revisions.c.created_at,
        revisions.c.creator_id,
    ).where(revisions.c.node_id == node_id)


def _node(row: Row[Any]) -> Node:
    return Node(
        id=NodeId(row.id),
        uid=uuid.UUID(row.uid),
        kind=NodeKind(row.kind),
        path=row.path,
        language=row.language,
        flavour=row.flavour,
        owner_id=None if row.owner_id is None else PrincipalId(row.owner_id),
        revision=row.revision,
        size=row.size,
        public_right=None if row.public_right is None else Right(row.public_right),
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def _revision(row: Row[Any]) -> Revision:
    return Revision(
        node_id=NodeId(row.node_id),
        number=row.number,
        blob_key=row.blob_key,
        created_at=row.created_at,
        creator_id=None if row.creator_id is None else PrincipalId(row.creator_id),
    )
