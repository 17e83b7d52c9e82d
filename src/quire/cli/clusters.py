"""``quire cluster``: the Spark clusters of a server.

Commands write what is wanted into the database; the running server makes it so. They act as the
server's operator, who may do everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from quire.cli.common import (
    DatabaseUrl,
    DataDir,
    open_stored,
    operator,
    parse_lifetime,
    print_table,
    settings_of,
    shown_time,
)

if TYPE_CHECKING:
    from pathlib import Path

    from quire.compute.clusters import Clusters
    from quire.compute.models import AutoScale, Cluster
    from quire.identity.principals import Principal, Principals

__all__ = ["app"]

app = typer.Typer(help="Make, start, change and end Spark clusters.", no_args_is_help=True)

_Id = Annotated[str, typer.Argument(metavar="CLUSTER", help="Id or label of a cluster.")]
_Workers = Annotated[
    str | None, typer.Option(help="A number of workers, or bounds to scale between, such as 1-4.")
]
_Conf = Annotated[
    list[str] | None, typer.Option(help="A Spark setting as KEY=VALUE; may be repeated.")
]
_Env = Annotated[list[str] | None, typer.Option(help="A variable as NAME=VALUE; may be repeated.")]
_Master = Annotated[
    str | None, typer.Option(help="An external Spark: spark://…, yarn, k8s://… or sc://….")
]
_Idle = Annotated[
    str | None,
    typer.Option(help="End it after this long without a run, such as 30m; 0: never."),
]


class _Given(StrEnum):
    """What ``quire cluster share --as`` takes."""

    ATTACH = "attach"
    RESTART = "restart"
    MANAGE = "manage"
    NONE = "none"


class _Session:
    """The services a command works with, as the server's operator."""

    def __init__(self, clusters: Clusters, principals: Principals, operator: Principal) -> None:
        self.clusters = clusters
        self.principals = principals
        self.operator = operator

    def find(self, name: str) -> Cluster:
        """A cluster by its id or a label. Raises NotFound."""
        from quire.errors import NotFound

        try:
            return self.clusters.get(self.operator, name)
        except NotFound as error:
            try:
                return self.clusters.get_by_label(self.operator, name)
            except NotFound:
                raise error from None


