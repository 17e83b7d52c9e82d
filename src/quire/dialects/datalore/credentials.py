"""How a caller proves who they are: Bearer alone; and scopes by their names on the wire
(contract 1, 6).

A browser that follows a link to an artifact has no header to send. It is known there, and only
there, by the session it signed in with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from quire.errors import InvalidCredential, MissingCredential
from quire.identity.scopes import InsufficientScope, Level
from quire.web.sessions import COOKIE

if TYPE_CHECKING:
    from quire.errors import Unauthenticated
    from quire.identity.principals import Principal
    from quire.identity.tokens import Tokens

__all__ = ["SCOPE_NAMES", "authenticate", "describe_challenge"]

SCOPE_NAMES = {
    Level.ADMIN: "ADMIN_FULL",
    Level.USER: "USER_FULL",
    Level.WORKSPACE: "WORKSPACE",
    Level.NOTEBOOK_IN_WORKSPACE: "NOTEBOOK_WITH_WORKSPACE_VIEW",
    Level.NOTEBOOK: "NOTEBOOK_API",
    Level.BASIC: "USER_BASIC",
}

_LINKED = "/notebook/"
_LONGEST = 4096


def authenticate(request: Request, tokens: Tokens) -> Principal:
    """The principal a request comes from. Raises Unauthenticated."""
    authorization = request.headers.get("authorization")
    if authorization is None and request.scope["path"].startswith(_LINKED):
        text = request.cookies.get(COOKIE, "")
    else:
        scheme, _, text = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            raise MissingCredential
        text = text.strip()
    if not text:
        raise MissingCredential
    if len(text) > _LONGEST:
        raise InvalidCredential
    return tokens.authenticate(text)


def describe_challenge(error: Unauthenticated | InsufficientScope) -> str:
    """What ``WWW-Authenticate`` says: the scheme, and the scope that was missing."""
    if not isinstance(error, InsufficientScope):
        return "Bearer"
    needed = error.needed
    return f'Bearer scope="{SCOPE_NAMES[needed.level]}", access="{needed.access.upper()}"'
