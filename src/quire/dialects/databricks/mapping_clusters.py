"""Between the vendor's clusters and libraries and the engine's: pure functions, no decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from quire.compute.checks import check_spec
from quire.compute.libraries import LibraryStatus
from quire.compute.models import (
    AutoScale,
    Cluster,
    ClusterCause,
    ClusterEvent,
    ClusterEventType,
    ClusterSource,
    ClusterSpec,
    ClusterState,
    Compute,
    InitScript,
    Library,
    LibraryKind,
    ScriptKind,
)
from quire.compute.uses import UsedCluster
from quire.dialects.databricks import wire
from quire.dialects.databricks.cluster_names import own_names
from quire.dialects.databricks.locations import file_location, workspace_path
from quire.dialects.databricks.mapping_tasks import libraries_of
from quire.dialects.databricks.times import milliseconds

__all__ = [
    "NODE_TYPES",
    "cluster_instance",
    "cluster_spec",
    "compute_of",
    "describe_cluster",
    "describe_event",
    "describe_library_status",
    "event_kinds",
    "node_types",
    "shown_events",
    "spark_versions",
    "stored_cluster",
]

_DIALECT = "databricks"
_MIB = 1024 * 1024
_FILE_STORE = "dbfs:/"

# Our own sizes: cores and memory of each process. Other vendors' names get the server's default.
NODE_TYPES: Mapping[str, tuple[int, int]] = {
    "quire.small": (1, 1024),
    "quire.medium": (2, 2048),
    "quire.large": (4, 4096),
    "quire.xlarge": (8, 8192),
}

# What changes nothing here. What is only a label or a hint about somebody else's machines (tags,
# attributes of a cloud) is not worth a word.
_WITHOUT_EFFECT = (
    "instance_pool_id",
    "driver_instance_pool_id",
    "policy_id",
    "runtime_engine",
    "ssh_public_keys",
    "enable_local_disk_encryption",
)
_STATES = {state: state.value.upper() for state in ClusterState}
_CAUSES = {
    ClusterCause.USER_REQUEST: ("USER_REQUEST", "SUCCESS"),
    ClusterCause.JOB_FINISHED: ("JOB_FINISHED", "SUCCESS"),
    ClusterCause.INACTIVITY: ("INACTIVITY", "SUCCESS"),
    ClusterCause.INIT_SCRIPT_FAILURE: ("INIT_SCRIPT_FAILURE", "CLIENT_ERROR"),
    ClusterCause.SPARK_STARTUP_FAILURE: ("SPARK_STARTUP_FAILURE", "SERVICE_FAULT"),
    ClusterCause.DRIVER_UNREACHABLE: ("DRIVER_UNREACHABLE", "SERVICE_FAULT"),
    ClusterCause.OUT_OF_MEMORY: ("DRIVER_OUT_OF_MEMORY", "CLIENT_ERROR"),
    ClusterCause.HOST_LOST: ("INSTANCE_UNREACHABLE", "CLOUD_FAILURE"),
    ClusterCause.INTERNAL_ERROR: ("INTERNAL_ERROR", "SERVICE_FAULT"),
}
_SOURCES = {
    ClusterSource.REQUEST: "API",
    ClusterSource.JOB: "JOB",
    ClusterSource.SHARED: "UI",
}
_EVENTS = {
    ClusterEventType.CREATING: "CREATING",
    ClusterEventType.STARTING: "STARTING",
    ClusterEventType.RUNNING: "RUNNING",
    ClusterEventType.RESTARTING: "RESTARTING",
    ClusterEventType.RESIZING: "RESIZING",
    ClusterEventType.RESIZED: "UPSIZE_COMPLETED",
    ClusterEventType.EDITED: "EDITED",
    ClusterEventType.TERMINATING: "TERMINATING",
    ClusterEventType.PINNED: "PINNED",
    ClusterEventType.UNPINNED: "UNPINNED",
    ClusterEventType.INIT_SCRIPTS_STARTED: "INIT_SCRIPTS_STARTED",
    ClusterEventType.INIT_SCRIPTS_FINISHED: "INIT_SCRIPTS_FINISHED",
    ClusterEventType.DRIVER_HEALTHY: "DRIVER_HEALTHY",
    ClusterEventType.DRIVER_CRASHED: "DRIVER_UNAVAILABLE",
    ClusterEventType.WORKER_LOST: "NODES_LOST",
    ClusterEventType.AUTOSCALED: "AUTOSCALING_STATS_REPORT",
    # The vendor has no word for these: what could not be honoured, and an end by a fault.
    ClusterEventType.NOTICE: "SPARK_EXCEPTION",
    ClusterEventType.FAILED: "SPARK_EXCEPTION",
}


_LIBRARIES = {
    LibraryKind.PYPI: "pypi",
    LibraryKind.WHEEL: "whl",
    LibraryKind.REQUIREMENTS: "requirements",
    LibraryKind.EGG: "egg",
    LibraryKind.JAR: "jar",
    LibraryKind.MAVEN: "maven",
    LibraryKind.CRAN: "cran",
}


# -- from the wire --------------------------------------------------------------------------------


def compute_of(
    existing_cluster_id: str | None,
    new_cluster: wire.NewCluster | None,
    libraries: Sequence[wire.Library] | None,
) -> Compute | None:
    """What a run with these fields executes on; None: nothing in particular.

    Raises InvalidValue for a new cluster that could never be made.
    """
    if existing_cluster_id is None and new_cluster is None and not libraries:
        return None
    spec = None
    if new_cluster is not None:
        with own_names("new_cluster"):
            spec = check_spec(cluster_spec(new_cluster, name=""))
    return Compute(
        cluster_id=existing_cluster_id,
        new_cluster=spec,
        libraries=libraries_of(libraries or ()),
    )


def cluster_spec(
    cluster: wire.NewCluster, *, name: str, autotermination_minutes: int = 0
) -> ClusterSpec:
    """The engine's spec of a checked cluster."""
    cores, memory = NODE_TYPES.get(cluster.node_type_id or "", (None, None))
    driver_node = cluster.driver_node_type_id or cluster.node_type_id or ""
    driver_cores, driver_memory = NODE_TYPES.get(driver_node, (None, None))
    scale = cluster.autoscale
    return ClusterSpec(
        name=name,
        workers=cluster.num_workers or 0,
        autoscale=AutoScale(scale.min_workers, scale.max_workers) if scale else None,
        spark_conf=dict(cluster.spark_conf or {}),
        environment=dict(cluster.spark_env_vars or {}),
        init_scripts=tuple(_script(script) for script in cluster.init_scripts or ()),
        log_destination=_log_destination(cluster),
        driver_memory_bytes=driver_memory * _MIB if driver_memory else None,
        executor_memory_bytes=memory * _MIB if memory else None,
        driver_cores=driver_cores,
        executor_cores=cores,
        autotermination_seconds=autotermination_minutes * 60 or None,
        tags=dict(cluster.custom_tags or {}),
        vendor={_DIALECT: cluster.stored()},
        notices=tuple(_notices(cluster)),
    )


