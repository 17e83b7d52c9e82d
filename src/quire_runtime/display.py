"""``display`` and ``displayHTML`` as Databricks notebooks know them (Databricks contract 10.7)."""

from __future__ import annotations

import io
import sys
from typing import Any

from quire_runtime import tables
from quire_runtime.spark import frames

__all__ = ["display", "displayHTML"]

NOT_FOR_TABLES = frozenset(
    {"include", "exclude", "metadata", "transient", "display_id", "raw", "clear"}
)


def display(*values: Any, **options: Any) -> Any:
    """Show values: frames and lists of rows as tables, figures as images, the rest as IPython does.

    Options are IPython's; with any of those that IPython alone understands, so are the values.
    """
    from IPython.display import display as show

    if not values or NOT_FOR_TABLES & options.keys():
        return show(*values, **options)  # type: ignore[no-untyped-call]
    for value in values:
        table = frames.read_frame(value) if frames.is_frame(value) else tables.read(value)
        if table is not None:
            show(table.bundle(), raw=True)  # type: ignore[no-untyped-call]
        elif _is_figure(value):
            _show_figure(value)
        else:
            show(value)  # type: ignore[no-untyped-call]
    return None


def displayHTML(html: Any) -> None:
    """Show a piece of HTML."""
    from IPython.display import display as show

    show({"text/html": str(html), "text/plain": "<HTML>"}, raw=True)  # type: ignore[no-untyped-call]


def _is_figure(value: Any) -> bool:
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)


def _show_figure(figure: Any) -> None:
    from IPython.display import display as show

    image = io.BytesIO()
    figure.savefig(image, format="png", bbox_inches="tight")
    show(
        {"image/png": image.getvalue(), "text/plain": repr(figure)},
        raw=True,
    )  # type: ignore[no-untyped-call]
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)  # else the end of the cell would show it a second time
