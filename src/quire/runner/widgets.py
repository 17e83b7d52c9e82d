"""What a front end would do for Jupyter widgets while a notebook runs unattended.

Owns: the state of widgets (kept in the notebook's metadata) and the Output widget, which draws
messages of a cell into itself. The rules are nbclient's.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from quire.runner.channels import Message

__all__ = ["OutputWidget", "Widgets"]

STATE_MIME = "application/vnd.jupyter.widget-state+json"


class OutputWidget:
    """The model of an Output widget, as the front end keeps it."""

    def __init__(
        self, state: Mapping[str, Any], changed: Callable[[list[dict[str, Any]]], None]
    ) -> None:
        self._outputs: list[dict[str, Any]] = list(state.get("outputs", []))
        self._changed = changed
        self._clear_before_next = False
        self.request_id = ""  # the request whose messages it draws; "" for none

    def add(self, output: dict[str, Any]) -> None:
        """Draw an output."""
        if self._clear_before_next:
            self._outputs = []
            self._clear_before_next = False
        last = self._outputs[-1] if self._outputs else None
        if (
            last is not None
            and output["output_type"] == last["output_type"] == "stream"
            and last["name"] == output["name"]
        ):
            self._outputs[-1] = {**last, "text": last["text"] + output["text"]}
        else:
            self._outputs.append(output)
        self._changed(self._outputs)

    def clear(self, *, wait: bool) -> None:
        """Drop what was drawn, at once or before the next output."""
        if wait:
            self._clear_before_next = True
        else:
            self._outputs = []
            self._changed(self._outputs)


class Widgets:
    """States of all widgets of a run."""

    def __init__(self, send: Callable[[Mapping[str, Any]], object]) -> None:
        """``send`` gives a comm message's content to the kernel."""
        self._send = send
        self._states: dict[str, dict[str, Any]] = {}
        self._buffers: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
        self._outputs: dict[str, OutputWidget] = {}
        self._hooks: dict[str, list[OutputWidget]] = {}

    def hook(self, request_id: str) -> OutputWidget | None:
        """The Output widget that takes the messages of a request, if any."""
        hooks = self._hooks.get(request_id)
        return hooks[-1] if hooks else None

    def handle(self, message: Message) -> None:
        """Take in a comm message of the kernel."""
        content = message.content
        comm_id = content.get("comm_id")
        data = content.get("data", {})
        if not isinstance(comm_id, str) or not isinstance(data, Mapping):
            return
        state = data.get("state")
        if isinstance(state, Mapping):
            self._states.setdefault(comm_id, {}).update(state)
            self._keep_buffers(comm_id, data.get("buffer_paths") or [], message)
            if message.type == "comm_open":
                self._open(comm_id, content, state)
            elif message.type == "comm_msg" and comm_id in self._outputs:
                self._redirect(self._outputs[comm_id], state)

    def _keep_buffers(self, comm_id: str, paths: list[list[Any]], message: Message) -> None:
        for path, data in zip(paths, message.buffers, strict=False):
            self._buffers.setdefault(comm_id, {})[tuple(path)] = {
                "data": base64.b64encode(data).decode("ascii"),
                "encoding": "base64",
                "path": path,
            }

    def _open(self, comm_id: str, content: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        if (
            content.get("target_name") == "jupyter.widget"
            and state.get("_model_module") == "@jupyter-widgets/output"
            and state.get("_model_name") == "OutputModel"
        ):

            def changed(outputs: list[dict[str, Any]]) -> None:
                self._states[comm_id]["outputs"] = list(outputs)
                update = {"method": "update", "state": {"outputs": outputs}, "buffer_paths": []}
                self._send({"data": update, "comm_id": comm_id})

            self._outputs[comm_id] = OutputWidget(state, changed)

    def _redirect(self, widget: OutputWidget, state: Mapping[str, Any]) -> None:
        if "msg_id" not in state:
            return
        if state["msg_id"]:
            self._hooks.setdefault(state["msg_id"], []).append(widget)
            widget.request_id = state["msg_id"]
        else:
            hooks = self._hooks.get(widget.request_id, [])
            if widget in hooks:
                hooks.remove(widget)
            widget.request_id = ""

    def metadata(self) -> dict[str, Any] | None:
        """The notebook metadata that holds all states, or None when there is no widget."""
        if not self._states:
            return None
        states: dict[str, Any] = {}
        for comm_id, state in self._states.items():
            if "_model_name" not in state:
                continue
            states[comm_id] = {
                "model_name": state.get("_model_name"),
                "model_module": state.get("_model_module"),
                "model_module_version": state.get("_model_module_version"),
                "state": state,
            }
            if comm_id in self._buffers:
                states[comm_id]["buffers"] = list(self._buffers[comm_id].values())
        return {"widgets": {STATE_MIME: {"state": states, "version_major": 2, "version_minor": 0}}}
