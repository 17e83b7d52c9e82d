from __future__ import annotations

from datetime import UTC, datetime, timedelta

from quire.engine.starvation import IdleWatch
from quire.placement.base import RunnerIdentity

A, B = (RunnerIdentity("here", pid, "1") for pid in (1, 2))
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_idle_is_told_after_a_second_without_work() -> None:
    watch = IdleWatch()
    assert not watch.all_idle(at(0), [A, B], {A: 5.0, B: 7.0})  # the first look knows nothing
    assert not watch.all_idle(at(0.5), [A, B], {A: 5.0, B: 7.0})
    assert watch.all_idle(at(1), [A, B], {A: 5.05, B: 7.0})


def test_one_at_work_is_enough() -> None:
    watch = IdleWatch()
    watch.all_idle(at(0), [A, B], {A: 5.0, B: 7.0})
    assert not watch.all_idle(at(1), [A, B], {A: 5.0, B: 7.5})
    assert watch.all_idle(at(2), [A, B], {A: 5.0, B: 7.5})  # it has come to wait


def test_a_runner_nobody_could_measure_is_at_work() -> None:
    watch = IdleWatch()
    watch.all_idle(at(0), [A, B], {A: 5.0})
    assert not watch.all_idle(at(1), [A, B], {A: 5.0, B: 7.0})  # it is new
    assert not watch.all_idle(at(2), [A, B], {A: 5.0})  # it is gone
    assert watch.all_idle(at(3), [A], {A: 5.0})


def test_each_idle_second_counts_once() -> None:
    watch = IdleWatch()
    watch.all_idle(at(0), [A], {A: 5.0})
    assert watch.all_idle(at(1), [A], {A: 5.0})
    assert not watch.all_idle(at(1.5), [A], {A: 5.0})
    assert watch.all_idle(at(2), [A], {A: 5.0})
    watch.forget()
    assert not watch.all_idle(at(9), [A], {A: 5.0})
