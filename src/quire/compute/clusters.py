"""Clusters as their owners see them: made, changed, started, ended, shared, and what happened.

Each call writes what is wanted, in one transaction with its event; the manager
(:mod:`quire.compute.manager`) makes it real.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from quire.clock import Clock
from quire.compute.checks import check_spec, is_lazy
from quire.compute.lifecycle import ACTIVE, change, end_state, move, note
from quire.compute.memory import Budget
from quire.compute.models import (
    AutoScale,
    Cluster,
    ClusterCause,
    ClusterEvent,
    ClusterEventType,
    ClusterRight,
    ClusterSource,
    ClusterSpec,
    ClusterState,
    DriverState,
    EventFilter,
    Library,
)
from quire.errors import (
    AlreadyExists,
    InvalidState,
    InvalidValue,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
)
from quire.identity.models import Principal, PrincipalKind
from quire.ids import AttemptId, ClusterId, PrincipalId, RunId
from quire.settings import Settings
from quire.store import cluster_events as event_rows
from quire.store import clusters as cluster_rows
from quire.store import principals as principal_rows
from quire.store.database import Database, after_commit, next_number

__all__ = ["Clusters", "EventPage"]

_COUNTER = "clusters"
_LETTERS = string.ascii_lowercase + string.digits
_SHOWN_AFTER_END = timedelta(days=30)
_LISTED = (ClusterSource.REQUEST,)
_EVERY_EVENT = EventFilter()


@dataclass(frozen=True)
class EventPage:
    """Some of a cluster's events, and how many there are in all."""

    events: Sequence[ClusterEvent]
    total: int


