"""Log lines: one event each, JSON for machines or coloured text for a terminal, secrets masked.

Owns the set-up of structlog and of the standard library's logging, which libraries use; both come
out in the same form. A notebook's own error is a result and never a log line of ours.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from structlog.contextvars import bound_contextvars
from structlog.typing import EventDict, Processor

from quire.errors import InvalidValue
from quire.ids import AttemptId, RunId

__all__ = ["FORMATS", "LEVELS", "bind_run", "configure_logging", "mask_secrets"]

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("auto", "json", "console")
MASK = "[redacted]"

_SECRET_NAME = re.compile(r"token|password|passwd|secret|authorization|cookie|credential", re.I)
_PUBLIC_NAME = re.compile(r"_id$|^idempotency_token$", re.I)
_SECRET_TEXT = re.compile(
    r"(?P<scheme>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=:-]{6,}"  # an Authorization header
    r"|(?P<user>://[^/\s:@]*:)[^/\s@]+(?=@)",  # the password in a URL
    re.I,
)
# Their line for each request repeats ours, or tells nothing an operator asks for.
_QUIET_LIBRARIES = ("uvicorn.access", "httpx2", "httpcore2", "alembic", "asyncio", "traitlets")


def configure_logging(level: str, form: str = "auto", stream: TextIO | None = None) -> None:
    """Send everything from ``level`` on to ``stream`` (standard error).

    ``form`` "auto" means console on a terminal and JSON elsewhere.
    Raises InvalidValue for a level or form that is not known.
    """
    if level not in LEVELS:
        raise InvalidValue("log_level", f"{level!r} is not a level.", allowed=LEVELS)
    if form not in FORMATS:
        raise InvalidValue("log_format", f"{form!r} is not a format.", allowed=FORMATS)
    target = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and target.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Plain tracebacks: the local variables that prettier ones show may be secrets.
                structlog.processors.format_exc_info,
                mask_secrets,
                _console(target) if console else structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True


@contextmanager
def bind_run(run_id: RunId, attempt_id: AttemptId) -> Iterator[None]:
    """Every line logged within says which run and attempt it is about."""
    with bound_contextvars(run_id=run_id, attempt_id=attempt_id):
        yield


def mask_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    """Replace values under telling names, passwords in URLs and authorization headers."""
    return {key: _mask(key, value) for key, value in event.items()}


def _mask(key: str, value: Any) -> Any:
    if value is not None and _SECRET_NAME.search(key) and not _PUBLIC_NAME.search(key):
        return MASK
    if isinstance(value, str):
        return _SECRET_TEXT.sub(lambda found: (found["scheme"] or found["user"]) + MASK, value)
    if isinstance(value, Mapping):
        return {each: _mask(str(each), held) for each, held in value.items()}
    if isinstance(value, list | tuple):
        return [_mask(key, each) for each in value]
    return value


def _console(stream: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
