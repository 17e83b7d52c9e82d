"""Libraries 2.0: what is installed for the runs of a cluster (contract 8.7)."""

from __future__ import annotations

from typing import Any

from quire.compute.models import Cluster
from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.databricks import mapping_clusters as mapping
from quire.dialects.databricks import wire_clusters as wire
from quire.dialects.databricks.mapping_tasks import libraries_of
from quire.dialects.databricks.task_rules import check_libraries

__all__ = ["endpoints"]


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    clusters, uses = services.clusters, services.cluster_uses

    def install(call: Call, body: wire.ClusterLibraries) -> dict[str, Any]:
        check_libraries(body.libraries, "libraries")
        added = libraries_of(body.libraries)
        cluster = clusters.change_libraries(call.principal, body.cluster_id, add=added)
        uses.library_statuses(call.principal, cluster)
        return {}

    def uninstall(call: Call, body: wire.ClusterLibraries) -> dict[str, Any]:
        removed = libraries_of(body.libraries)
        clusters.change_libraries(call.principal, body.cluster_id, remove=removed)
        return {}

    def statuses(call: Call, cluster: Cluster) -> dict[str, Any]:
        found = uses.library_statuses(call.principal, cluster)
        return {
            "cluster_id": cluster.id,
            "library_statuses": [mapping.describe_library_status(each) for each in found],
        }

    def show(call: Call, query: wire.ClusterId) -> dict[str, Any]:
        return statuses(call, clusters.get(call.principal, query.cluster_id))

    def show_all(call: Call, _: wire.Nothing) -> dict[str, Any]:
        return {
            "statuses": [
                statuses(call, cluster)
                for cluster in clusters.list(call.principal)
                if cluster.spec.libraries
            ]
        }

    root = "/api/2.0/libraries"
    both = wire.ClusterLibraries
    return [
        Endpoint("POST", f"{root}/install", "Install libraries on a cluster", both, install),
        Endpoint("POST", f"{root}/uninstall", "Remove libraries of a cluster", both, uninstall),
        Endpoint("GET", f"{root}/cluster-status", "Libraries of a cluster", wire.ClusterId, show),
        Endpoint(
            "GET", f"{root}/all-cluster-statuses", "Libraries of clusters", wire.Nothing, show_all
        ),
    ]
