"""Checks what a cluster is asked to be, and says which parts of it this server cannot honour."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from quire.compute.memory import heap_size
from quire.compute.models import ClusterSpec, LibraryKind
from quire.errors import InvalidValue, MissingField

__all__ = ["OWNED_CONF", "check_spec", "is_lazy"]

_MASTERS = ("spark://", "yarn", "k8s://", "sc://")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_NAME = 255
_MOST_WORKERS = 100_000
_MOST_SCRIPTS = 10
_MOST_ENTRIES = 1000
_LEAST_MEMORY = 256 * 1024 * 1024
_IN_JVM = frozenset({LibraryKind.JAR, LibraryKind.MAVEN})

OWNED_CONF = frozenset(
    {
        "spark.master",
        "spark.submit.deployMode",
        "spark.driver.host",
        "spark.driver.port",
        "spark.driver.bindAddress",
        "spark.ui.port",
    }
)
"""Keys of the Spark configuration that only the server sets (Databricks contract 2.9)."""


def is_lazy(spec: ClusterSpec) -> bool:
    """Whether the cluster may be up without its driver, which starts when Spark is first used."""
    return (
        spec.most_workers == 0
        and spec.master is None
        and not spec.init_scripts
        and not any(library.kind in _IN_JVM for library in spec.libraries)
    )


def check_spec(spec: ClusterSpec) -> ClusterSpec:
    """The spec as it is to be stored, with notices of what is not honoured.

    Raises InvalidValue or MissingField naming the field.
    """
    _check_text("name", spec.name)
    _check_sizes(spec)
    if spec.master is not None and not _is_master(spec.master):
        raise InvalidValue(
            "master", f"{spec.master!r} is no address of a Spark master.", allowed=_MASTERS
        )
    for field, entries in (("spark_conf", spec.spark_conf), ("tags", spec.tags)):
        _check_entries(field, entries)
    for name in ("spark.driver.memory", "spark.executor.memory"):
        if name in spec.spark_conf and heap_size(spec.spark_conf[name]) is None:
            raise InvalidValue(f"spark_conf.{name}", "it must be a size such as 512m or 4g.")
    for name, value in spec.environment.items():
        if not _NAME.fullmatch(name):
            raise InvalidValue("environment", f"{name!r} is no name of a variable.")
        _check_text(f"environment.{name}", value)
    if len(spec.init_scripts) > _MOST_SCRIPTS:
        raise InvalidValue("init_scripts", f"at most {_MOST_SCRIPTS} scripts are allowed.")
    for index, script in enumerate(spec.init_scripts):
        if not script.destination.startswith("/"):
            raise InvalidValue(f"init_scripts[{index}]", "it must be an absolute path.")
        _check_text(f"init_scripts[{index}]", script.destination)
    if spec.log_destination is not None and not spec.log_destination.startswith("/"):
        raise InvalidValue("log_destination", "it must be an absolute path of the file store.")
    _check_labels(spec.labels)
    return replace(spec, notices=tuple(dict.fromkeys([*spec.notices, *_notices(spec)])))


def _check_sizes(spec: ClusterSpec) -> None:
    if not 0 <= spec.workers <= _MOST_WORKERS:
        raise InvalidValue("workers", f"it must be from 0 to {_MOST_WORKERS}.")
    scale = spec.autoscale
    if scale is not None:
        if spec.workers:
            raise InvalidValue("autoscale", "it may not be given together with workers.")
        if not 0 <= scale.min_workers < scale.max_workers <= _MOST_WORKERS:
            raise InvalidValue(
                "autoscale",
                "min_workers must be 0 or more, and less than max_workers, which may be "
                f"{_MOST_WORKERS} at most.",
            )
    for field, memory in (
        ("driver_memory_bytes", spec.driver_memory_bytes),
        ("executor_memory_bytes", spec.executor_memory_bytes),
    ):
        if memory is not None and memory < _LEAST_MEMORY:
            raise InvalidValue(field, f"it must be {_LEAST_MEMORY} or more.")
    for field, cores in (
        ("driver_cores", spec.driver_cores),
        ("executor_cores", spec.executor_cores),
    ):
        if cores is not None and cores < 1:
            raise InvalidValue(field, "it must be 1 or more.")
    if spec.autotermination_seconds is not None and spec.autotermination_seconds < 1:
        raise InvalidValue("autotermination_seconds", "it must be 1 or more; leave it out: never.")


def _is_master(master: str) -> bool:
    return master == "yarn" or any(
        master.startswith(prefix) and len(master) > len(prefix)
        for prefix in _MASTERS
        if prefix.endswith("://")
    )


def _check_entries(field: str, entries: Mapping[str, str]) -> None:
    if len(entries) > _MOST_ENTRIES:
        raise InvalidValue(field, f"at most {_MOST_ENTRIES} entries are allowed.")
    for name, value in entries.items():
        if not name or name != name.strip() or "=" in name or "\n" in name:
            raise InvalidValue(field, f"{name!r} is no usable key.")
        _check_text(field, name)
        _check_text(f"{field}.{name}", value)


def _check_labels(labels: tuple[str, ...]) -> None:
    for label in labels:
        if not label.strip():
            raise MissingField("labels")
        if len(label) > _LONGEST_NAME:
            raise InvalidValue("labels", f"a label has at most {_LONGEST_NAME} characters.")
        _check_text("labels", label)
    if len(set(labels)) != len(labels):
        raise InvalidValue("labels", "a label is given twice.")


def _check_text(field: str, text: str) -> None:
    if "\0" in text:
        raise InvalidValue(field, "it may not hold the character NUL.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValue(field, "it is no valid Unicode text.") from None
    if field == "name":
        if len(text) > _LONGEST_NAME:
            raise InvalidValue(field, f"it has at most {_LONGEST_NAME} characters.")
        if _CONTROL.search(text):
            raise InvalidValue(field, f"{text!r} contains a control character.")


def _notices(spec: ClusterSpec) -> Iterator[str]:
    owned = sorted(OWNED_CONF & set(spec.spark_conf))
    if owned:
        yield f"Set by the server, whatever spark_conf says: {', '.join(owned)}."
