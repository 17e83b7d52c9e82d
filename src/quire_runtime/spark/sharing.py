"""Files that the notebook and the driver both write.

The driver runs as another user than the kernel. Access control lists let both read, write and
remove what either makes in the run's working folder, and nobody else in. In other places each can
read what the other writes, as files are made by default.
"""

from __future__ import annotations

import os
import stat
import struct
import tempfile
import warnings
from collections.abc import Iterable
from typing import Any

__all__ = ["share_with", "temporary_file"]

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"
VERSION = 2
NOBODY = 0xFFFFFFFF
OWNER, USER, GROUP, MASK, OTHERS = 0x01, 0x02, 0x04, 0x10, 0x20
ALL, PASS = 7, 1
PASS_BITS = 0o010  # how an earlier list of ours shows in the mode
EXCHANGE = "spark"
MOST_FOLDERS = 10_000


def share_with(home: str | None, folder: str | None, gateway: Any) -> str | None:
    """Let the user of the driver behind ``gateway`` work in this run's folder.

    Returns a further folder, for what is handed over in files; None when there is no need of one.

    ``home`` was made for this run alone and holds ``folder``, the working folder. Nothing outside
    of it is ever changed; without one, nothing is. Nothing is done either when both are the same
    user, or when the driver is on another machine.
    """
    if home is None or folder is None or not _is_made_for_us(home, folder):
        return None
    process = gateway.jvm.java.lang.ProcessHandle.current().pid()
    try:
        driver = os.stat(f"/proc/{process}").st_uid
    except OSError:
        return None
    own = os.getuid()
    if driver == own:
        return None
    exchange = os.path.join(home, EXCHANGE)
    try:
        os.makedirs(exchange, mode=0o700, exist_ok=True)
        _share(home, [*_folders(folder), exchange], own, driver)
    except OSError as error:
        warnings.warn(
            f"Files in {folder} cannot be shared with Spark's driver: {error}", stacklevel=2
        )
        return None
    return exchange


def temporary_file(*arguments: Any, **named: Any) -> Any:
    """A ``NamedTemporaryFile`` that those may read whom its folder's list names."""
    file = tempfile.NamedTemporaryFile(*arguments, **named)  # noqa: SIM115 - the caller does
    os.fchmod(file.fileno(), 0o660)  # the group's part of the mode bounds what a list grants
    return file


def _is_made_for_us(home: str, folder: str) -> bool:
    """Whether these are what they are said to be: the one private and ours, the other inside it."""
    status = os.lstat(home)
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.getuid()
        and stat.S_IMODE(status.st_mode) & ~PASS_BITS == stat.S_IRWXU
        and os.path.dirname(os.path.realpath(folder)) == os.path.realpath(home)
    )


def _share(home: str, folders: Iterable[str], own: int, driver: int) -> None:
    os.setxattr(home, ACCESS, _list(ALL, [(driver, PASS)], 0, PASS, 0))
    everything = _list(ALL, [(own, ALL), (driver, ALL)], 5, ALL, 0)
    for each in folders:
        os.setxattr(each, ACCESS, everything)
        os.setxattr(each, DEFAULT, everything)


def _folders(top: str) -> Iterable[str]:
    """The folder and those below it, as far as there are not very many."""
    for number, (path, names, _) in enumerate(os.walk(top)):
        if number >= MOST_FOLDERS:
            return
        names[:] = [name for name in names if name != ".quire"]
        if os.stat(path).st_uid == os.getuid():
            yield path


def _list(owner: int, users: list[tuple[int, int]], group: int, mask: int, others: int) -> bytes:
    """An access control list as Linux takes it (linux/posix_acl_xattr.h)."""
    entries = [
        (OWNER, owner, NOBODY),
        *((USER, rights, number) for number, rights in sorted(users)),
        (GROUP, group, NOBODY),
        (MASK, mask, NOBODY),
        (OTHERS, others, NOBODY),
    ]
    return struct.pack("<I", VERSION) + b"".join(struct.pack("<HHI", *each) for each in entries)
