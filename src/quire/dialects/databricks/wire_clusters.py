"""Wire models of the Clusters API (contract 2.9, 8.5). The rules between fields are at the end."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field

from quire.dialects.databricks.wire import (
    AutoScale,
    Boolean,
    Choice,
    Integer,
    JsonObject,
    Library,
    Model,
    Moment,
    Name,
    Needed,
    NewCluster,
    Token64,
    check_cluster,
)
from quire.errors import InvalidValue, MissingField

__all__ = [
    "EVENT_NAMES",
    "STATE_NAMES",
    "ChangeOwner",
    "ClusterId",
    "ClusterLibraries",
    "CreateCluster",
    "EditCluster",
    "ListClusters",
    "ListEvents",
    "Nothing",
    "ResizeCluster",
    "UpdateCluster",
    "check_new_cluster",
    "check_size",
]

STATE_NAMES = (
    "PENDING",
    "RUNNING",
    "RESTARTING",
    "RESIZING",
    "TERMINATING",
    "TERMINATED",
    "ERROR",
    "UNKNOWN",
)
EVENT_NAMES = (
    "CREATING",
    "STARTING",
    "RUNNING",
    "RESTARTING",
    "RESIZING",
    "UPSIZE_COMPLETED",
    "EDITED",
    "TERMINATING",
    "PINNED",
    "UNPINNED",
    "INIT_SCRIPTS_STARTED",
    "INIT_SCRIPTS_FINISHED",
    "DRIVER_HEALTHY",
    "DRIVER_UNAVAILABLE",
    "NODES_LOST",
    "AUTOSCALING_STATS_REPORT",
    "SPARK_EXCEPTION",
)
_MOST_MINUTES = 10_000
_LEAST_MINUTES = 10


def _as_list(value: Any) -> Any:
    """A query that names a field once gives one value."""
    return value if isinstance(value, list) or value is None else [value]


class Nothing(Model):
    """A call without fields."""


class ClusterId(Model):
    cluster_id: Needed


class ClusterLibraries(Model):
    cluster_id: Needed
    libraries: Annotated[list[Library], Field(min_length=1)]


class _Definition(NewCluster):
    cluster_name: Name | None = None
    autotermination_minutes: Annotated[int, Integer(0, _MOST_MINUTES)] | None = None
    apply_policy_default_values: Boolean | None = None


class CreateCluster(_Definition):
    idempotency_token: Token64 | None = None
    clone_from: JsonObject | None = None


class EditCluster(_Definition):
    cluster_id: Needed


class ClusterFields(Model):
    """Fields of a cluster that an update may name; checked again once they are merged."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)


class UpdateCluster(Model):
    cluster_id: Needed
    update_mask: Needed
    cluster: ClusterFields | None = None


class ResizeCluster(Model):
    cluster_id: Needed
    num_workers: Annotated[int, Integer(0, 100_000)] | None = None
    autoscale: AutoScale | None = None


class ChangeOwner(Model):
    cluster_id: Needed
    owner_username: Needed


class ListClusters(Model):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, populate_by_name=True)

    page_size: Annotated[int, Integer(0, 100)] | None = None
    page_token: str | None = None
    states: Annotated[
        list[Annotated[str, Choice(*STATE_NAMES)]] | None,
        BeforeValidator(_as_list),
        Field(alias="filter_by.cluster_states"),
    ] = None
    sources: Annotated[
        list[
            Annotated[
                str, Choice("UI", "JOB", "API", "SQL", "MODELS", "PIPELINE", "PIPELINE_MAINTENANCE")
            ]
        ]
        | None,
        BeforeValidator(_as_list),
        Field(alias="filter_by.cluster_sources"),
    ] = None
    is_pinned: Annotated[Boolean | None, Field(alias="filter_by.is_pinned")] = None
    policy_id: Annotated[Name | None, Field(alias="filter_by.policy_id")] = None
    sort_field: Annotated[
        Annotated[str, Choice("CLUSTER_NAME", "DEFAULT")] | None, Field(alias="sort_by.field")
    ] = None
    sort_direction: Annotated[
        Annotated[str, Choice("ASC", "DESC")] | None, Field(alias="sort_by.direction")
    ] = None


class ListEvents(Model):
    most: ClassVar[int] = 500

    cluster_id: Needed
    start_time: Moment | None = None
    end_time: Moment | None = None
    order: Annotated[str, Choice("ASC", "DESC")] | None = None
    event_types: list[str] | None = None
    offset: Annotated[int, Integer()] | None = None
    limit: Annotated[int, Integer(0, 500)] | None = None
    page_size: Annotated[int, Integer(0, 500)] | None = None
    page_token: str | None = None


# -- rules between fields -------------------------------------------------------------------------


def check_new_cluster(cluster: _Definition) -> None:
    """The rules that need more than one field. Raises InvalidValue, Unsupported."""
    check_cluster(cluster, "")
    minutes = cluster.autotermination_minutes
    if minutes is not None and 0 < minutes < _LEAST_MINUTES:
        raise InvalidValue(
            "autotermination_minutes", f"it must be 0, or {_LEAST_MINUTES} to {_MOST_MINUTES}."
        )
    if isinstance(cluster, CreateCluster) and cluster.clone_from is not None:
        raise InvalidValue("clone_from", "this server does not clone clusters; give the fields.")


def check_size(body: ResizeCluster) -> None:
    """Exactly one size. Raises MissingField, InvalidValue."""
    if body.num_workers is None and body.autoscale is None:
        raise MissingField("num_workers")
    if body.autoscale is not None:
        if body.num_workers is not None:
            raise InvalidValue("autoscale", "may not be given together with num_workers.")
        if body.autoscale.max_workers <= body.autoscale.min_workers:
            raise InvalidValue("autoscale.max_workers", "has to be greater than min_workers.")
