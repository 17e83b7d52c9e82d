"""The vendor's example cell, as a notebook that this server runs; host, token and id are edited."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from tests.acceptance.datalore.conftest import World, cell, text_of

EXAMPLE = (Path(__file__).parent / "example_cell.txt").read_text()


def edited(world: World, notebook_id: str) -> str:
    """The example with its first three lines edited, and nothing else."""
    values = {
        "HOST": world.server.url,
        "API_TOKEN": world.ann.token,
        "NOTEBOOK_ID": notebook_id,
    }
    source = EXAMPLE
    for name, value in values.items():
        source, count = re.subn(rf'^{name} = "[^"]*"', f'{name} = "{value}"', source, flags=re.M)
        assert count == 1
    assert source.partition("import requests")[2] == EXAMPLE.partition("import requests")[2]
    return source


def test_runs_another_notebook_with_every_slot_taken_by_such_parents(world: World) -> None:
    """Three parents for two slots: each waits for a run that finds no slot free."""
    inner = world.ann.put_in("/Users/ann/inner", cell("print('from within')"), cell("6 * 7"))
    outer = world.ann.put_in("/Users/ann/outer", cell(edited(world, inner)))
    started = [world.ann.start(outer) for _ in range(3)]
    for run in [world.ann.wait(run_id) for run_id in started]:
        assert run["success"], text_of(world.ann.executed(run), 0)
        executed = world.ann.executed(run)
        printed = text_of(executed, 0)
        assert "Submit response:  <Response [200]>" in printed
        assert re.search(r"Status:  (WAITING|STARTED|PROCESSING_OUTPUT)", printed)
        assert "Finished" in printed
        outputs = executed["cells"][0]["outputs"]
        (link,) = [each for each in outputs if each["output_type"] == "display_data"]
        assert re.fullmatch(
            r"<a href='/notebook/ann/\w{22}/artifacts/\d+/inner.ipynb'>inner.ipynb</a>",
            "".join(link["data"]["text/html"]),
        )
        shown = ast.literal_eval("".join(outputs[-1]["data"]["text/plain"]))
        (name,) = shown
        within = json.loads(shown[name])
        assert (name, text_of(within, 0)) == ("inner.ipynb", "from within\n")
        assert within["cells"][1]["outputs"][0]["data"]["text/plain"] == ["42"]


def test_an_artifact_of_several_megabytes_comes_whole(world: World) -> None:
    size = 3_000_000
    inner = world.ann.put_in("/Users/ann/large ü", cell(f"print('x' * {size})"))
    outer = world.ann.put_in("/Users/ann/outer of large", cell(edited(world, inner)))
    run = world.ann.run(outer)
    assert run["success"]
    outputs = world.ann.executed(run)["cells"][0]["outputs"]
    shown = ast.literal_eval("".join(outputs[-1]["data"]["text/plain"]))
    assert text_of(json.loads(shown["large ü.ipynb"]), 0) == "x" * size + "\n"
