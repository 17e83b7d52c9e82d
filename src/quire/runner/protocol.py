"""What a server and a runner say to each other.

A server hands a ready runner one :class:`Assignment`; a runner that keeps its kernel for a session
says when it is ready for the next. The runner answers with *events*, numbered
from 1 without gaps. It writes each to its spool file first and then posts them, in order, to

    POST {server_url}/internal/v1/attempts/{attempt_id}/events
    Authorization: Bearer {report_token}
    {"events": [{"sequence": 1, "at": "2026-01-02T03:04:05.678Z", "type": "accepted", ...}, ...]}

The answer is a :class:`ReportAnswer`. A server applies each number once, so a runner that is unsure
sends again. An empty list is a heartbeat. 410 means the attempt is not this runner's any more: it
stops its kernel and leaves. Any other failure means: keep spooling, try again.

An assignment may hold the server's first answer about the run's part of a cluster. Where that is
*pending* the runner asks again until it is not, and gives back at the end what it got:
:mod:`quire.internal.compute` says how.

The server's address may change while a runner lives (a restart on another port): the file
``server-url`` in ``spool_root`` holds the present one, and a runner reads it after each failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Assignment", "Command", "EventType", "Files", "Limits", "ReportAnswer"]


class EventType(StrEnum):
    """What a runner reports, with the fields each event carries beside sequence, at and type."""

    ACCEPTED = "accepted"
    """The assignment was read; execution may begin from here. pid."""
    STARTED = "started"
    """The kernel is up and set up for this run. kernel_pid, kernel_name, language_info."""
    CELL_INSERTED = "cell_inserted"
    """A cell was added to the snapshot (injected parameters). index, cell (nbformat), replaces
    (whether it takes the place of the cell that was there)."""
    CELL_STARTED = "cell_started"
    """index."""
    OUTPUT = "output"
    """index, output (nbformat output); stream text is appended to the cell's last stream output."""
    CLEAR_OUTPUT = "clear_output"
    """index; what the cell has shown so far is dropped."""
    UPDATE_DISPLAY = "update_display"
    """display_id, data, metadata, targets ([cell index, output index] of each place where that
    display stands now); replaces the display there."""
    CELL_FINISHED = "cell_finished"
    """index, status ("ok", "error", "skipped"); unless skipped: execution_count, started_at,
    ended_at, timing (the cell's ``execution`` metadata)."""
    EXIT_VALUE = "exit_value"
    """value (text) that the notebook gave as its result."""
    METADATA = "metadata"
    """metadata to merge into the notebook's own (widget state, language_info)."""
    FINISHED = "finished"
    """The cells are over. outcome, cause, message, error, error_trace, last_cell."""
    TERMINATED = "terminated"
    """The kernel is gone and nothing more will come. At times: message, in place of the one told
    before."""


class Command(StrEnum):
    """What a server asks of a runner in its answers."""

    CANCEL = "cancel"  # interrupt, then terminate, then kill; outcome cancelled


@dataclass(frozen=True)
class Limits:
    """Bounds of one attempt. 0 means none for memory, cpu and processes."""

    memory_bytes: int = 0
    cpu_seconds: int = 0
    processes: int = 0
    cell_output_bytes: int = 8 * 1024 * 1024
    run_output_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True)
class Files:
    """The working folder of one attempt: see :mod:`quire.runner.working_files`."""

    attached: Sequence[Mapping[str, Any]] = ()  # path, digest (hexadecimal SHA-256; None: a folder)
    keeps: bool = False  # what the run makes or changes is told to the server
    removes: bool = False  # and what it removes
    file_bytes: int = 0  # largest file that is kept
    total_bytes: int = 0
    most: int = 0  # files


@dataclass(frozen=True)
class Assignment:
    """Everything a runner needs for one attempt."""

    attempt_id: int
    run_id: int
    server_url: str
    report_token: str
    spool_root: str  # holds server-url and one folder an attempt
    notebook: Mapping[str, Any]  # nbformat 4
    notebook_path: str  # workspace path, for relative references and messages
    flavour: str  # which names the runtime offers: "databricks" or "plain"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    kernel_name: str = "python3"
    environment: Mapping[str, str] = field(default_factory=dict)
    task: Mapping[str, Any] | None = None  # a program to run, which the notebook only shows
    runtime: Mapping[str, Any] = field(default_factory=dict)  # handed to quire_runtime as it is
    compute: Mapping[str, Any] | None = None  # the server's first answer; None: needs none
    timeout_seconds: float | None = None  # from the start of the first cell
    heartbeat_seconds: float = 5.0
    interrupt_grace_seconds: float = 1.5
    terminate_grace_seconds: float = 1.0
    limits: Limits = field(default_factory=Limits)
    files: Files = field(default_factory=Files)
    session: str = ""  # not empty: the kernel is kept for the next run of this session
    cells: Sequence[str] | None = None  # ids of the cells to run, in this order; None: all
    stop_on_error: bool = True

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Assignment:
        limits, files = Limits(**value["limits"]), Files(**value["files"])
        return cls(**{**value, "limits": limits, "files": files})


@dataclass(frozen=True)
class ReportAnswer:
    """What the server says to a report."""

    applied_sequence: int
    command: Command | None = None
    timeout_seconds: float | None = None  # the timeout that holds now; a job's may change mid-run

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReportAnswer:
        command = value.get("command")
        return cls(
            applied_sequence=value["applied_sequence"],
            command=Command(command) if command else None,
            timeout_seconds=value.get("timeout_seconds"),
        )
