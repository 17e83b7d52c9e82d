"""Clusters 2.0 and 2.1 (contract 8.5). Both versions answer alike; only 2.1 pages its list."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.responses import Response

from quire.compute.models import AutoScale, Cluster, ClusterSpec, EventFilter
from quire.compute.spark_home import find_spark
from quire.dialects.base import Call, Endpoint, Services, json_response
from quire.dialects.databricks import mapping_clusters as mapping
from quire.dialects.databricks import wire_clusters as wire
from quire.dialects.databricks.cluster_names import own_names
from quire.dialects.databricks.page_tokens import read_page_token
from quire.dialects.databricks.times import milliseconds, moment
from quire.dialects.reading import validate
from quire.errors import InvalidValue, MissingField, NotFound, Unsupported

__all__ = ["endpoints"]

_IDEMPOTENCY_PREFIX = "databricks:"
_DEFAULT_MINUTES = 120  # until a cluster made here ends without work, when nobody says
_PAGE = 20
_EVENTS_PAGE = 50

_KEPT = ("master", "labels", "libraries", "packages")
"""Fields of the engine's specs that are no part of a definition to this vendor's clients."""

_DefinitionT = TypeVar("_DefinitionT", wire.CreateCluster, wire.EditCluster)


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    clusters, settings = services.clusters, services.settings

    def describe(cluster: Cluster) -> dict[str, Any]:
        return mapping.describe_cluster(
            cluster,
            driver_memory_bytes=settings.spark_driver_memory_bytes,
            executor_memory_bytes=settings.spark_executor_memory_bytes,
            cores=os.cpu_count() or 1,
        )

    def create(call: Call, body: wire.CreateCluster) -> dict[str, Any]:
        token = body.idempotency_token
        with own_names():
            cluster = clusters.create(
                call.principal,
                _spec(body),
                idempotency_token=_IDEMPOTENCY_PREFIX + token if token else None,
            )
        return {"cluster_id": cluster.id}

    def edit(call: Call, body: wire.EditCluster) -> dict[str, Any]:
        with own_names():
            clusters.edit(call.principal, body.cluster_id, _spec(body), keep=_KEPT)
        return {}

    def update(call: Call, body: wire.UpdateCluster) -> dict[str, Any]:
        known = clusters.get(call.principal, body.cluster_id)
        fields = _merged(describe(known)["spec"], body)
        changed = validate(wire.EditCluster, {**fields, "cluster_id": known.id}, inside="cluster")
        return edit(call, changed)

    def resize(call: Call, body: wire.ResizeCluster) -> dict[str, Any]:
        wire.check_size(body)
        scale = body.autoscale
        with own_names():
            clusters.resize(
                call.principal,
                body.cluster_id,
                workers=body.num_workers,
                autoscale=AutoScale(scale.min_workers, scale.max_workers) if scale else None,
            )
        return {}

    def show(call: Call, query: wire.ClusterId) -> dict[str, Any]:
        return describe(clusters.get(call.principal, query.cluster_id))

    def list_all(call: Call, _: wire.Nothing) -> dict[str, Any]:
        return {"clusters": [describe(each) for each in clusters.list(call.principal)]}

    def list_bare(call: Call, _: wire.Nothing) -> Response:
        return json_response([describe(each) for each in clusters.list(call.principal)])

    def list_some(call: Call, query: wire.ListClusters) -> dict[str, Any]:
        found = [
            each
            for each in (describe(cluster) for cluster in clusters.list(call.principal))
            if (not query.states or each["state"] in query.states)
            and (not query.sources or each["cluster_source"] in query.sources)
            and (query.is_pinned is None or ("pinned_by_user_name" in each) is query.is_pinned)
            and (query.policy_id is None or each.get("policy_id") == query.policy_id)
        ]
        if query.sort_field == "CLUSTER_NAME":
            found.sort(key=lambda each: each["cluster_name"].lower())
        if query.sort_direction == "DESC":
            found.reverse()
        start = read_page_token(query.page_token)
        end = start + (query.page_size or _PAGE)
        answer: dict[str, Any] = {"clusters": found[start:end]}
        if end < len(found):
            answer["next_page_token"] = str(end)
        if start > 0:
            answer["prev_page_token"] = str(max(0, start - (query.page_size or _PAGE)))
        return answer

    def list_events(call: Call, body: wire.ListEvents) -> dict[str, Any]:
        kinds = mapping.shown_events()
        for index, name in enumerate(body.event_types or ()):
            if not name.isupper():
                raise InvalidValue(
                    f"event_types[{index}]", f"{name[:100]!r} is not known.", allowed=_EVENTS
                )
        if body.event_types:
            kinds = mapping.event_kinds(body.event_types)
        offset = body.offset or read_page_token(body.page_token)
        limit = body.limit or body.page_size or _EVENTS_PAGE
        page = clusters.events(
            call.principal,
            body.cluster_id,
            EventFilter(
                kinds=kinds,
                since=moment(body.start_time) if body.start_time is not None else None,
                until=moment(body.end_time) if body.end_time is not None else None,
            ),
            newest_first=body.order != "ASC",
            offset=offset,
            limit=limit,
        )
        answer: dict[str, Any] = {
            "events": [mapping.describe_event(event) for event in page.events],
            "total_count": page.total,
        }
        if offset + limit < page.total:
            # New events of a cluster that lives must not shift what the next page holds.
            end = body.end_time or milliseconds(services.clock.now())
            following = {**body.stored(), "offset": offset + limit, "limit": limit, "end_time": end}
            following.pop("page_token", None)
            answer["next_page"] = following
            answer["next_page_token"] = str(offset + limit)
        return answer

    def change_owner(call: Call, body: wire.ChangeOwner) -> dict[str, Any]:
        try:
            owner = services.principals.get_by_name(body.owner_username)
        except NotFound:
            raise InvalidValue(
                "owner_username", f"there is no user {body.owner_username[:100]!r}."
            ) from None
        with own_names():
            clusters.change_owner(call.principal, body.cluster_id, owner.id)
        return {}

    def one(act: Callable[[Call, str], object]) -> Callable[[Call, wire.ClusterId], dict[str, Any]]:
        def handle(call: Call, body: wire.ClusterId) -> dict[str, Any]:
            act(call, body.cluster_id)
            return {}

        return handle

    def list_versions(_: Call, __: wire.Nothing) -> dict[str, Any]:
        spark = find_spark()
        return {"versions": mapping.spark_versions(spark.version, spark.scala_version)}

    def list_node_types(_: Call, __: wire.Nothing) -> dict[str, Any]:
        return {"node_types": mapping.node_types()}

    def list_zones(_: Call, __: wire.Nothing) -> dict[str, Any]:
        return {"zones": [], "default_zone": ""}

    start = one(lambda call, cluster_id: clusters.start(call.principal, cluster_id))
    restart = one(lambda call, cluster_id: clusters.restart(call.principal, cluster_id))
    terminate = one(lambda call, cluster_id: clusters.terminate(call.principal, cluster_id))
    remove = one(lambda call, cluster_id: clusters.remove(call.principal, cluster_id))
    pin = one(lambda call, cluster_id: clusters.pin(call.principal, cluster_id))
    unpin = one(lambda call, cluster_id: clusters.pin(call.principal, cluster_id, pinned=False))

    found = [
        Endpoint("GET", "/api/1.2/clusters/list", "List clusters (1.2)", wire.Nothing, list_bare)
    ]
    for version in ("2.0", "2.1"):
        root = f"/api/{version}/clusters"
        lister = (wire.Nothing, list_all) if version == "2.0" else (wire.ListClusters, list_some)
        found += [
            Endpoint("POST", f"{root}/create", "Create a cluster", wire.CreateCluster, create),
            Endpoint("GET", f"{root}/get", "Get a cluster", wire.ClusterId, show),
            Endpoint("GET", f"{root}/list", "List clusters", *lister),
            Endpoint("POST", f"{root}/edit", "Edit a cluster", wire.EditCluster, edit),
            Endpoint("POST", f"{root}/update", "Update a cluster", wire.UpdateCluster, update),
            Endpoint("POST", f"{root}/start", "Start a cluster", wire.ClusterId, start),
            Endpoint("POST", f"{root}/restart", "Restart a cluster", wire.ClusterId, restart),
            Endpoint("POST", f"{root}/resize", "Resize a cluster", wire.ResizeCluster, resize),
            Endpoint("POST", f"{root}/delete", "Terminate a cluster", wire.ClusterId, terminate),
            Endpoint(
                "POST", f"{root}/permanent-delete", "Remove a cluster", wire.ClusterId, remove
            ),
            Endpoint("POST", f"{root}/pin", "Pin a cluster", wire.ClusterId, pin),
            Endpoint("POST", f"{root}/unpin", "Unpin a cluster", wire.ClusterId, unpin),
            Endpoint(
                "POST", f"{root}/change-owner", "Change the owner", wire.ChangeOwner, change_owner
            ),
            Endpoint(
                "POST", f"{root}/events", "List events of a cluster", wire.ListEvents, list_events
            ),
            Endpoint(
                "GET", f"{root}/spark-versions", "List Spark versions", wire.Nothing, list_versions
            ),
            Endpoint(
                "GET", f"{root}/list-node-types", "List node types", wire.Nothing, list_node_types
            ),
            Endpoint("GET", f"{root}/list-zones", "List zones", wire.Nothing, list_zones),
        ]
    return found


_EVENTS = wire.EVENT_NAMES


def _spec(body: _DefinitionT) -> ClusterSpec:
    wire.check_new_cluster(body)
    minutes = body.autotermination_minutes
    return mapping.cluster_spec(
        body,
        name=body.cluster_name or "",
        autotermination_minutes=_DEFAULT_MINUTES if minutes is None else minutes,
    )


def _merged(known: dict[str, Any], body: wire.UpdateCluster) -> dict[str, Any]:
    """A definition with the fields of the mask replaced; those not given are dropped."""
    given = (body.cluster.model_extra or {}) if body.cluster is not None else {}
    names = [name.strip() for name in body.update_mask.split(",")]
    merged = dict(known)
    if "*" in names:
        merged, names = {}, list(given)
    for name in names:
        if "." in name:
            raise Unsupported(
                f"This server updates whole fields only (update_mask: {name}).", field="update_mask"
            )
        if name not in wire.EditCluster.model_fields or name == "cluster_id":
            raise InvalidValue("update_mask", f"{name[:100]!r} is no field of a cluster.")
        merged.pop(name, None)
        if name in given:
            merged[name] = given[name]
    if "num_workers" in names:
        merged.pop("autoscale", None)
    elif "autoscale" in names:
        merged.pop("num_workers", None)
    if not merged.get("spark_version"):
        raise MissingField("cluster.spark_version")
    return merged
