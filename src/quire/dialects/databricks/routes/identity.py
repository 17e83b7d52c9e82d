"""Who the caller is, and API tokens (contract 8.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.databricks import wire
from quire.dialects.databricks.mapping import milliseconds
from quire.errors import NotFound

if TYPE_CHECKING:
    from quire.identity.models import TokenInfo

__all__ = ["endpoints"]

_NEVER = -1  # expiry_time of a token without one


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    tokens = services.tokens

    def show_me(call: Call, _: wire.Nothing) -> dict[str, Any]:
        principal = call.principal
        groups = [services.principals.get(each) for each in sorted(principal.group_ids)]
        described: dict[str, Any] = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": str(principal.id),
            "userName": principal.name,
            "displayName": principal.name,
            "active": True,
            "groups": [
                {"display": group.name, "value": str(group.id), "type": "direct"}
                for group in groups
            ],
            "entitlements": [{"value": "workspace-access"}],
        }
        if principal.is_admin:
            described["roles"] = [{"value": "admin"}]
        described["emails"] = (
            [{"type": "work", "value": principal.name, "primary": True}]
            if "@" in principal.name
            else []
        )
        return described

    def create(call: Call, body: wire.CreateToken) -> dict[str, Any]:
        # What the caller's own token may not do, a token made with it may not do either.
        text, info = tokens.create(
            call.principal.id,
            comment=body.comment,
            lifetime_seconds=body.lifetime_seconds,
            scopes=call.principal.scopes,
        )
        return {"token_value": text, "token_info": _describe(info)}

    def list_own(call: Call, _: wire.Nothing) -> dict[str, Any]:
        return {"token_infos": [_describe(each) for each in _live(services, call)]}

    def delete(call: Call, body: wire.TokenId) -> dict[str, Any]:
        for each in _live(services, call):
            if str(each.id) == body.token_id:
                tokens.revoke(each.id)
                return {}
        raise NotFound("token", body.token_id[:100])

    root = "/api/2.0/token"
    return [
        Endpoint("GET", "/api/2.0/preview/scim/v2/Me", "Who I am", wire.Nothing, show_me),
        Endpoint("POST", f"{root}/create", "Create a token", wire.CreateToken, create),
        Endpoint("GET", f"{root}/list", "List tokens", wire.Nothing, list_own),
        Endpoint("POST", f"{root}/delete", "Revoke a token", wire.TokenId, delete),
    ]


def _live(services: Services, call: Call) -> list[TokenInfo]:
    """The caller's tokens that are in force or expired, but not revoked."""
    return [each for each in services.tokens.list(call.principal.id) if each.revoked_at is None]


def _describe(info: TokenInfo) -> dict[str, Any]:
    return {
        "token_id": str(info.id),
        "comment": info.comment,
        "creation_time": milliseconds(info.created_at),
        "expiry_time": _NEVER if info.expires_at is None else milliseconds(info.expires_at),
    }
