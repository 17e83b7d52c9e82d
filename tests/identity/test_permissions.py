from __future__ import annotations

import pytest

from quire.identity.permissions import Right, best


@pytest.mark.parametrize(
    ("held", "needed", "enough"),
    [
        (Right.OWNER, Right.OWNER, True),
        (Right.OWNER, Right.EDITOR, True),
        (Right.OWNER, Right.VIEWER, True),
        (Right.EDITOR, Right.OWNER, False),
        (Right.EDITOR, Right.EDITOR, True),
        (Right.EDITOR, Right.VIEWER, True),
        (Right.VIEWER, Right.OWNER, False),
        (Right.VIEWER, Right.EDITOR, False),
        (Right.VIEWER, Right.VIEWER, True),
    ],
)
def test_a_right_covers_itself_and_weaker_ones(held: Right, needed: Right, enough: bool) -> None:
    assert held.covers(needed) is enough


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([None, Right.VIEWER], Right.VIEWER),
        ([Right.VIEWER, Right.OWNER, Right.EDITOR], Right.OWNER),
    ],
)
def test_the_strongest_right_counts(rights: list[Right | None], expected: Right | None) -> None:
    assert best(rights) is expected
