from __future__ import annotations

import errno
import os
import threading
from datetime import UTC
from pathlib import Path

import pytest

from quire.errors import (
    AlreadyExists,
    InvalidValue,
    MissingField,
    NotEmpty,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from quire.workspace.files import FileStore


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files")


def names(store: FileStore, path: str) -> list[str]:
    return [each.name for each in store.list(path)]


def staged(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / "files" / ".staging")


def test_the_first_folders_are_there(store: FileStore) -> None:
    assert names(store, "/") == ["FileStore", "databricks-datasets", "mnt", "tmp", "user"]
    assert store.stat("/user/hive/warehouse").is_directory
    assert store.list("/tmp") == []


def test_opening_a_store_again_keeps_what_it_holds(tmp_path: Path) -> None:
    FileStore(tmp_path / "files").write("/tmp/a", b"1")
    assert FileStore(tmp_path / "files").read("/tmp/a") == b"1"


def test_a_written_file_has_its_parents_and_facts(store: FileStore, tmp_path: Path) -> None:
    written = store.write("/a/b/c.bin", b"\x00\xff")
    assert (written.path, written.name, written.is_directory) == ("/a/b/c.bin", "c.bin", False)
    assert written.size == 2
    assert written.modified_at.tzinfo is UTC
    assert store.read("/a/b/c.bin") == b"\x00\xff"
    assert store.list("/a") == [store.stat("/a/b")]
    assert store.list("/a/b/c.bin") == [written]
    assert staged(tmp_path) == []


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, None, b"0123456789"),
        (3, 4, b"3456"),
        (8, 4, b"89"),
        (10, 4, b""),
        (99, None, b""),
        (0, 0, b""),
    ],
)
def test_ranges(store: FileStore, offset: int, length: int | None, expected: bytes) -> None:
    store.write("/tmp/n", b"0123456789")
    assert store.read("/tmp/n", offset, length) == expected


@pytest.mark.parametrize(("offset", "length"), [(-1, None), (0, -1)])
def test_negative_ranges_are_refused(store: FileStore, offset: int, length: int | None) -> None:
    store.write("/tmp/n", b"0")
    with pytest.raises(InvalidValue):
        store.read("/tmp/n", offset, length)


def test_overwriting_is_said(store: FileStore) -> None:
    store.write("/tmp/a", b"1")
    with pytest.raises(AlreadyExists):
        store.write("/tmp/a", b"2")
    assert store.read("/tmp/a") == b"1"
    store.write("/tmp/a", b"3", overwrite=True)
    assert store.read("/tmp/a") == b"3"
    with pytest.raises(AlreadyExists):
        store.write("/tmp", b"4", overwrite=True)


def test_a_file_shows_whole_at_its_commit(store: FileStore, tmp_path: Path) -> None:
    upload = store.begin("/tmp/a")
    upload.write(b"one ")
    upload.write(b"two")
    assert store.list("/tmp") == []
    upload.commit()
    upload.discard()
    assert store.read("/tmp/a") == b"one two"
    assert staged(tmp_path) == []


def test_a_write_that_fails_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    def blocks() -> list[bytes]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write("/tmp/a", (block for block in blocks()))
    assert store.list("/tmp") == []
    assert staged(tmp_path) == []


def test_of_two_writers_without_overwrite_one_wins(store: FileStore) -> None:
    uploads = [store.begin("/tmp/a") for _ in range(2)]
    uploads[0].commit()
    with pytest.raises(AlreadyExists):
        uploads[1].commit()
    for upload in uploads:
        upload.discard()


