"""The notebook's own kernel (contract 9)."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.datalore import wire_notebooks as wire
from quire.dialects.datalore.errors import KernelStateConflict
from quire.dialects.datalore.routes.access import operation
from quire.dialects.datalore.states import KERNEL_STATE
from quire.engine.sessions import SessionState
from quire.errors import Unsupported
from quire.identity.permissions import Right
from quire.identity.scopes import Access
from quire.workspace.models import Node

__all__ = ["endpoints"]


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    sessions = services.sessions

    def show(call: Call, node: Node, _: wire.OnNotebook) -> dict[str, Any]:
        status = sessions.status(call.principal, node.path)
        return {"state": KERNEL_STATE[status.state], "runningCellId": status.running_cell}

    def interrupt(call: Call, node: Node, _: wire.OnNotebook) -> dict[str, Any]:
        require_kernel(call, node)
        return {"interrupted": sessions.interrupt(call.principal, node.path)}

    def restart(call: Call, node: Node, body: wire.RestartKernel) -> Any:
        if body.reinstall_environment:
            raise Unsupported(
                "This server does not install a notebook's environment anew"
                " (reinstallEnvironment).",
                field="reinstallEnvironment",
            )
        require_kernel(call, node)
        started = sessions.restart(call.principal, node.path)
        if not body.wait_until_ready:
            return {"state": show(call, node, body)["state"], "timedOut": False}

        async def later() -> dict[str, Any]:
            ended = await services.runs.wait(
                call.principal, started.attempt.id, body.wait_timeout_ms / 1000
            )
            described = await run_in_threadpool(show, call, node, body)
            return {"state": described["state"], "timedOut": ended.attempt.active}

        return later()

    def stop(call: Call, node: Node, _: wire.OnNotebook) -> Response:
        sessions.stop(call.principal, node.path)
        return Response(status_code=204)

    def require_kernel(call: Call, node: Node) -> None:
        services.workspace.require(call.principal, node.id, Right.EDITOR)
        state = sessions.status(call.principal, node.path).state
        if state is SessionState.NOT_STARTED:
            raise KernelStateConflict(
                KERNEL_STATE[state], "The kernel of this notebook is not started."
            )

    return [
        operation(
            services, "kernel/status", "Get the kernel's state", wire.OnNotebook, Access.READ, show
        ),
        operation(
            services,
            "kernel/interrupt",
            "Interrupt the kernel",
            wire.OnNotebook,
            Access.FULL,
            interrupt,
        ),
        operation(
            services,
            "kernel/restart",
            "Restart the kernel",
            wire.RestartKernel,
            Access.FULL,
            restart,
        ),
        operation(
            services,
            "agent/stop",
            "End the notebook's computation",
            wire.OnNotebook,
            Access.FULL,
            stop,
        ),
    ]