@contextmanager
def _session(data_dir: Path | None, database_url: str | None) -> Iterator[_Session]:
    from quire.clock import SystemClock
    from quire.compute.clusters import Clusters
    from quire.identity.principals import Principals

    settings = settings_of(data_dir, database_url)
    with open_stored(settings) as database:
        clock = SystemClock()
        clusters = Clusters(database, clock, settings)
        yield _Session(clusters, Principals(database, clock), operator())


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    owner: Annotated[str, typer.Option(help="Name of the user it belongs to.")],
    workers: _Workers = None,
    conf: _Conf = None,
    env: _Env = None,
    master: _Master = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A name runs may ask for; may be repeated.")
    ] = None,
    idle: _Idle = "2h",
    stopped: Annotated[bool, typer.Option("--stopped", help="Do not start it yet.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a cluster and print its id, alone, on standard output."""
    from quire.compute.models import ClusterSpec

    number, scale = _size(workers)
    spec = ClusterSpec(
        name=name,
        workers=number,
        autoscale=scale,
        master=master,
        spark_conf=_pairs("--conf", conf),
        environment=_pairs("--env", env),
        labels=tuple(label or ()),
        autotermination_seconds=_idle(idle),
    )
    with _session(data_dir, database_url) as session:
        user = session.principals.get_by_name(owner)
        cluster = session.clusters.create(user, spec, start=not stopped)
    typer.echo(cluster.id)


@app.command("edit")
def edit(
    cluster: _Id,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    workers: _Workers = None,
    conf: _Conf = None,
    env: _Env = None,
    master: _Master = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Labels in place of those it has.")
    ] = None,
    idle: _Idle = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Change a cluster; what is not given stays. A running one is restarted."""
    from dataclasses import replace

    with _session(data_dir, database_url) as session:
        known = session.find(cluster)
        spec = known.spec
        if workers is not None:
            number, scale = _size(workers)
            spec = replace(spec, workers=number, autoscale=scale)
        if conf is not None:
            spec = replace(spec, spark_conf={**spec.spark_conf, **_pairs("--conf", conf)})
        if env is not None:
            spec = replace(spec, environment={**spec.environment, **_pairs("--env", env)})
        if idle is not None:
            spec = replace(spec, autotermination_seconds=_idle(idle))
        if label is not None:
            spec = replace(spec, labels=tuple(label))
        if name is not None:
            spec = replace(spec, name=name)
        if master is not None:
            spec = replace(spec, master=master or None)
        changed = session.clusters.edit(session.operator, known.id, spec)
    typer.echo(f"Cluster {changed.id} is {changed.state}.")


@app.command("list")
def list_clusters(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List clusters: those that live, ended ones for thirty days, pinned ones for good."""
    with _session(data_dir, database_url) as session:
        found = session.clusters.list(session.operator)
    print_table(
        ["ID", "NAME", "STATE", "WORKERS", "OWNER", "LABELS"],
        (
            (
                each.id,
                each.spec.name or "-",
                each.state,
                _shown_size(each),
                each.owner_name or "-",
                ",".join(each.spec.labels) or "-",
            )
            for each in found
        ),
    )


@app.command("show")
def show(cluster: _Id, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show everything about one cluster."""
    with _session(data_dir, database_url) as session:
        found = session.find(cluster)
        grants = session.clusters.list_grants(session.operator, found.id)
    spec = found.spec
    idle = spec.autotermination_seconds
    rows: list[tuple[str, object]] = [
        ("id", found.id),
        ("name", spec.name or "-"),
        ("state", found.state),
        ("message", found.message or "-"),
        ("cause", found.cause or "-"),
        ("workers", f"{_shown_size(found)} ({found.worker_count} run)"),
        ("driver", f"{found.driver_state}, number {found.generation}"),
        ("master", spec.master or "-"),
        ("owner", found.owner_name or "-"),
        ("labels", ", ".join(spec.labels) or "-"),
        ("ends when idle for", f"{idle} s" if idle else "never"),
        ("pinned", "yes" if found.pinned_at else "no"),
        ("created", shown_time(found.created_at)),
        ("started", shown_time(found.started_at)),
        ("ended", shown_time(found.terminated_at)),
    ]
    rows += [(f"shared with {name}", right) for name, right in grants]
    rows += [(f"spark_conf {key}", value) for key, value in spec.spark_conf.items()]
    rows += [(f"environment {key}", value) for key, value in spec.environment.items()]
    rows += [("not honoured", notice) for notice in spec.notices]
    print_table(["FIELD", "VALUE"], rows)


@app.command("events")
def events(
    cluster: _Id,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List what happened to a cluster, the newest first."""
    with _session(data_dir, database_url) as session:
        found = session.find(cluster)
        page = session.clusters.events(session.operator, found.id, limit=limit)
    print_table(
        ["TIME", "EVENT", "DETAILS"],
        (
            (
                shown_time(event.at),
                event.type,
                ", ".join(f"{name}: {value}" for name, value in event.details.items()) or "-",
            )
            for event in page.events
        ),
    )


@app.command("start")
def start(cluster: _Id, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Start a cluster that has ended."""
    _act(cluster, data_dir, database_url, lambda on: on.clusters.start)


@app.command("restart")
def restart(cluster: _Id, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Replace the processes of a running cluster; runs that use its Spark end."""
    _act(cluster, data_dir, database_url, lambda on: on.clusters.restart)


@app.command("delete")
def delete(cluster: _Id, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """End a cluster. Its definition stays; it can be started again."""
    _act(cluster, data_dir, database_url, lambda on: on.clusters.terminate)


@app.command("resize")
def resize(
    cluster: _Id,
    workers: Annotated[str, typer.Argument(help="A number of workers, or bounds such as 1-4.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give a running cluster another number of workers."""
    number, scale = _size(workers)
    with _session(data_dir, database_url) as session:
        changed = session.clusters.resize(
            session.operator,
            session.find(cluster).id,
            workers=None if scale else number,
            autoscale=scale,
        )
    typer.echo(f"Cluster {changed.id} is {changed.state}.")


@app.command("permanent-delete")
def permanent_delete(
    cluster: _Id, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """End a cluster and forget it."""
    with _session(data_dir, database_url) as session:
        found = session.find(cluster)
        session.clusters.remove(session.operator, found.id)
    typer.echo(f"Removed cluster {found.id}.")


@app.command("share")
def share(
    cluster: _Id,
    right: Annotated[
        _Given,
        typer.Option("--as", help="Right to give instead of what they had; none takes it."),
    ],
    user: Annotated[str | None, typer.Option(help="Name of the user to share with.")] = None,
    group: Annotated[str | None, typer.Option(help="Name of the group to share with.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Let others run on a cluster (attach), start and end it (restart), or change it (manage)."""
    from quire.compute.models import ClusterRight
    from quire.errors import InvalidRequest
    from quire.identity.models import PrincipalKind

    if (user is None) == (group is None):
        raise InvalidRequest("Share either with a --user or with a --group.")
    name, kind = (user, PrincipalKind.USER) if user else (group or "", PrincipalKind.GROUP)
    given = None if right is _Given.NONE else ClusterRight(right.value)
    with _session(data_dir, database_url) as session:
        found = session.find(cluster)
        principal = session.principals.get_by_name(name, kind)
        session.clusters.grant(session.operator, found.id, principal.id, given)
    held = "may not use" if given is None else f"has the right {given.value!r} to"
    typer.echo(f"{principal.name} {held} cluster {found.id}.")


@app.command("pin")
def pin(cluster: _Id, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Keep a cluster's definition for good."""
    _pin(cluster, data_dir, database_url, pinned=True)


@app.command("unpin")
def unpin(cluster: _Id, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Let a cluster's definition go some time after its end."""
    _pin(cluster, data_dir, database_url, pinned=False)


def _act(
    name: str,
    data_dir: Path | None,
    database_url: str | None,
    choose: Callable[[_Session], Callable[[Principal, str], Cluster]],
) -> None:
    with _session(data_dir, database_url) as session:
        changed = choose(session)(session.operator, session.find(name).id)
    typer.echo(f"Cluster {changed.id} is {changed.state}.")


def _pin(name: str, data_dir: Path | None, database_url: str | None, *, pinned: bool) -> None:
    with _session(data_dir, database_url) as session:
        found = session.find(name)
        session.clusters.pin(session.operator, found.id, pinned=pinned)
    typer.echo(f"{'Pinned' if pinned else 'Unpinned'} cluster {found.id}.")


def _size(text: str | None) -> tuple[int, AutoScale | None]:
    """Workers, or bounds of autoscaling. Raises InvalidValue."""
    from quire.compute.models import AutoScale
    from quire.errors import InvalidValue

    low, dash, high = (text or "0").strip().partition("-")
    if not (low.isdecimal() and (high.isdecimal() if dash else True)):
        raise InvalidValue("workers", f"{text!r} is neither a number nor bounds such as 1-4.")
    return (0, AutoScale(int(low), int(high))) if dash else (int(low), None)


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    from quire.errors import InvalidValue

    found = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidValue(option, f"{text!r} is not of the form NAME=VALUE.")
        if name in found:
            raise InvalidValue(option, f"{name!r} is given twice.")
        found[name] = value
    return found


def _idle(text: str | None) -> int | None:
    return None if text is None or text.strip() == "0" else parse_lifetime(text, "--idle")


def _shown_size(cluster: Cluster) -> str:
    scale = cluster.spec.autoscale
    return f"{scale.min_workers}-{scale.max_workers}" if scale else str(cluster.spec.workers)
