"""``quire serve``."""

from __future__ import annotations

import errno
from typing import Annotated

import typer

from quire.cli.common import BlobUrl, DatabaseUrl, DataDir, make_directory

__all__ = ["serve"]

_NO_ADDRESS = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES})


def serve(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on [env: QUIRE_HOST; default: 127.0.0.1]."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on; 0 picks a free one [env: QUIRE_PORT; default: 8080].",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    blob_url: BlobUrl = None,
) -> None:
    """Run the server until it is told to stop (Ctrl-C or SIGTERM).

    The first start on an empty data directory prints the administrator's token, once. Every other
    setting is read from the environment as QUIRE_<NAME>; docs/operations.md lists them all.
    """
    from quire.errors import Unavailable
    from quire.settings import load_settings

    settings = load_settings(
        host=host, port=port, data_dir=data_dir, database_url=database_url, blob_url=blob_url
    )
    make_directory(settings.data_dir)

    from quire.app import serve as serve_until_stopped

    try:
        serve_until_stopped(settings)
    except OSError as error:
        unknown_host = error.errno is not None and error.errno < 0  # a number of getaddrinfo
        if error.errno not in _NO_ADDRESS and not unknown_host:
            raise
        raise Unavailable(
            f"Cannot listen on {settings.host}:{settings.port}: {_reason(error)}. Name another "
            "address with --host and --port."
        ) from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).partition(" (while")[0]