def test_many_writers_never_mix(store: FileStore) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]

    def write(data: bytes) -> None:
        for _ in range(5):
            store.write("/tmp/a", data, overwrite=True)

    threads = [threading.Thread(target=write, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        try:
            assert store.read("/tmp/a") in contents
        except NotFound:
            continue  # none has written yet
    assert store.read("/tmp/a") in contents


@pytest.mark.parametrize(
    "path",
    [
        "relative",
        "../x",
        "/a/../../x",
        "/..",
        "/a\0b",
        "/" + "n" * 256,
        "/d" * 2049,
        "/.staging",
        "/.staging/x",
        "/./.staging/x",
        "/\ud800",
    ],
)
def test_paths_that_are_refused(store: FileStore, path: str) -> None:
    for act in (
        store.stat,
        store.list,
        store.read,
        store.make_directories,
        store.delete,
        lambda each: store.write(each, b""),
        lambda each: store.move("/tmp", each),
        lambda each: store.copy(each, "/tmp/x"),
    ):
        with pytest.raises(InvalidValue):
            act(path)


def test_an_empty_path_is_missing(store: FileStore) -> None:
    with pytest.raises(MissingField):
        store.stat("")


def test_slashes_are_tidied(store: FileStore) -> None:
    assert store.write("//tmp/./a/", b"1").path == "/tmp/a"


def test_links_lead_nowhere(store: FileStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    (tmp_path / "files" / "tmp" / "folder").symlink_to(outside)
    (tmp_path / "files" / "tmp" / "file").symlink_to(outside / "secret")
    for act in (
        lambda: store.read("/tmp/file"),
        lambda: store.read("/tmp/folder/secret"),
        lambda: store.stat("/tmp/folder"),
        lambda: store.list("/tmp/folder"),
        lambda: store.write("/tmp/folder/new", b""),
        lambda: store.write("/tmp/file", b"", overwrite=True),
        lambda: store.move("/tmp/folder/secret", "/tmp/x"),
        lambda: store.copy("/tmp/file", "/tmp/x"),
        lambda: store.delete("/tmp/folder/secret"),
        lambda: store.make_directories("/tmp/folder/deep"),
    ):
        with pytest.raises(PermissionDenied):
            act()
    assert store.list("/tmp") == []
    assert os.listdir(outside) == ["secret"]
    assert store.delete("/tmp/folder", recursive=True) is True
    assert (outside / "secret").read_text() == "s"


def test_devices_are_refused(store: FileStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "files" / "tmp" / "pipe")
    with pytest.raises(PermissionDenied):
        store.open("/tmp/pipe")


def test_a_file_in_the_way_of_folders(store: FileStore) -> None:
    store.write("/tmp/a", b"")
    for act in (
        lambda: store.make_directories("/tmp/a"),
        lambda: store.make_directories("/tmp/a/b"),
        lambda: store.write("/tmp/a/b", b""),
    ):
        with pytest.raises(AlreadyExists):
            act()
    with pytest.raises(NotFound):
        store.read("/tmp/a/b")
    store.make_directories("/tmp")


def test_reading_what_is_no_file(store: FileStore) -> None:
    with pytest.raises(InvalidValue, match="is a directory"):
        store.read("/tmp")
    with pytest.raises(InvalidValue, match="is a directory"):
        store.write("/", b"")
    for act in (store.read, store.stat, store.list):
        with pytest.raises(NotFound):
            act("/tmp/nothing")


def test_deleting(store: FileStore, tmp_path: Path) -> None:
    store.write("/a/b/c", b"")
    with pytest.raises(NotEmpty):
        store.delete("/a")
    assert store.delete("/a", recursive=True) is True
    assert store.delete("/a") is False
    assert store.delete("/a/b/c") is False
    assert staged(tmp_path) == []
    store.make_directories("/empty")
    assert store.delete("/empty") is True
    with pytest.raises(InvalidValue):
        store.delete("/", recursive=True)


def test_moving(store: FileStore) -> None:
    store.write("/a/one", b"1")
    assert store.move("/a/one", "/b/c/two").path == "/b/c/two"
    assert store.move("/b/c/two", "/tmp").path == "/tmp/two"
    assert store.read("/tmp/two") == b"1"
    store.write("/tmp/three", b"3")
    with pytest.raises(AlreadyExists):
        store.move("/tmp/two", "/tmp/three")
    assert store.move("/tmp/two", "/tmp/three", overwrite=True).size == 1
    assert store.read("/tmp/three") == b"1"
    assert store.move("/b", "/d").is_directory
    assert names(store, "/d") == ["c"]
    with pytest.raises(InvalidValue, match="lies inside"):
        store.move("/d", "/d/c")
    with pytest.raises(NotFound):
        store.move("/nothing", "/x")
    with pytest.raises(InvalidValue):
        store.move("/", "/x")
    store.make_directories("/tmp/d")
    with pytest.raises(AlreadyExists):
        store.move("/d", "/tmp")


def test_copying(store: FileStore) -> None:
    store.write("/a/one", b"1")
    store.write("/a/deep/two", b"2")
    assert store.copy("/a/one", "/tmp").path == "/tmp/one"
    with pytest.raises(AlreadyExists):
        store.copy("/a/one", "/tmp/one")
    with pytest.raises(InvalidValue):
        store.copy("/a", "/b")
    store.copy("/a", "/b", recursive=True)
    assert store.read("/b/deep/two") == b"2"
    assert store.copy("/a", "/b", recursive=True).path == "/b/a"
    assert store.read("/b/a/one") == b"1"
    with pytest.raises(InvalidValue, match="lies inside"):
        store.copy("/a", "/a/deep", recursive=True)
    assert store.read("/a/one") == b"1"


def test_a_full_disk_is_said_and_leaves_nothing(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        store.write("/tmp/a", b"1")
    assert store.list("/tmp") == []
    assert staged(tmp_path) == []
