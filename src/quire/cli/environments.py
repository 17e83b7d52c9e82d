"""``quire env``: named sets of packages that runs may ask for.

Commands act as the server's administrator ``admin``, and build on the machine they are run on.
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
    from quire.compute.environments import Environments
    from quire.identity.models import Principal

__all__ = ["app"]

app = typer.Typer(help="Make, build, list and delete environments.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of an environment.")]


@contextmanager
def _session(
    data_dir: Path | None, database_url: str | None
) -> Iterator[tuple[Environments, Principal]]:
    from quire.compute.environments import Environments
    from quire.compute.package_builder import PackageBuilder

    settings = settings_of(data_dir, database_url)
    with open_as_administrator(settings) as (database, clock, administrator):
        yield Environments(database, clock, PackageBuilder(settings)), administrator


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name of the environment.")],
    requirements: Annotated[
        list[str] | None, typer.Argument(help="Packages, such as requests==2.32.0.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            exists=True,
            dir_okay=False,
            help="A requirements.txt, or an environment.yml of conda.",
        ),
    ] = None,
    index: Annotated[
        list[str] | None,
        typer.Option(help="Package index to ask before the usual one; may be repeated."),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Store an environment. It is built when first used; ``quire env build`` does it now."""
    wanted = list(requirements or ())
    conda = None
    if file is not None:
        text = file.read_text(encoding="utf-8")
        if file.suffix in (".yml", ".yaml"):
            conda = text
        else:
            lines = (line.partition(" #")[0].strip() for line in text.splitlines())
            wanted += [line for line in lines if line and not line.startswith("#")]
    with _session(data_dir, database_url) as (environments, administrator):
        environments.create(
            administrator, name, requirements=wanted, conda=conda, indexes=index or ()
        )
    typer.echo(f"Made environment {name}.")


@app.command("list")
def list_environments(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all environments."""
    with _session(data_dir, database_url) as (environments, _):
        found = environments.list()
    print_table(
        ["NAME", "KIND", "PACKAGES", "BUILT"],
        (
            (
                each.name,
                each.kind,
                str(len(each.requirements)) if not each.specification else "-",
                shown_time(each.built_at) if each.built_at is not None else "no",
            )
            for each in found
        ),
    )


@app.command("show")
def show(name: _Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show what an environment asks for, and what that resolved to."""
    with _session(data_dir, database_url) as (environments, _):
        found = environments.get(name)
    typer.echo(f"{found.name} ({found.id})")
    for title, lines in (
        ("Asks for", found.specification.splitlines() or found.requirements),
        ("Indexes", found.indexes),
        ("Resolved to", found.pins or ()),
    ):
        if lines:
            typer.echo(f"{title}:")
            for line in lines:
                typer.echo(f"  {line}")
    if found.pins is None and not found.specification:
        typer.echo("Not built yet.")


@app.command("build")
def build(name: _Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Resolve an environment anew and build it; runs get the new one from then on."""
    from quire.compute.package_builder import BuildFailed
    from quire.errors import InvalidState

    with _session(data_dir, database_url) as (environments, administrator):
        try:
            found = environments.build(administrator, name)
        except BuildFailed as error:
            raise InvalidState(f"The environment {name} could not be built: {error}") from error
    added = len(found.pins or ())
    typer.echo(f"Built {found.name}: {added} package{'' if added == 1 else 's'} added.")


@app.command("delete")
def delete(name: _Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Delete an environment. What was built of it goes when nobody has used it for a while."""
    with _session(data_dir, database_url) as (environments, administrator):
        environments.delete(administrator, name)
    typer.echo(f"Deleted environment {name}.")
