"""Executes a task that is no notebook: one real program, without a kernel.

Owns: the program's process, what becomes of its output, and when the run stops. The program is the
runner's own child in a session of its own, runs as the kernel's user within the kernel's limits,
and dies with its runner. A notebook of one cell stands for it: what it prints is that cell's
output, so a run of a program is stored, shown and exported like any other.

A program that knows of us (``quire_runtime.script``) tells more than an exit code: one JSON object
a line on the descriptor that ``QUIRE_REPORT_FD`` names. Types: ``failure`` (name, value, trace),
``exit`` (value: the run's result), ``output`` (output: an nbformat output), ``spark`` (it has got
its part of a Spark driver).
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from quire.runner.diagnosis import Ending, last_exception, oom_kills, program_end
from quire.runner.fetch import FileMissing
from quire.runner.kernel import KernelHome
from quire.runner.limits import bounds
from quire.runner.orders import Orders
from quire.runner.processes import die_with_parent, kill_children
from quire.runner.protocol import Assignment, EventType
from quire.runner.server import NotWanted
from quire.runner.stopping import Stop, Stopped, reason_to_stop
from quire.runner.task_log import CELL, TaskLog
from quire.runner.task_program import REPORT_VARIABLE, Program
from quire.runner.users import become_user

__all__ = ["TaskExecution"]

_BLOCK_BYTES = 64 * 1024
_LATE_OUTPUT_SECONDS = 0.3  # how long output may come after the end of the program
_PATIENCE_SECONDS = 3600.0
_LONGEST_REPORT_BYTES = 64 * 1024 * 1024

Emit = Callable[..., None]


class TaskExecution:
    """One run of one program."""

    def __init__(
        self,
        assignment: Assignment,
        home: KernelHome,
        orders: Orders,
        emit: Emit,
        prepare: Callable[[Callable[[], None]], Program],
    ) -> None:
        """``prepare(give_up)`` gives what to run; ``give_up`` raises when the run is not wanted.

        ``emit(type, **fields)`` records an event before anything that follows from it.
        """
        self._assignment = assignment
        self._home = home
        self._orders = orders
        self._emit = emit
        self._prepare = prepare
        self._log = TaskLog(assignment.limits, emit)
        self._selector = selectors.DefaultSelector()
        self._process: subprocess.Popen[bytes] | None = None
        self._report = bytearray()
        self._failure: tuple[str, str] | None = None
        self._started_at: float | None = None
        self._began: datetime | None = None
        self._stop: Stop | None = None
        self._oom_kills = oom_kills()
        self.has_spark = False  # the program says so

    def run(self) -> Ending:
        """Start the program and see it through; how it ended. Nothing of it is left then."""
        try:
            program = self._prepare(self._check_wanted)
            ending = self._run(program)
        except FileMissing as error:
            ending = Ending("internal_error", "file_missing", str(error))
        except NotWanted:
            ending = Ending("abandoned", "runner_lost")
        except Stopped as stopped:
            ending = stopped.ending
        finally:
            kill_children()
            self._selector.close()
        self._end_cell(ending)
        return ending

    def _check_wanted(self) -> None:
        """Leave a preparation that nobody waits for any more."""
        if self._orders.dismissed:
            raise Stopped(Ending("abandoned", "runner_lost"))
        if (ending := reason_to_stop(self._orders, None)) is not None:
            raise Stopped(ending)

    def _run(self, program: Program) -> Ending:
        read_end, write_end = os.pipe()
        try:
            process = self._process = self._start(program, write_end)
        except OSError as error:
            os.close(read_end)
            why = f"The program {program.command[0]!r} cannot be started: {error.strerror}."
            return Ending("failed", "program_not_started", why, error=why)
        finally:
            os.close(write_end)
        self._started_at = time.monotonic()
        self._began = datetime.now(UTC)
        self._emit(
            EventType.STARTED, kernel_pid=process.pid, kernel_name=program.name, language_info={}
        )
        self._emit(EventType.CELL_STARTED, index=CELL)
        assert process.stdout is not None
        assert process.stderr is not None
        with process.stdout, process.stderr, os.fdopen(read_end, "rb", 0) as report:
            self._watch({process.stdout: "stdout", process.stderr: "stderr", report: "report"})
        self._log.flush()
        code = process.wait()
        if self._stop is not None:
            return self._stop.ending
        failure = self._failure or last_exception(self._log.tail)
        return program_end(
            code, failure, self._assignment.limits, oom_killed=oom_kills() > self._oom_kills
        )

    def _start(self, program: Program, report: int) -> subprocess.Popen[bytes]:
        parent_pid = os.getpid()
        user = self._home.user
        limited = bounds(self._assignment.limits)
        if program.bounds_memory:
            limited.pop(resource.RLIMIT_DATA, None)

        def become_program() -> None:
            for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            if user is not None:
                become_user(user)
            for number, bound in limited.items():
                resource.setrlimit(number, bound)
            die_with_parent(parent_pid)

        environment = {
            **self._home.kernel_environment(),
            **self._assignment.environment,
            **program.environment,
            REPORT_VARIABLE: str(report),
        }
        return subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._home.working_dir,
            env=environment,
            pass_fds=(report,),
            start_new_session=True,
            umask=0o022,
            # It only makes system calls, so the reporter's thread can hold no lock it needs.
            preexec_fn=become_program,
        )

    # -- watching ---------------------------------------------------------------------------

    def _watch(self, pipes: Mapping[Any, str]) -> None:
        """Take in what comes until the program has ended and its pipes are empty."""
        process = self._process
        assert process is not None
        pidfd = os.pidfd_open(process.pid)
        try:
            self._selector.register(pidfd, selectors.EVENT_READ, "process")
            self._selector.register(self._orders, selectors.EVENT_READ, "orders")
            for pipe, name in pipes.items():
                self._selector.register(pipe, selectors.EVENT_READ, name)
            left = len(pipes)
            late_until: float | None = None
            while left and (late_until is None or time.monotonic() < late_until):
                self._obey()
                for key, _ in self._selector.select(self._wait_seconds(late_until)):
                    match key.data:
                        case "process":
                            process.wait()
                            self._selector.unregister(pidfd)
                            late_until = time.monotonic() + _LATE_OUTPUT_SECONDS
                        case "orders":
                            self._orders.clear()
                        case name:
                            block = os.read(key.fd, _BLOCK_BYTES)
                            self._take(name, block)
                            if not block:
                                self._selector.unregister(key.fileobj)
                                left -= 1
                if self._log.flush_at is not None and time.monotonic() >= self._log.flush_at:
                    self._log.flush()
            while late_until is None and process.poll() is None:  # it closed its pipes and lives on
                self._obey()
                self._selector.select(self._wait_seconds(None))
                self._orders.clear()
        finally:
            os.close(pidfd)

    def _wait_seconds(self, late_until: float | None) -> float:
        now = time.monotonic()
        moments = [now + _PATIENCE_SECONDS, late_until, self._log.flush_at]
        moments.append(self._stop.next_at if self._stop is not None else self._deadline())
        return max(0.0, min(each for each in moments if each is not None) - now)

    def _deadline(self) -> float | None:
        seconds = self._orders.timeout_seconds
        return self._started_at + seconds if seconds and self._started_at is not None else None

    def _take(self, name: str, block: bytes) -> None:
        if name == "report":
            self._take_report(block)
        elif not self._log.add(name, block, last=not block):
            self._stop_for_output()

    def _take_report(self, block: bytes) -> None:
        self._report += block
        *lines, rest = bytes(self._report).split(b"\n") if block else (self._report, b"")
        self._report = bytearray(rest)
        if len(rest) > _LONGEST_REPORT_BYTES:
            self._stop_for_output()
            self._report.clear()
        for line in lines:
            try:
                told = json.loads(line)
                self._heed(told["type"], told)
            except (ValueError, KeyError, TypeError):
                continue  # the program's own writing; it is told by its exit code

    def _heed(self, kind: str, told: Mapping[str, Any]) -> None:
        match kind:
            case "failure":
                name, value = str(told["name"]), str(told["value"])
                error = f"{name}: {value}" if value else name
                self._failure = (error, str(told.get("trace") or error))
            case "exit":
                self._emit(EventType.EXIT_VALUE, value=str(told["value"]))
            case "spark":
                self.has_spark = True
            case "output":
                if not self._log.show(dict(told["output"])):
                    self._stop_for_output()

    # -- stopping ---------------------------------------------------------------------------

    def _stop_for_output(self) -> None:
        if self._stop is None:
            ending = Ending("failed", "output_limit", self._log.describe_limit(), last_cell=CELL)
            self._stop = Stop.begin(ending, self._assignment)

    def _obey(self) -> None:
        """Do what was asked since the last look, and take the next step of a stop."""
        if self._orders.dismissed:
            raise Stopped(Ending("abandoned", "runner_lost", last_cell=CELL))
        if (
            self._stop is None
            and (ending := reason_to_stop(self._orders, self._deadline())) is not None
        ):
            self._stop = Stop.begin(ending, self._assignment)
        if self._stop is not None and self._stop.proceed(self._signal):
            self._log.flush()
            raise Stopped(self._stop.ending)

    def _signal(self, number: int) -> None:
        """Signal the program and all of its session's first group."""
        assert self._process is not None
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # it ended in this moment, which the next look will tell

    def _end_cell(self, ending: Ending) -> None:
        if self._began is None:
            return
        began, ended = (
            each.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            for each in (self._began, datetime.now(UTC))
        )
        self._emit(
            EventType.CELL_FINISHED,
            index=CELL,
            status="ok" if ending.outcome == "success" else "error",
            execution_count=1,
            started_at=began,
            ended_at=ended,
            timing={"iopub.status.busy": began, "iopub.status.idle": ended},
        )
