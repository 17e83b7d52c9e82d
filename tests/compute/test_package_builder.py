"""Layers of packages, built by the real uv from an index on disk."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import pytest

from quire.compute.package_builder import (
    BuildFailed,
    PackageBuilder,
    PipRequest,
    check_requirement,
)
from quire.errors import InvalidValue
from quire.identity.models import Principal, PrincipalKind, Role
from quire.ids import PrincipalId
from quire.settings import Settings
from tests.compute.wheels import add_to_index, make_wheel

ADA = Principal(PrincipalId(7), PrincipalKind.USER, "ada@example.com", Role.MEMBER)
BOB = Principal(PrincipalId(8), PrincipalKind.USER, "bob@example.com", Role.MEMBER)


@pytest.fixture
def index(tmp_path: Path) -> str:
    folder = tmp_path / "index"
    add_to_index(folder, "leaf", "1.0", {"leaf.py": "VERSION = 1\n"})
    add_to_index(folder, "leaf", "2.0", {"leaf.py": "VERSION = 2\n"})
    add_to_index(folder, "pandas", "0.1", {"pandas/__init__.py": "OURS = True\n"})
    return add_to_index(
        folder, "branch", "1.5", {"branch.py": "import leaf\n"}, ["leaf<2", "numpy"]
    )


@pytest.fixture
def builder(tmp_path: Path, index: str) -> PackageBuilder:
    return PackageBuilder(
        Settings(
            data_dir=tmp_path / "data",
            environments_dir=str(tmp_path / "environments"),
            package_index_url=index,
            kernel_user="",  # pytest's folders are closed to others
        )
    )


def python(builder: PackageBuilder, pins: tuple[str, ...], code: str) -> str:
    layer = builder.build(pins, PipRequest(), ADA)
    answer = subprocess.run(
        [layer.python, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    return answer.stdout.strip()


def test_only_what_the_server_lacks_is_installed(builder: PackageBuilder) -> None:
    pins = builder.resolve(PipRequest(("branch", "requests")), ADA)
    assert pins == ("branch==1.5", "leaf==1.0")  # numpy and requests are there already
    code = "import branch, leaf, numpy, pandas; print(leaf.VERSION, len(pandas.DataFrame()))"
    assert python(builder, pins, code) == "1 0"
    layer = builder.build(pins, PipRequest(), ADA)
    assert layer.packages == pins
    assert not layer.replaces
    assert sorted(each.name for each in Path(layer.site_packages).glob("*.py")) == [
        "branch.py",
        "leaf.py",
    ]


def test_the_servers_own_packages_stay_as_they_are(builder: PackageBuilder) -> None:
    before = sorted(os.listdir(next(p for p in sys.path if p.endswith("site-packages"))))
    pins = builder.resolve(PipRequest(("pandas==0.1",)), ADA)
    assert pins == ("pandas==0.1",)
    assert python(builder, pins, "import pandas; print(pandas.OURS)") == "True"
    assert builder.build(pins, PipRequest(), ADA).replaces
    after = sorted(os.listdir(next(p for p in sys.path if p.endswith("site-packages"))))
    assert after == before


def test_wheels_and_files_of_requirements(builder: PackageBuilder) -> None:
    name, content = make_wheel("own", "3.1", {"own.py": "NAME = 'own'\n"}, ["leaf"])
    wheel = builder.keep_file(f"dir/{name}", content)
    assert builder.keep_file(name, content) == wheel
    listed = builder.keep_file("requirements.txt", b"# comment\nleaf==2.0\n")
    request = PipRequest(wheels=(wheel,), requirement_files=(listed,))
    pins = builder.resolve(request, ADA)
    assert pins == ("leaf==2.0", f"own @ {wheel.as_uri()}")
    assert python(builder, pins, "import own, leaf; print(own.NAME, leaf.VERSION)") == "own 2"


def test_what_cannot_be_found_is_named(builder: PackageBuilder) -> None:
    with pytest.raises(BuildFailed, match=r"no-such-thing was not found"):
        builder.resolve(PipRequest(("no-such-thing",)), ADA)
    with pytest.raises(BuildFailed, match=r"leaf==9"):
        builder.resolve(PipRequest(("leaf==9",)), ADA)
    with pytest.raises(BuildFailed, match="is not the URL of a package index"):
        builder.resolve(PipRequest(("leaf",), indexes=("--index-url",)), ADA)


def test_another_index_is_asked_first(builder: PackageBuilder, tmp_path: Path) -> None:
    other = add_to_index(tmp_path / "other", "leaf", "7.0", {"leaf.py": "VERSION = 7\n"})
    assert builder.resolve(PipRequest(("leaf",), indexes=(other,)), ADA) == ("leaf==7.0",)


@pytest.mark.parametrize("text", ["", "  ", "-r /etc/passwd", "--index-url=x", "# a", "a\nb"])
def test_requirements_are_no_options(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not a requirement"):
        check_requirement(text)


def test_what_many_want_is_built_once(
    builder: PackageBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    original = PackageBuilder._uv

    def counting(self: PackageBuilder, actor: Principal, *arguments: str) -> str:
        commands.append(arguments[0])
        return original(self, actor, *arguments)

    monkeypatch.setattr(PackageBuilder, "_uv", counting)
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(builder.build(("leaf==1.0",), PipRequest(), ADA).key)
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert commands == ["venv", "pip"]
    # Another principal's layers are its own: installing may run code that its packages bring.
    assert builder.build(("leaf==1.0",), PipRequest(), BOB).key not in found


def test_a_half_built_layer_is_never_used(builder: PackageBuilder) -> None:
    layer = builder.build(("leaf==1.0",), PipRequest(), ADA)
    folder = builder.root / "layers" / layer.key
    (folder / "quire-layer.json").unlink()
    (Path(layer.site_packages) / "leaf.py").write_text("broken")
    again = builder.build(("leaf==1.0",), PipRequest(), ADA)
    assert again == layer
    assert (Path(layer.site_packages) / "leaf.py").read_text() == "VERSION = 1\n"
    # What fails leaves nothing behind.
    with pytest.raises(BuildFailed):
        builder.build(("leaf==9.9",), PipRequest(), ADA)
    assert [each.name for each in (builder.root / "layers").iterdir()] == [layer.key]


def test_what_nobody_uses_goes(builder: PackageBuilder) -> None:
    old = builder.build(("leaf==1.0",), PipRequest(), ADA)
    new = builder.build(("leaf==2.0",), PipRequest(), ADA)
    kept = builder.keep_file("a.whl", b"x")
    day = 86400
    mark = builder.root / "layers" / old.key / "quire-layer.json"
    assert json.loads(mark.read_text())["key"] == old.key
    long_ago = time.time() - 20 * day
    for path in (mark, kept.parent):
        os.utime(path, (long_ago, long_ago))
    assert builder.collect_garbage(time.time()) == [old.key]
    assert [each.name for each in (builder.root / "layers").iterdir()] == [new.key]
    assert not kept.exists()
    # Use counts.
    os.utime(builder.root / "layers" / new.key / "quire-layer.json", (long_ago, long_ago))
    builder.build(("leaf==2.0",), PipRequest(), ADA)
    assert builder.collect_garbage(time.time()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run what it installs as others")
def test_what_is_installed_runs_as_a_user_of_its_own(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="quire-test-", dir="/var/tmp"))
    try:
        folder.chmod(0o755)
        url = add_to_index(folder / "index", "leaf", "1.0", {"leaf.py": ""})
        builder = PackageBuilder(
            Settings(
                data_dir=tmp_path,
                environments_dir=str(folder / "environments"),
                package_index_url=url,
            )
        )
        # A source distribution, whose build says who it runs as.
        source = builder.keep_file("grown-1.0.tar.gz", _source_distribution())
        pins = builder.resolve(PipRequest(wheels=(source,)), ADA)
        layer = builder.build(pins, PipRequest(), ADA)
        site = Path(layer.site_packages)
        assert int((site / "grown.py").read_text().partition("=")[2]) == 1_000_000_000 + (
            (1 << 23) + ADA.id
        )
        # What it made is the server's now, and everybody may read it.
        for path in (builder.root / "layers" / layer.key).rglob("*"):
            status = path.lstat()
            assert status.st_uid == 0
            assert path.is_symlink() or status.st_mode & 0o022 == 0
        answer = subprocess.run(
            [layer.python, "-c", "import grown"], user=65534, group=65534, extra_groups=[], cwd="/"
        )
        assert answer.returncode == 0
    finally:
        shutil.rmtree(folder)


def _source_distribution() -> bytes:
    backend = """
import os, zipfile
def _wheel(folder):
    name = "grown-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("grown.py", f"UID = {os.getuid()}")
        archive.writestr("grown-1.0.dist-info/METADATA",
                         "Metadata-Version: 2.1\\nName: grown\\nVersion: 1.0\\n")
        archive.writestr("grown-1.0.dist-info/WHEEL",
                         "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("grown-1.0.dist-info/RECORD", "")
    return name
def build_wheel(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder)
"""
    project = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "grown"
version = "1.0"
"""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in (("backend.py", backend), ("pyproject.toml", project)):
            entry = tarfile.TarInfo(f"grown-1.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()
