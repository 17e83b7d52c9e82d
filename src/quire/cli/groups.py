"""``quire group``: users who share rights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quire.cli.common import DatabaseUrl, DataDir, open_stored, print_table, settings_of

if TYPE_CHECKING:
    from quire.identity.principals import Principals
    from quire.store.database import Database

__all__ = ["app"]

app = typer.Typer(help="Make and fill groups of users.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="Name of the group.")]


def _principals(database: Database) -> Principals:
    from quire.clock import SystemClock
    from quire.identity.principals import Principals

    return Principals(database, SystemClock())


@app.command("create")
def create(name: _Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Make an empty group."""
    with open_stored(settings_of(data_dir, database_url), make=True) as database:
        group = _principals(database).create_group(name)
    typer.echo(f"Created group {group.name}.")


@app.command("add")
def add(
    name: _Name,
    user: Annotated[str, typer.Argument(help="Name of the user.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Put a user in a group."""
    with open_stored(settings_of(data_dir, database_url)) as database:
        member = _principals(database).add_to_group(name, user)
    typer.echo(f"{member.name} belongs to group {name}.")


@app.command("list")
def list_groups(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all groups with their members."""
    from quire.identity.models import PrincipalKind

    with open_stored(settings_of(data_dir, database_url)) as database:
        everybody = _principals(database).list()
    print_table(
        ["NAME", "MEMBERS"],
        (
            (group.name, ",".join(e.name for e in everybody if group.id in e.group_ids) or "-")
            for group in everybody
            if group.kind is PrincipalKind.GROUP
        ),
    )
