"""Large things: bytes under a key, in a directory or in an object store.

Keys are relative paths with ``/`` between their parts, made by Quire. A value is whole or absent: a
reader never sees half of one.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store, from_url

from quire.errors import InvalidValue, NotFound, Unavailable

__all__ = ["BlobStore", "BlobStoreFull"]

_from_url: Callable[..., ObjectStore] = from_url  # its overloads want one vendor's options
_CLIENT_OPTIONS = frozenset({"allow_http", "allow_invalid_certificates", "proxy_url", "timeout"})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_TEXTS = ("No space left on device", "Disk quota exceeded", "File too large")
_DELETED_AT_ONCE = 1000


class BlobStoreFull(Unavailable):
    """The blob store has no room left."""

    code = "blob_store_full"


class BlobStore:
    """Bytes by key."""

    def __init__(self, store: ObjectStore, description: str) -> None:
        self._store = store
        self.description = description

    @classmethod
    def open(cls, url: str, default_directory: Path) -> BlobStore:
        """The store at ``url``; an empty one means ``default_directory``, which is made.

        ``file:///path``, ``s3://bucket/prefix``, ``az://container/prefix`` and ``gs://bucket/prefix``
        are known. Credentials and options come from the environment (``AWS_*``, ``AZURE_*``,
        ``GOOGLE_*``) and from the query, such as
        ``s3://bucket?endpoint=http://127.0.0.1:9000&region=eu-central-1&allow_http=true``.
        Raises InvalidValue for a URL or an option that is not understood, Unavailable for a
        directory that cannot be made.
        """
        parts = urlsplit(url)
        if not url or parts.scheme == "file":
            return cls._open_directory(Path(unquote(parts.path)) if url else default_directory)
        if not parts.netloc:
            raise InvalidValue("blob_url", f"{_public(url)!r} names no bucket or container.")
        config: dict[str, Any] = {}
        client: dict[str, Any] = {}
        for key, value in parse_qsl(parts.query, keep_blank_values=True):
            if key in _CLIENT_OPTIONS:
                client[key] = {"true": True, "false": False}.get(value.lower(), value)
            else:
                config[key] = value
        try:
            store = _from_url(
                parts._replace(query="", fragment="").geturl(),
                config=config or None,
                client_options=client or None,
                retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
            )
        except (BaseError, ValueError, TypeError) as error:
            raise InvalidValue(
                "blob_url", f"{_public(url)!r} cannot be used: {_brief(error)}"
            ) from error
        return cls(store, _public(url))

    @classmethod
    def _open_directory(cls, directory: Path) -> BlobStore:
        try:
            # What runs as another user, such as a kernel, must not read other people's notebooks.
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"The blob directory cannot be made: {error}") from error
        return cls(LocalStore(directory.absolute(), automatic_cleanup=True), str(directory))

    def put(self, key: str, data: bytes) -> None:
        """Store ``data``, in place of what the key held.

        Raises BlobStoreFull when there is no room and Unavailable when the store cannot take it.
        """
        with _translated(key):
            obstore.put(self._store, key, data, use_multipart=False)

    def get(self, key: str) -> bytes:
        """Raises NotFound, Unavailable."""
        with _translated(key):
            return bytes(obstore.get(self._store, key).bytes())

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """At most ``length`` bytes from offset ``start`` on; fewer at the value's end.

        Raises NotFound, Unavailable.
        """
        if start < 0 or length < 0:
            raise ValueError("a range has no negative ends")
        with _translated(key):
            size = obstore.head(self._store, key)["size"]
            end = min(start + length, size)
            if start >= end:
                return b""
            return bytes(obstore.get_range(self._store, key, start=start, end=end))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove values; keys that hold none are fine. Raises Unavailable."""
        unique = list(dict.fromkeys(keys))
        if isinstance(self._store, S3Store):  # one request for many, and absent keys are fine there
            for first in range(0, len(unique), _DELETED_AT_ONCE):
                with _translated("several"):
                    obstore.delete(self._store, unique[first : first + _DELETED_AT_ONCE])
            return
        for key in unique:
            with suppress(NotFound), _translated(key):
                obstore.delete(self._store, key)

    def list(self, prefix: str) -> list[str]:
        """The keys below a folder such as ``runs/12/``, sorted. Raises Unavailable."""
        with _translated(prefix):
            batches = obstore.list(self._store, prefix=prefix.rstrip("/") or None)
            return sorted(entry["path"] for batch in batches for entry in batch)


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("blob", key) from error
    except (BaseError, OSError) as error:
        text = str(error)
        if getattr(error, "errno", None) in _FULL or any(each in text for each in _FULL_TEXTS):
            raise BlobStoreFull(f"The blob store is full: {_brief(error)}") from error
        raise Unavailable(f"The blob store does not answer: {_brief(error)}") from error


def _public(url: str) -> str:
    """A URL without its query, which may hold secrets."""
    return url.partition("?")[0]


def _brief(error: Exception) -> str:
    """What an error says, without the dump of its sources that obstore appends."""
    return str(error).partition("\n")[0]
