"""Which names principals may have. Users, groups and services share one namespace."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from quire.errors import InvalidValue, MissingField

__all__ = ["check_name", "is_storable", "name_key", "url_name"]

_LONGEST = 255
# "default" is a namespace other clients assume, "server" what url_name says of what nobody owns.
_RESERVED = frozenset({".", "..", "default", "server"})
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH_DIGITS = 20
_HASHED = re.compile(rf"u-[0-9a-f]{{{_HASH_DIGITS}}}")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def check_name(text: str, field: str = "name") -> str:
    """``text`` in the form it is stored in (NFC), such as ``ann`` or ``ann@example.com``.

    Raises MissingField for an empty name and InvalidValue for one that is over 255 characters long,
    reserved, begins or ends with a blank, or holds a slash or a control character.
    """
    name = unicodedata.normalize("NFC", text)
    if not name:
        raise MissingField(field)
    if len(name) > _LONGEST:
        raise InvalidValue(field, f"it is longer than {_LONGEST} characters.")
    if "/" in name:
        raise InvalidValue(field, f"{name!r} contains a slash.")
    if any(unicodedata.category(each) in _UNSEEN for each in name):
        raise InvalidValue(field, f"{name!r} contains a control character.")
    if name != name.strip():
        raise InvalidValue(field, f"{name!r} begins or ends with a blank.")
    if name_key(name) in _RESERVED or _HASHED.fullmatch(name_key(name)):
        raise InvalidValue(field, f"{name!r} is reserved.")
    return name


def name_key(name: str) -> str:
    """What two names have in common when they differ in case only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_storable(name: str) -> bool:
    """Whether a database can be asked for ``name`` at all."""
    return not any(unicodedata.category(each) in ("Cc", "Cs") for each in name)


def url_name(name: str | None) -> str:
    """A principal's name as one part of a path, of ``[A-Za-z0-9._-]{1,64}``.

    A name that is such a part stands for itself; others become ``u-`` and a hash, which no name may
    look like. None, for what nobody owns, is ``server``.
    """
    if name is None:
        return "server"
    if _PLAIN.fullmatch(name):
        return name
    return f"u-{hashlib.sha256(name.encode()).hexdigest()[:_HASH_DIGITS]}"
