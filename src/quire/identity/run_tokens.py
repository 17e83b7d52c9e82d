"""Credentials of one attempt: what its runner and its kernel show to the server.

Nothing is stored. A token states what it is for and is signed with the server's secret, so checking
one needs no database. Whether the attempt is still alive is the engine's question, not this one's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum

from quire.errors import InvalidCredential
from quire.ids import AttemptId, PrincipalId, RunId

__all__ = ["RunToken", "RunTokenUse", "RunTokens"]

_PREFIX = "quirerun"
_LEAST_SECRET_BYTES = 16


class RunTokenUse(StrEnum):
    """Which door a run token opens."""

    REPORT = "report"  # the runner reports events
    RUNTIME = "runtime"  # code in the notebook asks for child runs, files, parameters


@dataclass(frozen=True)
class RunToken:
    """What a run token says."""

    use: RunTokenUse
    run_id: RunId
    attempt_id: AttemptId
    principal_id: PrincipalId


class RunTokens:
    """Signs and reads run tokens."""

    def __init__(self, secret: bytes) -> None:
        """Use ``secret``, at least 16 random bytes that all replicas of a server share."""
        if len(secret) < _LEAST_SECRET_BYTES:
            raise ValueError(f"the secret needs at least {_LEAST_SECRET_BYTES} bytes")
        self._secret = secret

    def issue(
        self, use: RunTokenUse, run_id: RunId, attempt_id: AttemptId, principal_id: PrincipalId
    ) -> str:
        """A token of printable ASCII without spaces."""
        claim = f"{_PREFIX}.{use.value}.{run_id}.{attempt_id}.{principal_id}"
        return f"{claim}.{self._signature(claim)}"

    def read(self, text: str, use: RunTokenUse) -> RunToken:
        """What ``text`` says. Raises InvalidCredential unless it was issued here for ``use``."""
        claim, _, signature = text.rpartition(".")
        if not hmac.compare_digest(
            signature.encode(errors="replace"), self._signature(claim).encode()
        ):
            raise InvalidCredential("The run token is not valid.")
        _, stated, run_id, attempt_id, principal_id = claim.split(".")
        if stated != use.value:
            raise InvalidCredential(f"The run token is not valid for {use.value}.")
        return RunToken(
            RunTokenUse(stated),
            RunId(int(run_id)),
            AttemptId(int(attempt_id)),
            PrincipalId(int(principal_id)),
        )

    def _signature(self, claim: str) -> str:
        digest = hmac.digest(self._secret, claim.encode(errors="replace"), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
