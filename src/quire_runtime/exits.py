"""How a notebook ends itself with a result."""

from __future__ import annotations

from typing import Any, NoReturn

from quire_runtime.errors import NotebookExit
from quire_runtime.session import Session

__all__ = ["EXIT_MIME", "exit_notebook"]

EXIT_MIME = "application/vnd.quire.exit+json"


def exit_notebook(session: Session, value: Any) -> NoReturn:
    """End the current notebook with ``value``, turned into text.

    An inlined notebook ends alone; the notebook of the run tells the runner its result before it
    stops, so that the result counts even where a bare ``except`` swallows the signal.
    """
    __tracebackhide__ = True
    text = value if isinstance(value, str) else str(value)
    if session.tell is not None:
        session.tell({"type": "exit", "value": text})
    elif session.inline_depth == 0:
        from IPython.display import publish_display_data

        publish_display_data({EXIT_MIME: {"value": text}})  # type: ignore[no-untyped-call]
    raise NotebookExit(text)
