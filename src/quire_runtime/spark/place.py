"""Where the Spark of a run is: the server's answer, asked for when Spark is first used."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from quire_runtime.errors import ServerError, SparkDriverLost, SparkUnavailable
from quire_runtime.session import Session

__all__ = ["Place", "ask", "ask_why_lost"]

PENDING_PAUSE_SECONDS = 0.1
LOST_CAUSE = "driver_lost"


class Place:
    """A driver that this run may use. ``remote``: the address of a Spark Connect server instead."""

    def __init__(self, spark: Mapping[str, Any]) -> None:
        self.host: str = spark.get("host") or "127.0.0.1"
        self.port = int(spark.get("port") or 0)
        self.secret: str = spark.get("secret") or ""
        self.remote: str | None = spark.get("remote")
        self.session_tag: str | None = spark.get("session_tag")
        self.job_group: str = spark.get("job_group") or ""
        self.spark_home: str | None = spark.get("spark_home")
        self.environment: dict[str, str] = dict(spark.get("environment") or {})

    def is_same(self, other: Place) -> bool:
        """Whether both lead to the same session of the same driver."""
        return (self.host, self.port, self.secret, self.remote) == (
            other.host,
            other.port,
            other.secret,
            other.remote,
        )


def ask(session: Session) -> Place:
    """The place of this run's Spark, waited for while its driver starts.

    Raises SparkUnavailable when there is none to be had, SparkDriverLost when there was one.
    """
    __tracebackhide__ = True
    given = session.compute.get("spark")
    if given:
        return Place(given)
    while True:
        answer = _post(session)
        if answer["state"] == "ready" and answer.get("spark"):
            session.compute.update(answer)
            return Place(answer["spark"])
        if answer["state"] != "pending":
            raise _refusal(answer)
        time.sleep(PENDING_PAUSE_SECONDS)


def ask_why_lost(session: Session) -> SparkDriverLost:
    """What the server knows of the end of this run's driver, as an error to raise."""
    try:
        answer = session.channel.post("/spark", {})
    except ServerError:
        answer = {}
    message = answer.get("message") if answer.get("state") == "failed" else None
    return SparkDriverLost(
        message or "The Spark driver of this run has ended, and its data with it."
    )


def _post(session: Session) -> dict[str, Any]:
    __tracebackhide__ = True
    try:
        answer: dict[str, Any] = session.channel.post("/spark", {})
    except ServerError as error:
        raise SparkUnavailable(f"Spark cannot be used in this run: {error}") from None
    return answer


def _refusal(answer: Mapping[str, Any]) -> Exception:
    message = answer.get("message") or "no reason is known."
    if answer.get("cause") == LOST_CAUSE:
        return SparkDriverLost(message)
    return SparkUnavailable(f"Spark cannot be used in this run: {message}")
