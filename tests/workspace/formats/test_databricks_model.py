from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from quire.errors import InvalidValue
from quire.workspace.formats.databricks_model import load_model, model_of, notebook_of
from quire.workspace.formats.document import (
    CELL_KEY,
    NOTEBOOK_KEY,
    OUTPUT_KEY,
    check,
    code_cell,
    markdown_cell,
    new_notebook,
)
from tests.workspace.formats.strategies import PROPERTY, notebooks

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TABLE = {
    "type": "table",
    "data": [[1, "<b>", None], [2, "y", {"a": 1}]],
    "schema": [
        {"name": "id", "type": '"long"', "metadata": "{}"},
        {"name": "na&me", "type": '"string"', "metadata": "{}"},
        {"name": "x", "type": '"string"', "metadata": "{}"},
    ],
    "overflow": False,
}


def record(*commands: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "version": "NotebookV1",
        "name": "n",
        "language": "python",
        "commands": list(commands),
        **changes,
    }


def command(text: str, **changes: Any) -> dict[str, Any]:
    return {"version": "CommandV1", "subtype": "command", "command": text, **changes}


def outputs_of(results: Any, **changes: Any) -> list[dict[str, Any]]:
    notebook = notebook_of(record(command("x", results=results, **changes)))
    outputs: list[dict[str, Any]] = notebook["cells"][0]["outputs"]
    return outputs


def test_commands_come_in_the_order_of_their_positions() -> None:
    notebook = notebook_of(
        record(
            command("third", position=3.5),
            command("last"),
            command("first", position=-1),
            command("second", position=2),
            command("very last", position="4"),
        )
    )
    sources = [cell["source"] for cell in notebook["cells"]]
    assert sources == ["first", "second", "third", "last", "very last"]


def test_cells_take_magics_titles_and_what_is_hidden() -> None:
    notebook = notebook_of(
        record(
            command("%md\n# Hi", position=1, nuid="3b4a0b6c-0000-4000-8000-000000000001"),
            command(
                "select 1",
                position=2,
                commandTitle="Count",
                showCommandTitle=True,
                hideCommandCode=True,
                inputWidgets={"w": {"name": "w"}},
            ),
            language="SQL",
            dashboards=[{"name": "d"}],
            notebookMetadata={"pythonIndentUnit": 2},
        )
    )
    text, code = notebook["cells"]
    assert (text["cell_type"], text["source"]) == ("markdown", "# Hi")
    assert text["id"] == "3b4a0b6c-0000-4000-8000-000000000001"
    assert code["metadata"] == {
        CELL_KEY: {"title": "Count", "showTitle": True, "inputWidgets": {"w": {"name": "w"}}},
        "jupyter": {"source_hidden": True},
    }
    assert notebook["metadata"]["language_info"]["name"] == "sql"
    assert notebook["metadata"]["quire"]["flavour"] == "databricks"
    assert notebook["metadata"][NOTEBOOK_KEY]["dashboards"] == [{"name": "d"}]


def test_results_become_outputs() -> None:
    outputs = outputs_of(
        {
            "type": "listResults",
            "data": [
                {"type": "ansi", "data": "\x1b[31mred\x1b[0m\n"},
                {"type": "html", "data": "<b>x</b>"},
                {"type": "mimeBundle", "data": {"text/plain": "1", "image/png": PNG}},
                {"type": "listResults", "data": [{"type": "text", "data": "inner"}, None]},
                {"type": "image", "data": PNG},
                {"type": "image", "data": "data:image/png;base64," + PNG},
                {"type": "image", "data": "/plots/1.png"},
                {"type": "novelty", "data": {"a": 1}},
            ],
        }
    )
    assert outputs[0] == {
        "output_type": "stream",
        "name": "stdout",
        "text": "\x1b[31mred\x1b[0m\n",
    }
    assert outputs[1]["data"] == {"text/html": "<b>x</b>"}
    assert outputs[2]["data"] == {"text/plain": "1", "image/png": PNG}
    assert outputs[3]["data"] == {"text/plain": "inner"}
    assert outputs[4]["data"] == outputs[5]["data"] == {"image/png": PNG}
    assert outputs[6]["data"] == {"text/plain": "/plots/1.png"}
    assert outputs[7]["metadata"][OUTPUT_KEY] == {"type": "novelty", "data": {"a": 1}}


def test_tables_are_shown_escaped_and_kept_whole() -> None:
    (output,) = outputs_of(TABLE)
    assert output["data"]["text/html"] == (
        "<table><thead><tr><th>id</th><th>na&amp;me</th><th>x</th></tr></thead><tbody>"
        "<tr><td>1</td><td>&lt;b&gt;</td><td>null</td></tr>"
        "<tr><td>2</td><td>y</td><td>{&quot;a&quot;: 1}</td></tr></tbody></table>"
    )
    assert output["data"]["text/plain"].splitlines()[0] == "id\tna&me\tx"
    notebook = new_notebook("python", "databricks", [code_cell("x", outputs=[output])])
    assert model_of(notebook, "n")["commands"][0]["results"]["data"] == [TABLE]


