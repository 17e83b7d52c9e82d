"""Who asks on internal routes: a run, by the Bearer token that was made for it."""

from __future__ import annotations

from starlette.requests import Request

from quire.errors import InvalidCredential
from quire.identity.run_tokens import RunToken, RunTokens, RunTokenUse

__all__ = ["read_run_token"]


def read_run_token(request: Request, run_tokens: RunTokens, use: RunTokenUse) -> RunToken:
    """The token of a request, which is for ``use`` and for the attempt its path names, if any.

    Raises InvalidCredential.
    """
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidCredential()
    token = run_tokens.read(text, use)
    if request.path_params.get("attempt_id", token.attempt_id) != token.attempt_id:
        raise InvalidCredential()
    return token
