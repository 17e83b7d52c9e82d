"""Notification destinations 2.0 (contract 8.11)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.databricks import wire
from quire.dialects.databricks.page_tokens import read_page_token
from quire.errors import InvalidValue, PermissionDenied
from quire.notify.destinations import Destination, DestinationKind

__all__ = ["endpoints"]

_KINDS = {
    "generic_webhook": DestinationKind.WEBHOOK,
    "email": DestinationKind.EMAIL,
    "slack": DestinationKind.SLACK,
    "microsoft_teams": DestinationKind.MICROSOFT_TEAMS,
    "pagerduty": DestinationKind.PAGERDUTY,
}
_FIELDS = {kind: name for name, kind in _KINDS.items()}
_PAGE = 100


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    destinations = services.destinations

    def create(call: Call, body: wire.NewDestination) -> dict[str, Any]:
        _require_admin(call)
        kind, config = _config(body.config)
        with _own_field_names(kind):
            return _describe(destinations.create(body.display_name, kind, config))

    def list_some(_: Call, query: wire.Page) -> dict[str, Any]:
        start = read_page_token(query.page_token)
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
        kind, config = (None, None) if body.config is None else _config(body.config)
        with _own_field_names(kind):
            return _describe(
                destinations.update(body.id, name=body.display_name, kind=kind, config=config)
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


def _config(config: wire.DestinationConfig) -> tuple[DestinationKind, dict[str, Any]]:
    given = next(iter(config.model_fields_set))
    return _KINDS[given], config.stored()[given]


@contextmanager
def _own_field_names(kind: DestinationKind | None) -> Iterator[None]:
    """Names fields in errors as this vendor does."""
    try:
        yield
    except InvalidValue as error:
        field = error.field or "config"
        reason = error.message.removeprefix(f"Invalid value for {field}: ")
        if field == "name":
            raise InvalidValue("display_name", reason) from None
        if kind is not None:
            field = field.replace("config", f"config.{_FIELDS[kind]}", 1)
        raise InvalidValue(field, reason) from None


def _describe_briefly(destination: Destination) -> dict[str, Any]:
    return {
        "id": destination.id,
        "display_name": destination.name,
        "destination_type": destination.kind.value.upper(),
    }


def _describe(destination: Destination) -> dict[str, Any]:
    """With the configuration; what is secret in it is only said to be set."""
    config = {_FIELDS[destination.kind]: destination.public_config()}
    return {**_describe_briefly(destination), "config": config}
