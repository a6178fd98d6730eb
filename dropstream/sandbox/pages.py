"""The sandbox's own pages and documents: what the far sides know, shown and changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dropstream.sandbox import documents
from dropstream.sandbox.http_server import Request, Response, json_response
from dropstream.sandbox.ip import KeyRefused

if TYPE_CHECKING:
    from dropstream.sandbox.server import Sandbox


def answer(sandbox: Sandbox, request: Request) -> Response:
    """Answer a page, a form or a document."""
    match request.method, request.path:
        case (("GET" | "HEAD"), "/healthz"):
            return Response(200, b"ok\n", "text/plain")
        case (("GET" | "HEAD"), "/report.json"):
            return json_response(documents.report(sandbox))
        case (("GET" | "HEAD"), "/state.json"):
            return json_response(documents.state(sandbox))
        case "POST", "/ip/connections" if sandbox.has_ip:
            return connect(sandbox, request)
    return Response(404, b"no such page\n", "text/plain")


def connect(sandbox: Sandbox, request: Request) -> Response:
    """Make an Advanced CSV connection from a pasted public key."""
    form = request.form()
    try:
        drop = sandbox.ip.connect(form.get("account", ""), form.get("public_key", ""))
    except KeyError:
        return json_response({"error": "Unknown account."}, 400)
    except KeyRefused as error:
        return json_response({"error": str(error)}, 400)
    return json_response({"endpoint": drop.endpoint})
