"""Rows of rights given to principals on nodes of the workspace."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from quire.identity.permissions import Right, best
from quire.ids import NodeId, PrincipalId
from quire.store.tables import grants, nodes

__all__ = ["find_rights", "find_rights_of_children", "list_grants", "remove_grant", "set_grant"]


def find_rights(
    connection: Connection, node_ids: Collection[NodeId], principal_ids: Collection[PrincipalId]
) -> dict[NodeId, Right]:
    """What is granted on each node itself to any of the principals, the strongest of it."""
    query = (
        select(grants.c.node_id, grants.c.right)
        .where(grants.c.node_id.in_(node_ids))
        .where(grants.c.principal_id.in_(principal_ids))
    )
    return _strongest((row.node_id, row.right) for row in connection.execute(query))


def find_rights_of_children(
    connection: Connection, parent_id: NodeId, principal_ids: Collection[PrincipalId]
) -> dict[NodeId, Right]:
    """:func:`find_rights` for all that a folder holds directly."""
    query = (
        select(grants.c.node_id, grants.c.right)
        .join(nodes, nodes.c.id == grants.c.node_id)
        .where(nodes.c.parent_id == parent_id)
        .where(grants.c.principal_id.in_(principal_ids))
    )
    return _strongest((row.node_id, row.right) for row in connection.execute(query))


def list_grants(connection: Connection, node_id: NodeId) -> Sequence[tuple[PrincipalId, Right]]:
    """Everything granted on a node itself, in the order of principals' ids."""
    query = (
        select(grants.c.principal_id, grants.c.right)
        .where(grants.c.node_id == node_id)
        .order_by(grants.c.principal_id)
    )
    rows = connection.execute(query)
    return [(PrincipalId(row.principal_id), Right(row.right)) for row in rows]


def set_grant(
    connection: Connection, node_id: NodeId, principal_id: PrincipalId, right: Right
) -> None:
    """Grant ``right`` in place of what was granted before. Call under ``lock_tree``."""
    changed = connection.execute(
        update(grants)
        .where(grants.c.node_id == node_id)
        .where(grants.c.principal_id == principal_id)
        .values(right=right.value)
    )
    if changed.rowcount == 0:
        connection.execute(
            insert(grants).values(node_id=node_id, principal_id=principal_id, right=right.value)
        )


def remove_grant(connection: Connection, node_id: NodeId, principal_id: PrincipalId) -> None:
    connection.execute(
        delete(grants)
        .where(grants.c.node_id == node_id)
        .where(grants.c.principal_id == principal_id)
    )


def _strongest(found: Iterable[tuple[int, str]]) -> dict[NodeId, Right]:
    rights: dict[NodeId, Right] = {}
    for number, text in found:
        node_id, right = NodeId(number), Right(text)
        rights[node_id] = best([right, rights.get(node_id)]) or right
    return rights
