"""``help()`` of dbutils and its parts, made from their docstrings."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["Helpful"]


class Helpful:
    """Something with public methods and a ``help()`` that lists them."""

    def help(self, method: str | None = None) -> None:
        """Print what there is, or what one method does."""
        if method is None:
            print(self._overview())
            return
        function = None if method.startswith("_") else getattr(self, method, None)
        if function is None:
            raise ValueError(f"There is no {method!r} here; help() lists what there is.")
        print(f"{_signature(method, function)}\n{inspect.getdoc(function) or ''}")

    def _overview(self) -> str:
        lines = [inspect.getdoc(self) or "", ""]
        for name, function in inspect.getmembers(self, callable):
            if not name.startswith("_"):
                first = (inspect.getdoc(function) or "").partition("\n")[0]
                lines.append(f"{_signature(name, function)}: {first}")
        return "\n".join(lines)


def _signature(name: str, function: Any) -> str:
    try:
        return f"{name}{_plain(inspect.signature(function))}"
    except (TypeError, ValueError):
        return name


def _plain(signature: inspect.Signature) -> inspect.Signature:
    parameters = [
        each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()
    ]
    return signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
