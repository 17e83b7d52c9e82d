"""The state machine of clusters."""

from __future__ import annotations

import pytest

from quire.compute.lifecycle import ACTIVE, end_state, may_move
from quire.compute.models import ClusterCause, ClusterState

_S = ClusterState


def test_the_moves_between_states() -> None:
    allowed = {(origin, target) for origin in _S for target in _S if may_move(origin, target)}
    assert allowed == {
        (_S.PENDING, _S.RUNNING),
        (_S.PENDING, _S.TERMINATING),
        (_S.RUNNING, _S.RESIZING),
        (_S.RUNNING, _S.RESTARTING),
        (_S.RUNNING, _S.TERMINATING),
        (_S.RESIZING, _S.RUNNING),
        (_S.RESIZING, _S.RESTARTING),
        (_S.RESIZING, _S.TERMINATING),
        (_S.RESTARTING, _S.RUNNING),
        (_S.RESTARTING, _S.TERMINATING),
        (_S.TERMINATING, _S.TERMINATED),
        (_S.TERMINATING, _S.ERROR),
        (_S.TERMINATED, _S.PENDING),
        (_S.ERROR, _S.PENDING),
    }


def test_what_is_not_active_has_no_processes() -> None:
    assert set(_S) - ACTIVE == {_S.TERMINATED, _S.ERROR}


@pytest.mark.parametrize("cause", list(ClusterCause))
def test_faults_end_as_errors(cause: ClusterCause) -> None:
    faults = {
        ClusterCause.DRIVER_UNREACHABLE,
        ClusterCause.HOST_LOST,
        ClusterCause.INTERNAL_ERROR,
    }
    assert end_state(cause) is (_S.ERROR if cause in faults else _S.TERMINATED)
