"""What runs leave: the executed notebook, and the files of their working folder.

The executed notebook is made when it is asked for, of the snapshot and the journal; so it is there
from the very transaction that ends an attempt. Files are stored by the attempt's runner before it
says that the attempt is over.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from quire.clock import Clock
from quire.engine.models import Isolation
from quire.engine.results import Results
from quire.engine.states import TERMINAL
from quire.errors import NotFound, TooLarge
from quire.settings import Settings
from quire.store import artifacts as artifact_rows
from quire.store.artifacts import StoredFile
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.journal import run_prefix
from quire.store.runs import RunView
from quire.workspace import formats

__all__ = ["Artifact", "Artifacts"]

_NOTEBOOK_SUFFIX = ".ipynb"


@dataclass(frozen=True)
class Artifact:
    """One thing a run left. Names are unique in a run."""

    name: str
    file: StoredFile | None  # None: the executed notebook


class Artifacts:
    """The artifacts of attempts that are over. Who may see them is asked before."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        results: Results,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._results = results
        self._clock = clock
        self._settings = settings

    def list(self, view: RunView) -> list[Artifact]:
        """What an attempt left, the executed notebook first; nothing before its end.

        A run in a notebook's own kernel leaves nothing: its outputs are in the notebook.
        """
        path = view.run.definition.task.workspace_path
        in_place = view.run.definition.isolation is Isolation.IN_PLACE
        if view.attempt.state not in TERMINAL or path is None or in_place:
            return []
        found: list[Artifact] = []
        if view.attempt.snapshot_key is not None:
            name = path.rpartition("/")[2].removesuffix(_NOTEBOOK_SUFFIX) + _NOTEBOOK_SUFFIX
            found.append(Artifact(name, None))
        with self._database.read() as connection:
            files = artifact_rows.list_artifacts(connection, view.attempt.id)
        names = {file.name for file in files}
        for file in files:
            name = file.name
            if found and name == found[0].name:
                name = _other_name(name, names)
            found.append(Artifact(name, file))
        return found

    def read(self, view: RunView, name: str) -> tuple[Artifact, bytes]:
        """An artifact and its content. Raises NotFound, Unavailable."""
        artifact = next((each for each in self.list(view) if each.name == name), None)
        if artifact is None:
            raise NotFound("artifact", name, f"Run {view.attempt.id} left no artifact {name!r}.")
        if artifact.file is not None:
            return artifact, self._blobs.get(artifact.file.blob_key)
        notebook = self._results.notebook(view)
        return artifact, formats.write("ipynb", notebook, name=name)

    def keep(self, view: RunView, name: str, data: bytes) -> None:
        """Store a file of an attempt, in place of the one of that name.

        Raises TooLarge when the attempt's files would be over their limit, Unavailable.
        """
        limit = self._settings.run_files_limit_bytes
        attempt_id = view.attempt.id
        folder = f"{run_prefix(view.run.id)}{attempt_id}/files"
        stored = StoredFile(name, len(data), f"{folder}/{secrets.token_hex(16)}", self._clock.now())
        with self._database.read() as connection:
            known = artifact_rows.find_artifact(connection, attempt_id, name)
            total = artifact_rows.sum_sizes(connection, attempt_id) + len(data)
        if total - (known.size if known else 0) > limit:
            raise TooLarge("What the run left", limit, field="file")
        # A blob that no row comes to name goes with the run's other blobs.
        self._blobs.put(stored.blob_key, data)
        with self._database.write() as connection:
            artifact_rows.put_artifact(connection, attempt_id, stored)


def _other_name(name: str, taken: set[str]) -> str:
    """A name like this one that no file has: the executed notebook has it."""
    stem = name.removesuffix(_NOTEBOOK_SUFFIX)
    number = 2
    while f"{stem} ({number}){_NOTEBOOK_SUFFIX}" in taken:
        number += 1
    return f"{stem} ({number}){_NOTEBOOK_SUFFIX}"
