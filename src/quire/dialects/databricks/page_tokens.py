"""This vendor's page tokens: how many entries of a list were shown before."""

from __future__ import annotations

from quire.errors import InvalidValue

__all__ = ["read_page_token"]

_MOST_DIGITS = 9


def read_page_token(token: str | None) -> int:
    """Where in its list a page begins; without a token at 0. Raises InvalidValue."""
    if not token:
        return 0
    if not (token.isascii() and token.isdigit()) or len(token) > _MOST_DIGITS:
        raise InvalidValue("page_token", "is not one this server gave.")
    return int(token)
