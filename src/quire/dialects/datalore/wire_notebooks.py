"""Requests of the workspace, notebook, file and report APIs as validated models (contract 9).

JSON has its types here: a number in a text is not a number. Unknown fields are ignored, and null is
"absent".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from quire.dialects.reading import FormFile, describe_value

__all__ = [
    "CreateCell",
    "CreateFolder",
    "CreateNotebook",
    "CreateWorksheet",
    "EditCell",
    "Entries",
    "ListCells",
    "ListFiles",
    "NotebookId",
    "Nothing",
    "OnCell",
    "OnFile",
    "OnNotebook",
    "Operation",
    "PublishReport",
    "ReadFile",
    "ReplaceReport",
    "ReportCell",
    "ReportOperations",
    "ReportRow",
    "ReportTab",
    "RestartKernel",
    "RunCell",
    "RunCells",
    "UpdateControl",
    "UploadFile",
    "Workspace",
]

_MOST_CELLS = 1000
_MOST_OPERATIONS = 1000
_MIB = 1024 * 1024

Text = Annotated[str, Field(max_length=1000)]
Source = Annotated[str, Field(max_length=5_000_000)]
CellTimeout = Annotated[int, Field(ge=1, le=30_000)]


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", strict=True, populate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: each for name, each in value.items() if each is not None}
        return value


class Nothing(_Model):
    """A request without fields."""


# Workspaces: in queries an id is "owner/id"


class Workspace(_Model):
    workspace_id: Text


class Entries(Workspace):
    folder_id: Text | None = None


class CreateFolder(Workspace):
    name: Text
    parent_id: Text | None = None


class CreateNotebook(CreateFolder):
    language: Literal["PYTHON", "KOTLIN", "SCALA", "R", "SQL"] = "PYTHON"


# Notebooks and cells


class NotebookId(_Model):
    owner_id: Text
    id: Text


class OnNotebook(_Model):
    """What every request of the notebook API names."""

    notebook_id: NotebookId


class ListCells(OnNotebook):
    worksheet_index: Annotated[int, Field(ge=0)] = 0
    include_outputs: bool = False


class OnCell(OnNotebook):
    cell_id: Text


class RunCell(OnCell):
    timeout_ms: CellTimeout = 30_000


class CreateCell(OnNotebook):
    cell_type: Literal["CODE", "MARKDOWN", "SQL", "CONTROL"]
    source: Source = ""
    data: dict[str, Any] = Field(default_factory=dict)
    after_cell_id: Text | None = None
    before_cell_id: Text | None = None
    run: bool = False
    timeout_ms: CellTimeout = 30_000


class EditCell(OnCell):
    new_content: Source
    data: dict[str, Any] | None = None
    run: bool = False
    timeout_ms: CellTimeout = 30_000


class UpdateControl(OnCell):
    control: dict[str, Any]
    run: bool = False
    timeout_ms: CellTimeout = 30_000


class RunCells(OnNotebook):
    cell_ids: Annotated[list[Text], Field(min_length=1, max_length=_MOST_CELLS)]
    stop_on_error: bool = True
    timeout_ms: CellTimeout = 30_000


class CreateWorksheet(OnNotebook):
    name: Text | None = None
    worksheet_index: Annotated[int, Field(ge=0)] | None = None


class RestartKernel(OnNotebook):
    reinstall_environment: bool = False
    wait_until_ready: bool = False
    wait_timeout_ms: Annotated[int, Field(ge=1000, le=120_000)] = 60_000


# Files


def _check_file(value: Any) -> FormFile:
    if not isinstance(value, FormFile):
        raise ValueError(f"expected a file, not {describe_value(value)}")
    return value


class ListFiles(OnNotebook):
    directory: str | None = None


class OnFile(OnNotebook):
    file_path: str


class ReadFile(OnFile):
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    max_bytes: Annotated[int, Field(ge=1, le=10 * _MIB)] = _MIB
    max_lines: Annotated[int, Field(ge=1)] | None = None


class UploadFile(_Model):
    """A form with a file, and what its query says."""

    owner_id: Text
    notebook_id: Text
    directory: str | None = None
    file: Annotated[Any, AfterValidator(_check_file)]


# Reports


class ReportCell(_Model):
    cell_id: Text
    column: int = 0
    column_span: int = 48
    vertical_offset: int = 0
    height: int | None = None
    input_height: int | None = None
    show_input: bool = True
    show_output: bool = True


class ReportRow(_Model):
    row_id: Text | None = None
    cells: list[ReportCell] = Field(default_factory=list)


class ReportTab(_Model):
    tab_id: Text | None = None
    name: Text
    rows: list[ReportRow] = Field(default_factory=list)


class ReplaceReport(OnNotebook):
    tabs: list[ReportTab]


class Operation(_Model):
    """One step of a change; which fields it needs depends on its type."""

    type: Literal[
        "ADD_TAB",
        "RENAME_TAB",
        "MOVE_TAB",
        "REMOVE_TAB",
        "ADD_ROW",
        "MOVE_ROW",
        "REMOVE_ROW",
        "UPSERT_CELL",
        "REMOVE_CELL",
    ]
    tab_id: Text | None = None
    row_id: Text | None = None
    cell_id: Text | None = None
    name: Text | None = None
    index: int | None = None
    rows: list[ReportRow] | None = None  # of a new tab
    cells: list[ReportCell] | None = None  # of a new row
    cell: ReportCell | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_a_flat_cell(cls, value: Any) -> Any:
        """The place of a cell may be given beside the type as well as in ``cell``."""
        if isinstance(value, dict) and value.get("type") == "UPSERT_CELL" and "cell" not in value:
            return {**value, "cell": {name: each for name, each in value.items() if name != "type"}}
        return value


class ReportOperations(OnNotebook):
    operations: Annotated[list[Operation], Field(min_length=1, max_length=_MOST_OPERATIONS)]


class PublishReport(OnNotebook):
    type: Literal["STATIC", "INTERACTIVE"]
    mode: Literal["CREATE", "UPDATE"]
    full_width: bool = True
    computation_mode: Literal["REACTIVE", "JUPYTER"] | None = None
    can_download_and_edit_copy: bool = False
