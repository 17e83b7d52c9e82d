"""Folders that processes of several users share: outside the data directory, closed to them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

__all__ = ["passable_root"]


def passable_root(prefix: str, data_dir: Path) -> Path:
    """The folder of one server's sockets and working folders: short, and every user may pass it.

    The same one at each start, unless somebody else has made what stands in its place.
    """
    name = hashlib.sha256(str(data_dir.absolute()).encode()).hexdigest()[:8]
    root = Path(tempfile.gettempdir()) / f"{prefix}-{os.getuid()}-{name}"
    try:
        root.mkdir(mode=0o711)
    except FileExistsError:
        status = root.lstat()
        if status.st_uid != os.getuid() or status.st_mode & 0o170022 != 0o040000:
            # Somebody else made it, or may write to it: not a place for sockets.
            root = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
    root.chmod(0o711)
    return root
