from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from quire.errors import InvalidValue
from quire.ids import AttemptId, RunId
from quire.observe.logs import bind_run, configure_logging, mask_secrets


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def read_lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_level_name_and_time(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    structlog.get_logger("quire.engine").info("run started", job_id=4)
    (line,) = read_lines(stream)
    assert line["event"] == "run started"
    assert line["job_id"] == 4
    assert line["level"] == "info"
    assert line["logger"] == "quire.engine"
    assert str(line["timestamp"]).endswith("Z")


def test_lines_of_libraries_take_the_same_form(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    logging.getLogger("some.library").warning("disk %s is full", "sda")
    (line,) = read_lines(stream)
    assert line["event"] == "disk sda is full"
    assert line["level"] == "warning"


def test_less_than_the_level_is_not_logged(stream: io.StringIO) -> None:
    configure_logging("warning", "json", stream)
    structlog.get_logger("quire").info("chatter")
    logging.getLogger("some.library").info("chatter")
    assert stream.getvalue() == ""


def test_lines_within_a_run_name_it(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    logger = structlog.get_logger("quire")
    with bind_run(RunId(7), AttemptId(9)):
        logger.info("inside")
    logger.info("outside")
    inside, outside = read_lines(stream)
    assert (inside["run_id"], inside["attempt_id"]) == (7, 9)
    assert "run_id" not in outside


def test_a_traceback_shows_no_local_variables(stream: io.StringIO) -> None:
    configure_logging("info", "console", stream)
    password_of_somebody = "hunter2"
    try:
        raise ValueError(f"wrong length: {len(password_of_somebody)}")
    except ValueError:
        structlog.get_logger("quire").exception("failed")
    assert "ValueError: wrong length: 7" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    ("event", "masked"),
    [
        ({"token": "abc"}, {"token": "[redacted]"}),
        ({"smtp_password": "abc"}, {"smtp_password": "[redacted]"}),
        ({"headers": {"Authorization": "x"}}, {"headers": {"Authorization": "[redacted]"}}),
        ({"event": "got Bearer abcdef123"}, {"event": "got Bearer [redacted]"}),
        (
            {"url": "postgresql://quire:pw@db/quire"},
            {"url": "postgresql://quire:[redacted]@db/quire"},
        ),
        ({"urls": ["http://u:p@h/"]}, {"urls": ["http://u:[redacted]@h/"]}),
        ({"token_id": 4, "run_id": 5}, {"token_id": 4, "run_id": 5}),  # numbers of records
        ({"event": "the bearer of news"}, {"event": "the bearer of news"}),  # too short for one
    ],
)
def test_secrets_are_masked(event: dict[str, object], masked: dict[str, object]) -> None:
    assert mask_secrets(None, "info", event) == masked


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_unknown_levels_and_forms_are_refused(level: str, form: str) -> None:
    with pytest.raises(InvalidValue):
        configure_logging(level, form)
