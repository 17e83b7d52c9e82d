"""Spark's configuration of one cluster: what users ask for, our defaults, and what only we set.

Settings go into files and never onto a command line, which every user of the machine can read.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from quire.compute.driver_config import DriverConfig
from quire.compute.driver_folder import MARK_VARIABLE, DriverFolder
from quire.compute.java import USER_VARIABLE
from quire.runner.users import KernelUser, write_for

__all__ = [
    "cluster_environment",
    "daemon_conf",
    "driver_conf",
    "expand_environment",
    "known_user_name",
    "page_token",
    "properties",
    "spark_environment",
    "write_configuration",
]

LOOPBACK = "127.0.0.1"

_MIB = 1024 * 1024
_USER_NAME = "quire"  # of a user whom the machine's user database does not know
_DAEMON_MEMORY = "256m"
_PAGE_FILTER = "org.apache.spark.ui.JWSFilter"
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")

# Variables a cluster's environment cannot change: they say where its parts find each other.
_OWNED_VARIABLES = frozenset(
    {
        "JAVA_HOME",
        "SPARK_HOME",
        "SPARK_CONF_DIR",
        "SPARK_LOCAL_IP",
        "SPARK_USER",
        "SPARK_LOCAL_DIRS",
        "HOME",
        "TMPDIR",
        MARK_VARIABLE,
        USER_VARIABLE,
    }
)

_LOG_FILE = """\
status = error
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {folder}/log4j-active.log
appender.file.filePattern = {folder}/log4j-%i.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yy/MM/dd HH:mm:ss}} %p %c{{1}}: %m%n%ex
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 32MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
"""

_LOG_CONSOLE = """\
status = error
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
"""

# What says nothing to those who read a cluster's log.
_LOG_QUIET = """\
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.window.name = org.apache.spark.sql.execution.window.WindowExec
logger.window.level = error
logger.submit.name = org.apache.spark.util.ShutdownHookManager
logger.submit.level = error
"""


def known_user_name(user: KernelUser | None) -> str | None:
    """The name the machine's user database has for a cluster's user; None when it has none."""
    import pwd

    try:
        return pwd.getpwuid(user.uid if user is not None else os.getuid()).pw_name
    except KeyError:
        return None


def expand_environment(base: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """``base`` with variables added whose values may refer to others, as a shell would.

    ``$NAME`` and ``${NAME}`` are what has that name so far, or nothing. Variables that only we set
    stay as they are, and ``PYSPARK_PYTHON`` is taken only when there is such a program.
    """
    result = dict(base)
    for name, value in wanted.items():
        if name in _OWNED_VARIABLES:
            continue
        expanded = _REFERENCE.sub(lambda found: result.get(found[1] or found[2], ""), value)
        if name in {"PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"} and not os.access(expanded, os.X_OK):
            continue
        result[name] = expanded
    return result


def spark_environment(
    java_home: str, spark_home: str, python: str, conf: Path, user: KernelUser | None
) -> dict[str, str]:
    """The variables by which a program of Spark finds its parts, whoever runs it."""
    name = known_user_name(user)
    own = {
        "JAVA_HOME": java_home,
        "SPARK_HOME": spark_home,
        "SPARK_CONF_DIR": str(conf),
        "SPARK_USER": name or _USER_NAME,
        "PYSPARK_PYTHON": python,
        "PYSPARK_DRIVER_PYTHON": python,
    }
    return own if name is not None else {**own, USER_VARIABLE: _USER_NAME}


def cluster_environment(
    base: Mapping[str, str], config: DriverConfig, folder: DriverFolder
) -> dict[str, str]:
    """The variables of every process of a cluster. ``base``: what it may know of the server's."""
    own = {
        **base,
        **spark_environment(
            config.java_home, config.spark_home, config.python, folder.conf, config.user
        ),
        "HOME": str(folder.work),
        "TMPDIR": str(folder.temporary),
        "SPARK_DAEMON_MEMORY": _DAEMON_MEMORY,
        MARK_VARIABLE: str(folder.path),
    }
    if config.master is None:
        own["SPARK_LOCAL_IP"] = LOOPBACK
        if "spark.local.dir" not in config.spark_conf:
            own["SPARK_LOCAL_DIRS"] = str(folder.temporary)
    return expand_environment(own, config.environment)


