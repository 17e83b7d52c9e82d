"""Real runners and kernels, with a report sink in the server's place."""

from __future__ import annotations

import itertools
import os
import queue
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest

from quire.placement.base import Departure, Reservation, RunnerIdentity
from quire.placement.local import LocalPlacement
from quire.runner.journal import fold
from quire.runner.protocol import Assignment, Limits
from quire.settings import Settings
from tests.runner.sink import ReportSink

_NUMBERS = itertools.count(1)


def make_notebook(*cells: str | Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """A notebook of code cells; a mapping may override any field of a cell."""
    made = []
    for number, cell in enumerate(cells):
        given = {"source": cell} if isinstance(cell, str) else dict(cell)
        made.append(
            {
                "id": f"cell{number}",
                "cell_type": "code",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                **given,
            }
        )
    for cell in made:
        if cell["cell_type"] != "code":
            del cell["execution_count"], cell["outputs"]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"language_info": {"name": "python"}, **metadata},
        "cells": made,
    }


@dataclass
class Started:
    """A run that was handed to a runner."""

    bench: Bench
    attempt_id: int
    identity: RunnerIdentity
    snapshot: dict[str, Any]

    def wait_for(self, wanted: Any, seconds: float = 60) -> dict[str, Any]:
        return self.bench.sink.wait_for(self.attempt_id, wanted, seconds)

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(self.bench.sink.events.get(self.attempt_id, []))

    def finish(self) -> Finished:
        self.wait_for("terminated", 120)
        events = self.events
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        notebook = self.snapshot
        for count in range(len(events) + 1):
            if count in (0, len(events)) or events[count - 1]["type"] != "output":
                notebook = fold(self.snapshot, events[:count])
                nbformat.validate(notebook)
        return Finished(events, notebook)


@dataclass
class Finished:
    """A run that is over."""

    events: list[dict[str, Any]]
    notebook: dict[str, Any]
    finished: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        (self.finished,) = (each for each in self.events if each["type"] == "finished")

    @property
    def outcome(self) -> tuple[str, str]:
        return self.finished["outcome"], self.finished["cause"]

    @property
    def exit_value(self) -> str | None:
        values = [event["value"] for event in self.events if event["type"] == "exit_value"]
        return values[-1] if values else None

    def outputs(self, index: int) -> list[dict[str, Any]]:
        return self.notebook["cells"][index]["outputs"]

    def text(self, index: int, name: str = "stdout") -> str:
        outputs = self.outputs(index)
        return "".join(o["text"] for o in outputs if o.get("name") == name)


class Bench:
    """A placement and a sink."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.sink = ReportSink()
        self.departures: queue.Queue[Departure] = queue.Queue()
        self.settings = Settings(data_dir=folder, **settings)
        self.placement = LocalPlacement(self.settings)
        self.placement.start(self.departures.put)

    @property
    def spool_root(self) -> Path:
        return self.folder / "spool"

    def start(
        self, notebook: Mapping[str, Any], *, reservation: Reservation | None = None, **given: Any
    ) -> Started:
        """``reservation``: where it has to run; None: where a server would have it run."""
        attempt_id = next(_NUMBERS)
        if reservation is None:
            reservation = self._reserve(given.get("session", ""))
        values: dict[str, Any] = {
            "server_url": self.sink.url,
            "report_token": "secret-of-the-report",
            "spool_root": str(self.spool_root),
            "notebook_path": "/Users/ada/notebook",
            "flavour": "plain",
            "limits": Limits(),
            "heartbeat_seconds": 0.2,
            **given,
        }
        reservation.assign(
            Assignment(attempt_id=attempt_id, run_id=attempt_id, notebook=notebook, **values)
        )
        return Started(self, attempt_id, reservation.identity, dict(notebook))

    def _reserve(self, session: str) -> Reservation:
        """The session's runner, as soon as it is free; without one, any."""
        while session in self.placement.sessions():
            if (kept := self.placement.reserve_session(session)) is not None:
                return kept
            os.sched_yield()
        reservation = self.placement.reserve(60)
        assert reservation is not None, (self.folder / "runners.log").read_text()
        return reservation

    def run(self, notebook: Mapping[str, Any], **given: Any) -> Finished:
        return self.start(notebook, **given).finish()

    def wait_for_departure(self, identity: RunnerIdentity) -> Departure:
        """How a runner went; departures of earlier runs are passed over."""
        while True:
            departure = self.departures.get(timeout=60)
            if departure.identity == identity:
                return departure

    def close(self) -> None:
        self.placement.close()
        self.sink.close()


@pytest.fixture(scope="package")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("bench"), pool_size=2)
    yield made
    made.close()