def _script(script: wire.InitScript) -> InitScript:
    name = next(iter(script.model_fields_set))
    destination: str = getattr(script, name).destination
    if name == "workspace":
        return InitScript(ScriptKind.WORKSPACE, workspace_path(destination))
    location = file_location(destination)
    if location.startswith(_FILE_STORE):
        return InitScript(ScriptKind.FILES, "/" + location.removeprefix(_FILE_STORE))
    if name == "file" and not destination.startswith(("file:/Workspace/", "/Workspace/")):
        return InitScript(ScriptKind.LOCAL, destination.removeprefix("file:"))
    kind = ScriptKind.FILES if name in ("dbfs", "volumes") else ScriptKind.WORKSPACE
    return InitScript(kind, location)


def _log_destination(cluster: wire.NewCluster) -> str | None:
    conf = cluster.cluster_log_conf
    place = conf and (conf.dbfs or conf.volumes)
    if not place:
        return None
    location = file_location(place.destination)
    return "/" + location.removeprefix(_FILE_STORE).lstrip("/")


def _notices(cluster: wire.NewCluster) -> Iterator[str]:
    """What this server does not honour of a cluster that was asked for."""
    ignored = [name for name in _WITHOUT_EFFECT if getattr(cluster, name)]
    ignored += [
        name
        for name in ("node_type_id", "driver_node_type_id")
        if getattr(cluster, name) and getattr(cluster, name) not in NODE_TYPES
    ]
    if cluster.cluster_log_conf is not None and cluster.cluster_log_conf.s3 is not None:
        ignored.append("cluster_log_conf.s3")
    if ignored:
        yield f"Clusters of this server do not honour {', '.join(sorted(ignored))}."


