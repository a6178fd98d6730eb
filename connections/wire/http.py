"""Ask a JSON API, and believe nothing of what comes back before it was checked.

requests speaks HTTP and checks certificates; the sockets are the guard's, redirects and
proxies are off, and each request has an end that a slow body cannot move (security E7,
E8, F5; reliability I1-I7).
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from connections.wire import outbound, strict_json
from connections.wire.errors import Kind, WireError
from connections.wire.outbound import Policy
from connections.wire.ssh import Deadline

CONNECT_S = 5.0
READ_S = 20.0
REQUEST_S = 60.0
LARGEST_ANSWER = 20_000_000  # bytes, unpacked
RETRY_AFTER_S = 60.0  # when the server names none that makes sense
LONGEST_RETRY_AFTER_S = 3600.0
_CHUNK = 65_536
_SHORTEST_SECRET = 6

# Printable Latin-1 without a space at either end: CR and LF would start a new header.
_HEADER_VALUE = re.compile(r"(?! )[\x20-\x7e\xa0-\xff]*(?<! )")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)+")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """A successful answer; ``json`` is checked to be JSON and nothing more."""

    status: int
    json: Any
    headers: Mapping[str, str]


class HttpClient:
    """Talk to one API with one connection that is kept. For one thread."""

    def __init__(
        self,
        base_url: str,
        *,
        policy: Policy,
        user_agent: str,
        headers: Mapping[str, str] | None = None,
        ca_file: str = "",
    ) -> None:
        """Prepare, without dialling.

        ``headers`` may hold secrets; they are kept out of every message. ``ca_file``
        replaces the well-known authorities, for tests and private ones.
        Raises api_header_invalid, and ValueError for a base URL that is neither https
        nor http to a pair of ``policy.loopback``: that is configuration.
        """
        scheme, host, port = _read_base_url(base_url, policy)
        self._base_url = base_url.rstrip("/")
        sent = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            **(headers or {}),
        }
        for name, value in sent.items():
            if not _HEADER_VALUE.fullmatch(value):
                raise WireError("api_header_invalid", name)
        self._secrets = [
            value
            for value in (headers or {}).values()
            if len(value) >= _SHORTEST_SECRET
        ]
        self._line = _Line(policy)
        self._session = requests.Session()
        # Proxies, .netrc and CA bundles of the environment are not ours (E8).
        self._session.trust_env = False
        self._session.verify = ca_file or True
        self._session.headers.clear()
        self._session.headers.update(sent)
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.mount(f"{scheme}://", _Adapter(scheme, host, port, self._line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()
        self._line.forget()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        deadline: Deadline,
    ) -> Answer:
        """Send one request and return its answer; nothing is tried twice.

        Ids inside ``path`` must be percent-encoded. Raises WireError with an api_*
        code, tls_failed, deadline_exceeded or a code of the network.
        """
        if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
            raise ValueError(f"Not a path: {path!r}")
        if deadline.expired:
            raise WireError("deadline_exceeded")
        limit = Deadline(min(REQUEST_S, deadline.left_s))
        try:
            with limit.guard(self._line):
                return self._exchange(method, path, params, body, limit)
        except WireError as error:
            cut = error.kind is Kind.TRANSIENT or error.code == "tls_failed"
            if not (limit.expired and cut):
                raise
            code = "deadline_exceeded" if deadline.expired else "api_timeout"
            raise WireError(code) from error
        finally:
            self._line.tidy()

    def _exchange(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Any,
        limit: Deadline,
    ) -> Answer:
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        failure: WireError
        try:
            with self._session.request(
                method,
                self._base_url + path,
                params=params,
                data=data,
                headers={} if data is None else {"Content-Type": "application/json"},
                timeout=(min(CONNECT_S, limit.left_s), min(READ_S, limit.left_s)),
                allow_redirects=False,
                stream=True,
            ) as response:
                _refuse_redirect(response)
                text = _read_body(response)
            return self._judge(response, text)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            failure = _translate(error)
        # Raised out here, because theirs carries the request and with it the key.
        raise failure

    def _judge(self, response: requests.Response, body: bytes) -> Answer:
        """Return the answer if it is a good one; raise what it means otherwise."""
        status = response.status_code
        type_, _, _ = response.headers.get("Content-Type", "").partition(";")
        is_json = _JSON_TYPE.fullmatch(type_.strip()) is not None
        if is_json and status < 300:
            return self._judge_success(response, body)
        said = self._said(body)
        if status == 401:
            raise WireError("api_key_refused", said, status=status)
        if status == 404:
            raise WireError("api_not_found", said, status=status)
        if status == 408:
            raise WireError("api_timeout", said, status=status)
        if status == 429:
            raise WireError(
                "api_throttled",
                said,
                retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
                status=status,
            )
        if status >= 500 and not body:
            raise WireError("api_server_error", response.reason, status=status)
        if not is_json:
            # A CDN's page, as likely as not: the API itself has not seen us (I2).
            raise WireError("api_unexpected_answer", said, status=status)
        raise WireError(
            _code_of_refusal(status),
            said,
            retry_after_s=(
                _retry_after_s(response.headers["Retry-After"])
                if "Retry-After" in response.headers
                else None
            ),
            status=status,
        )

    def _judge_success(self, response: requests.Response, body: bytes) -> Answer:
        status = response.status_code
        try:
            parsed = strict_json.parse(body)
        except ValueError as error:
            raise WireError(
                "api_unexpected_answer",
                f"{error}: {self._said(body)}",
                status=status,
            ) from error
        result = parsed.get("result") if isinstance(parsed, dict) else None
        if isinstance(result, dict) and str(result.get("status")).lower() == "error":
            raise WireError("api_error_answer", self._said(body), status=status)
        return Answer(status=status, json=parsed, headers=response.headers)

    def _said(self, body: bytes) -> str:
        """What an answer says to people, or how it begins."""
        beginning = body[:2000].decode("utf-8", "replace")
        return self._without_secrets(_message(body) or beginning)

    def _without_secrets(self, text: str) -> str:
        """Blank out what we sent, should the far side echo it."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _read_base_url(base_url: str, policy: Policy) -> tuple[str, str, int]:
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if not host or not is_plain or parts.scheme not in ("https", "http"):
        raise ValueError("The base URL must be https://host/…")
    if parts.scheme == "http" and (host, port) not in policy.loopback:
        raise ValueError("Plain http is for loopback only")
    return parts.scheme, host, port


