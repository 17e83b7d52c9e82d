"""Notification destinations 2.0 (contract 8.11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.databricks import wire
from quire.errors import InvalidValue, PermissionDenied, Unsupported

if TYPE_CHECKING:
    from quire.notify.destinations import Destination

__all__ = ["endpoints"]

_KINDS = {"generic_webhook": "webhook", "email": "email"}
_TYPES = {"webhook": "WEBHOOK", "email": "EMAIL"}
_PAGE = 100


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    destinations = services.destinations

    def create(call: Call, body: wire.NewDestination) -> dict[str, Any]:
        _require_admin(call)
        kind, config = _config(body.config)
        return _describe(destinations.create(body.display_name, kind, config))

    def list_some(_: Call, query: wire.Page) -> dict[str, Any]:
        start = _offset(query.page_token)
        end = start + (query.page_size or _PAGE)
        found = list(destinations.list())
        answer: dict[str, Any] = {"results": [_describe_briefly(each) for each in found[start:end]]}
        if end < len(found):
            answer["next_page_token"] = str(end)
        return answer

    def show(_: Call, query: wire.DestinationId) -> dict[str, Any]:
        return _describe(destinations.get(query.id))

    def change(call: Call, body: wire.DestinationFields) -> dict[str, Any]:
        _require_admin(call)
        known = destinations.get(body.id)
        kind, config = (known.kind, known.config) if body.config is None else _config(body.config)
        if kind != known.kind:
            raise InvalidValue("config", "the type of a destination cannot change.")
        return _describe(
            destinations.update(body.id, name=body.display_name or known.name, config=config)
        )

    def delete(call: Call, query: wire.DestinationId) -> dict[str, Any]:
        _require_admin(call)
        destinations.delete(query.id)
        return {}

    root = "/api/2.0/notification-destinations"
    one = root + "/{id}"
    return [
        Endpoint("GET", root, "List notification destinations", wire.Page, list_some),
        Endpoint("POST", root, "Create a notification destination", wire.NewDestination, create),
        Endpoint("GET", one, "Get a notification destination", wire.DestinationId, show),
        Endpoint("PATCH", one, "Change a notification destination", wire.DestinationFields, change),
        Endpoint("DELETE", one, "Delete a notification destination", wire.DestinationId, delete),
    ]


def _require_admin(call: Call) -> None:
    if not call.principal.is_admin:
        raise PermissionDenied("Only administrators change notification destinations.")


def _offset(token: str | None) -> int:
    if not token:
        return 0
    if not (token.isascii() and token.isdigit()) or len(token) > 9:
        raise InvalidValue("page_token", "is not one this server gave.")
    return int(token)


def _config(config: wire.DestinationConfig) -> tuple[str, dict[str, Any]]:
    """Our kind and configuration. Raises Unsupported for kinds nothing is sent to."""
    given = next(iter(config.model_fields_set))
    if given not in _KINDS:
        raise Unsupported(
            f"This server does not send to {given} (config.{given}); "
            f"only generic_webhook and email are supported.",
            field=f"config.{given}",
        )
    return _KINDS[given], config.stored()[given]


def _describe_briefly(destination: Destination) -> dict[str, Any]:
    return {
        "id": destination.id,
        "display_name": destination.name,
        "destination_type": _TYPES[destination.kind],
    }


def _describe(destination: Destination) -> dict[str, Any]:
    """With the configuration; what is secret in it is only said to be set."""
    return {**_describe_briefly(destination), "config": _shown(destination)}


def _shown(destination: Destination) -> Mapping[str, Any]:
    if destination.kind == "email":
        return {"email": {"addresses": list(destination.config["addresses"])}}
    set_fields = {
        f"{name}_set": True
        for name in ("url", "username", "password")
        if destination.config.get(name)
    }
    return {"generic_webhook": set_fields}
