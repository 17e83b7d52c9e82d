"""``quire share``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from quire.cli.common import BlobUrl, DatabaseUrl, DataDir, open_stored, operator, settings_of

__all__ = ["share"]


class _Given(StrEnum):
    """What --as takes."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"
    NONE = "none"


def share(
    path: Annotated[str, typer.Argument(help="Path of a notebook, file or folder.")],
    right: Annotated[
        _Given,
        typer.Option("--as", help="Right to give; a folder's holds for all below; none takes it."),
    ],
    user: Annotated[str | None, typer.Option(help="Name of the user to share with.")] = None,
    group: Annotated[str | None, typer.Option(help="Name of the group to share with.")] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="Share with all who have an account.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    blob_url: BlobUrl = None,
) -> None:
    """Give somebody a right to a notebook, file or folder, or take it away."""
    from quire.clock import SystemClock
    from quire.errors import InvalidRequest
    from quire.identity.models import PrincipalKind
    from quire.identity.permissions import Right
    from quire.identity.principals import Principals
    from quire.store.blobs import BlobStore
    from quire.workspace.tree import Workspace

    if (user is not None) + (group is not None) + everybody != 1:
        raise InvalidRequest("Share either with a --user, with a --group or with --everybody.")
    settings = settings_of(data_dir, database_url, blob_url)
    actor = operator()
    with open_stored(settings) as database:
        clock = SystemClock()
        workspace = Workspace(
            database, BlobStore.open(settings.blob_url, settings.blobs_dir), clock
        )
        given = None if right is _Given.NONE else Right(right.value)
        if everybody:
            workspace.share_with_everybody(actor, path, given)
            held_by_all = "no right to" if given is None else f"the right of {given} to"
            typer.echo(f"Everybody has {held_by_all} {path}.")
            return
        name, kind = (user, PrincipalKind.USER) if user else (group or "", PrincipalKind.GROUP)
        principal = Principals(database, clock).get_by_name(name, kind)
        held = workspace.share(actor, path, principal, given)
    if held is None:
        typer.echo(f"{principal.name} has no right to {path}.")
    elif held.value == right.value:
        typer.echo(f"{principal.name} is {held} of {path}.")
    else:
        typer.echo(
            f"{principal.name} is still {held} of {path}: as its owner or an administrator, by a "
            "group, or by a folder above."
        )
