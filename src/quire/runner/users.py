"""The users that untrusted processes run as, and how a process becomes one of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KernelUser", "become_user", "write_for"]


@dataclass(frozen=True)
class KernelUser:
    """Whom a kernel, or what runs for a cluster, runs as."""

    uid: int
    gid: int
    uid_base: int = 0  # not 0: each process has a user and a group number of its own from here on

    def of_process(self, pid: int) -> KernelUser:
        """Whom the processes run as that belong to one runner, or one driver process."""
        if not self.uid_base:
            return self
        return KernelUser(self.uid_base + pid, self.uid_base + pid)


def become_user(user: KernelUser) -> None:
    """Give up what root may do, for good. Raises OSError unless this process is root's."""
    os.setgroups([user.gid])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def write_for(user: KernelUser | None, path: Path, content: bytes) -> None:
    """Write a file that a user alone can read; None: the one who writes. Raises OSError.

    The folder must be one that the user cannot change, or nothing of the user may run yet.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        if user is not None:
            os.fchown(file.fileno(), user.uid, user.gid)
