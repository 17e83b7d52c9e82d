"""Executes the cells of one notebook on one kernel and tells what happens, event by event.

Owns: which cells run, in which order, what becomes of their output, and when a run stops. The
rules are nbclient's (0.11): cells in order, stop at the first error unless the cell is tagged
``raises-exception``, ``skip-execution`` skips, ``clear_output`` and display updates, Output
widgets. Beyond nbclient: a dead kernel is seen at once, output is bounded, a run can be stopped in
steps, and a notebook can end itself with an exit value.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import zmq

import quire_runtime
from quire.runner.cells import code_of
from quire.runner.channels import Message
from quire.runner.diagnosis import Ending, cell_error, kernel_death, oom_kills, succeeded
from quire.runner.kernel import Kernel
from quire.runner.kernel_process import NOT_SET_UP
from quire.runner.limits import OutputCount, limit_process, limiting_code
from quire.runner.orders import Orders
from quire.runner.parameters import inject_parameters
from quire.runner.protocol import Assignment, EventType
from quire.runner.stopping import Stop, Stopped, reason_to_stop
from quire.runner.widgets import Widgets
from quire_runtime.bootstrap import ATTACHED_MIME, configuration_code

__all__ = ["EXIT_MIME", "Execution"]

EXIT_MIME = "application/vnd.quire.exit+json"

_LATE_OUTPUT_SECONDS = 4.0  # how long output may come after the reply, as in nbclient
_AFTER_DEATH_MILLISECONDS = 20
_BURST = 500  # messages taken in a row before anything else is looked at
_STREAM_EVENT_CHARACTERS = 256 * 1024
_CELL_MAGICS = frozenset({"sql", "scala", "r"})
_PATIENCE_SECONDS = 3600.0

Emit = Callable[..., None]


class _Cell:
    """What the cell that runs now has shown, as far as later messages refer to it."""

    def __init__(self, index: int, request_id: str) -> None:
        self.index = index
        self.request_id = request_id
        self.output_count = 0
        self.last_stream: str | None = None
        self.clear_before_next = False
        self.timing: dict[str, str] = {}
        self.begun = False  # the kernel runs its code, so an interrupt will reach it
        self.exit_value: str | None = None


class Execution:
    """One run of one notebook."""

    def __init__(
        self,
        assignment: Assignment,
        kernel: Kernel,
        orders: Orders,
        emit: Emit,
        working_dir: Path,
        compute: Mapping[str, Any] | None = None,
    ) -> None:
        """``emit(type, **fields)`` records an event before anything that follows from it.

        ``compute``: what the server says of the run's part of a cluster.
        """
        self._compute = compute
        self.has_spark = False  # the notebook says so
        self._assignment = assignment
        self._kernel = kernel
        self._channels = kernel.channels
        self._orders = orders
        self._emit = emit
        self._working_dir = working_dir
        self._count = OutputCount(assignment.limits)
        self._widgets = Widgets(
            lambda content: self._channels.send(self._channels.shell, "comm_msg", content)
        )
        self._displays: dict[str, dict[int, list[int]]] = {}
        self._cell: _Cell | None = None
        self._last_cell: int | None = None
        self._stream: tuple[str, list[str], int] | None = None
        self._started_at: float | None = None
        self._stop: Stop | None = None
        self._oom_kills = oom_kills()
        self._poller: Any = zmq.Poller()
        self._poller.register(self._channels.shell, zmq.POLLIN)
        self._poller.register(self._channels.iopub, zmq.POLLIN)
        self._poller.register(orders.fileno(), zmq.POLLIN)
        kernel.register(self._poller)

    @property
    def left_kernel_sound(self) -> bool:
        """Whether the kernel has come through the run, and no more than an interrupt."""
        terminated = self._stop is not None and self._stop.terminated
        return not terminated and not self._kernel.has_died()

    def run(self) -> Ending:
        """Set the kernel up and execute the notebook; how it ended."""
        try:
            ending = self._run()
        except Stopped as stopped:
            ending = stopped.ending
        self._flush_stream()
        if (metadata := self._widgets.metadata()) is not None:
            self._emit(EventType.METADATA, metadata=metadata)
        return ending

    def _run(self) -> Ending:
        self._configure()
        notebook = self._assignment.notebook
        self._emit(
            EventType.STARTED,
            kernel_pid=self._kernel.pid,
            kernel_name=self._kernel.name,
            language_info=dict(self._kernel.language_info),
        )
        own_language = _language(notebook)
        kernel_language = str(self._kernel.language_info.get("name", "")).lower()
        if own_language in ("", kernel_language):
            self._emit(
                EventType.METADATA,
                metadata={"language_info": dict(self._kernel.language_info)},
            )
        magic = (
            own_language if kernel_language == "python" and own_language in _CELL_MAGICS else None
        )
        allow_errors = bool(
            notebook.get("metadata", {}).get("execution", {}).get("allow_errors", False)
        )
        executed = 0
        failure: Ending | None = None
        for index, cell in self._chosen(self._cells(own_language or kernel_language)):
            source = "".join(cell["source"])
            if cell["cell_type"] != "code":
                continue
            if not source.strip():
                if self._assignment.session:
                    self._pass_over(index)
                continue
            tags = cell["metadata"].get("tags", [])
            if "skip-execution" in tags:
                self._emit(EventType.CELL_FINISHED, index=index, status="skipped")
                continue
            allows_error = (
                allow_errors
                or "raises-exception" in tags
                or cell["metadata"].get("allow_errors") is True
            )
            executed += 1
            code = code_of(cell, magic) if kernel_language == "python" else source
            ending = self._run_cell(index, code, executed, allows_error)
            if ending is not None and (
                ending.cause != "cell_error" or self._assignment.stop_on_error
            ):
                return ending
            failure = failure or ending
        return failure or succeeded(self._last_cell, exited=False)

    def _chosen(
        self, cells: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The cells to run, each with its index; injected parameters come before chosen ones."""
        chosen = self._assignment.cells
        if chosen is None:
            yield from enumerate(cells)
            return
        indexes = {cell.get("id"): index for index, cell in enumerate(cells)}
        own = {cell.get("id") for cell in self._assignment.notebook["cells"]}
        for cell_id in [*(each for each in indexes if each not in own), *chosen]:
            if cell_id in indexes:
                yield indexes[cell_id], cells[indexes[cell_id]]

    def _pass_over(self, index: int) -> None:
        """A cell without code shows nothing any more, whatever it showed before."""
        self._emit(EventType.CELL_STARTED, index=index)
        self._emit(EventType.CELL_FINISHED, index=index, status="ok", execution_count=None)

    def _cells(self, language: str) -> Sequence[Mapping[str, Any]]:
        assignment = self._assignment
        cells = list(assignment.notebook["cells"])
        injection = inject_parameters(
            assignment.notebook,
            assignment.parameters,
            flavour=assignment.flavour,
            language=language,
        )
        if injection is not None:
            at = injection.index
            cells[at : at + (1 if injection.replaces else 0)] = [injection.cell]
            self._emit(
                EventType.CELL_INSERTED,
                index=at,
                cell=dict(injection.cell),
                replaces=injection.replaces,
            )
        return cells

    def _configure(self) -> None:
        """Bound the kernel and set it up for this run, unseen by its notebook.

        Only Python kernels have a runtime; others are bounded from outside.
        """
        assignment, kernel = self._assignment, self._kernel
        if str(kernel.language_info.get("name", "")).lower() != "python":
            if kernel.pid is not None:
                try:
                    limit_process(kernel.pid, assignment.limits)
                except OSError as error:
                    raise _not_set_up(f"its limits cannot be set ({error})") from error
            return
        settings = {
            **assignment.runtime,
            "environment": dict(assignment.environment),
            "working_dir": str(self._working_dir),
            "home_dir": str(self._working_dir.parent),
            "parameters": dict(assignment.parameters),
            "compute": self._compute,
        }
        code = limiting_code(
            assignment.limits, is_kept=bool(assignment.session)
        ) + configuration_code(settings)
        if kernel.name != "python3" or kernel.python is not None:
            root = str(Path(quire_runtime.__file__).parents[1])
            code = f"__import__('sys').path.append({root!r})\n{code}"
        if kernel.set_up(code):
            return
        reply = self._await(self._channels.execute(code, silent=True)).content
        if self._stop is not None:
            raise Stopped(self._stop.ending)
        if reply["status"] != "ok":
            error_text = f"{reply.get('ename')}: {reply.get('evalue')}"
            raise _not_set_up(error_text, "\n".join(reply.get("traceback", [])))

    def _run_cell(
        self, index: int, code: str, execution_count: int, allows_error: bool
    ) -> Ending | None:
        """Run one cell; how the run ends with it, or None when it goes on."""
        self._emit(EventType.CELL_STARTED, index=index)
        self._last_cell = index
        if self._started_at is None:
            self._started_at = time.monotonic()
        self._count.start_cell()
        for places in self._displays.values():
            places.pop(index, None)
        # A kernel that is kept must not drop, with what was queued behind an error, the next run.
        stop_on_error = not allows_error and not self._assignment.session
        request_id = self._channels.execute(code, stop_on_error=stop_on_error)
        cell = self._cell = _Cell(index, request_id)
        failed = True
        try:
            reply = self._await(request_id)
            cell.timing["shell.execute_reply"] = _timestamp(reply.date)
            if self._assignment.session:  # where earlier runs were counted too
                execution_count = reply.content.get("execution_count", execution_count)
            failed = reply.content["status"] == "error" and cell.exit_value is None
        finally:
            self._flush_stream()
            self._cell = None
            self._emit(
                EventType.CELL_FINISHED,
                index=index,
                status="error" if failed else "ok",
                execution_count=execution_count,
                started_at=cell.timing.get("iopub.status.busy"),
                ended_at=cell.timing.get("iopub.status.idle"),
                timing=cell.timing,
            )
        if self._stop is not None:
            raise Stopped(self._stop.ending)
        if cell.exit_value is not None:
            return succeeded(index, exited=True)
        if failed and reply.content["ename"] == NOT_SET_UP:
            raise _not_set_up(reply.content["evalue"], "\n".join(reply.content["traceback"]))
        if failed and not allows_error:
            return cell_error(index, reply.content, self._assignment.limits)
        return None

    # -- waiting ----------------------------------------------------------------------------

    def _await(self, request_id: str) -> Message:
        """Take in messages until a request is answered and its output has ended."""
        reply: Message | None = None
        idle = False
        late_at = 0.0
        while reply is None or not idle:
            self._obey()
            if reply is not None and time.monotonic() >= late_at:
                break
            self._poller.poll(self._poll_milliseconds(late_at if reply is not None else None))
            self._orders.clear()
            idle = self._take_output(request_id) or idle
            message = self._channels.receive(self._channels.shell)
            while message is not None:
                if message.parent_id == request_id and reply is None:
                    reply = message
                    late_at = time.monotonic() + _LATE_OUTPUT_SECONDS
                message = self._channels.receive(self._channels.shell)
            if (reply is None or not idle) and self._kernel.has_died():
                self._kernel_died(request_id)
        return reply

    def _poll_milliseconds(self, late_at: float | None) -> float:
        now = time.monotonic()
        moments = [now + _PATIENCE_SECONDS]
        if late_at is not None:
            moments.append(late_at)
        if self._stop is not None:
            moments.append(self._stop.next_at)
        elif (deadline := self._deadline()) is not None:
            moments.append(deadline)
        if self._kernel.poll_seconds is not None:
            moments.append(now + self._kernel.poll_seconds)
        return max(0.0, min(moments) - now) * 1000 + 1

    def _deadline(self) -> float | None:
        seconds = self._orders.timeout_seconds
        return self._started_at + seconds if seconds and self._started_at is not None else None

    def _kernel_died(self, request_id: str) -> None:
        """Take in what the kernel said last, then end the run."""
        while self._channels.iopub.poll(_AFTER_DEATH_MILLISECONDS):
            self._take_output(request_id)
        self._flush_stream()
        if self._stop is not None:
            raise Stopped(self._stop.ending)
        raise Stopped(
            kernel_death(
                self._kernel.wait_status,
                self._last_cell,
                self._assignment.limits,
                oom_killed=oom_kills() > self._oom_kills,
            )
        )

    # -- stopping ---------------------------------------------------------------------------

    def _obey(self) -> None:
        """Do what was asked since the last look, and take the next step of a stop."""
        orders = self._orders
        if orders.dismissed:
            self._kernel.kill()
            raise Stopped(Ending("abandoned", "runner_lost", last_cell=self._last_cell))
        if self._stop is None and (ending := reason_to_stop(orders, self._deadline())) is not None:
            self._stop_with(ending)
        if self._stop is not None:
            self._continue_stop(self._stop)

    def _stop_with(self, ending: Ending) -> None:
        self._stop = Stop.begin(replace(ending, last_cell=self._last_cell), self._assignment)

    def _continue_stop(self, stop: Stop) -> None:
        # Before the kernel has begun with a cell it ignores interrupts.
        hears = self._cell is None or self._cell.begun
        if stop.proceed(self._kernel.send_signal, hears_interrupts=hears):
            self._flush_stream()
            self._kernel.kill()
            raise Stopped(stop.ending)

    # -- output -----------------------------------------------------------------------------

    def _take_output(self, request_id: str) -> bool:
        """Take in a burst of output; whether the request's output has ended."""
        idle = False
        for _ in range(_BURST):
            message = self._channels.receive(self._channels.iopub)
            if message is None:
                break
            if message.parent_id == request_id:
                if message.type == "display_data" and ATTACHED_MIME in message.content.get(
                    "data", ()
                ):
                    self.has_spark = True
                elif self._cell is not None:
                    self._handle(self._cell, message)
                if message.type == "status" and message.content["execution_state"] == "idle":
                    idle = True
                    break
        self._flush_stream()
        return idle

    def _handle(self, cell: _Cell, message: Message) -> None:
        content = message.content
        match message.type:
            case "status":
                cell.timing[f"iopub.status.{content['execution_state']}"] = _timestamp(message.date)
            case "execute_input":
                cell.timing["iopub.execute_input"] = _timestamp(message.date)
                cell.begun = True
            case "stream" | "display_data" | "execute_result" | "error" | "update_display_data":
                if self._stop is None and self._within_limit(cell, message):
                    self._show(cell, message)
                elif self._stop is not None and message.type in ("stream", "error"):
                    self._show_while_stopping(cell, message)
            case "clear_output":
                self._clear(cell, wait=bool(content.get("wait")))
            case "comm_open" | "comm_msg" | "comm_close":
                self._flush_stream()
                self._widgets.handle(message)

    def _within_limit(self, cell: _Cell, message: Message) -> bool:
        """Count a message's output. The first one that is too much ends the run."""
        stream = message.type == "stream" and not message.unread
        size = len(message.content["text"].encode()) if stream else message.size
        if self._count.add(size):
            return True
        why = self._count.describe(cell.index + 1)
        if stream:
            text = message.content["text"].encode()[: max(0, self._count.room())]
            self._count.add(len(text))
            start = {**message.content, "text": text.decode(errors="ignore")}
            self._show(cell, replace(message, content=start))
        self._stop_with(Ending("failed", "output_limit", why))
        return False

    def _show_while_stopping(self, cell: _Cell, message: Message) -> None:
        """What a notebook says to its interrupt is shown as far as there is room."""
        assert self._stop is not None
        if self._stop.ending.cause != "output_limit" and self._count.add(message.size):
            self._show(cell, message)

    def _show(self, cell: _Cell, message: Message) -> None:
        content = message.content
        if message.type == "error" and cell.exit_value is not None:
            return
        display_id = (content.get("transient") or {}).get("display_id")
        if display_id and message.type != "stream":
            self._update_displays(display_id, content)
        if message.type == "update_display_data":
            return
        if EXIT_MIME in content.get("data", {}):
            content = self._exit(cell, content)
            if not content["data"]:
                return
        output = _output(message.type, content)
        hook = self._widgets.hook(cell.request_id)
        if hook is not None:
            self._flush_stream()
            hook.add(output)
            return
        if cell.clear_before_next:
            cell.clear_before_next = False
            self._clear(cell, wait=False)
        if output["output_type"] == "stream":
            self._add_stream(output["name"], output["text"])
            return
        self._flush_stream()
        if display_id:
            self._displays.setdefault(display_id, {}).setdefault(cell.index, []).append(
                cell.output_count
            )
        cell.output_count += 1
        cell.last_stream = None
        self._emit(EventType.OUTPUT, index=cell.index, output=output)

    def _exit(self, cell: _Cell, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """The notebook gave its result; the rest of that display is an ordinary one."""
        data = dict(content["data"])
        value = data.pop(EXIT_MIME)
        cell.exit_value = str(value["value"] if isinstance(value, Mapping) else value)
        self._flush_stream()
        self._emit(EventType.EXIT_VALUE, value=cell.exit_value)
        return {**content, "data": data}

    def _update_displays(self, display_id: str, content: Mapping[str, Any]) -> None:
        places = self._displays.get(display_id, {})
        targets = [[cell, output] for cell, outputs in places.items() for output in outputs]
        if targets:
            self._flush_stream()
            self._emit(
                EventType.UPDATE_DISPLAY,
                display_id=display_id,
                data=_bundle(content["data"]),
                metadata=content["metadata"],
                targets=targets,
            )

    def _clear(self, cell: _Cell, *, wait: bool) -> None:
        hook = self._widgets.hook(cell.request_id)
        if hook is not None:
            hook.clear(wait=wait)
            return
        if wait:
            cell.clear_before_next = True
            return
        self._flush_stream()
        cell.output_count = 0
        cell.last_stream = None
        for places in self._displays.values():
            places.pop(cell.index, None)
        self._emit(EventType.CLEAR_OUTPUT, index=cell.index)

    def _add_stream(self, name: str, text: str) -> None:
        """Collect text, so that many small writes become one event."""
        if self._stream is not None and (
            self._stream[0] != name or self._stream[2] >= _STREAM_EVENT_CHARACTERS
        ):
            self._flush_stream()
        _, parts, size = self._stream or (name, [], 0)
        parts.append(text)
        self._stream = (name, parts, size + len(text))

    def _flush_stream(self) -> None:
        if self._stream is None or self._last_cell is None:
            return
        name, parts, _ = self._stream
        self._stream = None
        cell = self._cell
        if cell is not None and cell.last_stream != name:
            cell.output_count += 1
            cell.last_stream = name
        text = "".join(parts)
        if text:
            output = {"output_type": "stream", "name": name, "text": text}
            self._emit(EventType.OUTPUT, index=self._last_cell, output=output)


def _not_set_up(why: str, trace: str | None = None) -> Stopped:
    message = f"The kernel could not be set up: {why}"
    return Stopped(
        Ending("internal_error", "kernel_not_started", message, error=why, error_trace=trace)
    )


def _output(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The nbformat output that a message stands for."""
    match kind:
        case "stream":
            return {"output_type": "stream", "name": content["name"], "text": content["text"]}
        case "error":
            return {
                "output_type": "error",
                "ename": content["ename"],
                "evalue": content["evalue"],
                "traceback": list(content["traceback"]),
            }
        case "execute_result":
            return {
                "output_type": "execute_result",
                "data": _bundle(content["data"]),
                "metadata": content["metadata"],
                "execution_count": content["execution_count"],
            }
        case _:
            return {
                "output_type": "display_data",
                "data": _bundle(content["data"]),
                "metadata": content["metadata"],
            }


def _bundle(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data of a display as nbformat has it: only JSON types may hold anything but text."""
    return {
        mime: value if isinstance(value, str) or _is_json(mime) else json.dumps(value)
        for mime, value in data.items()
    }


def _is_json(mime: str) -> bool:
    return mime == "application/json" or mime.endswith("+json")


def _language(notebook: Mapping[str, Any]) -> str:
    """The notebook's default language in lower case; "" when it names none."""
    metadata = notebook.get("metadata", {})
    name = metadata.get("language_info", {}).get("name")
    return str(name or metadata.get("kernelspec", {}).get("language") or "").lower()


def _timestamp(date: str) -> str:
    return date.replace("+00:00", "Z")
