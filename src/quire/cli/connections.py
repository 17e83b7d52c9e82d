"""``quire connection``: databases that notebooks reach by a name.

Commands act as the server's administrator ``admin``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quire.cli.common import (
    DatabaseUrl,
    DataDir,
    open_as_administrator,
    print_table,
    settings_of,
    shown_time,
)

if TYPE_CHECKING:
    from quire.identity.models import Principal
    from quire.identity.principals import Principals
    from quire.workspace.connections import Connections

__all__ = ["app"]

app = typer.Typer(help="Make, list and delete named databases.", no_args_is_help=True)


@contextmanager
def _session(
    data_dir: Path | None, database_url: str | None
) -> Iterator[tuple[Connections, Principals, Principal]]:
    from quire.identity.principals import Principals
    from quire.workspace.connections import Connections

    settings = settings_of(data_dir, database_url)
    with open_as_administrator(settings) as (database, clock, administrator):
        yield Connections(database, clock), Principals(database, clock), administrator


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name that notebooks use.")],
    url: Annotated[
        str,
        typer.Option(
            envvar="QUIRE_CONNECTION_URL",
            prompt="Address",
            hide_input=True,
            help="duckdb://, postgresql:// or sqlserver:// address, or a connection string of SQL "
            "Server. Asked for when it is not given, so that no shell remembers the password.",
        ),
    ],
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="User or group that may use it; may be repeated."),
    ] = None,
    everybody: Annotated[bool, typer.Option(help="Every user may use it.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Store where a database is and who may use it: administrators, and whom the options name."""
    from quire.errors import InvalidRequest

    if everybody and allow:
        raise InvalidRequest("Name either --everybody or whom to --allow.")
    with _session(data_dir, database_url) as (connections, principals, administrator):
        ids = None if everybody else [principals.get_by_name(each).id for each in allow or ()]
        made = connections.create(administrator, name, url, allowed=ids)
    typer.echo(f"Made connection {name} to {made.shown}.")


@app.command("list")
def list_connections(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all connections, without users and passwords."""
    with _session(data_dir, database_url) as (connections, principals, _):
        rows = [
            (
                each.name,
                each.shown,
                "everybody"
                if each.allowed is None
                else ", ".join(principals.get(id).name for id in each.allowed) or "administrators",
                shown_time(each.created_at),
            )
            for each in connections.list()
        ]
    print_table(["NAME", "DATABASE", "ALLOWED", "CREATED"], rows)


@app.command("delete")
def delete(
    name: Annotated[str, typer.Argument(help="Name of a connection.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Delete a connection. Databases that are open in notebooks stay open."""
    with _session(data_dir, database_url) as (connections, _, administrator):
        connections.delete(administrator, name)
    typer.echo(f"Deleted connection {name}.")
