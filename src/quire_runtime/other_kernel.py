"""Cells of another language in a Jupyter kernel of their own, a child of this one.

Owns: finding the kernel of a language, its life, and its output as this cell's.
"""

from __future__ import annotations

import atexit
import signal
from collections.abc import Mapping
from typing import Any

from quire_runtime.errors import CommandFailed, UnsupportedFeature

__all__ = ["OtherKernel"]

START_SECONDS = 60
QUIET_SECONDS = 0.2
INTERRUPT_SECONDS = 3.0


class OtherKernel:
    """One kernel, started at once. It ends with this process."""

    def __init__(self, language: str, package: str, *, folder: str | None = None) -> None:
        """``package``: what to install when there is no kernel of the language.

        Raises UnsupportedFeature, CommandFailed when it does not start.
        """
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import KernelManager

        self._language = language
        specs: Any = KernelSpecManager()
        name = _find(specs, language)
        if name is None:
            raise UnsupportedFeature(
                f"{language} cells are not available here: no Jupyter kernel for {language} is "
                f"installed. Install {package} on the server's machine to have them."
            )
        self._manager: Any = KernelManager(
            kernel_name=name, kernel_spec_manager=specs, transport="ipc"
        )
        self._manager.start_kernel(**({"cwd": folder} if folder else {}))
        atexit.register(self.close)
        self._client: Any = self._manager.blocking_client()
        self._client.start_channels()
        try:
            self._client.wait_for_ready(timeout=START_SECONDS)
        except RuntimeError as error:
            self.close()
            raise CommandFailed(
                f"The kernel for {language} did not start: {error}", exit_code=1
            ) from None

    def close(self) -> None:
        """End the kernel. Again is no error."""
        atexit.unregister(self.close)
        self._client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def run(self, code: str) -> None:
        """Run code and show what it shows; raises what it raised, by its name."""
        __tracebackhide__ = True
        if not code.strip():
            return
        request = self._client.execute(code, allow_stdin=False)
        try:
            self._show(request)
        except KeyboardInterrupt:
            self._manager.interrupt_kernel()
            self._drain(request)
            raise

    def _show(self, request: str) -> None:
        __tracebackhide__ = True
        failure: Mapping[str, Any] | None = None
        while True:
            message = self._next(request)
            content = message["content"]
            kind = message["msg_type"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind == "error":
                failure = content
            else:
                _copy(kind, content)
        if failure is not None:
            raise _error(failure)

    def _next(self, request: str) -> dict[str, Any]:
        """The next message of a request, as long as the kernel lives."""
        __tracebackhide__ = True
        import queue

        while True:
            try:
                message: dict[str, Any] = self._client.get_iopub_msg(timeout=QUIET_SECONDS)
            except queue.Empty:
                if not self._manager.is_alive():
                    raise CommandFailed(
                        f"The kernel for {self._language} has ended.", exit_code=1
                    ) from None
                continue
            if message["parent_header"].get("msg_id") == request:
                return message

    def _drain(self, request: str) -> None:
        """Take in what an interrupted request still says; a kernel that goes on is ended."""
        import queue
        import time

        give_up_at = time.monotonic() + INTERRUPT_SECONDS
        while time.monotonic() < give_up_at:
            try:
                message = self._client.get_iopub_msg(timeout=QUIET_SECONDS)
            except queue.Empty:
                continue
            if (
                message["parent_header"].get("msg_id") == request
                and message["content"].get("execution_state") == "idle"
            ):
                return
        self._manager.signal_kernel(signal.SIGKILL)


def _find(specs: Any, language: str) -> str | None:
    for name, found in sorted(specs.get_all_specs().items()):
        if str(found["spec"].get("language", "")).lower() == language.lower():
            return str(name)
    return None


def _copy(kind: str, content: Mapping[str, Any]) -> None:
    import sys

    from IPython.display import clear_output, publish_display_data

    if kind == "stream":
        target = sys.stderr if content["name"] == "stderr" else sys.stdout
        target.write(content["text"])
        target.flush()
    elif kind in ("display_data", "execute_result"):
        publish_display_data(content["data"], content.get("metadata"))  # type: ignore[no-untyped-call]
    elif kind == "clear_output":
        clear_output(wait=bool(content.get("wait")))  # type: ignore[no-untyped-call]


def _error(content: Mapping[str, Any]) -> Exception:
    lines = list(content.get("traceback") or [])

    def shown(self: Exception) -> list[str]:
        return lines or [f"{type(self).__name__}: {self}"]

    kind = type(content.get("ename") or "ERROR", (CommandFailed,), {"_render_traceback_": shown})
    error: Exception = kind(content.get("evalue", ""), exit_code=1)
    return error
