"""The working folder of a kernel: what comes in, what goes out, and what never does."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from quire.runner.protocol import Files
from quire.runner.server import Refused
from quire.runner.users import KernelUser
from quire.runner.working_files import WorkingFolder

KEEPS: dict[str, Any] = {"keeps": True, "file_bytes": 100, "total_bytes": 150, "most": 20}


class Store:
    """The server's side: files by path, and what was asked."""

    def __init__(self, **files: bytes) -> None:
        self.files: dict[str, bytes | None] = dict(files)  # None: a folder
        self.asked: list[tuple[str, str]] = []
        self.refuses: set[str] = set()

    def request(self, method: str, what: str, body: bytes | None = None, *, path: str) -> bytes:
        assert what == "working-files"
        self.asked.append((method, path))
        if path in self.refuses:
            raise Refused(403, "not yours")
        if method == "PUT":
            assert body is not None
            self.files[path] = body
            return b""
        if path not in self.files:
            raise Refused(404, "no such file")
        if method == "DELETE":
            del self.files[path]
            return b""
        data = self.files[path]
        assert data is not None
        return data

    def attached(self, **options: Any) -> Files:
        return Files(
            attached=[
                {"path": path, "digest": None if data is None else digest(data)}
                for path, data in sorted(self.files.items())
            ],
            **options,
        )


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    root.mkdir()
    return root


def bring_in(folder: WorkingFolder, store: Store, **options: Any) -> None:
    folder.bring_in(store.attached(**options), store)  # type: ignore[arg-type]


def carry_out(folder: WorkingFolder, store: Store, **options: Any) -> str:
    files = Files(**{**KEEPS, **options})
    return folder.carry_out(files, store)  # type: ignore[arg-type]


def test_what_is_attached_is_there(root: Path) -> None:
    store = Store()
    store.files = {"empty": None, "data": None, "data/ä b.csv": b"1,2"}
    bring_in(WorkingFolder(root, None), store)
    assert (root / "data/ä b.csv").read_bytes() == b"1,2"
    assert (root / "empty").is_dir()


def test_only_what_changed_is_told(root: Path) -> None:
    store = Store(a=b"1", b=b"2", c=b"3")
    folder = WorkingFolder(root, None)
    bring_in(folder, store)
    store.asked.clear()
    (root / "a").write_bytes(b"other")
    (root / "b").write_bytes(b"2")  # written, and yet the same
    (root / "out").mkdir()
    (root / "out/new").write_bytes(b"new")
    assert carry_out(folder, store) == ""
    assert store.asked == [("PUT", "a"), ("PUT", "out/new")]
    store.asked.clear()
    assert carry_out(folder, store) == ""
    assert store.asked == []


def test_what_was_removed_is_told_when_that_is_wanted(root: Path) -> None:
    store = Store(**{"a": b"1", "d/b": b"2"})
    folder = WorkingFolder(root, None)
    bring_in(folder, store)
    (root / "a").unlink()
    store.asked.clear()
    carry_out(folder, store)
    assert store.asked == []
    carry_out(folder, store, removes=True)
    assert store.asked == [("DELETE", "a")]
    assert set(store.files) == {"d/b"}


def test_hidden_files_links_and_pipes_stay_behind(root: Path) -> None:
    (root / ".cache").mkdir()
    (root / ".cache/x").write_bytes(b"x")
    (root / "__pycache__").mkdir()
    (root / "__pycache__/m.pyc").write_bytes(b"x")
    (root / ".netrc").write_bytes(b"x")
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "etc").symlink_to("/etc")
    os.mkfifo(root / "pipe")
    store = Store()
    assert carry_out(WorkingFolder(root, None), store) == ""
    assert store.asked == []


