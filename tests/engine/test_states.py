from __future__ import annotations

import pytest

from quire.engine.states import ACTIVE, TERMINAL, State, check_move, may_move
from quire.errors import InvalidState

_ALLOWED = {
    (State.BLOCKED, State.QUEUED),
    (State.BLOCKED, State.SKIPPED),
    (State.BLOCKED, State.TERMINATED),
    (State.QUEUED, State.PENDING),
    (State.QUEUED, State.SKIPPED),
    (State.QUEUED, State.TERMINATED),
    (State.PENDING, State.RUNNING),
    (State.PENDING, State.QUEUED),
    (State.PENDING, State.TERMINATING),
    (State.PENDING, State.TERMINATED),
    (State.RUNNING, State.TERMINATING),
    (State.RUNNING, State.TERMINATED),
    (State.TERMINATING, State.TERMINATED),
}


@pytest.mark.parametrize("origin", State)
@pytest.mark.parametrize("target", State)
def test_only_the_drawn_moves_are_allowed(origin: State, target: State) -> None:
    assert may_move(origin, target) == ((origin, target) in _ALLOWED)


def test_a_forbidden_move_names_both_states() -> None:
    with pytest.raises(InvalidState, match="from terminated to running"):
        check_move(State.TERMINATED, State.RUNNING)


def test_every_state_is_active_or_terminal() -> None:
    assert set(State) == ACTIVE | TERMINAL
    assert not ACTIVE & TERMINAL


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_state(state: State) -> None:
    assert not any(may_move(state, target) for target in State)
