"""The ``quire`` command: puts the groups of commands together and words their errors.

An error of Quire's own is one line on standard error and exit code 1; wrong usage is exit code 2.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from quire.cli import (
    clusters,
    connections,
    destinations,
    doctor,
    environments,
    groups,
    serve,
    share,
    tokens,
    users,
)
from quire.errors import QuireError

__all__ = ["app"]


class _Commands(TyperGroup):
    """All commands, with errors of Quire's own in one place."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except QuireError as error:
            typer.echo(f"quire: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    name="quire",
    help="Quire runs notebooks and answers for several vendors' REST dialects.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.add_typer(users.app, name="user")
app.add_typer(groups.app, name="group")
app.add_typer(tokens.app, name="token")
app.command("share")(share.share)
app.add_typer(destinations.app, name="destination")
app.add_typer(clusters.app, name="cluster")
app.add_typer(environments.app, name="env")
app.add_typer(connections.app, name="connection")
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        from quire import __version__

        typer.echo(f"quire {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Quire runs notebooks and answers for several vendors' REST dialects."""
