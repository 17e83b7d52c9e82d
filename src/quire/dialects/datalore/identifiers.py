"""Ids on the wire (contract 1): two parts, the owner's name and 22 characters of base 62.

In the run API and in queries a notebook is the text ``owner/id``, in the notebook API an object
with ``ownerId`` and ``id``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quire.errors import InvalidValue, NotFound
from quire.identity.names import url_name
from quire.workspace.addressing import base62, from_base62
from quire.workspace.models import NodeKind

if TYPE_CHECKING:
    from quire.dialects.base import Services
    from quire.identity.principals import Principal
    from quire.workspace.models import Node

__all__ = ["entity_id", "find_node", "notebook_id", "owner_name", "resolve_notebook", "split_id"]


def split_id(text: str, field: str) -> tuple[str, str]:
    """``owner/id`` in its two parts; one slash at either end is dropped. Raises InvalidValue."""
    parts = text.removeprefix("/").removesuffix("/").split("/")
    if len(parts) != 2 or not all(parts):
        raise InvalidValue(field, "it has to be two parts with a slash between, such as user/id.")
    return parts[0], parts[1]


def owner_name(services: Services, node: Node) -> str:
    """The first part of a node's id."""
    if node.owner_id is None:
        return url_name(None)
    return url_name(services.principals.get(node.owner_id).name)


def notebook_id(services: Services, node: Node) -> str:
    """A node's id as a text."""
    return f"{owner_name(services, node)}/{base62(node.uid)}"


def entity_id(services: Services, node: Node) -> dict[str, str]:
    """A node's id as an object."""
    return {"ownerId": owner_name(services, node), "id": base62(node.uid)}


def resolve_notebook(services: Services, actor: Principal, text: str) -> Node:
    """The notebook that ``owner/id`` names.

    Raises InvalidValue for another form, NotFound for what does not exist, is no notebook or is
    invisible to the actor, which nobody can tell apart.
    """
    owner, identifier = split_id(text, "notebookId")
    return find_node(services, actor, owner, identifier, NodeKind.NOTEBOOK)


def find_node(
    services: Services, actor: Principal, owner: str, identifier: str, kind: NodeKind
) -> Node:
    """The node of these two parts. Raises NotFound as resolve_notebook does."""
    uid = from_base62(identifier)
    missing = NotFound(kind.value, f"{owner}/{identifier}")
    if uid is None:
        raise missing
    try:
        node = services.workspace.get_by_uid(actor, uid)
    except NotFound:
        raise missing from None
    if node.kind is not kind or owner_name(services, node) != owner:
        raise missing
    return node