class Clusters:
    """The clusters of the server.

    Whoever made a cluster, and administrators, may do everything with it; others what they were
    granted. To all others it does not exist.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        *,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """``wake`` tells the manager that something is wanted."""
        self._database = database
        self._clock = clock
        self._settings = settings
        self._wake = wake
        self.budget = Budget(settings)

    # -- made and changed -------------------------------------------------------------------

    def create(
        self,
        actor: Principal,
        spec: ClusterSpec,
        *,
        start: bool = True,
        idempotency_token: str | None = None,
    ) -> Cluster:
        """Make a cluster, started unless ``start`` is false.

        The same token gives the cluster that was made with it before. Raises InvalidValue, also
        for a token of somebody else, AlreadyExists for a label that is taken, QuotaExceeded when
        it cannot fit.
        """
        _check_owner(actor)
        spec = check_spec(spec)
        with self._database.write() as connection:
            if idempotency_token is not None:
                known = cluster_rows.find_by_token(connection, idempotency_token)
                if known is not None:
                    return self._made_before(connection, actor, known)
            if cluster_rows.count_clusters(connection) >= self._settings.max_saved_clusters:
                raise QuotaExceeded(
                    f"This server keeps {self._settings.max_saved_clusters} clusters at most."
                )
            if start:
                self._check_room(connection, spec)
            return self.create_in(
                connection, spec, owner=actor, start=start, idempotency_token=idempotency_token
            )

    def create_in(
        self,
        connection: Connection,
        spec: ClusterSpec,
        *,
        owner: Principal | None,
        source: ClusterSource = ClusterSource.REQUEST,
        start: bool = True,
        run_id: RunId | None = None,
        attempt_id: AttemptId | None = None,
        idempotency_token: str | None = None,
    ) -> Cluster:
        """Store a checked cluster as a part of the caller's transaction."""
        now = self._clock.now()
        number = next_number(connection, _COUNTER)
        suffix = "".join(secrets.choice(_LETTERS) for _ in range(8))
        cluster = Cluster(
            id=ClusterId(f"{now:%m%d-%H%M%S}-{suffix}"),
            number=number,
            spec=spec,
            source=source,
            state=ClusterState.TERMINATED,
            cause=None,
            message="",
            owner_id=owner.id if owner is not None else None,
            owner_name=owner.name if owner is not None else None,
            run_id=run_id,
            attempt_id=attempt_id,
            host=None,
            driver_state=DriverState.NONE,
            driver=None,
            wants_spark=False,
            generation=0,
            worker_count=0,
            created_at=now,
            state_changed_at=now,
            started_at=None,
            terminated_at=now,
            last_activity_at=now,
            pinned_at=None,
            removed_at=None,
        )
        cluster_rows.insert_cluster(connection, cluster, idempotency_token)
        self._set_labels(connection, cluster.id, spec.labels)
        details = {"user": cluster.owner_name, "workers": spec.workers}
        note(connection, cluster, ClusterEventType.CREATING, now, details)
        for notice in spec.notices:
            note(connection, cluster, ClusterEventType.NOTICE, now, {"message": notice})
        return self.begin(connection, cluster, user=cluster.owner_name) if start else cluster

    def begin(self, connection: Connection, cluster: Cluster, *, user: str | None) -> Cluster:
        """Start a locked cluster that has ended; one that needs no driver yet is up at once."""
        now = self._clock.now()
        lazy = is_lazy(cluster.spec)
        facts = {"wants_spark": not lazy}
        cluster = move(
            connection, cluster, ClusterState.PENDING, now, details={"user": user}, facts=facts
        )
        if lazy:
            cluster = move(connection, cluster, ClusterState.RUNNING, now)
        after_commit(connection, self._wake)
        return cluster

    def edit(
        self, actor: Principal, cluster_id: str, spec: ClusterSpec, *, keep: Collection[str] = ()
    ) -> Cluster:
        """Give a cluster another spec; one that runs is restarted with it.

        ``keep`` names fields that stay what they are, whatever ``spec`` says.
        Raises NotFound, PermissionDenied, InvalidValue, AlreadyExists, QuotaExceeded, InvalidState
        unless the cluster runs or has ended.
        """
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.MANAGE)
            spec = check_spec(replace(spec, **{name: getattr(cluster.spec, name) for name in keep}))
            if cluster.state in ACTIVE and not cluster.is_up:
                raise InvalidState(f"{_in_state(cluster)}; only running or ended ones are edited.")
            cluster_rows.update_spec(connection, cluster.id, spec)
            self._set_labels(connection, cluster.id, spec.labels)
            now = self._clock.now()
            cluster = replace(cluster, spec=spec)
            note(connection, cluster, ClusterEventType.EDITED, now, {"user": actor.name})
            for notice in spec.notices:
                note(connection, cluster, ClusterEventType.NOTICE, now, {"message": notice})
            if cluster.is_up:
                self._check_room(connection, spec, without=cluster.id)
                cluster = self._restart(connection, cluster, actor, "its definition was changed")
            return cluster

    def change_libraries(
        self,
        actor: Principal,
        cluster_id: str,
        *,
        add: Sequence[Library] = (),
        remove: Sequence[Library] = (),
    ) -> Cluster:
        """Give a cluster's runs other libraries; runs that have begun keep theirs.

        Raises NotFound, PermissionDenied.
        """
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.MANAGE)
            kept = [each for each in cluster.spec.libraries if each not in remove]
            spec = replace(cluster.spec, libraries=tuple(dict.fromkeys([*kept, *add])))
            cluster_rows.update_spec(connection, cluster.id, spec)
            now = self._clock.now()
            note(connection, cluster, ClusterEventType.EDITED, now, {"user": actor.name})
            return replace(cluster, spec=spec)

    def start(self, actor: Principal, cluster_id: str) -> Cluster:
        """Start a cluster that has ended. Raises NotFound, PermissionDenied, InvalidState."""
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.RESTART)
            if cluster.state in ACTIVE:
                raise InvalidState(f"{_in_state(cluster)}; only ended ones are started.")
            self._check_room(connection, cluster.spec)
            return self.begin(connection, cluster, user=actor.name)

    def restart(self, actor: Principal, cluster_id: str) -> Cluster:
        """Replace the processes of a cluster that runs. Raises as :meth:`start` does."""
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.RESTART)
            if not cluster.is_up:
                raise InvalidState(f"{_in_state(cluster)}; only running ones are restarted.")
            return self._restart(connection, cluster, actor, f"{actor.name} asked for it")

    def resize(
        self,
        actor: Principal,
        cluster_id: str,
        *,
        workers: int | None = None,
        autoscale: AutoScale | None = None,
    ) -> Cluster:
        """Give a cluster that runs other workers; exactly one of the two is given.

        Going from no workers to some, or from a number to bounds, or back, replaces the driver.
        Raises as :meth:`edit` does.
        """
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.RESTART)
            if not cluster.is_up:
                raise InvalidState(f"{_in_state(cluster)}; only running ones are resized.")
            spec = check_spec(
                replace(cluster.spec, workers=0, autoscale=autoscale)
                if autoscale is not None
                else replace(cluster.spec, workers=workers or 0, autoscale=None)
            )
            self._check_room(connection, spec, without=cluster.id)
            cluster_rows.update_spec(connection, cluster.id, spec)
            replaced = _kind_of_size(spec) != _kind_of_size(cluster.spec)
            cluster = replace(cluster, spec=spec)
            if replaced:
                return self._restart(connection, cluster, actor, "it was resized")
            if cluster.state is ClusterState.RUNNING and spec.most_workers > 0:
                cluster = move(
                    connection,
                    cluster,
                    ClusterState.RESIZING,
                    self._clock.now(),
                    details={"user": actor.name, "workers": spec.least_workers},
                )
            after_commit(connection, self._wake)
            return cluster

    def terminate(self, actor: Principal, cluster_id: str) -> Cluster:
        """End a cluster; its definition stays. One that has ended stays as it is."""
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.RESTART)
            return self.end(
                connection,
                cluster,
                ClusterCause.USER_REQUEST,
                f"Terminated by {actor.name}.",
                user=actor.name,
            )

    def end(
        self,
        connection: Connection,
        cluster: Cluster,
        cause: ClusterCause,
        message: str,
        *,
        user: str | None = None,
    ) -> Cluster:
        """Begin to take a locked cluster down, unless it is down or on its way."""
        if cluster.state not in ACTIVE or cluster.state is ClusterState.TERMINATING:
            return cluster
        cluster = move(
            connection,
            cluster,
            ClusterState.TERMINATING,
            self._clock.now(),
            cause=cause,
            message=message,
            details={"user": user},
        )
        if cluster.host is None:  # it has no processes
            target = end_state(cause)
            return move(connection, cluster, target, self._clock.now(), message=message)
        after_commit(connection, self._wake)
        return cluster

    def remove(self, actor: Principal, cluster_id: str) -> None:
        """End a cluster and forget it. Raises NotFound, PermissionDenied."""
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.MANAGE)
            message = f"Removed by {actor.name}."
            self.end(connection, cluster, ClusterCause.USER_REQUEST, message, user=actor.name)
            facts = {"removed_at": self._clock.now(), "pinned_at": None}
            cluster_rows.update_cluster(connection, cluster.id, facts)
            self._set_labels(connection, cluster.id, ())

    def pin(self, actor: Principal, cluster_id: str, *, pinned: bool = True) -> None:
        """Keep a cluster's definition for good, or no more. Again is no error."""
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.MANAGE)
            if (cluster.pinned_at is not None) is pinned:
                return
            now = self._clock.now()
            event = ClusterEventType.PINNED if pinned else ClusterEventType.UNPINNED
            facts = {"pinned_at": now if pinned else None}
            change(connection, cluster, facts, now, event, {"user": actor.name})

    # -- seen -------------------------------------------------------------------------------

    def get(self, actor: Principal, cluster_id: str) -> Cluster:
        """One cluster, whatever its state. Raises NotFound."""
        with self._database.read() as connection:
            return self._visible(connection, actor, cluster_id)

    def get_by_label(self, actor: Principal, label: str) -> Cluster:
        """The cluster that has a label. Raises NotFound."""
        with self._database.read() as connection:
            cluster_id = cluster_rows.find_by_label(connection, label)
            if cluster_id is None:
                raise NotFound("cluster", label, f"There is no cluster with label: {label}")
            return self._visible(connection, actor, cluster_id)

    def list(self, actor: Principal) -> list[Cluster]:
        """Those the actor may see, the newest first.

        Ended ones stay for thirty days, pinned ones for good; clusters of runs are not among them.
        """
        with self._database.read() as connection:
            return cluster_rows.list_clusters(
                connection,
                sources=_LISTED,
                principal_ids=None if actor.is_admin else actor.acting_ids,
                ended_after=self._clock.now() - _SHOWN_AFTER_END,
            )

    def events(
        self,
        actor: Principal,
        cluster_id: str,
        chosen: EventFilter = _EVERY_EVENT,
        *,
        newest_first: bool = True,
        offset: int = 0,
        limit: int = 50,
    ) -> EventPage:
        """What happened to a cluster. Raises NotFound."""
        with self._database.read() as connection:
            cluster = self._visible(connection, actor, cluster_id)
            found = event_rows.list_events(
                connection,
                cluster.id,
                chosen,
                newest_first=newest_first,
                offset=offset,
                limit=limit,
            )
            total = event_rows.count_events(connection, cluster.id, chosen)
        return EventPage(found, total)

    # -- shared -----------------------------------------------------------------------------

    def change_owner(self, actor: Principal, cluster_id: str, owner: PrincipalId) -> None:
        """Give a cluster that has ended to another principal; administrators only.

        Raises NotFound, PermissionDenied, InvalidState, and InvalidValue for a group.
        """
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.MANAGE)
            if not actor.is_admin:
                raise PermissionDenied("Only administrators change the owner of a cluster.")
            if cluster.state in ACTIVE:
                raise InvalidState(f"{_in_state(cluster)}; only ended ones change their owner.")
            found = principal_rows.get_principal(connection, owner)
            if found is None:
                raise NotFound("principal", owner)
            _check_owner(found)
            change(
                connection,
                cluster,
                {"owner_id": owner},
                self._clock.now(),
                ClusterEventType.OWNER_CHANGED,
                {"user": actor.name, "owner": found.name},
            )

    def list_grants(self, actor: Principal, cluster_id: str) -> Sequence[tuple[str, ClusterRight]]:
        """What was granted to others than the owner, by their names. Raises NotFound."""
        with self._database.read() as connection:
            cluster = self._visible(connection, actor, cluster_id)
            return cluster_rows.list_grants(connection, cluster.id)

    def grant(
        self,
        actor: Principal,
        cluster_id: str,
        principal_id: PrincipalId,
        right: ClusterRight | None,
    ) -> None:
        """Give a principal a right in place of what it had; None takes it away."""
        with self._database.write() as connection:
            cluster = self._locked(connection, actor, cluster_id, ClusterRight.MANAGE)
            if principal_rows.get_principal(connection, principal_id) is None:
                raise NotFound("principal", principal_id)
            if right is None:
                cluster_rows.remove_grant(connection, cluster.id, principal_id)
            else:
                cluster_rows.set_grant(connection, cluster.id, principal_id, right)

    def right_of(
        self, connection: Connection, actor: Principal, cluster: Cluster
    ) -> ClusterRight | None:
        """What a principal may do with a cluster; None: nothing, not even see it."""
        if actor.is_admin or cluster.owner_id in actor.acting_ids:
            return ClusterRight.MANAGE
        if cluster.source is ClusterSource.SHARED:
            return ClusterRight.ATTACH
        return cluster_rows.find_right(connection, cluster.id, actor.acting_ids)

    # -- inside -----------------------------------------------------------------------------

    def _restart(
        self, connection: Connection, cluster: Cluster, actor: Principal, why: str
    ) -> Cluster:
        cluster = move(
            connection,
            cluster,
            ClusterState.RESTARTING,
            self._clock.now(),
            message=f"Cluster {cluster.id} was restarted, because {why}.",
            details={"user": actor.name},
            facts={"wants_spark": not is_lazy(cluster.spec)},
        )
        after_commit(connection, self._wake)
        return cluster

    def _check_room(
        self, connection: Connection, spec: ClusterSpec, without: ClusterId | None = None
    ) -> None:
        """Refuse what could not be made real; a lazy cluster asks for memory only later."""
        others = (
            []
            if is_lazy(spec)
            else [each for each in cluster_rows.list_active(connection) if each.id != without]
        )
        self.budget.check(spec, others)

    def _set_labels(
        self, connection: Connection, cluster_id: ClusterId, labels: Sequence[str]
    ) -> None:
        for label in labels:
            holder = cluster_rows.find_by_label(connection, label)
            if holder is not None and holder != cluster_id:
                raise AlreadyExists(f"Label {label} is already in use")
        try:
            cluster_rows.set_labels(connection, cluster_id, labels)
        except IntegrityError as error:
            raise AlreadyExists(f"One of the labels is taken: {', '.join(labels)}.") from error

    def _made_before(self, connection: Connection, actor: Principal, known: Cluster) -> Cluster:
        try:
            return self._visible(connection, actor, known.id)
        except NotFound:
            raise InvalidValue(
                "idempotency_token",
                "the cluster that was made with it is removed, or somebody else's.",
            ) from None

    def _visible(self, connection: Connection, actor: Principal, cluster_id: str) -> Cluster:
        cluster = cluster_rows.get_cluster(connection, ClusterId(cluster_id))
        return self._checked(connection, actor, cluster_id, cluster, ClusterRight.ATTACH)

    def _locked(
        self, connection: Connection, actor: Principal, cluster_id: str, needed: ClusterRight
    ) -> Cluster:
        cluster = cluster_rows.get_cluster(connection, ClusterId(cluster_id), lock=True)
        return self._checked(connection, actor, cluster_id, cluster, needed)

    def _checked(
        self,
        connection: Connection,
        actor: Principal,
        cluster_id: str,
        cluster: Cluster | None,
        needed: ClusterRight,
    ) -> Cluster:
        held = None
        if cluster is not None and cluster.removed_at is None:
            held = self.right_of(connection, actor, cluster)
        if cluster is None or held is None:
            raise NotFound("cluster", cluster_id, f"Cluster {cluster_id} does not exist")
        if not held.covers(needed):
            raise PermissionDenied(
                f"{actor.name} may {held} cluster {cluster_id}, and this needs the right to "
                f"{needed} it."
            )
        return cluster


def _kind_of_size(spec: ClusterSpec) -> tuple[bool, bool]:
    """What a driver must be started anew for, when it changes."""
    return spec.most_workers > 0, spec.autoscale is not None


def _check_owner(principal: Principal) -> None:
    """Refuse a group: what a cluster reads, it reads with the rights of one user."""
    if principal.kind is PrincipalKind.GROUP:
        raise InvalidValue("owner", f"{principal.name} is a group; groups own no clusters.")


def _in_state(cluster: Cluster) -> str:
    return f"Cluster {cluster.id} is in unexpected state {cluster.state.capitalize()}"
