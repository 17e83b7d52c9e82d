"""``quire token``: the credentials of API clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from quire.cli.common import (
    DatabaseUrl,
    DataDir,
    open_stored,
    parse_lifetime,
    print_table,
    settings_of,
    shown_time,
)

if TYPE_CHECKING:
    from quire.store.database import Database

__all__ = ["app"]

app = typer.Typer(help="Make, list and revoke API tokens.", no_args_is_help=True)


@app.command("create")
def create(
    user: Annotated[str, typer.Option(help="Name of the user the token stands for.")],
    expires_in: Annotated[
        str | None,
        typer.Option(help="Lifetime such as 90s, 30m, 12h, 30d or 2w; without it: no end."),
    ] = None,
    comment: Annotated[str, typer.Option(help="What the token is for.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What the token may be used for: admin, user, workspace, notebook-in-workspace, "
            "notebook or basic, the wider covering the narrower, at times with :create or :read, "
            "such as workspace:read. May be given again. Without it: all its user may do."
        ),
    ] = None,
    notebook: Annotated[
        str | None,
        typer.Option(help="Path of the one notebook the token is good for. Scope: notebook."),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a token and print it, alone, on standard output. It cannot be shown again."""
    from quire.clock import SystemClock
    from quire.identity.principals import Principals
    from quire.identity.tokens import Tokens

    lifetime = None if expires_in is None else parse_lifetime(expires_in)
    with open_stored(settings_of(data_dir, database_url)) as database:
        clock = SystemClock()
        principal = Principals(database, clock).get_by_name(user)
        text, info = Tokens(database, clock).create(
            principal.id,
            comment=comment,
            lifetime_seconds=lifetime,
            scopes=_scopes(database, scope, notebook),
        )
    end = shown_time(info.expires_at, "never")
    typer.echo(f"Token {info.id} of {info.principal_name}, expires: {end}", err=True)
    typer.echo(text)


def _scopes(
    database: Database, given: Sequence[str] | None, notebook: str | None
) -> list[str] | None:
    """The scopes as they are stored; None: no bounds. Raises InvalidValue, NotFound."""
    from quire.errors import NotFound
    from quire.identity.scopes import Scope
    from quire.store import nodes
    from quire.workspace.addressing import check_path
    from quire.workspace.models import NodeKind

    if notebook is None:
        return list(given) if given else None
    path = check_path(notebook, "notebook")
    with database.read() as connection:
        node = nodes.find_by_path(connection, path)
    if node is None or node.kind is not NodeKind.NOTEBOOK:
        raise NotFound("notebook", path)
    read = [Scope.parse(text) for text in given or ["notebook"]]
    return [str(replace(scope, notebook=node.uid)) for scope in read]


@app.command("revoke")
def revoke(
    number: Annotated[
        int, typer.Argument(metavar="ID", help="Number of the token, as quire token list shows it.")
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a token fail from now on."""
    from quire.clock import SystemClock
    from quire.identity.tokens import Tokens

    with open_stored(settings_of(data_dir, database_url)) as database:
        info = Tokens(database, SystemClock()).revoke(number)
    typer.echo(f"Revoked token {info.id} of {info.principal_name}.")


@app.command("list")
def list_tokens(
    user: Annotated[str | None, typer.Option(help="Only the tokens of this user.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List tokens that are not revoked; never their text."""
    from quire.clock import SystemClock
    from quire.identity.principals import Principals
    from quire.identity.tokens import Tokens

    with open_stored(settings_of(data_dir, database_url)) as database:
        clock = SystemClock()
        owner = None if user is None else Principals(database, clock).get_by_name(user).id
        found = Tokens(database, clock).list(owner)
    print_table(
        ["ID", "USER", "CREATED", "EXPIRES", "SCOPES", "COMMENT"],
        (
            (
                each.id,
                each.principal_name,
                shown_time(each.created_at),
                shown_time(each.expires_at, "never"),
                "all" if each.scopes is None else ",".join(sorted(each.scopes)),
                each.comment or "-",
            )
            for each in found
        ),
    )
