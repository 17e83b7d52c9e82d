"""Names that people give to what they store and then ask for by them."""

from __future__ import annotations

import re

from quire.errors import InvalidValue

__all__ = ["check_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,99}")


def check_name(name: str) -> None:
    """Raises InvalidValue for a name that could not be typed, or said, everywhere."""
    if not _NAME.fullmatch(name):
        raise InvalidValue(
            "name", "a name has 1 to 100 letters, digits, spaces, dots, dashes, underscores."
        )
