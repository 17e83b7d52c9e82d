"""Python packages made on the spot, alone and in an index, so that no test needs a network."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["add_to_index", "make_wheel"]


def make_wheel(
    name: str, version: str, modules: Mapping[str, str], requires: Sequence[str] = ()
) -> tuple[str, bytes]:
    """A wheel's file name and content. ``modules``: file name to Python."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
    tags = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {
        **modules,
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": tags,
    }
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{path},{_digest(text)},{len(text.encode())}" for path, text in files.items()]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(record, "\n".join([*lines, f"{record},,", ""]))
    return f"{stem}-py3-none-any.whl", content.getvalue()


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def add_to_index(
    index: Path,
    name: str,
    version: str,
    modules: Mapping[str, str],
    requires: Sequence[str] = (),
) -> str:
    """Put a package into a simple index; the index's URL."""
    folder = index / name
    folder.mkdir(parents=True, exist_ok=True)
    file, content = make_wheel(name, version, modules, requires)
    (folder / file).write_bytes(content)
    links = "".join(f'<a href="{each.name}">{each.name}</a>\n' for each in folder.glob("*.whl"))
    (folder / "index.html").write_text(links)
    return index.as_uri()
