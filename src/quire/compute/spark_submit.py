"""The command and the environment that run a program with ``spark-submit``.

Used where a program is started, so it imports little. What is set goes into a folder of the
program's own, as ``SPARK_CONF_DIR``, because every user of a machine can read its command lines.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quire.compute.ivy import ivy_settings
from quire.compute.spark_conf import (
    LOOPBACK,
    expand_environment,
    spark_environment,
    write_configuration,
)
from quire.runner.users import KernelUser, write_for

__all__ = ["Submission", "SubmitConfig", "build_submission"]

_MIB = 1024 * 1024
_NO_RESOURCE = "spark-internal"
_SECRET = "spark.authenticate.secret"  # noqa: S105 - the name of a property


@dataclass(frozen=True)
class SubmitConfig:
    """A program, and the cluster it is to run on."""

    spark_home: str
    java_home: str  # as `quire.compute.java.write_launcher` gives it
    master: str
    python: str  # interpreter of Python programs and workers
    folder: Path  # the program's own, for configuration and temporary files; exists
    conf: Mapping[str, str] = field(default_factory=dict)  # the cluster's
    environment: Mapping[str, str] = field(default_factory=dict)  # the cluster's
    driver_memory_bytes: int = 1024 * _MIB
    executor_memory_bytes: int = 1024 * _MIB
    name: str = ""
    main_class: str | None = None
    resource: str | None = None  # jar or Python file; None: a class of one of ``jars``
    arguments: tuple[str, ...] = ()  # of the program
    words: tuple[str, ...] = ()  # in place of class, resource and arguments: all that follows
    jars: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    py_files: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # Maven coordinates
    repositories: tuple[str, ...] = ()  # asked for packages, and no others; none: the usual ones
    exclusions: tuple[str, ...] = ()  # "group:artifact"
    ivy_cache: Path | None = None  # None: in the folder
    user: KernelUser | None = None  # whom the program runs as


@dataclass(frozen=True)
class Submission:
    """What to start. The working folder is the caller's choice."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


def build_submission(config: SubmitConfig, base: Mapping[str, str]) -> Submission:
    """The command of a program; its configuration is written. ``base``: variables it has anyway.

    Raises OSError when the configuration cannot be written.
    """
    conf_dir = config.folder / "spark-conf"
    temporary = config.folder / "spark-tmp"
    conf_dir.mkdir(exist_ok=True)
    conf_dir.chmod(0o755)
    temporary.mkdir(mode=0o700, exist_ok=True)
    if config.user is not None:
        os.chown(temporary, config.user.uid, config.user.gid)
    write_configuration(conf_dir, _conf(config, conf_dir, temporary), config.user)
    environment = {
        **base,
        **spark_environment(
            config.java_home, config.spark_home, config.python, conf_dir, config.user
        ),
        "PYTHONUNBUFFERED": "1",  # what a program prints is seen when it is printed
    }
    if _is_here(config.master):
        environment["SPARK_LOCAL_IP"] = LOOPBACK
        environment["SPARK_LOCAL_DIRS"] = str(temporary)
    if _SECRET in config.conf:
        # Holds also for a program that names a configuration of its own.
        environment["_SPARK_AUTH_SECRET"] = config.conf[_SECRET]
    return Submission(_command(config), expand_environment(environment, config.environment))


def _is_here(master: str) -> bool:
    return master.startswith(("local", f"spark://{LOOPBACK}:"))


def _conf(config: SubmitConfig, conf_dir: Path, temporary: Path) -> dict[str, str]:
    conf = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": f"{config.driver_memory_bytes // _MIB}m",
        "spark.executor.memory": f"{config.executor_memory_bytes // _MIB}m",
        "spark.sql.warehouse.dir": str(temporary / "warehouse"),
        "spark.jars.ivy": str(config.ivy_cache or temporary / "ivy"),
    }
    if config.name:
        conf["spark.app.name"] = config.name
    if _is_here(config.master):
        conf |= {
            "spark.authenticate": "true",
            "spark.driver.host": LOOPBACK,
            "spark.driver.bindAddress": LOOPBACK,
        }
    if config.repositories:
        settings = conf_dir / "ivy-settings.xml"
        cache = config.ivy_cache or temporary / "ivy"
        write_for(config.user, settings, ivy_settings(config.repositories, cache).encode())
        conf["spark.jars.ivySettings"] = str(settings)
    conf.update(config.conf)
    options = conf.get("spark.driver.defaultJavaOptions", "")
    ours = f"-Djava.io.tmpdir={temporary} -XX:-UsePerfData"
    conf["spark.driver.defaultJavaOptions"] = f"{ours} {options}".strip()
    conf["spark.master"] = config.master
    conf["spark.submit.deployMode"] = "client"
    lists = {
        "spark.jars": _other_jars(config),
        "spark.files": config.files,
        "spark.submit.pyFiles": config.py_files,
        "spark.jars.packages": config.packages,
        "spark.jars.excludes": config.exclusions,
    }
    for key, added in lists.items():
        values = [*([conf[key]] if conf.get(key) else []), *added]
        if values:
            conf[key] = ",".join(values)
    return conf


def _other_jars(config: SubmitConfig) -> tuple[str, ...]:
    """The jars, without the one that takes the place of a program."""
    is_first = not config.words and config.resource is None
    return config.jars[1:] if is_first else config.jars


def _command(config: SubmitConfig) -> tuple[str, ...]:
    command = [str(Path(config.spark_home) / "bin" / "spark-submit")]
    if config.words:
        # A properties file of the program's own would else replace what is set here.
        loads_other = any(word.startswith("--properties-file") for word in config.words)
        command += ["--load-spark-defaults"] if loads_other else []
        return (*command, *config.words)
    if config.main_class is not None:
        command += ["--class", config.main_class]
    resource = config.resource or (config.jars[0] if config.jars else _NO_RESOURCE)
    return (*command, resource, *config.arguments)
