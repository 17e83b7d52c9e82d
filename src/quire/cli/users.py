"""``quire user``: the people who may use a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quire.cli.common import DatabaseUrl, DataDir, open_stored, print_table, settings_of

if TYPE_CHECKING:
    from quire.identity.principals import Principals
    from quire.store.database import Database

__all__ = ["app"]

app = typer.Typer(help="Make, list and disable users.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="A simple name or a mail address.")]


def _principals(database: Database) -> Principals:
    from quire.clock import SystemClock
    from quire.identity.principals import Principals

    return Principals(database, SystemClock())


@app.command("create")
def create(
    name: _Name,
    group: Annotated[
        list[str] | None, typer.Option(help="A group to put the user in; may be repeated.")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Let the user do everything.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a user, who also gets the workspace folder /Users/NAME."""
    from quire.identity.models import Role

    with open_stored(settings_of(data_dir, database_url), make=True) as database:
        role = Role.ADMIN if admin else Role.MEMBER
        user = _principals(database).create_user(name, role=role, groups=group or [])
    typer.echo(
        f"Created user {user.name}. Give them a token: quire token create --user {user.name}"
    )


@app.command("list")
def list_users(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all users."""
    from quire.identity.models import PrincipalKind

    with open_stored(settings_of(data_dir, database_url)) as database:
        everybody = _principals(database).list()
    names = {each.id: each.name for each in everybody}
    print_table(
        ["NAME", "ROLE", "GROUPS", "STATE"],
        (
            (
                user.name,
                user.role,
                ",".join(sorted(names[each] for each in user.group_ids)) or "-",
                "active" if user.disabled_at is None else "disabled",
            )
            for user in everybody
            if user.kind is PrincipalKind.USER
        ),
    )


@app.command("disable")
def disable(name: _Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Shut a user out: their tokens fail from now on. What they own stays."""
    with open_stored(settings_of(data_dir, database_url)) as database:
        user = _principals(database).disable(name)
    typer.echo(f"Disabled user {user.name}.")


@app.command("enable")
def enable(name: _Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Let a disabled user in again."""
    with open_stored(settings_of(data_dir, database_url)) as database:
        user = _principals(database).enable(name)
    typer.echo(f"Enabled user {user.name}.")
