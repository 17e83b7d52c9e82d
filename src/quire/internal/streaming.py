"""Files as the bodies of answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from starlette.responses import StreamingResponse

__all__ = ["stream_file"]

_BLOCK_BYTES = 256 * 1024


def stream_file(file: BinaryIO, size: int) -> StreamingResponse:
    """The next ``size`` bytes of a file, which is closed behind them."""
    return StreamingResponse(
        _blocks(file, size),
        media_type="application/octet-stream",
        headers={"Content-Length": str(size)},
    )


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    with file:
        while size > 0:
            block = file.read(min(size, _BLOCK_BYTES))
            if not block:
                return
            size -= len(block)
            yield block
