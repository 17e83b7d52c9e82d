"""What every blob store does: a directory, and a real server that speaks S3."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import pytest
import requests

from quire.errors import InvalidValue, NotFound, Unavailable
from quire.store.blobs import BlobStore


@pytest.fixture(scope="module")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                requests.get(f"{endpoint}/moto-api/data.json", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield endpoint
    finally:
        server.terminate()
        server.wait(timeout=30)


def _s3_url(endpoint: str, bucket: str, prefix: str = "") -> str:
    options = {
        "endpoint": endpoint,
        "access_key_id": "test",
        "secret_access_key": "test",
        "region": "us-east-1",
        "allow_http": "true",
    }
    return f"s3://{bucket}{prefix}?{urlencode(options)}"


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "directory":
        return BlobStore.open("", tmp_path / "blobs")
    endpoint = request.getfixturevalue("s3_endpoint")
    bucket = f"b{uuid4().hex}"
    assert requests.put(f"{endpoint}/{bucket}", timeout=10).status_code == 200
    return BlobStore.open(_s3_url(endpoint, bucket, "/some/prefix"), tmp_path / "unused")


def test_gives_back_what_was_put(store: BlobStore) -> None:
    data = bytes(range(256)) * 100
    store.put("runs/1/snapshot", data)
    assert store.get("runs/1/snapshot") == data


def test_keeps_empty_values(store: BlobStore) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""


def test_keeps_large_values(store: BlobStore) -> None:
    data = b"0123456789abcdef" * (1024 * 1024)
    store.put("large", data)
    assert store.get("large") == data


def test_replaces_values(store: BlobStore) -> None:
    store.put("a", b"old and longer")
    store.put("a", b"new")
    assert store.get("a") == b"new"


def test_missing_values_are_not_found(store: BlobStore) -> None:
    with pytest.raises(NotFound) as caught:
        store.get("runs/7/none")
    assert (caught.value.kind, caught.value.identifier) == ("blob", "runs/7/none")
    with pytest.raises(NotFound):
        store.get_range("runs/7/none", 0, 1)


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, 3, b"012"),
        (4, 2, b"45"),
        (8, 5, b"89"),  # over the end
        (10, 5, b""),  # at the end
        (90, 5, b""),  # beyond the end
        (3, 0, b""),
    ],
)
def test_gives_ranges(store: BlobStore, start: int, length: int, expected: bytes) -> None:
    store.put("digits", b"0123456789")
    assert store.get_range("digits", start, length) == expected


def test_lists_below_a_folder_in_order(store: BlobStore) -> None:
    for key in ["runs/1/b", "runs/1/a", "runs/10/a", "runs/1/deep/c", "other"]:
        store.put(key, b"x")
    assert store.list("runs/1/") == ["runs/1/a", "runs/1/b", "runs/1/deep/c"]
    assert store.list("") == ["other", "runs/1/a", "runs/1/b", "runs/1/deep/c", "runs/10/a"]
    assert store.list("nothing/") == []


def test_deletes_and_does_not_mind_absent_keys(store: BlobStore) -> None:
    for key in ["a/1", "a/2", "a/3"]:
        store.put(key, b"x")
    store.delete(["a/1", "never there", "a/3", "a/1"])
    assert store.list("a/") == ["a/2"]
    store.delete([])
    store.delete(["never there"])
    assert store.list("") == ["a/2"]


@pytest.mark.parametrize("key", ["name with blanks", "Grüße/日本", "a+b=c&d?e", "per%20cent"])
def test_takes_unusual_keys(store: BlobStore, key: str) -> None:
    store.put(key, key.encode())
    assert store.get(key) == key.encode()
    assert store.list("") == [key]
    store.delete([key])
    assert store.list("") == []


def test_readers_see_whole_values_while_they_are_replaced(store: BlobStore) -> None:
    values = [bytes([number]) * 200_000 for number in range(8)]
    store.put("contended", values[0])

    def write(value: bytes) -> None:
        store.put("contended", value)

    def read(_: int) -> bytes:
        return store.get("contended")

    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(write, value) for value in values]
        reads = list(pool.map(read, range(16)))
        for each in writes:
            each.result()
    assert all(each in values for each in reads)


def test_a_directory_is_closed_to_other_users(tmp_path: Path) -> None:
    BlobStore.open((tmp_path / "deep" / "blobs").as_uri(), tmp_path)
    assert (tmp_path / "deep" / "blobs").stat().st_mode & 0o777 == 0o700


def test_directories_emptied_are_removed(tmp_path: Path) -> None:
    store = BlobStore.open("", tmp_path / "blobs")
    store.put("runs/1/a", b"x")
    store.delete(["runs/1/a"])
    assert list((tmp_path / "blobs").iterdir()) == []


def test_a_store_that_is_away_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = _s3_url(f"http://127.0.0.1:{closed.getsockname()[1]}", "bucket")
        store = BlobStore.open(url, tmp_path)
        attempts: list[Callable[[], object]] = [
            lambda: store.put("a", b"x"),
            lambda: store.get("a"),
            lambda: store.list(""),
            lambda: store.delete(["a"]),
        ]
        for attempt in attempts:
            with pytest.raises(Unavailable, match="does not answer"):
                attempt()


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="file"):
        BlobStore.open("", tmp_path / "file" / "blobs")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "ftp://host/path",
        "s3://",
        "s3://bucket?no_such_option=1",
    ],
)
def test_urls_that_are_not_understood_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="blob_url"):
        BlobStore.open(url, tmp_path)


def test_descriptions_hold_no_secrets(tmp_path: Path) -> None:
    keys = "access_key_id=me&secret_access_key=hush"
    store = BlobStore.open(f"s3://bucket/x?{keys}&region=eu-west-1", tmp_path)
    assert store.description == "s3://bucket/x"
    with pytest.raises(InvalidValue) as caught:
        BlobStore.open("s3://?secret_access_key=hush", tmp_path)
    assert "hush" not in str(caught.value)


_FILL = """
import resource, signal, sys
from pathlib import Path
from quire.store.blobs import BlobStore, BlobStoreFull

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = BlobStore.open("", Path(sys.argv[1]))
store.put("small", b"kept")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    store.put("large", b"x" * 4_000_000)
except BlobStoreFull as error:
    print("full:", error)
print(store.list(""), store.get("small"))
"""


def test_a_store_without_room_says_so_and_keeps_what_it_had(tmp_path: Path) -> None:
    # A limit on file sizes stands for a full disk: writing stops in the middle with an errno.
    done = subprocess.run(
        [sys.executable, "-c", _FILL, str(tmp_path / "blobs")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("full: The blob store is full: ")
    assert second == "['small'] b'kept'"
