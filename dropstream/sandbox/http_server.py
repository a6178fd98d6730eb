"""A small HTTP server on loopback: requests and answers as plain values."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

BODY_LIMIT = 10_000_000
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost"})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What a client asked; header names are lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def form(self) -> dict[str, str]:
        """Return the fields of a submitted form."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace")))


@dataclass(frozen=True)
class Response:
    """What the client gets; ``drop`` cuts the line instead of answering."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False


def json_response(value: Any, status: int = 200, **headers: str) -> Response:
    """Return a JSON answer; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(status, json.dumps(value).encode(), headers=named)


def redirect(to: str) -> Response:
    """Send the browser to another page after a form."""
    return Response(303, b"", "text/plain", {"Location": to})


def serve(port: int, answer: Callable[[Request], Response]) -> ThreadingHTTPServer:
    """Bind 127.0.0.1 and return the server; the caller runs ``serve_forever``.

    Raises OSError when the port is taken.
    """

    class BoundHandler(_Handler):
        answer_request = staticmethod(answer)

    return _Server(("127.0.0.1", port), BoundHandler)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "sandbox"
    sys_version = ""
    timeout = 30
    wbufsize = 65_536  # head and body in one write: two would wait for each other
    answer_request: Callable[[Request], Response]

    def _handle(self) -> None:
        response = self._refusal()
        if response is None:
            response = self._safely(self._request())
        if response.drop:
            self.close_connection = True
            return
        self._send(response)

    def _refusal(self) -> Response | None:
        """Refuse other host names and foreign forms: a page must not reach us."""
        host = urlsplit(f"//{self.headers.get('Host', '')}")
        if host.hostname not in LOCAL_NAMES:
            return self._closing(Response(421, b"unknown host", "text/plain"))
        origin = self.headers.get("Origin")
        if origin and urlsplit(origin).netloc != host.netloc:
            return self._closing(Response(403, b"foreign form", "text/plain"))
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > BODY_LIMIT:
            return self._closing(Response(413, b"too much", "text/plain"))
        return None

    def _closing(self, response: Response) -> Response:
        self.close_connection = True
        return response

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        return Request(
            method=self.command,
            path=unquote(parts.path),
            query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): text for name, text in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length", "0"))),
        )

    def _safely(self, request: Request) -> Response:
        try:
            return type(self).answer_request(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return Response(500, b"sandbox error", "text/plain")

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        for name, text in response.headers.items():
            self.send_header(name, text)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the journal has what matters."""

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle
