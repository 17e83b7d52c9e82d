"""Quire runs notebooks and answers for five vendors' REST dialects."""

from __future__ import annotations

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("quire")
