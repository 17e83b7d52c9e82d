"""What a task and its libraries have to be, beyond the types of their fields (contract 2.10, 4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quire.compute.submit_arguments import FILE_OPTIONS, read_submit_arguments
from quire.dialects.databricks.locations import check_location, workspace_path
from quire.errors import InvalidValue, Unsupported
from quire.workspace.addressing import check_path

if TYPE_CHECKING:
    from quire.dialects.databricks import wire

__all__ = ["check_libraries", "check_submit_parameters", "check_task"]

_SUBMIT_OWNED = frozenset({"--master", "--deploy-mode", "--executor-cores", "--remote"})
_OWNED_PROPERTIES = frozenset({"spark.master", "spark.submit.deployMode", "spark.executor.cores"})
_COORDINATES = re.compile(r"[\w.\-]+:[\w.\-]+:[\w.\-+]+")
_EXCLUSION = re.compile(r"[\w.\-*]+:[\w.\-*]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CLASS = re.compile(r"[^\W\d][\w$]*(\.[^\W\d][\w$]*)*")


def check_task(settings: wire.Work, prefix: str) -> None:
    """The rules of the task that ``settings`` hold. Raises InvalidValue, Unsupported."""
    if settings.notebook_task is not None:
        path = f"{prefix}notebook_task"
        _check_source(settings.notebook_task.source, path, "notebooks")
        check_path(workspace_path(settings.notebook_task.notebook_path), f"{path}.notebook_path")
    if settings.spark_jar_task is not None:
        _check_jar(settings.spark_jar_task, f"{prefix}spark_jar_task")
    if settings.spark_python_task is not None:
        path = f"{prefix}spark_python_task"
        _check_source(settings.spark_python_task.source, path, "files")
        check_location(settings.spark_python_task.python_file, f"{path}.python_file")
    if settings.spark_submit_task is not None:
        _check_submit(settings, settings.spark_submit_task, prefix)
    shell = getattr(settings, "shell_command_task", None)
    if shell is not None and not shell.command[0].strip():
        raise InvalidValue(f"{prefix}shell_command_task.command[0]", "names no program.")
    check_libraries(settings.libraries or (), f"{prefix}libraries")


def check_libraries(libraries: Sequence[wire.Library], path: str) -> None:
    """What each library names can be looked for. Raises InvalidValue, Unsupported."""
    for index, library in enumerate(libraries):
        where = f"{path}[{index}]"
        if library.egg is not None:
            raise Unsupported(
                f"Eggs are not installed any more ({where}.egg); build a wheel, or name the "
                "package in pypi.",
                field=f"{where}.egg",
            )
        for kind in ("jar", "whl", "requirements"):
            location = getattr(library, kind)
            if location is not None:
                check_location(location, f"{where}.{kind}")
        if library.whl is not None and not library.whl.endswith(".whl"):
            raise InvalidValue(f"{where}.whl", "a wheel's name ends in .whl.")
        for kind in ("pypi", "cran"):
            package = getattr(library, kind)
            if package is not None:
                _check_word(package.package, f"{where}.{kind}.package")
                _check_word(package.repo or "", f"{where}.{kind}.repo")
        if library.maven is not None:
            _check_maven(library.maven, f"{where}.maven")


def check_submit_parameters(parameters: Sequence[str], path: str) -> None:
    """Refuse what this vendor sets itself (contract 4.4), and files that cannot be read."""
    arguments = read_submit_arguments(parameters)
    for option in arguments.options:
        where = f"{path}[{option.index}]"
        if option.name in _SUBMIT_OWNED:
            raise InvalidValue(where, f"{option.name} is set by the server.")
        if option.property_name in _OWNED_PROPERTIES:
            raise InvalidValue(where, f"{option.property_name} is set by the server.")
        if option.name in FILE_OPTIONS and option.value is not None:
            for uri in option.value.split(","):
                check_location(uri.partition("#")[0], where)
    if arguments.resource not in (None, "spark-internal"):
        index = len(parameters) - len(arguments.words) - 1
        check_location(arguments.resource, f"{path}[{index}]")


def _check_jar(task: wire.SparkJarTask, path: str) -> None:
    if not _CLASS.fullmatch(task.main_class_name):
        raise InvalidValue(
            f"{path}.main_class_name",
            f"{task.main_class_name[:200]!r} is not the full name of a class.",
        )
    if task.jar_uri:
        check_location(task.jar_uri, f"{path}.jar_uri")


def _check_submit(settings: wire.Work, task: wire.SparkSubmitTask, prefix: str) -> None:
    if settings.existing_cluster_id is not None:
        raise InvalidValue(
            f"{prefix}existing_cluster_id", "spark_submit_task runs on new clusters only."
        )
    if settings.libraries:
        raise InvalidValue(f"{prefix}libraries", "may not be given for spark_submit_task.")
    if settings.new_cluster is not None and settings.new_cluster.spark_conf:
        raise InvalidValue(
            f"{prefix}new_cluster.spark_conf",
            "Spark conf is not supported via cluster settings for spark-submit task. "
            "Please use spark-submit parameters to set spark conf.",
        )
    check_submit_parameters(task.parameters or (), f"{prefix}spark_submit_task.parameters")


def _check_source(source: str | None, path: str, noun: str) -> None:
    if source == "GIT":
        raise Unsupported(
            f"This server does not support {noun} from Git ({path}.source).",
            field=f"{path}.source",
        )


def _check_word(text: str, field: str) -> None:
    """Refuse what a package tool would take for an option, or for more than one line."""
    if text.startswith("-") or _CONTROL.search(text):
        raise InvalidValue(field, f"{text[:200]!r} cannot be asked for.")


def _check_maven(package: wire.MavenPackage, path: str) -> None:
    if not _COORDINATES.fullmatch(package.coordinates):
        raise InvalidValue(
            f"{path}.coordinates",
            f"{package.coordinates[:200]!r} is not of the form group:artifact:version.",
        )
    _check_word(package.repo or "", f"{path}.repo")
    for index, text in enumerate(package.exclusions or ()):
        if not _EXCLUSION.fullmatch(text):
            raise InvalidValue(
                f"{path}.exclusions[{index}]",
                f"{text[:200]!r} is not of the form group:artifact.",
            )
