"""The documents say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote

import pytest

from quire.observe.metrics import Metrics
from quire.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def headings(path: Path) -> set[str]:
    """The anchors GitHub makes of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for target in LINK.findall(document.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target):
                yield document, target


@pytest.mark.parametrize(
    ("document", "target"),
    [pytest.param(d, t, id=f"{d.relative_to(ROOT)}:{t}") for d, t in links()],
)
def test_relative_links_lead_somewhere(document: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (document.parent / unquote(path)).resolve() if path else document
    assert found.exists()
    if anchor:
        assert anchor in headings(found)


def test_the_generated_tables_are_up_to_date() -> None:
    """``make docs`` writes them."""
    command = [sys.executable, str(ROOT / "scripts" / "write_reference.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("name", [each.name for each in fields(Settings)])
def test_every_setting_is_in_operations(name: str) -> None:
    assert f"| `QUIRE_{name.upper()}` |" in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("name", [each.name for each in Metrics().describe()])
def test_every_metric_is_in_operations(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "operations.md").read_text()


def dependencies() -> list[tuple[str, str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    for extra in project["project"].get("optional-dependencies", {}).values():
        pins += extra
    return [
        (re.sub(r"\[.*\]", "", name), version) for name, version in (p.split("==") for p in pins)
    ]


@pytest.mark.parametrize(("name", "version"), dependencies())
def test_every_dependency_is_given_with_version_and_reason(name: str, version: str) -> None:
    row = rf"^\| {re.escape(name)} \| {re.escape(version)} \| \S"
    assert re.search(row, (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)


def test_no_dependency_is_given_that_is_not_there() -> None:
    rows = re.findall(
        r"^\| ([a-z][\w.-]*) \| [0-9]", (ROOT / "docs/dependencies.md").read_text(), re.M
    )
    assert set(rows) <= {name for name, _ in dependencies()}


def test_contributing_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| to change |") : text.index("Paths without a start")]
    missing = []
    for path in re.findall(r"`([\w./]+/[\w./]*|\w+\.py)`", table):
        bases = (ROOT, ROOT / "src" / "quire", ROOT / "src" / "quire" / "dialects" / "databricks")
        if not any((base / path).exists() for base in bases):
            missing.append(path)
    assert missing == []


def test_the_readme_begins_with_the_two_commands() -> None:
    commands = re.findall(r"^    (make \w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"`make ([a-z]+)", document.read_text(encoding="utf-8")))
        assert named <= targets
