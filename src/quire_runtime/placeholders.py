"""Names a notebook may rely on elsewhere and that this server does not serve.

Using one fails with a sentence that says what is missing, instead of a NameError.
"""

from __future__ import annotations

from typing import Any, NoReturn

from quire_runtime.errors import UnsupportedFeature

__all__ = ["Placeholder"]


class Placeholder:
    """Stands for ``name``; every use raises UnsupportedFeature with ``message``."""

    def __init__(self, name: str, message: str) -> None:
        self.__name__ = name
        self._quire_message = message

    def __repr__(self) -> str:
        return f"<{self.__name__}: not available>"

    def _refuse(self) -> NoReturn:
        raise UnsupportedFeature(self._quire_message)

    def __getattr__(self, attribute: str) -> Any:
        # Protocol look-ups (display formatters, copying, inspection) must see an absent attribute.
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        self._refuse()

    def __setattr__(self, attribute: str, value: Any) -> None:
        if attribute in ("__name__", "_quire_message"):
            super().__setattr__(attribute, value)
        else:
            self._refuse()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self._refuse()

    def __getitem__(self, key: Any) -> Any:
        self._refuse()
