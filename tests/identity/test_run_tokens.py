from __future__ import annotations

import pytest

from quire.errors import InvalidCredential
from quire.identity.run_tokens import RunToken, RunTokens, RunTokenUse
from quire.ids import AttemptId, PrincipalId, RunId

_TOKENS = RunTokens(b"0123456789abcdef")


def _issue(use: RunTokenUse = RunTokenUse.REPORT) -> str:
    return _TOKENS.issue(use, RunId(11), AttemptId(12), PrincipalId(3))


@pytest.mark.parametrize("use", list(RunTokenUse))
def test_says_what_it_was_issued_for(use: RunTokenUse) -> None:
    assert _TOKENS.read(_issue(use), use) == RunToken(use, RunId(11), AttemptId(12), PrincipalId(3))


def test_fits_a_header() -> None:
    text = _issue()
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text


def test_opens_no_other_door() -> None:
    with pytest.raises(InvalidCredential, match="runtime"):
        _TOKENS.read(_issue(RunTokenUse.REPORT), RunTokenUse.RUNTIME)


def test_is_void_when_any_character_is_changed() -> None:
    text = _issue()
    for index, character in enumerate(text):
        changed = text[:index] + ("A" if character != "A" else "B") + text[index + 1 :]
        with pytest.raises(InvalidCredential):
            _TOKENS.read(changed, RunTokenUse.REPORT)


@pytest.mark.parametrize("text", ["", ".", "quirerun.report.1.2.3.", "x", "ä", "\ud800.é", "a.b.c"])
def test_other_texts_are_no_tokens(text: str) -> None:
    with pytest.raises(InvalidCredential):
        _TOKENS.read(text, RunTokenUse.REPORT)


def test_is_void_on_another_server() -> None:
    with pytest.raises(InvalidCredential):
        RunTokens(b"another secret of a server").read(_issue(), RunTokenUse.REPORT)


def test_needs_a_secret_worth_the_name() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        RunTokens(b"short")
