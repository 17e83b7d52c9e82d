"""What a task's program prints, as output of the one cell that stands for it."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable
from typing import Any

from quire.runner.limits import OutputCount
from quire.runner.protocol import EventType, Limits

__all__ = ["CELL", "TaskLog"]

CELL = 0  # index of the cell that stands for the program
_EVENT_CHARACTERS = 256 * 1024
_GATHER_SECONDS = 0.1
_TAIL_CHARACTERS = 64 * 1024


class TaskLog:
    """Turns bytes from two pipes into events: in order, gathered for a moment, bounded."""

    def __init__(self, limits: Limits, emit: Callable[..., None]) -> None:
        self._emit = emit
        self._limit = min(limits.cell_output_bytes, limits.run_output_bytes)
        self._count = OutputCount(limits)
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }
        self._parts: list[tuple[str, str]] = []
        self._characters = 0
        self._flush_at: float | None = None
        self._flushed_at = 0.0
        self.tail = ""  # the last of what went to stderr

    @property
    def flush_at(self) -> float | None:
        """When :meth:`flush` is due; None when nothing waits."""
        return self._flush_at

    def add(self, name: str, block: bytes, *, last: bool = False) -> bool:
        """Take in bytes of a stream; False when they are too many, and are cut."""
        text = self._decoders[name].decode(block, final=last)
        if not text:
            return True
        data = text.encode()
        fits = self._count.add(len(data))
        if not fits:
            data = data[: max(0, self._count.room())]
            self._count.add(len(data))
            text = data.decode(errors="ignore")
        if name == "stderr":
            self.tail = (self.tail + text)[-_TAIL_CHARACTERS:]
        self._show(name, text)
        return fits

    def show(self, output: dict[str, Any]) -> bool:
        """Take in an output that is not text of a stream; False when it is too large."""
        if not self._count.add(len(str(output))):
            return False
        self.flush()
        self._emit(EventType.OUTPUT, index=CELL, output=output)
        return True

    def flush(self) -> None:
        """Tell what waits."""
        parts, self._parts = self._parts, []
        self._characters, self._flush_at = 0, None
        self._flushed_at = time.monotonic()
        position = 0
        while position < len(parts):
            name = parts[position][0]
            texts = []
            while position < len(parts) and parts[position][0] == name:
                texts.append(parts[position][1])
                position += 1
            output = {"output_type": "stream", "name": name, "text": "".join(texts)}
            self._emit(EventType.OUTPUT, index=CELL, output=output)

    def describe_limit(self) -> str:
        """That too much was printed, for people."""
        megabytes = self._limit / 2**20
        return f"The program printed more than the limit of {megabytes:g} MB."

    def _show(self, name: str, text: str) -> None:
        if not text:
            return
        self._parts.append((name, text))
        self._characters += len(text)
        if self._characters >= _EVENT_CHARACTERS:
            self.flush()
        elif self._flush_at is None:
            self._flush_at = max(time.monotonic(), self._flushed_at + _GATHER_SECONDS)
