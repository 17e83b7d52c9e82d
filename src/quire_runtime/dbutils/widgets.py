"""``dbutils.widgets``: a notebook's parameters (Databricks contract 10.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quire_runtime.dbutils.help import Helpful
from quire_runtime.session import Session

__all__ = ["InputWidgetNotDefined", "Widgets"]

MOST_CHOICES = 1024


class InputWidgetNotDefined(Exception):
    """Neither a widget nor a run parameter has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "com.databricks.dbutils_v1.InputWidgetNotDefined: "
            f"No input widget named {name} is defined"
        )
        self.name = name


class Widgets(Helpful):
    """Parameters of the notebook, always text.

    A value that the run, or a %run, passes under a widget's name wins over the widget's default.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._values: dict[str, str] = {}

    def text(self, name: str, defaultValue: str, label: str | None = None) -> None:
        """Make a widget for free text."""
        self._define(name, defaultValue, label)

    def dropdown(
        self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None
    ) -> None:
        """Make a widget with one of some choices; the default is one of them."""
        self._check_choices(name, defaultValue, choices, default_among=True)
        self._define(name, defaultValue, label)

    def combobox(
        self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None
    ) -> None:
        """Make a widget with one of some choices or free text."""
        self._check_choices(name, defaultValue, choices, default_among=False)
        self._define(name, defaultValue, label)

    def multiselect(
        self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None
    ) -> None:
        """Make a widget with several of some choices; its value joins them with commas."""
        self._check_choices(name, defaultValue, choices, default_among=True)
        self._define(name, defaultValue, label)

    def get(self, name: str) -> str:
        """The value of a widget or run parameter."""
        __tracebackhide__ = True
        passed = self._session.argument(name)
        if passed is not None:
            return passed
        if name in self._values:
            return self._values[name]
        raise InputWidgetNotDefined(name)

    def getAll(self) -> dict[str, str]:
        """The values of all widgets and run parameters, by name."""
        names = dict.fromkeys([*self._values, *self._session.argument_names()])
        return {name: self.get(name) for name in names}

    def getArgument(self, name: str, default: str | None = None) -> str:
        """The older form of get; ``default`` is returned for a name that is not defined."""
        __tracebackhide__ = True
        try:
            return self.get(name)
        except InputWidgetNotDefined:
            if default is None:
                raise
            return default

    def remove(self, name: str) -> None:
        """Remove a widget. A run parameter of that name stays."""
        __tracebackhide__ = True
        if self._values.pop(name, None) is None and self._session.argument(name) is None:
            raise InputWidgetNotDefined(name)

    def removeAll(self) -> None:
        """Remove all widgets. Run parameters stay."""
        self._values.clear()

    def _define(self, name: str, default: str, label: str | None) -> None:
        __tracebackhide__ = True
        _check_text("name", name)
        if not name:
            raise ValueError("The name of a widget cannot be empty.")
        _check_text(f"The default of widget {name}", default)
        if label is not None:
            _check_text(f"The label of widget {name}", label)
        if name not in self._values:  # a widget that is made again keeps its value
            passed = self._session.argument(name)
            self._values[name] = default if passed is None else passed

    def _check_choices(
        self, name: str, default: str, choices: Sequence[str], *, default_among: bool
    ) -> None:
        __tracebackhide__ = True
        if isinstance(choices, str) or not all(isinstance(choice, str) for choice in choices):
            raise TypeError(f"The choices of widget {name} must be a list of strings.")
        if len(choices) > MOST_CHOICES:
            raise ValueError(
                f"Widget {name} has {len(choices)} choices; at most {MOST_CHOICES} are allowed."
            )
        if default_among and default not in choices:
            raise ValueError(
                f"The default value {default!r} of widget {name} is not among its choices."
            )


def _check_text(what: str, value: Any) -> None:
    __tracebackhide__ = True
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, not {type(value).__name__}.")
