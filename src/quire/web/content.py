"""What pages are sent with: the headers all have, and how much their content may do."""

from __future__ import annotations

from starlette.responses import Response

__all__ = ["NOTEBOOK_POLICY", "PAGE_POLICY", "PLAIN_POLICY", "content"]

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# No scripts, no forms, no outside hosts, and an origin that is nobody's: even a notebook that got
# past the renderer's cleaning can neither run code nor read anything of ours.
NOTEBOOK_POLICY = (
    "sandbox; default-src 'none'; img-src data:; media-src data:; font-src data:; "
    "style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
PLAIN_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


def content(text: str, media_type: str, policy: str) -> Response:
    """An answer with a text in UTF-8, which nobody keeps."""
    return Response(
        # A kernel may print half of a surrogate pair, which UTF-8 cannot carry.
        text.encode("utf-8", "replace"),
        headers={
            "Content-Type": media_type,
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            # "no-referrer" would make browsers send forms with "Origin: null".
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
        },
    )
