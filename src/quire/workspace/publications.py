"""Publications: a notebook as its readers see it, at an address that stays.

What a publication shows is a copy, taken when it is published by hand or when a run that was asked
to ended well; what happens to the notebook in between is not seen. Its readers are those who may
see the notebook, and it goes with the notebook.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from quire.clock import Clock
from quire.errors import AlreadyExists, InvalidState, NotFound, QuireError, Unavailable
from quire.identity.models import Principal
from quire.identity.permissions import Right
from quire.ids import NodeId, RunId
from quire.store import publications as rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.locks import lock_tree
from quire.workspace.layouts import layout_of
from quire.workspace.models import Node, Publication
from quire.workspace.tree import Workspace

__all__ = ["Publication", "Publications"]

_READS = 3

_Answer = TypeVar("_Answer")


class Publications:
    """The publications of one server; a notebook has at most one.

    Methods raise NotFound for what does not exist or the actor may not see, PermissionDenied for a
    viewer who publishes, Unavailable when the database or the blob store is away.
    """

    def __init__(
        self, database: Database, blobs: BlobStore, clock: Clock, workspace: Workspace
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._workspace = workspace

    def create(self, actor: Principal, node_id: NodeId, options: Mapping[str, Any]) -> Publication:
        """Publish a notebook with the outputs it has.

        Raises InvalidState when its layout has no cells, AlreadyExists when it is published.
        """
        notebook = self._publishable(actor, node_id)

        def store(connection: Connection, key: str) -> tuple[Publication, None]:
            self._workspace.require(actor, node_id, Right.EDITOR, connection)
            if rows.find_of_nodes(connection, [node_id]):
                raise AlreadyExists("This notebook is published already; its report is updated.")
            now = self._clock.now()
            made = Publication(
                uid=uuid.uuid4(),
                node_id=node_id,
                options=options,
                blob_key=key,
                run_id=None,
                creator_id=actor.id,
                created_at=now,
                updated_at=now,
            )
            rows.insert_publication(connection, made)
            return made, None

        return self._store(notebook, store)

    def update(self, actor: Principal, node_id: NodeId, options: Mapping[str, Any]) -> Publication:
        """Publish a notebook once more, at the address it has.

        Raises InvalidState when its layout has no cells or it is not published.
        """
        notebook = self._publishable(actor, node_id)

        def store(connection: Connection, key: str) -> tuple[Publication, str]:
            self._workspace.require(actor, node_id, Right.EDITOR, connection)
            present = rows.find_of_nodes(connection, [node_id]).get(node_id)
            if present is None:
                raise InvalidState("This notebook is not published; there is nothing to update.")
            return self._renew(connection, present, key, None, options), present.blob_key

        return self._store(notebook, store)

    def update_from_run(
        self, node_id: NodeId, notebook: Mapping[str, Any], run_id: RunId
    ) -> Publication | None:
        """Let the publication of a notebook show what a run of it left; None when it has none.

        ``notebook`` is the executed one. Rights were checked when the run was asked for. Doing it
        twice is as once.
        """
        present = self.find([node_id]).get(node_id)
        if present is None:
            return None
        if present.run_id == run_id:
            return present
        executed = dict(notebook)
        if layout_of(executed) is None:  # it was laid out while the run waited
            executed = self._with_layout_of(present, executed)

        def store(connection: Connection, key: str) -> tuple[Publication | None, str]:
            now = rows.get_publication(connection, present.uid)
            if now is None:  # gone with its notebook meanwhile
                return None, key
            return self._renew(connection, now, key, run_id, now.options), now.blob_key

        return self._store(executed, store)

    def find(self, node_ids: Collection[NodeId]) -> dict[NodeId, Publication]:
        """The publications of notebooks whose rights were checked, by notebook."""
        with self._database.read() as connection:
            return rows.find_of_nodes(connection, node_ids)

    def read(self, actor: Principal, uid: UUID) -> tuple[Publication, Node, dict[str, Any]]:
        """A publication, its notebook's node, and the notebook as it was published."""
        for _ in range(_READS):
            with self._database.read() as connection:
                found = rows.get_publication(connection, uid)
            if found is None:
                break
            try:
                node = self._workspace.get_by_id(actor, found.node_id)
            except NotFound:
                break
            with suppress(NotFound):  # updated between the two looks
                return found, node, json.loads(self._blobs.get(found.blob_key))
        raise NotFound("report", uid, "There is no such report.")

    def _publishable(self, actor: Principal, node_id: NodeId) -> dict[str, Any]:
        node = self._workspace.require(actor, node_id, Right.EDITOR)
        notebook = self._workspace.read_notebook(actor, node.path)[1]
        layout = layout_of(notebook)
        if layout is None or not layout.cell_ids:
            raise InvalidState("The report of this notebook is empty; put cells into it first.")
        return notebook

    def _with_layout_of(
        self, publication: Publication, notebook: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            shown = json.loads(self._blobs.get(publication.blob_key))
        except NotFound:
            return dict(notebook)
        own = {**(notebook["metadata"].get("quire") or {})}
        own["layout"] = shown["metadata"].get("quire", {}).get("layout")
        return {**notebook, "metadata": {**notebook["metadata"], "quire": own}}

    def _renew(
        self,
        connection: Connection,
        present: Publication,
        key: str,
        run_id: RunId | None,
        options: Mapping[str, Any],
    ) -> Publication:
        rows.update_publication(
            connection,
            present.uid,
            blob_key=key,
            run_id=run_id,
            options=dict(options),
            at=self._clock.now(),
        )
        renewed = rows.get_publication(connection, present.uid)
        assert renewed is not None
        return renewed

    def _store(
        self,
        notebook: Mapping[str, Any],
        store: Callable[[Connection, str], tuple[_Answer, str | None]],
    ) -> _Answer:
        """Keep a notebook and the row that names it; what ``store`` says is forgotten goes."""
        token = secrets.token_hex(16)
        key = f"publications/{token[:2]}/{token[2:]}"
        text = json.dumps(notebook, ensure_ascii=False, separators=(",", ":"))
        self._blobs.put(key, text.encode("utf-8", "surrogatepass"))
        try:
            with self._database.write() as connection:
                lock_tree(connection)
                answer, forgotten = store(connection, key)
        except QuireError as error:
            # When the database went away it may have committed, and then the blob is needed.
            if not isinstance(error, Unavailable):
                self._workspace.discard([key])
            raise
        if forgotten is not None:
            self._workspace.discard([forgotten])
        return answer
