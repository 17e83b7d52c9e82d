from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import quire_runtime

ROOT = Path(quire_runtime.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_needs_an_old_python_and_its_library_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    for node in tree.body:
        modules = (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for module in modules:
            top = module.partition(".")[0]
            assert top == "quire_runtime" or top in sys.stdlib_module_names, module


def test_importing_brings_nothing_else_in() -> None:
    code = (
        "import sys, quire_runtime.bootstrap;"
        "print([m for m in ('IPython', 'pandas', 'quire', 'matplotlib') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
