"""Lets Java run as a user that the machine's user database does not know.

Each cluster runs as a user number of its own, with no entry in the user database. Hadoop, and so
all of Spark, asks Java for the name of the process' user when it starts, and fails with a
``NullPointerException`` where there is none. A JVM that is started with the options of
:func:`write_patch` takes the name from the property ``user.name`` in place of the user database.

The replacement is the class ``com.sun.security.auth.module.UnixSystem``, put in the place of Java's
own with ``--patch-module``. It is so small that it is assembled here instead of compiled::

    public class UnixSystem {
        public String getUsername() { return System.getProperty("user.name"); }
        public long getUid() { return 1; }
        public long getGid() { return 1; }
        public long[] getGroups() { return new long[0]; }
    }
"""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ["class_file", "write_patch"]

_CLASS = "com/sun/security/auth/module/UnixSystem"
_MODULE = "jdk.security.auth"
_VERSION = 52  # of Java 8: every later Java reads it
_PUBLIC = 0x0001
_SUPER = 0x0020


class _Constants:
    """The constant pool of a class file: each distinct entry once, numbered from 1."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def _number(self, entry: bytes) -> int:
        return self._numbers.setdefault(entry, len(self._numbers) + 1)

    def text(self, value: str) -> int:
        data = value.encode()
        return self._number(b"\x01" + struct.pack(">H", len(data)) + data)

    def type(self, name: str) -> int:
        return self._number(b"\x07" + struct.pack(">H", self.text(name)))

    def string(self, value: str) -> int:
        return self._number(b"\x08" + struct.pack(">H", self.text(value)))

    def method(self, owner: str, name: str, descriptor: str) -> int:
        pair = self._number(b"\x0c" + struct.pack(">HH", self.text(name), self.text(descriptor)))
        return self._number(b"\x0a" + struct.pack(">HH", self.type(owner), pair))

    def to_bytes(self) -> bytes:
        return struct.pack(">H", len(self._numbers) + 1) + b"".join(self._numbers)


def _method(constants: _Constants, name: str, descriptor: str, code: bytes) -> bytes:
    """A public method without branches, whose only local variable is ``this``."""
    stack = 2
    body = struct.pack(">HHI", stack, 1, len(code)) + code + struct.pack(">HH", 0, 0)
    head = struct.pack(">HHHH", _PUBLIC, constants.text(name), constants.text(descriptor), 1)
    return head + struct.pack(">HI", constants.text("Code"), len(body)) + body


def class_file() -> bytes:
    """The class as Java loads it."""
    constants = _Constants()
    make_object = struct.pack(">H", constants.method("java/lang/Object", "<init>", "()V"))
    get_property = struct.pack(
        ">H",
        constants.method(
            "java/lang/System", "getProperty", "(Ljava/lang/String;)Ljava/lang/String;"
        ),
    )
    property_name = struct.pack(">B", constants.string("user.name"))
    methods = [
        # aload_0, invokespecial, return
        _method(constants, "<init>", "()V", b"\x2a\xb7" + make_object + b"\xb1"),
        # ldc, invokestatic, areturn
        _method(
            constants,
            "getUsername",
            "()Ljava/lang/String;",
            b"\x12" + property_name + b"\xb8" + get_property + b"\xb0",
        ),
        # lconst_1, lreturn
        _method(constants, "getUid", "()J", b"\x0a\xad"),
        _method(constants, "getGid", "()J", b"\x0a\xad"),
        # iconst_0, newarray long, areturn
        _method(constants, "getGroups", "()[J", b"\x03\xbc\x0b\xb0"),
    ]
    own, parent = constants.type(_CLASS), constants.type("java/lang/Object")
    return (
        b"\xca\xfe\xba\xbe"
        + struct.pack(">HH", 0, _VERSION)
        + constants.to_bytes()
        + struct.pack(">HHHHH", _PUBLIC | _SUPER, own, parent, 0, 0)
        + struct.pack(">H", len(methods))
        + b"".join(methods)
        + struct.pack(">H", 0)
    )


def write_patch(folder: Path) -> tuple[str, ...]:
    """Put the class below a folder; the options of ``java`` that use it from there."""
    path = folder / f"{_CLASS}.class"
    content = class_file()
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return (f"--patch-module={_MODULE}={folder}",)
