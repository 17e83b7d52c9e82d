"""Typed identifiers. One engine id per record; dialects show it in their own form.

Ids are positive integers below 2**53, drawn from counters that never go back, so JSON clients that
read numbers as doubles see them exactly. A run and its first attempt share one number. Clusters
alone have names: "MMDD-HHMMSS-xxxxxxxx".
"""

from __future__ import annotations

from typing import NewType

__all__ = ["AttemptId", "ClusterId", "JobId", "NodeId", "PrincipalId", "RunId"]

AttemptId = NewType("AttemptId", int)
ClusterId = NewType("ClusterId", str)
JobId = NewType("JobId", int)
NodeId = NewType("NodeId", int)
PrincipalId = NewType("PrincipalId", int)
RunId = NewType("RunId", int)