def driver_conf(
    config: DriverConfig, folder: DriverFolder, master: str, secret: str | None
) -> dict[str, str]:
    """The configuration of a cluster's driver.

    ``secret`` is what its own master, workers and executors know each other by.
    """
    memory = f"{config.driver_memory_bytes // _MIB}m"
    java_options = f"-Djava.io.tmpdir={folder.temporary} -XX:-UsePerfData"
    conf = {
        "spark.app.name": config.name,
        "spark.scheduler.mode": "FAIR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": memory,
        "spark.executor.memory": f"{config.executor_memory_bytes // _MIB}m",
        "spark.sql.warehouse.dir": config.warehouse_dir or str(folder.work / "warehouse"),
        # Where Scala cells leave their classes, for executors to load.
        "spark.repl.class.outputDir": str(folder.classes),
        # How long a cancelled Python function may go on.
        "spark.python.task.killTimeout": "500ms",
    }
    metastore = Path(conf["spark.sql.warehouse.dir"]).parent / "metastore"
    conf["spark.hadoop.javax.jdo.option.ConnectionURL"] = (
        f"jdbc:derby:;databaseName={metastore};create=true"
    )
    if config.master is None:
        # Without it, every user of the machine may talk to the driver's and executors' ports.
        conf["spark.authenticate"] = "true"
    if config.is_standalone:
        conf.update(_standalone_conf(config))
    for kind, paths in (("jars", config.jars), ("files", config.files)):
        if paths:
            conf[f"spark.{kind}"] = ",".join(paths)
    if config.py_files:
        conf["spark.submit.pyFiles"] = ",".join(config.py_files)
    for key, value in config.spark_conf.items():
        joined = key in {"spark.jars", "spark.files", "spark.submit.pyFiles"} and key in conf
        conf[key] = f"{conf[key]},{value}" if joined else value
    for role in ("driver", "executor"):
        key = f"spark.{role}.defaultJavaOptions"
        if role == "driver" or config.master is None:
            errors = folder.jvm_logs if role == "driver" else folder.executor_logs
            ours = f"{java_options} -XX:ErrorFile={errors}/hs_err_%p.log"
            conf[key] = f"{ours} {conf.get(key, '')}".strip()
    conf.pop("spark.driver.port", None)
    conf.update({"spark.master": master, "spark.submit.deployMode": "client", "spark.ui.port": "0"})
    host = config.driver_host if config.master is not None else LOOPBACK
    for key in ("spark.driver.host", "spark.driver.bindAddress"):
        conf.pop(key, None)
    if host is not None:
        conf["spark.driver.host"] = host
    if config.master is None:
        conf["spark.driver.bindAddress"] = LOOPBACK
    if secret is not None:
        conf["spark.authenticate"] = "true"
        conf["spark.authenticate.secret"] = secret
    return conf


def _standalone_conf(config: DriverConfig) -> dict[str, str]:
    """One executor a worker, let go when idle: a program that is submitted then has room."""
    return {
        "spark.executor.cores": str(config.worker_cores),
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.initialExecutors": str(config.workers),
        "spark.dynamicAllocation.schedulerBacklogTimeout": "1s",
        "spark.dynamicAllocation.executorIdleTimeout": "120s",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.timeout": "120s",
    }


def daemon_conf(secret: str) -> dict[str, str]:
    """The configuration of a standalone master and its workers. ``secret``: hexadecimal digits."""
    return {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secret,
        # Their pages show logs, and every user of the machine could read them.
        "spark.master.rest.enabled": "false",  # a door without a lock
        "spark.ui.filters": _PAGE_FILTER,
        f"spark.{_PAGE_FILTER}.param.secretKey": base64.urlsafe_b64encode(
            bytes.fromhex(secret)
        ).decode(),
        "spark.worker.cleanup.enabled": "true",
        "spark.worker.timeout": "30",
        # A port that is taken is chosen anew by us, who have to know it.
        "spark.port.maxRetries": "0",
    }


def page_token(secret: str) -> str:
    """A bearer token for the pages of a master and its workers: JWS, HMAC with SHA-256."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256"}, {"sub": _USER_NAME})]
    signed = b".".join(map(_base64, parts))
    signature = hmac.digest(bytes.fromhex(secret), signed, "sha256")
    return (signed + b"." + _base64(signature)).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def properties(conf: Mapping[str, str]) -> str:
    """A configuration in the form of a Java properties file."""
    return "".join(f"{_escape(key, ' :=#!')}={_escape(value)}\n" for key, value in conf.items())


def _escape(text: str, special: str = "") -> str:
    text = text.replace("\\", "\\\\")
    for character in special:
        text = text.replace(character, f"\\{character}")
    for character, name in (("\n", "n"), ("\r", "r"), ("\t", "t"), ("\f", "f")):
        text = text.replace(character, f"\\{name}")
    return f"\\{text}" if text.startswith(" ") else text


def write_configuration(
    place: Path, conf: Mapping[str, str], user: KernelUser | None, *, logs: Path | None = None
) -> None:
    """Write what is in a folder that ``SPARK_CONF_DIR`` names, for a user alone to read.

    ``logs`` is the folder to log to; None: to standard error. Other files of the configuration that
    the server's user has are linked, and its defaults come before those written here.
    """
    log = _LOG_CONSOLE if logs is None else _LOG_FILE.format(folder=logs)
    base = ""
    for path in _inherited_configuration():
        if path.name == "spark-defaults.conf":
            base = path.read_text() + "\n"
        elif not path.name.startswith("log4j2") and not (place / path.name).is_symlink():
            (place / path.name).symlink_to(path)
    write_for(user, place / "log4j2.properties", (log + _LOG_QUIET).encode())
    write_for(user, place / "spark-defaults.conf", (base + properties(conf)).encode())


def _inherited_configuration() -> list[Path]:
    named = os.environ.get("SPARK_CONF_DIR", "")
    home = os.environ.get("SPARK_HOME", "")
    folder = Path(named) if named else Path(home) / "conf" if home else None
    if folder is None or not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_file()]
