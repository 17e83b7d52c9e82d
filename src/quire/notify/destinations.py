"""Notification destinations: named places that several jobs may send their notices to.

Checks and stores them. What a place is sent is decided by the outbox; whether a caller may change
destinations is decided by who calls this. Source: Databricks contract 8.11.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from sqlalchemy import Connection, Row

from quire.clock import Clock
from quire.errors import InvalidValue, MissingField, NotFound, Unsupported
from quire.store import destinations as destination_rows
from quire.store.database import Database

__all__ = ["Destination", "DestinationKind", "Destinations", "check_address"]

_LONGEST_NAME = 255
_LONGEST_URL = 2048
_LONGEST_SECRET = 1024
_MOST_ADDRESSES = 100
_LONGEST_ADDRESS = 320
_ADDRESS = re.compile(r"""[^\s@<>()\[\]",;:\\]+@[^\s@<>()\[\]",;:\\]+""")


class DestinationKind(StrEnum):
    """How a destination is reached."""

    WEBHOOK = "webhook"  # config: url; username and password for basic authentication
    EMAIL = "email"  # config: addresses
    SLACK = "slack"  # config: url
    MICROSOFT_TEAMS = "microsoft_teams"  # config: url
    PAGERDUTY = "pagerduty"  # known, and refused


_CONFIG_FIELDS = {
    DestinationKind.WEBHOOK: ("url", "username", "password"),
    DestinationKind.EMAIL: ("addresses",),
    DestinationKind.SLACK: ("url",),
    DestinationKind.MICROSOFT_TEAMS: ("url",),
}


@dataclass(frozen=True)
class Destination:
    """A stored destination. ``config`` holds secrets; show :meth:`public_config` instead."""

    id: str  # UUID
    name: str
    kind: DestinationKind
    config: Mapping[str, Any] = field(repr=False)
    created_at: datetime

    def public_config(self) -> dict[str, Any]:
        """The config as it may be shown: of each secret only ``<field>_set``, whether it is set.

        URLs count as secrets, because those of chat services carry their credential.
        """
        if self.kind is DestinationKind.EMAIL:
            return {"addresses": list(self.config["addresses"])}
        return {f"{name}_set": name in self.config for name in _CONFIG_FIELDS[self.kind]}


class Destinations:
    """The notification destinations of the server."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, name: str, kind: DestinationKind, config: Mapping[str, Any]) -> Destination:
        """Store a destination.

        ``config`` has the fields its kind names; values of None count as absent. Raises
        InvalidValue or MissingField naming ``name`` or ``config.<field>``; Unsupported for
        PagerDuty.
        """
        created = Destination(
            id=str(uuid4()),
            name=_check_name(name),
            kind=kind,
            config=_check_config(kind, config),
            created_at=self._clock.now(),
        )
        with self._database.write() as connection:
            destination_rows.insert_destination(
                connection,
                id=created.id,
                name=created.name,
                kind=created.kind,
                config=created.config,
                created_at=created.created_at,
            )
        return created

    def get(self, id: str) -> Destination:
        """One destination. Raises NotFound."""
        with self._database.read() as connection:
            return _get(connection, id)

    def get_many(self, connection: Connection, ids: list[str]) -> dict[str, Destination]:
        """Those of the ids that exist, read inside the caller's transaction."""
        if not ids:
            return {}
        rows = destination_rows.get_destinations(connection, ids)
        return {row.id: _destination(row) for row in rows}

    def list(self) -> list[Destination]:
        """All destinations, oldest first."""
        with self._database.read() as connection:
            return [_destination(row) for row in destination_rows.list_destinations(connection)]

    def update(
        self,
        id: str,
        *,
        name: str | None = None,
        kind: DestinationKind | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Destination:
        """Change what is given. A config replaces the stored one as a whole.

        Another kind needs a config with it. Raises NotFound and what :meth:`create` raises.
        """
        with self._database.write() as connection:
            changed = _get(connection, id, lock=True)
            if name is not None:
                changed = replace(changed, name=_check_name(name))
            if kind is not None and kind is not changed.kind and config is None:
                raise MissingField("config")
            if config is not None:
                kind = changed.kind if kind is None else kind
                changed = replace(changed, kind=kind, config=_check_config(kind, config))
            destination_rows.update_destination(
                connection,
                id,
                name=changed.name,
                kind=changed.kind,
                config=dict(changed.config),
            )
        return changed

    def delete(self, id: str) -> None:
        """Remove a destination; what is still on its way to it is given up. Raises NotFound."""
        with self._database.write() as connection:
            _get(connection, id, lock=True)
            destination_rows.delete_destination(connection, id)


def check_address(address: object, field: str) -> str:
    """A mail address of ASCII characters. Raises InvalidValue for ``field``."""
    if (
        not isinstance(address, str)
        or not address.isascii()
        or not address.isprintable()
        or len(address) > _LONGEST_ADDRESS
        or _ADDRESS.fullmatch(address) is None
    ):
        raise InvalidValue(field, f"{str(address)[:100]!r} is not a mail address.")
    return address


def _get(connection: Connection, id: str, *, lock: bool = False) -> Destination:
    row = None
    if "\0" not in id:  # PostgreSQL refuses such a text, and no id holds one
        row = destination_rows.get_destination(connection, id, lock=lock)
    if row is None:
        raise NotFound("notification destination", id)
    return _destination(row)


def _destination(row: Row[Any]) -> Destination:
    return Destination(
        id=row.id,
        name=row.name,
        kind=DestinationKind(row.kind),
        config=row.config,
        created_at=row.created_at,
    )


def _check_name(name: str) -> str:
    if not name.strip():
        raise InvalidValue("name", "it must not be empty.")
    if not name.isprintable():
        raise InvalidValue("name", "it must be of printable characters.")
    if len(name) > _LONGEST_NAME:
        raise InvalidValue("name", f"it has more than {_LONGEST_NAME} characters.")
    return name


def _check_config(kind: DestinationKind, config: Mapping[str, Any]) -> dict[str, Any]:
    if kind is DestinationKind.PAGERDUTY:
        raise Unsupported(
            "This server does not notify PagerDuty. Use a webhook or mail instead.", field="kind"
        )
    fields = _CONFIG_FIELDS[kind]
    given = {name: value for name, value in config.items() if value is not None}
    for name in given:
        if name not in fields:
            raise InvalidValue(
                f"config.{name}", f"a destination of kind {kind} has no such field.", allowed=fields
            )
    if kind is DestinationKind.EMAIL:
        return {"addresses": _check_addresses(given.get("addresses"))}
    if "url" not in given:
        raise MissingField("config.url")
    checked = {"url": _check_url(given["url"])}
    for name in ("username", "password"):
        if name in given:
            checked[name] = _check_secret(given[name], f"config.{name}")
    if ":" in checked.get("username", ""):
        raise InvalidValue("config.username", "basic authentication allows no colon in it.")
    if "password" in checked and "username" not in checked:
        raise MissingField("config.username")
    return checked


def _check_addresses(value: object) -> list[str]:
    if value is None:
        raise MissingField("config.addresses")
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= _MOST_ADDRESSES:
        raise InvalidValue(
            "config.addresses", f"it must be a list of 1 to {_MOST_ADDRESSES} mail addresses."
        )
    return [check_address(each, f"config.addresses[{index}]") for index, each in enumerate(value)]


def _check_secret(value: object, field: str) -> str:
    if not isinstance(value, str) or not value or len(value) > _LONGEST_SECRET:
        raise InvalidValue(field, f"it must be a text of 1 to {_LONGEST_SECRET} characters.")
    if any(unicodedata.category(each) in ("Cc", "Cs") for each in value):
        raise InvalidValue(field, "it must not hold control characters.")
    return value


def _check_url(value: object) -> str:
    """An absolute http or https URL. The message never repeats it, for it may hold a secret."""

    def wrong(message: str) -> InvalidValue:
        return InvalidValue("config.url", message)

    if not isinstance(value, str) or not value or len(value) > _LONGEST_URL:
        raise wrong(f"it must be a URL of 1 to {_LONGEST_URL} characters.")
    if not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
        raise wrong("it must be of printable ASCII characters, without blanks.")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise wrong("it is not a URL.") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise wrong("it must start with http:// or https://.")
    if not parts.hostname or port == 0:
        raise wrong("it names no host and port that could be reached.")
    if "@" in parts.netloc:
        raise wrong("user name and password have fields of their own.")
    return value