def _refuse_redirect(response: requests.Response) -> None:
    if 300 <= response.status_code < 400:
        host = ""
        with contextlib.suppress(ValueError):
            host = urlsplit(response.headers.get("Location", "")).hostname or ""
        raise WireError("api_redirect", host, status=response.status_code)


def _read_body(response: requests.Response) -> bytes:
    told = response.headers.get("Content-Length", "")
    if len(told) > 15 or (told.isdigit() and int(told) > LARGEST_ANSWER):
        raise WireError("api_too_large", status=response.status_code)
    body = bytearray()
    for chunk in response.raw.stream(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise WireError("api_too_large", status=response.status_code)
    return bytes(body)


def _code_of_refusal(status: int) -> str:
    if status == 403:
        return "api_key_refused"
    return "api_server_error" if status >= 500 else "api_error_answer"


def _message(body: bytes) -> str:
    """Find the sentence for people in an error's JSON, or nothing."""
    try:
        parsed = strict_json.parse(body)
    except ValueError:
        return ""
    if not isinstance(parsed, dict):
        return ""
    result = parsed.get("result")
    for holder in (result, parsed):
        if isinstance(holder, dict):
            for name in ("message", "error"):
                if isinstance(holder.get(name), str):
                    return str(holder[name])
    return ""


def _retry_after_s(text: str | None) -> float:
    """Seconds to wait by a Retry-After header: a number or a date, capped (I5)."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:10]) if len(text) <= 10 else LONGEST_RETRY_AFTER_S
        return min(seconds, LONGEST_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        seconds = at.timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return RETRY_AFTER_S
    return min(seconds, LONGEST_RETRY_AFTER_S) if seconds >= 0 else RETRY_AFTER_S


def _translate(error: Exception) -> WireError:
    """Say what a failure of requests or urllib3 means, without its request."""
    causes = list(_causes(error))
    timeouts = (
        requests.Timeout,
        urllib3.exceptions.TimeoutError,
        TimeoutError,
    )
    if any(isinstance(cause, timeouts) for cause in causes):
        return WireError("api_timeout")
    if any(isinstance(cause, ssl.SSLEOFError) for cause in causes):
        return WireError("network_lost", "The TLS connection was cut")
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or ""
            return WireError("tls_failed", reason)
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return WireError("tls_failed")
    if isinstance(error, requests.exceptions.InvalidHeader):
        return WireError("api_header_invalid")
    if any(isinstance(cause, urllib3.exceptions.DecodeError) for cause in causes):
        return WireError("api_unexpected_answer", "The body cannot be unpacked")
    return WireError("network_lost")


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what it was made of, by chain, argument or reason."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        item = waiting.pop(0)
        if not isinstance(item, BaseException) or item in found:
            continue
        found.append(item)
        waiting += [item.__cause__, item.__context__, *item.args]
        waiting.append(getattr(item, "reason", None))
    return found


class _Line:
    """A client's one connection, where the watchdog can reach it (I7).

    TLS takes a socket over, and "Connection: close" lets go of it before the body is
    read; a duplicate of the descriptor can end it at any time.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._twin: socket.socket | None = None
        self._is_hung_up = False

    def open(self, host: str, port: int, timeout_s: float) -> socket.socket:
        self.forget()
        sock = outbound.open_socket(
            host, port, policy=self._policy, timeout_s=timeout_s
        )
        # The guard hands out blocking sockets; the TLS handshake must end as well.
        sock.settimeout(timeout_s)
        self._twin = sock.dup()
        self._is_hung_up = False
        return sock

    def close(self) -> None:
        """End the connection, whoever is waiting on it; for the watchdog."""
        twin = self._twin
        if twin is not None:
            with contextlib.suppress(OSError):
                twin.shutdown(socket.SHUT_RDWR)

    def hung_up(self) -> None:
        """Note that the connection is not kept; its body may still be coming."""
        self._is_hung_up = True

    def tidy(self) -> None:
        """Let go of a connection that was not kept; the far side must see it end."""
        if self._is_hung_up:
            self.forget()

    def forget(self) -> None:
        if self._twin is not None:
            self._twin.close()
            self._twin = None


class _PlainConnection(HTTPConnection):
    def __init__(self, *args: Any, line: _Line, **options: Any) -> None:
        super().__init__(*args, **options)
        self._line = line

    def _new_conn(self) -> socket.socket:
        return self._line.open(self.host, self.port, float(self.timeout or CONNECT_S))

    def close(self) -> None:
        super().close()
        self._line.hung_up()


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, line: _Line, **options: Any) -> None:
        super().__init__(*args, **options)
        self._line = line

    def _new_conn(self) -> socket.socket:
        return self._line.open(self.host, self.port, float(self.timeout or CONNECT_S))

    def close(self) -> None:
        super().close()
        self._line.hung_up()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Send every request of a session through one pool, and that through the guard."""

    def __init__(self, scheme: str, host: str, port: int, line: _Line) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        pool = _TlsPool if scheme == "https" else _PlainPool
        self._pool = pool(host, port, maxsize=1, line=line)

    def get_connection_with_tls_context(
        self, *args: Any, **options: Any
    ) -> HTTPConnectionPool:
        return self._pool

    def close(self) -> None:
        super().close()
        self._pool.close()
