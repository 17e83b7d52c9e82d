"""Whose folders the driver is let into: those made for the run, and never any other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quire_runtime.spark.sharing import ACCESS, share_with

OTHER = 1_400_000_000

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")


@pytest.fixture
def gateway() -> Iterator[Any]:
    """A driver that is another user, as far as this question goes."""
    process = subprocess.Popen(["sleep", "600"], user=OTHER, group=OTHER, extra_groups=[])
    handle = SimpleNamespace(current=lambda: SimpleNamespace(pid=lambda: process.pid))
    yield SimpleNamespace(
        jvm=SimpleNamespace(java=SimpleNamespace(lang=SimpleNamespace(ProcessHandle=handle)))
    )
    process.kill()
    process.wait()


def folders(top: Path, mode: int) -> tuple[Path, Path]:
    home = top / "home"
    work = home / "work"
    work.mkdir(parents=True)
    home.chmod(mode)
    return home, work


def state(path: Path) -> tuple[int, list[str]]:
    return path.stat().st_mode, os.listxattr(path)


def test_the_home_of_a_run_is_shared(tmp_path: Path, gateway: Any) -> None:
    home, work = folders(tmp_path, 0o700)
    (work / "sub").mkdir()
    share_with(str(home), str(work), gateway)
    assert ACCESS in os.listxattr(home)
    assert ACCESS in os.listxattr(work / "sub")
    assert home.stat().st_mode & 0o007 == 0
    before = state(home)
    share_with(str(home), str(work), gateway)  # as a second connection does
    assert state(home) == before


@pytest.mark.parametrize("mode", [0o755, 0o711, 0o1777, 0o770])
def test_a_folder_that_others_may_enter_is_not_ours_to_change(
    tmp_path: Path, gateway: Any, mode: int
) -> None:
    home, work = folders(tmp_path, mode)
    before = state(home), state(work)
    share_with(str(home), str(work), gateway)
    assert (state(home), state(work)) == before


def test_nothing_is_shared_without_a_home(tmp_path: Path, gateway: Any) -> None:
    home, work = folders(tmp_path, 0o700)
    before = state(home), state(work)
    share_with(None, str(work), gateway)
    assert (state(home), state(work)) == before


def test_a_working_folder_elsewhere_is_left_alone(tmp_path: Path, gateway: Any) -> None:
    home, _ = folders(tmp_path, 0o700)
    elsewhere = tmp_path / "project"
    elsewhere.mkdir()
    (home / "link").symlink_to(elsewhere)
    before = state(home), state(elsewhere)
    share_with(str(home), str(elsewhere), gateway)
    share_with(str(home), str(home / "link"), gateway)
    assert (state(home), state(elsewhere)) == before
