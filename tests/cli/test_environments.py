from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Quire
from tests.compute.wheels import add_to_index


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("QUIRE_ENVIRONMENTS_DIR", str(tmp_path / "environments"))
    # pytest's folders are closed to other users.
    monkeypatch.setattr("quire.compute.package_builder.choose_user", lambda *_: None)
    url = add_to_index(tmp_path / "index", "leaf", "1.0", {"leaf.py": ""})
    monkeypatch.setenv("QUIRE_PACKAGE_INDEX_URL", url)
    return url


def test_makes_builds_shows_and_deletes(quire: Quire, index: str, tmp_path: Path) -> None:
    quire("user", "create", "ann")
    listed = tmp_path / "requirements.txt"
    listed.write_text("# for the forest\nleaf  # all of it\n\nnumpy\n")
    assert quire("env", "create", "forest", "-f", listed).stdout == "Made environment forest.\n"
    assert "Not built yet." in quire("env", "show", "forest").stdout
    assert quire("env", "build", "forest").stdout == "Built forest: 1 package added.\n"
    shown = quire("env", "show", "forest").stdout
    assert "Asks for:\n  leaf\n  numpy\nResolved to:\n  leaf==1.0\n" in shown
    line = quire("env", "list").stdout.splitlines()[1].split()
    assert line[:3] == ["forest", "pip", "2"]
    assert quire("env", "delete", "forest").stdout == "Deleted environment forest.\n"
    assert quire("env", "list").stdout.splitlines()[1:] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "a/b"], "name: a name has 1 to 100"),
        (["create", "x", "no thing!"], "could not be built"),
        (["build", "none"], "none does not exist"),
        (["delete", "none"], "none does not exist"),
    ],
)
def test_says_what_is_wrong(quire: Quire, index: str, arguments: list[str], said: str) -> None:
    quire("user", "create", "ann")
    result = quire("env", *arguments)
    if "no thing!" in arguments:
        result = quire("env", "build", "x")
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
