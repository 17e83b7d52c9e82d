from __future__ import annotations

import threading

import pytest

from quire.errors import Unavailable
from quire.loop import BackgroundLoop


def test_it_works_at_once_and_whenever_it_is_woken() -> None:
    rounds = threading.Semaphore(0)

    def work() -> float:
        rounds.release()
        return 3600.0

    loop = BackgroundLoop("test", work)
    loop.start()
    assert rounds.acquire(timeout=60)
    loop.wake()
    assert rounds.acquire(timeout=60)
    loop.close()
    assert loop.stopping


def test_it_outlives_what_goes_wrong() -> None:
    troubles: list[Exception] = [Unavailable("the database is away"), ValueError("a defect")]
    survived = threading.Event()

    def work() -> float:
        if troubles:
            loop.wake()
            raise troubles.pop()
        survived.set()
        return 3600.0

    loop = BackgroundLoop("test", work)
    loop.start()
    assert survived.wait(timeout=60)
    loop.close()


def test_after_a_failure_it_waits_even_if_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quire.loop._AFTER_FAILURE_SECONDS", 3600.0)
    rounds: list[int] = []
    failed = threading.Semaphore(0)

    def work() -> float:
        rounds.append(1)
        loop.wake()
        failed.release()
        raise Unavailable("the blob store is away")

    loop = BackgroundLoop("test", work)
    loop.start()
    assert failed.acquire(timeout=60)
    loop.wake()
    loop.close()
    assert len(rounds) == 1


def test_a_loop_that_was_never_started_can_be_closed() -> None:
    BackgroundLoop("test", lambda: 1.0).close()
