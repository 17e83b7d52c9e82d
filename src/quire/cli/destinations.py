"""``quire destination``: named places that notifications go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.common import DatabaseUrl, DataDir, open_stored, print_table, settings_of

if TYPE_CHECKING:
    from quire.notify.destinations import Destinations
    from quire.store.database import Database

__all__ = ["app"]

app = typer.Typer(help="Make, list and delete places to notify.", no_args_is_help=True)


def _destinations(database: Database) -> Destinations:
    from quire.clock import SystemClock
    from quire.notify.destinations import Destinations

    return Destinations(database, SystemClock())


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name to show for it.")],
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Post notifications to this URL.")
    ] = None,
    username: Annotated[
        str | None, typer.Option(help="User of the webhook's basic authentication.")
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="QUIRE_DESTINATION_PASSWORD",
            help="Password of the webhook's basic authentication.",
        ),
    ] = None,
    email: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Mail notifications there; may be repeated."),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a destination, a webhook or mail addresses, and print its id."""
    from quire.errors import InvalidRequest
    from quire.notify.destinations import DestinationKind

    config: dict[str, Any]
    if webhook is not None and not email:
        kind = DestinationKind.WEBHOOK
        config = {"url": webhook, "username": username, "password": password}
    elif email and webhook is None and username is None:
        kind = DestinationKind.EMAIL
        config = {"addresses": email}
    else:
        raise InvalidRequest(
            "Name either a --webhook, with --username and --password if it wants them, or --email."
        )
    with open_stored(settings_of(data_dir, database_url), make=True) as database:
        destination = _destinations(database).create(name, kind, config)
    typer.echo(destination.id)


@app.command("list")
def list_destinations(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all destinations, without their secrets."""
    with open_stored(settings_of(data_dir, database_url)) as database:
        found = _destinations(database).list()
    print_table(["ID", "KIND", "NAME"], ((each.id, each.kind, each.name) for each in found))


@app.command("delete")
def delete(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="Id, as quire destination list shows it.")
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Delete a destination."""
    with open_stored(settings_of(data_dir, database_url)) as database:
        _destinations(database).delete(identifier)
    typer.echo(f"Deleted destination {identifier}.")
