"""Requests of the run API as validated models (contract 2, 3, 5). Unknown fields are ignored."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

__all__ = ["ArtifactPath", "InteractiveRun", "Model", "RunId", "RunNotebook"]


class Model(BaseModel):
    """What all requests of this dialect are made of."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore")


class Parameter(Model):
    """A value for a control."""

    name: StrictStr
    value: Any


class InteractiveRun(Model):
    """Asks for a run in the notebook's own kernel."""

    notebook_id: StrictStr = Field(alias="notebookId")


class RunNotebook(InteractiveRun):
    """Asks for an isolated run."""

    update_report: Literal["never", "on success"] = Field("never", alias="updateReport")
    direct_file_storage_write: StrictBool = Field(False, alias="directFileStorageWrite")
    parameters: list[Parameter] = Field(default_factory=list)


class RunId(Model):
    """Names a run."""

    run_id: StrictStr = Field(alias="runId")


class ArtifactPath(RunId):
    """Names a file that a run left."""

    user: StrictStr
    notebook: StrictStr
    name: StrictStr
