"""Where libraries and environments of runs come from: this server builds none yet, and says so."""

from __future__ import annotations

from quire.compute.models import Library
from quire.compute.uses import Prepared, UseState
from quire.identity.models import Principal

__all__ = ["NoPackages"]


class NoPackages:
    """Refuses. Implements :class:`quire.compute.uses.Packages`."""

    def prepare(
        self, actor: Principal, libraries: tuple[Library, ...], environment: str | None
    ) -> Prepared:
        """Refuse what was asked for, by name."""
        del actor  # whoever asks
        wanted = ", ".join(f"{library.kind} {library.value}" for library in libraries)
        if environment is not None:
            wanted = f"the environment {environment}" + (f" with {wanted}" if wanted else "")
        return Prepared(UseState.FAILED, f"This server cannot install {wanted}.")
