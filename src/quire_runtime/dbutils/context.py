"""What third-party code asks of a notebook's context (Databricks contract 10.2).

    dbutils.notebook.entry_point.getDbutils().notebook().getContext().apiUrl().get()

Values come in Scala options, as there.
"""

from __future__ import annotations

import json
from typing import Any

from quire_runtime.errors import UnsupportedFeature
from quire_runtime.session import Session

__all__ = ["Context", "EntryPoint"]


class Option:
    """A value that may be absent."""

    def __init__(self, value: Any, *, missing: str = "None.get: there is no such value.") -> None:
        self._value = value
        self._missing = missing

    def get(self) -> Any:
        """The value. Raises UnsupportedFeature when there is none."""
        if self._value is None:
            raise UnsupportedFeature(self._missing)
        return self._value

    def getOrElse(self, default: Any) -> Any:
        """The value, or what ``default`` is or gives."""
        if self._value is not None:
            return self._value
        return default() if callable(default) else default

    def isDefined(self) -> bool:
        return self._value is not None

    def isEmpty(self) -> bool:
        return self._value is None

    nonEmpty = isDefined

    def toString(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "None" if self._value is None else f"Some({self._value})"

    __repr__ = __str__


class RunNumber:
    """The number of a run."""

    def __init__(self, number: int) -> None:
        self._number = number

    def id(self) -> int:
        return self._number

    def toString(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"RunId({self._number})"

    __repr__ = __str__


class Tags:
    """Texts about the run, by name."""

    def __init__(self, tags: dict[str, str]) -> None:
        self._tags = tags

    def apply(self, name: str) -> str:
        """The text under ``name``. Raises KeyError."""
        if name not in self._tags:
            raise KeyError(f"key not found: {name}")
        return self._tags[name]

    def get(self, name: str) -> Option:
        return Option(self._tags.get(name))

    def getOrElse(self, name: str, default: Any) -> Any:
        return self.get(name).getOrElse(default)

    def contains(self, name: str) -> bool:
        return name in self._tags

    def __str__(self) -> str:
        return f"Map({', '.join(f'{name} -> {text}' for name, text in self._tags.items())})"

    __repr__ = __str__


class Context:
    """What is known of the run a notebook belongs to."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def apiUrl(self) -> Option:
        return Option(self._session.api_url)

    def apiToken(self) -> Option:
        """A token for the server's public API that dies with the run, where the server gave one."""
        return Option(
            self._session.api_token,
            missing="This run has no token for the server's public API.",
        )

    def notebookPath(self) -> Option:
        return Option(self._session.notebook_path)

    def notebookId(self) -> Option:
        return self._text("notebook_id")

    def userName(self) -> Option:
        return self._text("user")

    def clusterId(self) -> Option:
        return self._text("cluster_id")

    def workspaceId(self) -> Option:
        return self._text("workspace_id")

    def jobId(self) -> Option:
        return self._text("job_id")

    def browserHostName(self) -> Option:
        url = self._session.api_url
        return Option(None if url is None else url.partition("://")[2].partition("/")[0])

    def currentRunId(self) -> Option:
        return self._run_number("run_id")

    def rootRunId(self) -> Option:
        return self._run_number("parent_run_id")

    def tags(self) -> Tags:
        names = {
            "jobId": "job_id",
            "runId": "run_id",
            "multitaskParentRunId": "parent_run_id",
            "clusterId": "cluster_id",
            "user": "user",
            "orgId": "workspace_id",
        }
        run = self._session.run
        tags = {tag: str(run[key]) for tag, key in names.items() if run.get(key) is not None}
        if self._session.api_url is not None:
            tags["browserHostName"] = str(self.browserHostName().get())
        return Tags(tags)

    def toJson(self) -> str:
        """The context as JSON. The token is left out, since such texts end up in logs."""
        number = self._session.run.get("run_id")
        parent = self._session.run.get("parent_run_id")
        return json.dumps(
            {
                "rootRunId": None if parent is None else {"id": parent},
                "currentRunId": None if number is None else {"id": number},
                "jobGroup": None,
                "tags": self.tags()._tags,
                "extraContext": {
                    "notebook_path": self._session.notebook_path,
                    "api_url": self._session.api_url,
                },
            }
        )

    safeToJson = toJson

    def _text(self, key: str) -> Option:
        value = self._session.run.get(key)
        return Option(None if value is None else str(value))

    def _run_number(self, key: str) -> Option:
        value: int | None = self._session.run.get(key)
        return Option(None if value is None else RunNumber(value))


class EntryPoint:
    """The way to the context that goes through the driver's objects."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def getDbutils(self) -> EntryPoint:
        return self

    def notebook(self) -> EntryPoint:
        return self

    def getContext(self) -> Context:
        return Context(self._session)
