"""The spool file, on a full disk too."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from quire.runner.spool import Spool, StorageFull, read_spool, remove_spool


def test_lines_come_back_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 7)
    spool.append(b'{"sequence":1}\n')
    spool.append(b'{"sequence":2}\n')
    assert spool.read(0, 1000) == [b'{"sequence":1}', b'{"sequence":2}']
    assert spool.read(0, 20) == [b'{"sequence":1}']
    assert spool.read(0, 3) == [b'{"sequence":1}']
    assert spool.read(15, 1000) == [b'{"sequence":2}']
    assert spool.read(30, 1000) == []
    assert read_spool(tmp_path, 7) == [{"sequence": 1}, {"sequence": 2}]
    assert (tmp_path / "7").stat().st_mode & 0o777 == 0o700


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 7)
    spool.append(b'{"sequence":1}\n')
    with (tmp_path / "7" / "events.jsonl").open("ab") as file:
        file.write(b'{"seq')
    assert read_spool(tmp_path, 7) == [{"sequence": 1}]


def test_nothing_is_read_where_nothing_is(tmp_path: Path) -> None:
    assert read_spool(tmp_path, 7) == []
    remove_spool(tmp_path, 7)


def test_a_spool_belongs_to_one_runner(tmp_path: Path) -> None:
    Spool(tmp_path, 7)
    with pytest.raises(FileExistsError):
        Spool(tmp_path, 7)


def test_a_full_disk_is_told_once_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 7)
    spool.append(b'{"sequence":1}\n')
    really = os.pwrite

    def full(file: int, data: bytes, position: int) -> int:
        really(file, bytes(data)[:4], position)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageFull):
        spool.append(b'{"sequence":2}\n')
    spool.append(b'{"sequence":3}\n')
    assert spool.size == 45
    assert spool.read(0, 1000) == [b'{"sequence":1}']
    assert spool.read(15, 1000) == [b'{"sequence":2}', b'{"sequence":3}']
    assert spool.read(15, 3) == [b'{"sequence":2}']
    assert read_spool(tmp_path, 7) == [{"sequence": 1}]
    spool.remove()
    assert not (tmp_path / "7").exists()


def test_a_disk_that_was_full_before_is_told_by_the_first_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "makedirs", full)
        spool = Spool(tmp_path, 7)
    with pytest.raises(StorageFull):
        spool.append(b'{"sequence":1}\n')
    assert spool.read(0, 1000) == [b'{"sequence":1}']
    spool.remove()
