"""Spark in an IPython kernel: set up for each run the kernel serves, used by none until it asks."""

from __future__ import annotations

from typing import Any

from quire_runtime.session import Session
from quire_runtime.spark import frames, patches
from quire_runtime.spark.attachment import ATTACHED_MIME, Attachment
from quire_runtime.spark.names import Names

__all__ = ["offer"]

ATTRIBUTE = "_quire_attachment"


def offer(shell: Any, session: Session) -> Attachment:
    """Have Spark come when a cell uses it. What the kernel has of an earlier run goes on."""
    known: Attachment | None = getattr(shell, ATTRIBUTE, None)
    if known is not None:
        known.serve(session)
        return known
    attachment = Attachment(session, tell=_tell_runner)
    setattr(shell, ATTRIBUTE, attachment)
    patches.install(attachment)
    names = Names(shell, attachment)
    names.install()
    attachment.on_detach.append(names.forget)
    frames.register(shell)
    shell.events.register("pre_run_cell", lambda *_: attachment.begin_cell())
    return attachment


def _tell_runner() -> None:
    """This run has something to release at its end."""
    from IPython.display import publish_display_data

    publish_display_data({ATTACHED_MIME: {}})  # type: ignore[no-untyped-call]
