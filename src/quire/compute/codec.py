"""Compute records as JSON, the form they are stored in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quire.compute.models import (
    AutoScale,
    ClusterSpec,
    Compute,
    InitScript,
    Library,
    LibraryKind,
    ScriptKind,
)

__all__ = [
    "compute_from_json",
    "compute_to_json",
    "library_from_json",
    "library_to_json",
    "spec_from_json",
    "spec_to_json",
]


def compute_to_json(compute: Compute) -> dict[str, Any]:
    """The record as a JSON object; :func:`compute_from_json` reads it back unchanged."""
    return {
        "cluster_id": compute.cluster_id,
        "new_cluster": spec_to_json(compute.new_cluster) if compute.new_cluster else None,
        "libraries": [library_to_json(each) for each in compute.libraries],
        "session_tag": compute.session_tag,
        "environment": compute.environment,
    }


def compute_from_json(value: Mapping[str, Any]) -> Compute:
    """The record that :func:`compute_to_json` made this of."""
    spec = value["new_cluster"]
    return Compute(
        cluster_id=value["cluster_id"],
        new_cluster=spec_from_json(spec) if spec else None,
        libraries=tuple(library_from_json(each) for each in value["libraries"]),
        session_tag=value["session_tag"],
        environment=value["environment"],
    )


def library_to_json(library: Library) -> dict[str, Any]:
    """The library as a JSON object; :func:`library_from_json` reads it back unchanged."""
    return {
        "kind": library.kind,
        "value": library.value,
        "repository": library.repository,
        "exclusions": list(library.exclusions),
    }


def library_from_json(value: Mapping[str, Any]) -> Library:
    """The library that :func:`library_to_json` made this of."""
    return Library(
        kind=LibraryKind(value["kind"]),
        value=value["value"],
        repository=value["repository"],
        exclusions=tuple(value["exclusions"]),
    )


def spec_to_json(spec: ClusterSpec) -> dict[str, Any]:
    """The spec as a JSON object; :func:`spec_from_json` reads it back unchanged."""
    scale = spec.autoscale
    return {
        "name": spec.name,
        "workers": spec.workers,
        "autoscale": {"min_workers": scale.min_workers, "max_workers": scale.max_workers}
        if scale
        else None,
        "master": spec.master,
        "has_application": spec.has_application,
        "spark_conf": dict(spec.spark_conf),
        "environment": dict(spec.environment),
        "init_scripts": [
            {"kind": script.kind, "destination": script.destination} for script in spec.init_scripts
        ],
        "log_destination": spec.log_destination,
        "driver_memory_bytes": spec.driver_memory_bytes,
        "executor_memory_bytes": spec.executor_memory_bytes,
        "driver_cores": spec.driver_cores,
        "executor_cores": spec.executor_cores,
        "autotermination_seconds": spec.autotermination_seconds,
        "tags": dict(spec.tags),
        "labels": list(spec.labels),
        "libraries": [library_to_json(each) for each in spec.libraries],
        "packages": spec.packages,
        "vendor": dict(spec.vendor),
        "notices": list(spec.notices),
    }


def spec_from_json(value: Mapping[str, Any]) -> ClusterSpec:
    """The spec that :func:`spec_to_json` made this of."""
    scale = value["autoscale"]
    return ClusterSpec(
        **{
            **value,
            "autoscale": AutoScale(**scale) if scale else None,
            "init_scripts": tuple(
                InitScript(ScriptKind(script["kind"]), script["destination"])
                for script in value["init_scripts"]
            ),
            "labels": tuple(value["labels"]),
            "libraries": tuple(library_from_json(each) for each in value["libraries"]),
            "notices": tuple(value["notices"]),
        }
    )
