"""The names that this vendor's clients know for the fields of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quire.errors import InvalidValue

__all__ = ["own_names"]

_NAMES = {
    "name": "cluster_name",
    "owner": "owner_username",
    "workers": "num_workers",
    "environment": "spark_env_vars",
    "tags": "custom_tags",
    "log_destination": "cluster_log_conf",
    "autotermination_seconds": "autotermination_minutes",
}


@contextmanager
def own_names(inside: str = "") -> Iterator[None]:
    """Names fields of clusters in errors as this vendor does; ``inside`` is where they came in."""
    try:
        yield
    except InvalidValue as error:
        field = error.field or ""
        head, dot, rest = field.partition(".")
        reason = error.message.removeprefix(f"Invalid value for {field}: ")
        name = _NAMES.get(head, head) + dot + rest
        raise InvalidValue(f"{inside}.{name}" if inside else name, reason) from None
