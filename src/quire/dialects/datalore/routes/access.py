"""What every call of the notebook API looks at first: the notebook, and the token's scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.datalore.errors import invisible_is_forbidden
from quire.dialects.datalore.identifiers import find_node
from quire.dialects.datalore.wire_notebooks import OnNotebook
from quire.identity.scopes import Access, Level, require_scope
from quire.workspace.models import Node, NodeKind

__all__ = ["find_notebook", "operation"]

_Body = TypeVar("_Body", bound=OnNotebook)


def find_notebook(
    services: Services, call: Call, owner: str, identifier: str, access: Access
) -> Node:
    """The notebook a call is about. Raises PermissionDenied for one that is out of reach, and when
    the token does not cover this access to it."""
    with invisible_is_forbidden():
        node = find_node(services, call.principal, owner, identifier, NodeKind.NOTEBOOK)
    require_scope(call.principal, Level.NOTEBOOK, access, notebook=node.uid)
    return node


def operation(
    services: Services,
    path: str,
    summary: str,
    model: type[_Body],
    access: Access,
    handler: Callable[[Call, Node, _Body], Any],
) -> Endpoint:
    """An operation of the notebook API, whose handler is given its notebook.

    A notebook that goes out of reach while the call is answered is out of reach, too.
    """

    def handle(call: Call, body: _Body) -> Any:
        named = body.notebook_id
        node = find_notebook(services, call, named.owner_id, named.id, access)
        with invisible_is_forbidden():
            result = handler(call, node, body)
        return _guarded(result) if isawaitable(result) else result

    return Endpoint("POST", f"/api/notebook/v1/{path}", summary, model, handle, scope=None)


async def _guarded(result: Awaitable[Any]) -> Any:
    with invisible_is_forbidden():
        return await result
