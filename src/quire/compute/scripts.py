"""Reads initialization scripts, wherever they are kept."""

from __future__ import annotations

import shlex

from quire.compute.models import Cluster, InitScript, ScriptKind
from quire.errors import InvalidValue
from quire.identity.principals import Principals
from quire.workspace.locations import FILE_STORE_PREFIX, Locations

__all__ = ["Scripts"]

_LARGEST_BYTES = 1024 * 1024


class Scripts:
    """The initialization scripts of clusters."""

    def __init__(self, principals: Principals, locations: Locations) -> None:
        self._principals = principals
        self._locations = locations

    def read(self, cluster: Cluster, script: InitScript) -> bytes:
        """A script, read with the rights of its cluster's owner. Raises NotFound, InvalidValue."""
        if script.kind is ScriptKind.LOCAL:
            # Read by the user that runs it, who may see less of the machine than the server.
            return f"exec bash {shlex.quote(script.destination)}\n".encode()
        if cluster.owner_id is None:
            raise InvalidValue("init_scripts", "the cluster has no owner whose scripts they are.")
        location = script.destination
        if script.kind is ScriptKind.FILES:
            location = FILE_STORE_PREFIX + location.lstrip("/")
        owner = self._principals.get(cluster.owner_id)
        return self._locations.read(owner, location, _LARGEST_BYTES)
