"""Databricks archives: a zip of notebook records in folders (Databricks contract 9.3).

Owns: which entries an archive may have, their paths, the bound on what is unpacked.
Does not own: the records inside (``databricks_model``) and where a tree is imported to.
"""

from __future__ import annotations

import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quire.errors import InvalidValue, TooLarge
from quire.workspace.formats.databricks_model import load_model, model_of
from quire.workspace.formats.document import LANGUAGES, decode, encode, language_of

__all__ = ["MAXIMUM_ENTRIES", "MAXIMUM_UNPACKED_BYTES", "ArchiveEntry", "read", "write"]

MAXIMUM_ENTRIES = 10_000
MAXIMUM_UNPACKED_BYTES = 100 * 1024 * 1024

_MANIFEST = "manifest.mf"
_BLOCK_BYTES = 64 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment zip knows; equal trees give equal archives
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,  # zipfile's answer to a compression it lacks
    RuntimeError,  # and to an encrypted entry
    EOFError,
    OSError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class ArchiveEntry:
    """One notebook of an archive, or one folder that holds nothing."""

    path: str  # relative, "/" between parts, without extension
    notebook: dict[str, Any] | None  # None: an empty folder


def read(data: bytes, *, maximum_bytes: int = MAXIMUM_UNPACKED_BYTES) -> list[ArchiveEntry]:
    """The notebooks of an archive and its empty folders, in the order of their paths.

    maximum_bytes: bound on all entries together once unpacked, counted while unpacking.

    Raises InvalidValue("content") when the file is no zip, an entry lies outside the archive, is no
    notebook or comes twice; TooLarge when there are too many entries or bytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_entries(archive, maximum_bytes)
    except _UNREADABLE as error:
        raise InvalidValue("content", f"the archive cannot be read ({error}).") from error


def write(entries: Iterable[ArchiveEntry]) -> bytes:
    """An archive of these notebooks and folders.

    Raises InvalidValue("content") for a path that is not a plain relative one or comes twice, and
    InvalidValue("language") for a notebook whose language archives do not know.
    """
    buffer = io.BytesIO()
    seen: set[str] = set()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, _MANIFEST, json.dumps({"version": "Manifest"}))
        for entry in sorted(entries, key=lambda entry: entry.path):
            parts = _parts(entry.path)
            _claim(entry.path, seen)
            if entry.notebook is None:
                _add(archive, entry.path + "/", "")
                continue
            language = language_of(entry.notebook)
            if language not in LANGUAGES:
                message = f"an archive cannot hold a notebook in {language}."
                raise InvalidValue("language", message, allowed=tuple(LANGUAGES))
            model = model_of(entry.notebook, parts[-1])
            _add(archive, entry.path + LANGUAGES[language].archive_extension, json.dumps(model))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (0o40755 << 16 | 0x10) if name.endswith("/") else (0o644 << 16)
    archive.writestr(info, encode(text))


def _read_entries(archive: zipfile.ZipFile, maximum_bytes: int) -> list[ArchiveEntry]:
    infos = archive.infolist()
    if len(infos) > MAXIMUM_ENTRIES:
        raise InvalidValue("content", f"the archive has more than {MAXIMUM_ENTRIES} entries.")
    notebooks: dict[str, dict[str, Any]] = {}
    folders: set[str] = set()
    seen: set[str] = set()
    extensions = {language.archive_extension for language in LANGUAGES.values()}
    left = maximum_bytes
    for info in infos:
        name = info.orig_filename
        if name == _MANIFEST:
            continue
        parts = _parts(name.removesuffix("/"))
        if name.endswith("/"):
            folders.add("/".join(parts))
            continue
        stem, dot, extension = parts[-1].rpartition(".")
        if not stem or dot + extension not in extensions:
            raise InvalidValue("content", f"the archive's entry {name} is not a notebook.")
        path = "/".join([*parts[:-1], stem])
        _claim(path, seen)
        content = _unpack(archive, info, left)
        if content is None:
            raise TooLarge("The unpacked archive", maximum_bytes, field="content")
        left -= len(content)
        try:
            notebooks[path] = load_model(decode(content))
        except InvalidValue as error:
            raise InvalidValue("content", f"in the archive's entry {name}: {error}") from error
    _check_tree(notebooks)
    used = {parent for path in (*notebooks, *folders) for parent in _parents(path)}
    entries = [ArchiveEntry(path, notebook) for path, notebook in notebooks.items()]
    entries += [ArchiveEntry(path, None) for path in folders - used]
    return sorted(entries, key=lambda entry: entry.path)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes | None:
    """The entry's bytes; None when there are more than ``most``, whatever its header says."""
    blocks: list[bytes] = []
    size = 0
    with archive.open(info) as stream:
        while block := stream.read(_BLOCK_BYTES):
            size += len(block)
            if size > most:
                return None
            blocks.append(block)
    return b"".join(blocks)


def _parts(path: str) -> list[str]:
    """The path's parts. Raises InvalidValue("content") unless it stays inside the archive."""
    parts = path.split("/")
    bad = (
        any(part in ("", ".", "..") for part in parts)
        or "\\" in path
        or (len(parts[0]) == 2 and parts[0][1] == ":")
        or any(ord(character) < 32 or ord(character) == 127 for character in path)
    )
    if bad:
        raise InvalidValue("content", f"the archive's path {path!r} is not allowed.")
    return parts


def _parents(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _claim(path: str, seen: set[str]) -> None:
    if path in seen:
        raise InvalidValue("content", f"the archive holds {path} twice.")
    seen.add(path)


def _check_tree(notebooks: Iterable[str]) -> None:
    """Refuse a notebook that is also the folder of another."""
    paths = set(notebooks)
    for path in paths:
        for parent in _parents(path):
            if parent in paths:
                raise InvalidValue("content", f"{parent} is a notebook and a folder.")
