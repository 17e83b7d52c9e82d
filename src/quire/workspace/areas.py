"""Areas: the parts of the tree in which people keep things together.

Every user's own folder is one, and so is every folder beside ``/Users``, such as ``/Shared``. What
lies in no folder at all is in the root's area. Files that the notebooks of an area share are
attached to its folder.
"""

from __future__ import annotations

from collections.abc import Sequence

from quire.errors import NotFound
from quire.identity.models import Principal
from quire.workspace.models import Node, NodeKind
from quire.workspace.tree import Workspace

__all__ = ["area_of", "find_home", "list_areas"]

_USERS = "/Users"


def area_of(node: Node) -> str:
    """The path of the area in which a node lies; an area lies in itself."""
    parts = node.path[1:].split("/")
    if parts[0] == "Users" and len(parts) > 1:
        return f"{_USERS}/{parts[1]}"
    return f"/{parts[0]}" if len(parts) > 1 or node.kind is NodeKind.FOLDER else "/"


def find_home(workspace: Workspace, user: Principal) -> Node | None:
    """A user's own folder; None for a service, which has none."""
    try:
        return workspace.get(user, f"{_USERS}/{user.name}")
    except NotFound:
        return None


def list_areas(workspace: Workspace, actor: Principal) -> Sequence[Node]:
    """The areas whose folder the actor may see, the actor's own first, then by path."""
    home = find_home(workspace, actor)
    beside = [each for each in workspace.list(actor, "/") if each.path != _USERS]
    others = [
        each
        for each in [*workspace.list(actor, _USERS), *beside]
        if each.kind is NodeKind.FOLDER and (home is None or each.id != home.id)
    ]
    others.sort(key=lambda each: each.path)
    return others if home is None else [home, *others]
