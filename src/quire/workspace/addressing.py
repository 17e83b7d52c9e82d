"""Paths of the workspace: which are allowed, and what they are made of; identifiers as short texts.

Knows no stored record.
"""

from __future__ import annotations

import unicodedata
from uuid import UUID

from quire.errors import InvalidValue, MissingField

__all__ = [
    "LONGEST_PATH_BYTES",
    "ancestors",
    "base62",
    "check_path",
    "from_base62",
    "join",
    "parent_of",
]

LONGEST_PATH_BYTES = 4096
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE62_LENGTH = 22  # digits that 128 bits take


def check_path(text: str, field: str = "path") -> str:
    """``text`` in the form it is stored in (NFC): absolute, such as ``/Users/ann/report``.

    Raises MissingField for an empty path and InvalidValue for one that is relative, is over 4096
    bytes long in UTF-8, has an empty part, ``.`` or ``..``, or holds a control character.
    """
    path = unicodedata.normalize("NFC", text)
    if not path:
        raise MissingField(field)
    if any(unicodedata.category(each) in ("Cc", "Cs") for each in path):
        raise InvalidValue(field, f"{path!r} contains a control character.")
    if not path.startswith("/"):
        raise InvalidValue(field, f"{path!r} is not absolute: it must begin with a slash.")
    if len(path.encode()) > LONGEST_PATH_BYTES:
        raise InvalidValue(field, f"the path is longer than {LONGEST_PATH_BYTES} bytes.")
    if path != "/" and any(part in ("", ".", "..") for part in path[1:].split("/")):
        raise InvalidValue(field, f"{path!r} has an empty part, '.' or '..'.")
    return path


def parent_of(path: str) -> str:
    """The folder a checked path lies in; the root's is the root."""
    return path.rpartition("/")[0] or "/"


def ancestors(path: str) -> list[str]:
    """The folders above a checked path, the root first; none for the root."""
    if path == "/":
        return []
    parts = path[1:].split("/")[:-1]
    return ["/", *("/" + "/".join(parts[:count]) for count in range(1, len(parts) + 1))]


def join(folder: str, relative: str) -> str:
    """The checked path of ``relative`` as seen from ``folder``; ``.`` and ``..`` are followed.

    An absolute ``relative`` stands for itself. Raises InvalidValue when it leads above the root.
    """
    if relative.startswith("/"):
        return check_path(relative)
    parts = [part for part in folder.split("/") if part]
    for part in relative.split("/"):
        if part == "..":
            if not parts:
                raise InvalidValue("path", f"{relative!r} leads above the root.")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return check_path("/" + "/".join(parts))


def base62(uid: UUID) -> str:
    """An identifier as 22 letters and digits."""
    number = uid.int
    digits = []
    for _ in range(_BASE62_LENGTH):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def from_base62(text: str) -> UUID | None:
    """The identifier that :func:`base62` wrote; None for any other text."""
    if len(text) != _BASE62_LENGTH or any(each not in _BASE62 for each in text):
        return None
    number = 0
    for each in text:
        number = number * len(_BASE62) + _BASE62.index(each)
    return UUID(int=number) if number < 2**128 else None
