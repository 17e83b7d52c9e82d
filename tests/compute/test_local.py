"""Drivers of this machine: what specs become, and processes that are real."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quire.compute.launcher import Driver, DriverPhase, DriverPlan, DriverReport
from quire.compute.local import LocalLauncher
from quire.compute.models import (
    Cluster,
    ClusterCause,
    ClusterSource,
    ClusterSpec,
    ClusterState,
    DriverRecord,
    DriverState,
)
from quire.ids import ClusterId
from quire.settings import Settings
from tests.faults.server import wait_for

_AT = datetime(2026, 3, 1, tzinfo=UTC)
_MIB = 1024 * 1024


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Folders outside of pytest's own, which the user that clusters run as may not enter."""
    with tempfile.TemporaryDirectory(prefix="quire-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        data, spark = Path(directory) / "data", Path(directory) / "spark"
        data.mkdir(mode=0o700)
        yield Settings(data_dir=data, spark_dir=str(spark))


@pytest.fixture
def launcher(settings: Settings) -> Iterator[LocalLauncher]:
    launcher = LocalLauncher(settings)
    yield launcher
    launcher.close()
    launcher.sweep([])


def plan(*scripts: str, **spec: object) -> DriverPlan:
    cluster = Cluster(
        id=ClusterId("0301-120000-abcdefgh"),
        number=1,
        spec=ClusterSpec(name="c", **spec),  # type: ignore[arg-type]
        source=ClusterSource.REQUEST,
        state=ClusterState.PENDING,
        cause=None,
        message="",
        owner_id=None,
        owner_name=None,
        run_id=None,
        attempt_id=None,
        host=None,
        driver_state=DriverState.NONE,
        driver=None,
        wants_spark=True,
        generation=0,
        worker_count=0,
        created_at=_AT,
        state_changed_at=_AT,
        started_at=None,
        terminated_at=None,
        last_activity_at=_AT,
        pinned_at=None,
        removed_at=None,
    )
    return DriverPlan(
        cluster=cluster,
        generation=1,
        workers=0,
        most_workers=0,
        driver_memory_bytes=1024 * _MIB,
        executor_memory_bytes=1024 * _MIB,
        scripts=tuple((f"{number}.sh", text.encode()) for number, text in enumerate(scripts)),
    )


def until(driver: Driver, *phases: DriverPhase) -> DriverReport:
    def there() -> DriverReport | None:
        report = driver.report()
        return report if report.phase in phases else None

    found: DriverReport = wait_for(f"the driver to be {phases}", there)
    return found


def test_one_server_at_a_time_looks_after_drivers(settings: Settings) -> None:
    first, second = LocalLauncher(settings), LocalLauncher(settings)
    assert first.host == second.host
    assert [first.claim(), first.claim(), second.claim()] == [True, True, False]
    first.close()
    assert second.claim()
    second.close()


def test_where_programs_go_that_need_no_driver(launcher: LocalLauncher) -> None:
    target = launcher.local_target(
        plan(driver_cores=3, spark_conf={"a": "b"}, environment={"C": "d"})
    )
    assert target.master == "local[3]"
    assert target.conf["a"] == "b"
    assert target.environment == {"C": "d"}
    assert (Path(target.spark_home) / "jars").is_dir()
    assert (Path(target.java_home) / "bin" / "java").is_file()
    assert target.driver_memory_bytes == 1024 * _MIB


def test_a_script_that_fails_is_the_cause(launcher: LocalLauncher) -> None:
    driver = launcher.start(plan("echo $DB_IS_DRIVER $DB_CLUSTER_ID\nexit 3"))
    report = until(driver, DriverPhase.GONE)
    assert report.cause is ClusterCause.INIT_SCRIPT_FAILURE
    assert "0.sh" in report.message
    (name,) = (each for each in driver.log_names() if "stdout" in each)
    with driver.open_log(name) as log:
        assert log.read() == b"TRUE 0301-120000-abcdefgh\n"
    driver.kill()
    driver.remove()
    assert not driver.folder.exists()


def test_a_driver_that_is_gone_is_adopted_as_such(launcher: LocalLauncher) -> None:
    record = DriverRecord("/nowhere/driver-1", 2**22 - 1, "1", 1, _AT)
    driver = launcher.adopt(record)
    assert not driver.alive()
    assert driver.report().phase is DriverPhase.GONE
    driver.kill()


def test_a_warm_driver_is_taken_and_found_again(
    settings: Settings, launcher: LocalLauncher
) -> None:
    launcher.keep_warm(1)
    (folder,) = Path(settings.spark_dir).glob("driver-*")
    other = launcher.start(plan("exit 0", spark_conf={"spark.x": "y"}))
    assert other.folder != folder
    other.kill()
    other.remove()
    driver = launcher.start(plan())
    assert driver.folder == folder
    until(driver, DriverPhase.READY)
    gateway = driver.gateway("attempt-1", None)
    assert driver.gateway("attempt-1", None) == gateway
    assert driver.gateway("attempt-2", None).port != gateway.port
    driver.release("attempt-1")
    driver.release("attempt-1")
    launcher.close()
    record = DriverRecord(str(driver.folder), driver.pid, driver.started, 1, _AT)
    found = LocalLauncher(settings).adopt(record)
    assert found.alive()
    assert found.report().phase is DriverPhase.READY
    LocalLauncher(replace(settings)).sweep([folder])
    assert found.alive()
    LocalLauncher(settings).sweep([])
    assert not found.alive()
    assert not folder.exists()
