"""What the vendor's documents leave open, and what this server does (contract 11).

Each constant is one decision. ``docs/parity/datalore.md`` lists them all.
"""

from __future__ import annotations

__all__ = ["RUN_STATUS_SHOWS_FULL_NOTEBOOK_ID"]

RUN_STATUS_SHOWS_FULL_NOTEBOOK_ID = True
"""``notebookId`` of a run's status is ``user/notebook``, as in the request, not the second half."""