def test_long_tables_say_how_many_rows_are_left() -> None:
    (output,) = outputs_of({**TABLE, "data": [[n, "", ""] for n in range(1234)]})
    assert output["data"]["text/html"].count("<tr>") == 1001
    assert output["data"]["text/html"].endswith("<p>234 more rows</p>")


@pytest.mark.parametrize(
    "command_fields",
    [
        {"results": {"type": "error", "summary": "ValueError: bad", "cause": "Traceback"}},
        {
            "results": {
                "type": "ipynbError",
                "data": "Traceback",
                "errorSummary": "\x1b[31mValueError\x1b[0m: bad",
            }
        },
        {
            "results": None,
            "state": "error",
            "errorSummary": "ValueError: bad",
            "error": "Traceback",
        },
    ],
)
def test_failures_become_error_outputs(command_fields: dict[str, Any]) -> None:
    assert outputs_of(**command_fields) == [
        {
            "output_type": "error",
            "ename": "ValueError",
            "evalue": "bad",
            "traceback": ["Traceback"],
        }
    ]


def test_a_run_notebook_is_written_as_the_contract_says() -> None:
    error = {
        "output_type": "error",
        "ename": "ValueError",
        "evalue": "bad",
        "traceback": ["Traceback", "ValueError: bad"],
    }
    executed = {"execution": {"iopub.execute_input": "2026-01-01T00:00:00.5Z"}}
    cells = [
        markdown_cell("# Hi"),
        code_cell(
            "%sql\nselect 1",
            execution_count=1,
            metadata={**executed, CELL_KEY: {"title": "T", "showTitle": True}},
            outputs=[{"output_type": "stream", "name": "stdout", "text": "out"}],
        ),
        code_cell("fail()", execution_count=2, outputs=[error]),
        code_cell("never"),
    ]
    model = model_of(new_notebook("python", "databricks", cells), "My notebook")
    assert (model["version"], model["name"], model["language"]) == (
        "NotebookV1",
        "My notebook",
        "python",
    )
    text, ran, failed, waiting = model["commands"]
    assert [item["position"] for item in model["commands"]] == [1.0, 2.0, 3.0, 4.0]
    assert (text["command"], text["state"], text["results"]) == ("%md\n# Hi", "input", None)
    assert (ran["command"], ran["commandTitle"], ran["showCommandTitle"]) == (
        "%sql\nselect 1",
        "T",
        True,
    )
    assert ran["startTime"] == 1767225600500
    assert ran["state"] == "finished"
    (stream,) = ran["results"]["data"]
    assert (stream["type"], stream["data"], stream["metadata"]) == ("ansi", "out", {})
    assert (failed["state"], failed["errorSummary"]) == ("error", "ValueError: bad")
    assert failed["error"] == "Traceback\nValueError: bad"
    (result,) = failed["results"]["data"]
    assert (result["type"], result["summary"]) == ("error", "ValueError: bad")
    assert result["cause"] == "Traceback\nValueError: bad"
    assert waiting["state"] == "input"
    json.dumps(model)


@pytest.mark.parametrize(
    "model",
    [
        None,
        [],
        {},
        {"version": "NotebookV2"},
        record(language=3),
        record(language="julia"),
        record(commands={}),
        record(commands=[3]),
        record(command(3)),  # type: ignore[arg-type]
        record(command("x", results="text")),
        record(command("x", results={"type": "mimeBundle", "data": {"text/plain": 3}})),
        record(
            command("x", results={"type": "ansi", "data": "", "metadata": {"jupyter": {"name": 4}}})
        ),
    ],
)
def test_records_of_another_form_are_refused(model: Any) -> None:
    with pytest.raises(InvalidValue) as refused:
        notebook_of(model)
    assert refused.value.field == "content"


@pytest.mark.parametrize("text", ["", "nope", '{"version": "NotebookV1"', "[" * 100_000])
def test_texts_that_are_no_record_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        load_model(text)


def test_numbers_out_of_range_do_not_upset_the_order() -> None:
    positions = ["NaN", "1" + "0" * 400, "Infinity", "true", "0"]
    commands = [
        f'{{"command":"{number}","position":{position}}}'
        for number, position in enumerate(positions)
    ]
    head = '{"version":"NotebookV1","language":"python","commands":['
    text = head + ",".join(commands) + "]}"
    assert [cell["source"] for cell in load_model(text)["cells"]] == ["4", "0", "1", "2", "3"]


@PROPERTY
@given(notebooks())
def test_any_notebook_comes_back(notebook: dict[str, Any]) -> None:
    check(notebook)
    model = json.loads(json.dumps(model_of(notebook, "n")))
    back = notebook_of(model)
    assert back == notebook
    assert model_of(back, "n") == model