# -- to the wire ----------------------------------------------------------------------------------


def stored_cluster(spec: ClusterSpec) -> dict[str, Any]:
    """A cluster's definition as this vendor's clients see it.

    For a spec that came another way it is made from what the engine knows.
    """
    own = spec.vendor.get(_DIALECT)
    if own is not None:
        stored = dict(own)
    else:
        stored = {"spark_version": "custom:local", "node_type_id": "local", **_size(spec)}
    # A cluster may have been changed another way since.
    for name, entries in (
        ("spark_conf", spec.spark_conf),
        ("spark_env_vars", spec.environment),
        ("custom_tags", spec.tags),
    ):
        if entries != stored.get(name, {}):
            stored[name] = dict(entries)
    return stored


def _size(spec: ClusterSpec) -> dict[str, Any]:
    scale = spec.autoscale
    if scale is None:
        return {"num_workers": spec.workers}
    return {"autoscale": {"min_workers": scale.min_workers, "max_workers": scale.max_workers}}


def describe_cluster(
    cluster: Cluster,
    *,
    driver_memory_bytes: int,
    executor_memory_bytes: int,
    cores: int,
) -> dict[str, Any]:
    """The ClusterDetails object of contract 8.5. The sizes hold where the spec names none."""
    spec = cluster.spec
    stored = stored_cluster(spec)
    # A resize changes the size and nothing else of what was sent.
    for name in ("num_workers", "autoscale", "idempotency_token", "cluster_id"):
        stored.pop(name, None)
    size = _size(spec)
    minutes = (spec.autotermination_seconds or 0) // 60
    driver_memory = spec.driver_memory_bytes or driver_memory_bytes
    executor_memory = spec.executor_memory_bytes or executor_memory_bytes
    described: dict[str, Any] = {
        **stored,
        **size,
        "cluster_id": cluster.id,
        "cluster_name": spec.name,
        "autotermination_minutes": minutes,
        "state": _STATES[cluster.state],
        "state_message": cluster.message,
        "creator_user_name": cluster.owner_name or "",
        "start_time": _milliseconds(cluster.created_at),
        "terminated_time": _milliseconds(cluster.terminated_at),
        "last_state_loss_time": 0,
        "last_activity_time": _milliseconds(cluster.last_activity_at),
        "cluster_source": _SOURCES[cluster.source],
        "spark_context_id": _context_id(cluster, cluster.generation),
        "jdbc_port": 10000,
        "cluster_memory_mb": (driver_memory + cluster.worker_count * executor_memory) // _MIB,
        "cluster_cores": float(
            (spec.driver_cores or cores) + cluster.worker_count * (spec.executor_cores or 1)
        ),
        "default_tags": {
            "Vendor": "Quire",
            "Creator": cluster.owner_name or "",
            "ClusterName": spec.name,
            "ClusterId": cluster.id,
        },
        "executors": [
            {
                "private_ip": "127.0.0.1",
                "node_id": f"worker-{number}",
                "start_timestamp": _milliseconds(cluster.started_at),
            }
            for number in range(1, cluster.worker_count + 1)
        ],
        "spec": {**stored, **size, "cluster_name": spec.name, "autotermination_minutes": minutes},
    }
    if cluster.driver is not None:
        described["driver"] = {
            "private_ip": "127.0.0.1",
            "node_id": "driver",
            "start_timestamp": _milliseconds(cluster.driver.started_at),
        }
    if cluster.pinned_at is not None:
        described["pinned_by_user_name"] = cluster.owner_name or ""
    if cluster.cause is not None:
        described["termination_reason"] = _reason(cluster.cause, cluster.message)
    return described


def cluster_instance(part: UsedCluster) -> dict[str, Any]:
    """The ClusterInstance object of contract 2.5: what a run has or had of a cluster."""
    described: dict[str, Any] = {"cluster_id": part.cluster.id}
    if part.use.generation is not None:
        described["spark_context_id"] = str(_context_id(part.cluster, part.use.generation))
    return described


