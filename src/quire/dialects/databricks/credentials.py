"""How a caller proves who they are: Bearer, or Basic with the token as password (contract 1.5)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from quire.errors import InvalidCredential, MissingCredential

if TYPE_CHECKING:
    from quire.identity.principals import Principal
    from quire.identity.tokens import Tokens

__all__ = ["authenticate", "read_credential"]

_TOKEN_USER = "token"  # noqa: S105 - the user name that says "the password is a token"
_LONGEST = 4096


def read_credential(headers: Mapping[str, str]) -> tuple[str | None, str]:
    """``(user name or None, token)`` of the Authorization header.

    The user name is None for Bearer and for Basic with the user ``token``. Raises MissingCredential
    when the header is absent or of another kind.
    """
    scheme, _, value = headers.get("authorization", "").strip().partition(" ")
    value = value.strip()
    if not value or len(value) > _LONGEST:
        raise MissingCredential
    if scheme.lower() == "bearer":
        return None, value
    if scheme.lower() != "basic":
        raise MissingCredential
    try:
        user, separator, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise MissingCredential from None
    if not separator or not password:
        raise MissingCredential
    return (None if user == _TOKEN_USER else user), password


def authenticate(headers: Mapping[str, str], tokens: Tokens) -> Principal:
    """The principal a request comes from.

    Basic with another user name than ``token`` is accepted when the password is a token of that
    user: there are no passwords here. Raises MissingCredential, InvalidCredential and
    ExpiredCredential.
    """
    user, token = read_credential(headers)
    principal = tokens.authenticate(token)
    if user is not None and user != principal.name:
        raise InvalidCredential
    return principal
