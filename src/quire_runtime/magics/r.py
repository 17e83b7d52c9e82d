"""``%r``: R in a kernel of its own, where one is installed (Databricks contract 10.6)."""

from __future__ import annotations

from collections.abc import Callable

from quire_runtime.magics.languages import whole_cell
from quire_runtime.other_kernel import OtherKernel
from quire_runtime.session import Session

__all__ = ["make_r"]


def make_r(session: Session) -> Callable[..., None]:
    """The magic, for a line or a whole cell. Values stay from cell to cell."""
    kernels: list[OtherKernel] = []

    def r(line: str, cell: str | None = None) -> None:
        """Run R code in the notebook's R kernel."""
        __tracebackhide__ = True
        if not kernels:
            kernels.append(OtherKernel("R", "IRkernel", folder=session.working_dir))
        kernels[0].run(whole_cell(line, cell))

    return r
