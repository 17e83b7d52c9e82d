"""Publications as their readers see them: a page at an address that stays, and the notebook of it.

What the author of a notebook wrote is served as everywhere: in an origin of its own, without
scripts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from quire.errors import NotFound, PermissionDenied
from quire.render.report import render_report
from quire.web.content import NOTEBOOK_POLICY, PLAIN_POLICY, content
from quire.workspace.addressing import from_base62
from quire.workspace.layouts import Layout, layout_of

if TYPE_CHECKING:
    from quire.identity.principals import Principal
    from quire.workspace.models import Node, Publication
    from quire.workspace.publications import Publications

__all__ = ["PublicationPages", "PublicationServices"]

# A reader may save what a link on the page leads to, where the author lets them have the notebook.
_WITH_DOWNLOAD = NOTEBOOK_POLICY.replace("sandbox;", "sandbox allow-downloads;")


class PublicationServices(Protocol):
    """What these pages use of the server."""

    @property
    def publications(self) -> Publications: ...


class PublicationPages:
    """Answers readers of publications."""

    def __init__(self, services: PublicationServices) -> None:
        self._services = services

    def show(self, request: Request, actor: Principal) -> Response:
        """The page of a publication."""
        publication, node, notebook = self._read(request, actor)
        options = publication.options
        offers_copy = options.get("can_download") is True
        page = render_report(
            notebook,
            layout_of(notebook) or Layout(),
            node.name,
            full_width=options.get("full_width") is True,
            download=f"{request.scope['path']}/notebook.ipynb" if offers_copy else None,
        )
        policy = _WITH_DOWNLOAD if offers_copy else NOTEBOOK_POLICY
        return content(page, "text/html; charset=utf-8", policy)

    def download(self, request: Request, actor: Principal) -> Response:
        """The notebook as it was published, where its author allows that."""
        publication, node, notebook = self._read(request, actor)
        if publication.options.get("can_download") is not True:
            raise PermissionDenied("This report's notebook is not for download.")
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        response = content(text, "application/x-ipynb+json", PLAIN_POLICY)
        name = quote(f"{node.name}.ipynb", safe="")
        response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        return response

    def _read(self, request: Request, actor: Principal) -> tuple[Publication, Node, dict[str, Any]]:
        text = request.path_params["report_id"]
        uid = from_base62(text)
        if uid is None:
            raise NotFound("report", text, "There is no such report.")
        return self._services.publications.read(actor, uid)
