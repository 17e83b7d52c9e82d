"""Every table, as SQLAlchemy sees it. Migrations bring a database to this shape.

Moments are stored as integer microseconds since the epoch, UTC, so that they compare and index
alike on SQLite and PostgreSQL; :class:`Moment` turns them into aware datetimes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

__all__ = [
    "Moment",
    "artifacts",
    "attachments",
    "attempts",
    "cluster_events",
    "cluster_grants",
    "cluster_labels",
    "cluster_uses",
    "clusters",
    "connections",
    "counters",
    "deliveries",
    "destinations",
    "environments",
    "events",
    "grants",
    "jobs",
    "journal_chunks",
    "memberships",
    "metadata",
    "nodes",
    "principals",
    "publications",
    "revisions",
    "run_creations",
    "runs",
    "server_values",
    "sessions",
    "tokens",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, stored as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("only aware datetimes are stored")
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any | None, _: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + int(value) * _MICROSECOND


Json = JSON().with_variant(JSONB(), "postgresql")
Id = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

server_values = Table(
    "server_values",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

principals = Table(
    "principals",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),  # user, group, service
    Column("name", String(255), nullable=False),
    Column("name_key", Text, nullable=False, unique=True),  # names that differ in case only clash
    Column("role", String(16), nullable=False),  # admin, member
    Column("created_at", Moment, nullable=False),
    Column("disabled_at", Moment),
)

memberships = Table(
    "memberships",
    metadata,
    Column("group_id", ForeignKey("principals.id", ondelete="CASCADE"), primary_key=True),
    Column("member_id", ForeignKey("principals.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_memberships_member_id", "member_id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column(
        "principal_id", ForeignKey("principals.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("digest", LargeBinary(32), nullable=False, unique=True),  # SHA-256 of the token
    Column("comment", Text, nullable=False, server_default=""),
    Column("scopes", Json),  # None: everything the principal may do
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", String(32), nullable=False, unique=True),  # UUID, hexadecimal
    Column("parent_id", ForeignKey("nodes.id"), index=True),
    Column("kind", String(16), nullable=False),  # folder, notebook, file
    Column("path", Text, nullable=False),  # absolute; "/" is the root
    # SHA-256 of the path: PostgreSQL indexes no text as long as a path may be.
    Column("path_digest", LargeBinary(32), nullable=False, unique=True),
    Column("language", String(64)),  # notebooks: python, sql, scala, r, ...
    Column("flavour", String(16)),  # notebooks: whose conventions it follows
    Column("owner_id", ForeignKey("principals.id")),
    Column("revision", Integer, nullable=False, server_default="0"),  # newest revision's number
    Column("size", BigInteger),  # files: bytes
    Column("public_right", String(16)),  # what everybody with an account may do: editor, viewer
    Column("created_at", Moment, nullable=False),
    Column("modified_at", Moment, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("node_id", ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("blob_key", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("creator_id", ForeignKey("principals.id")),
)

grants = Table(
    "grants",
    metadata,
    Column("node_id", ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True),
    Column("principal_id", ForeignKey("principals.id", ondelete="CASCADE"), primary_key=True),
    Column("right", String(16), nullable=False),  # owner, editor, viewer
)

attachments = Table(
    "attachments",
    metadata,
    Column("node_id", ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True),
    Column("path_digest", LargeBinary(32), primary_key=True),  # SHA-256, as that of nodes
    Column("path", Text, nullable=False),  # relative, such as "data/a.csv"
    Column("is_folder", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", LargeBinary(32)),  # SHA-256 of the content; None for folders
    Column("blob_key", Text),  # None for folders
    Column("modified_at", Moment, nullable=False),
)

publications = Table(
    "publications",
    metadata,
    Column("id", String(32), primary_key=True),  # UUID, hexadecimal
    Column("node_id", ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("options", Json, nullable=False),
    Column("blob_key", Text, nullable=False),  # the notebook as it was published
    Column("run_id", BigInteger),  # whose outputs it shows; None: those the notebook had
    Column("creator_id", ForeignKey("principals.id")),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("definition", Json, nullable=False),
    Column("creator_id", ForeignKey("principals.id")),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    Column("next_fire_at", Moment),
    Index(
        "ix_jobs_due",
        "next_fire_at",
        sqlite_where=text("next_fire_at IS NOT NULL"),
        postgresql_where=text("next_fire_at IS NOT NULL"),
    ),
)

# Conditions of queries have to say it in these words: see quire.store.keys.none_of.
_ACTIVE = "state NOT IN ('terminated', 'skipped')"

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", BigInteger, nullable=False),
    Column("number_in_job", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("trigger", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("creator_id", ForeignKey("principals.id")),
    Column("definition", Json, nullable=False),
    Column("parameters", Json, nullable=False),
    Column("state", String(16), nullable=False),
    Column("outcome", String(16)),
    Column("attempt_id", BigInteger, nullable=False),
    Column("parent_run_id", BigInteger),
    Column("idempotency_token", String(255), unique=True),
    Column("created_at", Moment, nullable=False, index=True),
    Column("ended_at", Moment, index=True),
    Column("deleted_at", Moment),
    Column("vendor", Json, nullable=False),
    # Node of the document it runs, at whatever path: what is there later may be another's.
    Column("notebook_id", BigInteger),
    # Node of the notebook in whose own kernel it runs; None: a kernel of its own.
    Column("session_id", BigInteger),
    Column("interactive", Boolean, nullable=False, server_default=false()),
    Index("ix_runs_job_id", "job_id", "id"),
    Index(
        "ix_runs_session",
        "session_id",
        "state",
        sqlite_where=text("session_id IS NOT NULL"),
        postgresql_where=text("session_id IS NOT NULL"),
    ),
    Index("ix_runs_parent_run_id", "parent_run_id"),
    Index("ix_runs_active", "job_id", sqlite_where=text(_ACTIVE), postgresql_where=text(_ACTIVE)),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("trigger", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("outcome", String(16)),
    Column("cause", String(32)),
    Column("message", Text, nullable=False, server_default=""),
    Column("created_at", Moment, nullable=False),
    Column("not_before", Moment),
    Column("claimed_at", Moment),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("ended_at", Moment),
    Column("cancel_requested_at", Moment),
    Column("lease_expires_at", Moment),
    Column("duration_warned_at", Moment),
    Column("runner_host", Text),
    Column("runner_pid", Integer),
    Column("runner_started", Text),
    Column("kernel_pid", Integer),
    Column("snapshot_key", Text),
    Column("applied_sequence", Integer, nullable=False, server_default="0"),
    Column("journal_bytes", BigInteger, nullable=False, server_default="0"),
    Column("exit_value", Text),
    Column("error", Text),
    Column("error_trace", Text),
    Column("last_cell", Integer),
    UniqueConstraint("run_id", "number"),
    Index(
        "ix_attempts_active",
        "state",
        "id",
        sqlite_where=text(_ACTIVE),
        postgresql_where=text(_ACTIVE),
    ),
)

sessions = Table(
    "sessions",
    metadata,
    # Not a foreign key: the kernel of a notebook that was deleted has to be ended first.
    Column("node_id", BigInteger, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False),  # the server whose runner keeps the kernel
    Column("lease_expires_at", Moment, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ending_at", Moment),  # when it was asked to end
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("attempt_id", ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True),
    # SHA-256 of the name: PostgreSQL indexes no text as long as a name may be.
    Column("name_digest", LargeBinary(32), primary_key=True),
    Column("name", Text, nullable=False),  # path in the working folder, such as "out/a.csv"
    Column("size", BigInteger, nullable=False),
    Column("blob_key", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)

journal_chunks = Table(
    "journal_chunks",
    metadata,
    Column("attempt_id", ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("length", BigInteger, nullable=False),
    Column("blob_key", Text, nullable=False),
)

run_creations = Table(
    "run_creations",
    metadata,
    Column("minute", BigInteger, primary_key=True),  # minutes since the epoch
    Column("count", Integer, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", BigInteger, nullable=False, index=True),
    Column("attempt_id", BigInteger, nullable=False),
    Column("type", String(32), nullable=False),  # created, queued, pending, running, ...
    Column("at", Moment, nullable=False),
    Column("detail", Json, nullable=False),
)

destinations = Table(
    "destinations",
    metadata,
    Column("id", String(36), primary_key=True),  # UUID
    Column("name", Text, nullable=False),
    Column("kind", String(32), nullable=False),  # webhook, email, ...
    Column("config", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", BigInteger, index=True),  # None: about a job
    Column("target_kind", String(16), nullable=False),
    Column("target", Text, nullable=False),
    Column("event", String(32), nullable=False),
    Column("message", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment),  # None: done with
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("delivered_at", Moment),
    Column("error", Text),  # why the last try failed
    Column("claimed_until", Moment),
    Index(
        "ix_deliveries_due",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
)

_UP = "state NOT IN ('terminated', 'error')"

clusters = Table(
    "clusters",
    metadata,
    Column("id", String(32), primary_key=True),  # MMDD-HHMMSS-xxxxxxxx
    Column("number", BigInteger, nullable=False, unique=True),
    Column("spec", Json, nullable=False),
    Column("source", String(16), nullable=False),  # request, job, shared
    Column("state", String(16), nullable=False),
    Column("cause", String(32)),
    Column("message", Text, nullable=False, server_default=""),
    Column("owner_id", ForeignKey("principals.id")),
    Column("run_id", BigInteger),
    Column("attempt_id", BigInteger, unique=True),  # of a cluster made for one attempt
    Column("idempotency_token", String(255), unique=True),
    Column("host", Text),  # where its processes are
    Column("driver_state", String(16), nullable=False),
    Column("driver_folder", Text),
    Column("driver_pid", Integer),
    Column("driver_started", Text),
    Column("driver_started_at", Moment),
    Column("wants_spark", Boolean, nullable=False),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("worker_count", Integer, nullable=False, server_default="0"),
    Column("created_at", Moment, nullable=False),
    Column("state_changed_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("terminated_at", Moment),
    Column("last_activity_at", Moment, nullable=False),
    Column("pinned_at", Moment),
    Column("removed_at", Moment),
    Index("ix_clusters_up", "state", sqlite_where=text(_UP), postgresql_where=text(_UP)),
)

cluster_labels = Table(
    "cluster_labels",
    metadata,
    Column("label", String(255), primary_key=True),
    Column("cluster_id", ForeignKey("clusters.id", ondelete="CASCADE"), nullable=False, index=True),
)

cluster_grants = Table(
    "cluster_grants",
    metadata,
    Column("cluster_id", ForeignKey("clusters.id", ondelete="CASCADE"), primary_key=True),
    Column("principal_id", ForeignKey("principals.id", ondelete="CASCADE"), primary_key=True),
    Column("right", String(16), nullable=False),  # attach, restart, manage
)

cluster_events = Table(
    "cluster_events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("cluster_id", ForeignKey("clusters.id", ondelete="CASCADE"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("type", String(32), nullable=False),
    Column("details", Json, nullable=False),
    Index("ix_cluster_events_cluster_id", "cluster_id", "id"),
)

_IN_USE = "released_at IS NULL"

cluster_uses = Table(
    "cluster_uses",
    metadata,
    Column("attempt_id", ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True),
    Column("cluster_id", ForeignKey("clusters.id", ondelete="CASCADE"), nullable=False),
    Column("session_key", String(64)),  # names the Spark session that it shares
    Column("generation", Integer),  # the driver it was told of; None: not told of any
    Column("cause", String(32)),  # why its compute failed
    Column("message", Text, nullable=False, server_default=""),
    Column("notices", Json, nullable=False),
    Column("attached_at", Moment, nullable=False),
    Column("released_at", Moment),
    Index(
        "ix_cluster_uses_cluster_id",
        "cluster_id",
        sqlite_where=text(_IN_USE),
        postgresql_where=text(_IN_USE),
    ),
)

environments = Table(
    "environments",
    metadata,
    Column("id", String(36), primary_key=True),  # UUID
    Column("name", String(100), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),  # pip, conda
    Column("requirements", Json, nullable=False),
    Column("indexes", Json, nullable=False),
    Column("specification", Text, nullable=False),
    Column("pins", Json),  # what it resolved to; None: not built yet
    Column("owner_id", ForeignKey("principals.id")),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("built_at", Moment),
)

connections = Table(
    "connections",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("kind", String(16), nullable=False),  # duckdb, postgresql, sqlserver
    Column("url", Text, nullable=False),  # with the password
    Column("allowed", Json),  # ids of principals; None: everybody
    Column("created_at", Moment, nullable=False),
)