def _context_id(cluster: Cluster, generation: int) -> int:
    """Names one of the Spark contexts a cluster has had, as one integer."""
    return cluster.number * 1_000_000 + generation


def _reason(cause: ClusterCause, message: str) -> dict[str, Any]:
    code, kind = _CAUSES[cause]
    parameters = {"databricks_error_message": message} if message else {}
    return {"code": code, "type": kind, "parameters": parameters}


def event_kinds(names: Sequence[str]) -> list[ClusterEventType]:
    """The engine's events that these names stand for; none for those it never has."""
    return [kind for kind, name in _EVENTS.items() if name in names]


def shown_events() -> list[ClusterEventType]:
    """Events the vendor has a name for."""
    return list(_EVENTS)


def describe_event(event: ClusterEvent) -> dict[str, Any]:
    """The ClusterEvent object of contract 8.5."""
    given = event.details
    details: dict[str, Any] = {}
    if "user" in given:
        details["user"] = given["user"]
    if "message" in given:
        details["driver_state_message"] = given["message"]
    if "workers" in given:
        workers = "target_num_workers" if event.type in _TARGETS else "current_num_workers"
        details[workers] = given["workers"]
    if "previous" in given:
        details["previous_cluster_size"] = {"num_workers": given["previous"]}
    if event.type in (ClusterEventType.TERMINATING, ClusterEventType.FAILED) and "cause" in given:
        cause = ClusterCause(given["cause"])
        details["reason"] = _reason(cause, str(given.get("message", "")))
    if event.type is ClusterEventType.RESIZING:
        details["cause"] = "USER_REQUEST"
    if event.type is ClusterEventType.AUTOSCALED:
        details["cause"] = "AUTOSCALE"
    return {
        "cluster_id": event.cluster_id,
        "timestamp": _milliseconds(event.at),
        "type": _EVENTS[event.type],
        "details": details,
    }


_TARGETS = frozenset(
    {ClusterEventType.CREATING, ClusterEventType.RESIZING, ClusterEventType.DRIVER_STARTING}
)


def spark_versions(spark: str, scala: str) -> list[dict[str, str]]:
    """What clients may choose from: the Spark of this server, and the name most of them expect."""
    major_minor = ".".join(spark.split(".")[:2])
    included = f"includes Apache Spark {spark}, Scala {scala}"
    return [
        {"key": f"{major_minor}.x-scala{scala}", "name": f"{major_minor} ({included})"},
        {"key": "15.4.x-scala2.12", "name": f"15.4 LTS ({included}; named Scala 2.12 by clients)"},
    ]


def _milliseconds(at: datetime | None) -> int:
    return milliseconds(at) if at is not None else 0


def node_types() -> list[dict[str, Any]]:
    """The sizes of this server, with every field that clients sort by."""
    return [
        {
            "node_type_id": name,
            "memory_mb": memory,
            "num_cores": float(cores),
            "description": f"{cores} cores, {memory} MB for each process",
            "instance_type_id": name,
            "category": "General Purpose",
            "is_deprecated": False,
            "num_gpus": 0,
            "is_io_cache_enabled": False,
            "photon_worker_capable": False,
            "photon_driver_capable": False,
            "support_port_forwarding": False,
        }
        for name, (cores, memory) in NODE_TYPES.items()
    ]


def describe_library_status(status: LibraryStatus) -> dict[str, Any]:
    """The LibraryFullStatus object of contract 8.7."""
    return {
        "library": _describe_library(status.library),
        "status": status.state.upper(),
        "messages": [status.message] if status.message else [],
        "is_library_for_all_clusters": False,
    }


def _describe_library(library: Library) -> dict[str, Any]:
    name = _LIBRARIES[library.kind]
    if library.kind is LibraryKind.MAVEN:
        maven: dict[str, Any] = {"coordinates": library.value}
        if library.repository:
            maven["repo"] = library.repository
        if library.exclusions:
            maven["exclusions"] = list(library.exclusions)
        return {name: maven}
    if library.kind in (LibraryKind.PYPI, LibraryKind.CRAN):
        package = {"package": library.value}
        return {name: {**package, "repo": library.repository} if library.repository else package}
    return {name: library.value}