def test_limits_and_refusals_are_named(root: Path) -> None:
    for name, size in (("a", 100), ("b", 101), ("c", 51), ("d", 50), ("e", 1)):
        (root / name).write_bytes(b"x" * size)
    store = Store()
    store.refuses = {"d"}
    told = carry_out(WorkingFolder(root, None), store)
    assert told == "Files that could not be kept: b, c, d, e."
    for name in "fghijk":
        (root / name).write_bytes(b"x" * 200)
    told = carry_out(WorkingFolder(root, None), store, total_bytes=0)
    assert told == "Files that could not be kept: a, b, c, d, e and 6 more."


def test_a_later_run_of_a_session_sees_the_notebooks_files_as_they_are(root: Path) -> None:
    store = Store(kept=b"1", changed=b"2", gone=b"3")
    folder = WorkingFolder(root, None)
    bring_in(folder, store)
    (root / "own").write_bytes(b"4")
    (root / "kept").write_bytes(b"1")
    carry_out(folder, store, removes=True)
    store.files["changed"] = b"two"
    del store.files["gone"]
    store.asked.clear()
    bring_in(folder, store)
    assert store.asked == [("GET", "changed")]
    assert {each.name: each.read_bytes() for each in root.iterdir()} == {
        "kept": b"1",
        "changed": b"two",
        "own": b"4",
    }


def test_what_was_spoilt_in_a_session_comes_again(root: Path) -> None:
    store = Store(a=b"1")
    folder = WorkingFolder(root, None)
    bring_in(folder, store)
    (root / "a").write_bytes(b"spoilt")  # by a thread, after the run's end
    bring_in(folder, store)
    assert (root / "a").read_bytes() == b"1"


def test_a_file_that_went_meanwhile_is_no_failure(root: Path) -> None:
    store = Store(a=b"1")
    files = store.attached()
    store.files.clear()
    WorkingFolder(root, None).bring_in(files, store)  # type: ignore[arg-type]
    assert list(root.iterdir()) == []


UID = 12345 if os.geteuid() == 0 else os.geteuid()
"""Kernels have users of their own when the server is root; else they are the server's."""


def test_no_more_files_are_told_than_wanted(root: Path) -> None:
    for number in range(5):
        (root / str(number)).touch()
    store, folder = Store(), WorkingFolder(root, None)
    told = carry_out(folder, store, most=3)
    assert set(store.files) == {"0", "1", "2"}
    assert told == "Files that could not be kept: 3, 4."


class TestTheUsersRights:
    """Nobody gets more of files than the kernel's user may."""

    @pytest.fixture
    def theirs(self, root: Path) -> WorkingFolder:
        gid = UID if os.geteuid() != UID else os.getegid()
        if os.geteuid() != UID:
            for folder in list(root.parents)[:-1]:  # pytest closes its folders to others
                folder.chmod(folder.stat().st_mode | 0o011)
            os.chown(root, UID, gid)
        return WorkingFolder(root, KernelUser(UID, gid))

    def test_files_are_the_users_own(self, root: Path, theirs: WorkingFolder) -> None:
        bring_in(theirs, Store(**{"d/a": b"1"}))
        for path in ("d", "d/a"):
            assert (root / path).stat().st_uid == UID

    def test_code_leads_no_write_astray(self, root: Path, theirs: WorkingFolder) -> None:
        elsewhere = root.parent / "elsewhere"
        elsewhere.mkdir()
        elsewhere.chmod(0o575)  # whoever starts a server may well be in its group
        (root / "d").symlink_to(elsewhere)
        with pytest.raises(PermissionError):
            bring_in(theirs, Store(**{"d/a": b"1"}))
        assert list(elsewhere.iterdir()) == []

    def test_code_leads_no_read_astray(self, root: Path, theirs: WorkingFolder) -> None:
        secret = root / "secret"
        secret.write_bytes(b"not for them")
        secret.chmod(0o000)
        (root / "theirs").write_bytes(b"x")
        store = Store()
        carry_out(theirs, store)
        assert store.files == {"theirs": b"x"}

    def test_the_runner_is_itself_again(self, root: Path, theirs: WorkingFolder) -> None:
        carry_out(theirs, Store())
        made = root.parent / "made"
        made.write_bytes(b"x")
        assert made.stat().st_uid == os.geteuid()
