"""Who looks at a page: a cookie that carries the API token the person signed in with, or a program
that sends its token with each request.

The cookie is the token itself, so revoking the token or its expiry ends the session, and the server
keeps no second kind of credential. It opens pages alone: the APIs never read it, so a page of
another site cannot make a browser call them in the person's name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from quire.errors import (
    InvalidCredential,
    MalformedRequest,
    MissingCredential,
    PermissionDenied,
    TooLarge,
)
from quire.identity.scopes import Level, require_scope

if TYPE_CHECKING:
    from quire.identity.principals import Principal
    from quire.identity.tokens import Tokens

__all__ = [
    "COOKIE",
    "check_same_origin",
    "end_session",
    "identify",
    "is_secure",
    "login_redirect",
    "open_with",
    "read_form",
    "safe_next",
    "start_session",
]

COOKIE = "quire_session"
_FORM_LIMIT = 16 * 1024
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")  # what a cookie can carry once quoted


def identify(request: Request, tokens: Tokens) -> Principal:
    """The principal of the session, or of a program's Bearer token. Raises as open_with does."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        text = request.cookies.get(COOKIE, "")
    if not text:
        raise MissingCredential
    return open_with(text, tokens)


def open_with(token: str, tokens: Tokens) -> Principal:
    """Whom a token lets see the pages.

    Raises Unauthenticated, and PermissionDenied for a token that is not good for everything its
    principal may do as a user.
    """
    principal = tokens.authenticate(token)
    require_scope(principal, Level.USER)
    return principal


def start_session(response: Response, token: str, *, secure: bool) -> None:
    """Make the browser send ``token`` until it is closed. Raises InvalidCredential."""
    if not _TOKEN.fullmatch(token):
        raise InvalidCredential
    response.set_cookie(COOKIE, token, path="/", httponly=True, samesite="lax", secure=secure)


def end_session(response: Response, *, secure: bool) -> None:
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=secure)


def is_secure(request: Request, public_url: str) -> bool:
    """Whether the browser reaches this server by https, so that the cookie may insist on it."""
    return request.url.scheme == "https" or public_url.startswith("https://")


def check_same_origin(request: Request, public_url: str) -> None:
    """Refuse a form that a page of another site sent. Raises PermissionDenied.

    Browsers say where a form comes from in Origin and Sec-Fetch-Site, which pages cannot forge.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise PermissionDenied("This form was sent from another site.")
    origin = request.headers.get("origin")
    if origin is None:
        return
    hosts = {request.headers.get("host", "").lower()}
    if public_url:
        hosts.add(urlsplit(public_url).netloc.lower())
    if urlsplit(origin).netloc.lower() not in hosts:
        raise PermissionDenied("This form was sent from another site.")


def safe_next(target: str | None) -> str:
    """``target`` when it is a path of this server, else the first page."""
    if target is None or not re.fullmatch(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", target):
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc else target


def login_redirect(request: Request) -> Response:
    """Send the browser to sign in, and back afterwards. It keeps the fragment by itself."""
    target = request.scope["path"]
    query = request.scope.get("query_string", b"").decode("latin-1")
    target = quote(target) + (f"?{query}" if query else "")
    return RedirectResponse(f"/login?next={quote(safe_next(target), safe='')}", status_code=303)


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a small form. Raises MalformedRequest, TooLarge."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_LIMIT:
            raise TooLarge("The form", _FORM_LIMIT)
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=16)
    except ValueError as error:
        raise MalformedRequest("The form cannot be read.") from error
    return {name: values[-1] for name, values in fields.items()}
