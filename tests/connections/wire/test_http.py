"""The HTTP client against APIs that misbehave (security E7, E8, F5; reliability I1-I7)."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connections.wire import http
from connections.wire.errors import Kind, WireError
from connections.wire.http import Answer, HttpClient
from connections.wire.outbound import Policy
from connections.wire.ssh import Deadline
from tests.lab.wire_servers import scripted

KEY = "canary-api-key-5521"
JSON = "application/json"
HTML = b"<html><script>alert(1)</script>Just a moment\x1b[31m...</html>"


def answer(
    status: int = 200, body: bytes = b"{}", type_: str = JSON, **headers: str
) -> bytes:
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}"]
    if type_:
        lines.append(f"Content-Type: {type_}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Api:
    """Answer each request with the next of the given bytes; the last one stays."""

    def __init__(self, *replies: bytes) -> None:
        self._replies = list(replies)
        self.requests: list[str] = []
        self.connections = 0

    def __call__(self, sock: socket.socket) -> None:
        self.connections += 1
        waiting = b""
        while True:
            while b"\r\n\r\n" not in waiting:
                got = sock.recv(65_536)
                if not got:
                    return
                waiting += got
            head, _, waiting = waiting.partition(b"\r\n\r\n")
            size = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            while len(waiting) < size:
                waiting += sock.recv(65_536)
            body, waiting = waiting[:size], waiting[size:]
            self.requests.append((head + b"\r\n\r\n" + body).decode("latin-1"))
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
            sock.sendall(reply)


def client_of(port: int, scheme: str = "http", **options: Any) -> HttpClient:
    policy = Policy(ports=frozenset({443}), loopback=frozenset({("localhost", port)}))
    values: dict[str, Any] = {
        "policy": policy,
        "user_agent": "DropStream tests",
        "headers": {"Authorization": KEY, "Account": "a123"},
    }
    return HttpClient(f"{scheme}://localhost:{port}", **{**values, **options})


def ask(act: Callable[[socket.socket], None], seconds: float = 10) -> Answer:
    with scripted(act) as (port, _), client_of(port) as client:
        return client.request("GET", "/api/x", deadline=Deadline(seconds))


def refusal(act: Callable[[socket.socket], None], seconds: float = 10) -> WireError:
    with pytest.raises(WireError) as refused:
        ask(act, seconds)
    assert KEY not in repr(refused.value)
    return refused.value


# A good day.


def test_a_good_answer_is_parsed() -> None:
    api = Api(answer(body=b'{"purchase-orders": [1.5], "n": "\xc3\xa9"}'))
    got = ask(api)
    assert got.status == 200
    assert got.json == {"purchase-orders": [1.5], "n": "é"}
    assert got.headers["content-type"] == JSON
    assert "Authorization: " + KEY in api.requests[0]
    assert "User-Agent: DropStream tests" in api.requests[0]
    assert "Cookie" not in api.requests[0]


def test_a_body_is_sent_as_json_and_the_connection_is_kept() -> None:
    api = Api(answer(Set_Cookie="a=b"))
    with scripted(api) as (port, _), client_of(port) as client:
        for _ in range(3):
            client.request(
                "PATCH",
                "/api/orders/a%2Fb",
                params={"q": "ä &", "n": "1"},
                body={"x": "é"},
                deadline=Deadline(10),
            )
    assert api.connections == 1
    assert api.requests[0].startswith(
        "PATCH /api/orders/a%2Fb?q=%C3%A4+%26&n=1 HTTP/1.1"
    )
    assert "Content-Type: application/json" in api.requests[0]
    assert json.loads(api.requests[0].partition("\r\n\r\n")[2]) == {"x": "é"}
    assert "Cookie" not in api.requests[2]


def test_a_zipped_answer_is_unpacked() -> None:
    body = gzip.compress(b'{"a": 1}')
    assert ask(Api(answer(body=body, Content_Encoding="gzip"))).json == {"a": 1}


@pytest.mark.parametrize(
    "type_", [JSON, "application/json; charset=utf-8", "text/x+json"]
)
def test_content_types(type_: str) -> None:
    api = Api(answer(type_=type_))
    if type_.startswith("application/"):
        assert ask(api).json == {}
    else:
        assert refusal(api).code == "api_unexpected_answer"


# I1, I2, I4, I6: what each status means.


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(401, b'{"result":{"message":"bad key"}}'), "api_key_refused"),
        (answer(401, HTML, "text/html"), "api_key_refused"),
        (answer(403, b'{"result":{"message":"no"}}'), "api_key_refused"),
        (answer(403, HTML, "text/html"), "api_unexpected_answer"),
        (answer(503, HTML, "text/html"), "api_unexpected_answer"),
        (answer(502, b"", ""), "api_server_error"),
        (answer(200, HTML, "text/html"), "api_unexpected_answer"),
        (answer(200, b"", JSON), "api_unexpected_answer"),
        (answer(200, b"", ""), "api_unexpected_answer"),
        (answer(204, b"", ""), "api_unexpected_answer"),
        (answer(200, b'{"purchase-orders": [', JSON), "api_unexpected_answer"),
        (answer(200, b"{}", "text/plain"), "api_unexpected_answer"),
        (answer(404), "api_not_found"),
        (answer(408), "api_timeout"),
        (answer(409), "api_error_answer"),
        (answer(422), "api_error_answer"),
        (answer(500, b'{"result":{"message":"boom"}}'), "api_server_error"),
        (answer(504), "api_server_error"),
    ],
)
def test_i2_i6_statuses(reply: bytes, code: str) -> None:
    assert refusal(Api(reply)).code == code


def test_i6_the_message_of_an_error_is_kept() -> None:
    body = (
        b'{"result": {"status": "error", "message": "Internal\\r\\nerror \\u202e 7"}}'
    )
    error = refusal(Api(answer(500, body)))
    assert (error.code, error.detail, error.status) == (
        "api_server_error",
        "Internal error 7",
        500,
    )


def test_i6_an_error_inside_a_good_status_is_an_error() -> None:
    body = b'{"result": {"status": "error", "message": "Locked"}}'
    error = refusal(Api(answer(200, body)))
    assert (error.code, error.detail) == ("api_error_answer", "Locked")
    good = b'{"result": {"status": "success"}}'
    assert ask(Api(answer(200, good))).status == 200


def test_i2_a_page_is_shown_short_and_harmless() -> None:
    error = refusal(Api(answer(403, HTML + b"x" * 5000, "text/html")))
    assert error.detail.startswith("<html><script>")  # escaping is the page's work
    assert error.detail.isprintable()
    assert len(error.detail) <= 200
    assert error.kind is Kind.TRANSIENT


def test_a_key_that_is_echoed_is_blanked_out() -> None:
    for body in (
        b'{"result": {"message": "bad key %s"}}' % KEY.encode(),
        b'{"you sent": "%s"}' % KEY.encode(),
    ):
        for status in (400, 401, 500):
            error = refusal(Api(answer(status, body)))
            assert KEY not in error.detail
            assert "***" in error.detail


# I5: throttling.


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("7200", 3600, 3600),
        ("9" * 400, 3600, 3600),
        ("-5", 60, 60),
        ("1.5", 60, 60),
        ("soon", 60, 60),
        ("", 60, 60),
        (None, 60, 60),
    ],
)
def test_i5_retry_after(header: str | None, low: float, high: float) -> None:
    headers = {} if header is None else {"Retry_After": header}
    error = refusal(Api(answer(429, b"{}", JSON, **headers)))
    assert error.code == "api_throttled"
    assert error.retry_after_s is not None
    assert low <= error.retry_after_s <= high


@pytest.mark.parametrize(
    ("ahead_s", "low", "high"),
    [(600, 500, 600), (9 * 86_400, 3600, 3600), (-9 * 86_400, 60, 60)],
)
def test_i5_retry_after_a_date(ahead_s: int, low: float, high: float) -> None:
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead_s)
    header = format_datetime(at, usegmt=True)
    error = refusal(Api(answer(429, Retry_After=header)))
    assert error.retry_after_s is not None
    assert low <= error.retry_after_s <= high


def test_i5_an_html_429_is_still_throttling() -> None:
    assert refusal(Api(answer(429, HTML, "text/html"))).retry_after_s == 60


# I7: time.


def test_i7_a_trickled_body_ends_at_the_deadline() -> None:
    def act(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            sock.sendall(b" ")
            time.sleep(0.05)

    started = time.monotonic()
    assert refusal(act, seconds=0.7).code == "deadline_exceeded"
    assert 0.6 < time.monotonic() - started < 2


def test_i7_a_request_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_S", 0.4)

    def act(sock: socket.socket) -> None:
        sock.recv(65_536)
        while True:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.05)

    assert refusal(act).code == "api_timeout"


def test_i7_silence_is_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_S", 0.3)

    def act(sock: socket.socket) -> None:
        sock.recv(65_536)
        time.sleep(5)

    assert refusal(act).code == "api_timeout"


def test_i7_silence_in_the_middle_of_a_body_is_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "READ_S", 0.3)

    def act(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(answer(body=b"x" * 100)[:-50])
        time.sleep(5)

    assert refusal(act).code == "api_timeout"


def test_i6_a_cut_body_is_a_lost_network() -> None:
    def act(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(answer(body=b"x" * 100)[:-50])
        sock.shutdown(socket.SHUT_RDWR)

    assert refusal(act).code == "network_lost"


def test_an_expired_deadline_sends_nothing() -> None:
    api = Api(answer())
    assert refusal(api, seconds=0).code == "deadline_exceeded"
    assert api.requests == []


def test_a_client_works_again_after_a_deadline() -> None:
    release = threading.Event()

    def act(sock: socket.socket) -> None:
        if not release.is_set():
            release.wait(5)
            return
        Api(answer(body=b'{"a": 1}'))(sock)

    with scripted(act) as (port, _), client_of(port) as client:
        with pytest.raises(WireError):
            client.request("GET", "/x", deadline=Deadline(0.2))
        release.set()
        assert client.request("GET", "/x", deadline=Deadline(10)).json == {"a": 1}


def test_a_refused_connection_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(WireError) as refused, client_of(port) as client:
        client.request("GET", "/x", deadline=Deadline(5))
    assert refused.value.code == "connect_refused"


# F5: bodies that mean harm.


def test_f5_json_is_read_strictly() -> None:
    """How strictly: test_strict_json.py."""
    for body in (b'{"a": 1, "a": 2}', b'{"id": 1e400}', b"[" * 100_000):
        assert refusal(Api(answer(body=body))).code == "api_unexpected_answer"


def test_f5_a_body_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_ANSWER", 100_000)
    told = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    sent: list[int] = []

    def act(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(told + b"\r\n")
        while True:
            sent.append(sock.send(b" " * 65_536))

    assert refusal(act).code == "api_too_large"
    announced = Api(told + b"Content-Length: 200000000\r\n\r\n")
    assert refusal(announced).code == "api_too_large"


def test_f5_a_zip_bomb_is_measured_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_ANSWER", 100_000)
    body = gzip.compress(b" " * 50_000_000)
    error = refusal(Api(answer(body=body, Content_Encoding="gzip")))
    assert error.code == "api_too_large"


def test_f5_what_claims_to_be_zipped_must_be() -> None:
    api = Api(answer(body=b"no zip", Content_Encoding="gzip"))
    assert refusal(api).code == "api_unexpected_answer"


# E7, E8, F6: where our headers go.


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_e7_redirects_are_not_followed(status: int) -> None:
    other = Api(answer())
    with scripted(other) as (elsewhere, _):
        where = f"http://user:pw@localhost:{elsewhere}/path?key=secret"
        error = refusal(Api(answer(status, Location=where)))
    assert (error.code, error.detail) == ("api_redirect", "localhost")
    assert (other.connections, other.requests) == (0, [])


def test_e8_proxies_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine localhost login u password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    proxy, api = Api(answer()), Api(answer())
    with scripted(proxy) as (proxy_port, _):
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy_port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        ask(api)
    assert (proxy.connections, len(api.requests)) == (0, 1)
    assert "Basic" not in api.requests[0]


@pytest.mark.parametrize(
    "value", ["a\r\nX: y", "a\nb", "a\0", "ключ", " a", "a ", "a\x7f"]
)
def test_f6_header_values_are_checked_and_not_repeated(value: str) -> None:
    with pytest.raises(WireError) as refused:
        client_of(1, headers={"Authorization": value})
    assert str(refused.value) == "api_header_invalid: Authorization"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "http://localhost:9999",
        "ftp://api.example.com",
        "https://",
        "https://user:pw@api.example.com",
        "https://api.example.com/?a=b",
        "api.example.com",
    ],
)
def test_the_base_url_is_https_or_the_loopback_pair(url: str) -> None:
    policy = Policy(ports=frozenset({443}), loopback=frozenset({("localhost", 8001)}))
    with pytest.raises(ValueError, match=r".+"):
        HttpClient(url, policy=policy, user_agent="x")
    HttpClient("http://localhost:8001/v1", policy=policy, user_agent="x").close()


@pytest.mark.parametrize(
    "path", ["x", "//../x", "/a/../b", "/a?b", "/a b", "/a\r\nb", "/é"]
)
def test_f5_paths_are_checked(path: str) -> None:
    with client_of(1) as client, pytest.raises(ValueError, match="Not a path"):
        client.request("GET", path, deadline=Deadline(5))


def test_e5_other_ports_are_refused() -> None:
    policy = Policy(ports=frozenset({443}))
    with (
        HttpClient(
            "https://api.example.com:8443", policy=policy, user_agent="x"
        ) as api,
        pytest.raises(WireError) as refused,
    ):
        api.request("GET", "/x", deadline=Deadline(5))
    assert refused.value.code == "port_not_allowed"


def test_m4_no_secret_in_logs_or_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = refusal(lambda sock: sock.close())
    held: list[BaseException | None] = [error]
    for item in held:
        if item is not None:
            assert KEY not in repr(vars(item))
            assert not hasattr(item, "request")
            held += [item.__cause__, item.__context__]
    ask(Api(answer()))
    assert KEY not in caplog.text


# TLS.


@contextlib.contextmanager
def tls_api(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    """Serve JSON by TLS under a certificate for a name; yield port and CA file."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "key.pem")

    def act(sock: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError):
            Api(answer(body=b'{"a": 1}'))(context.wrap_socket(sock, server_side=True))

    with scripted(act) as (port, _):
        yield port, str(folder / "ca.pem")


def test_tls_keeps_the_name_and_the_connection(tmp_path: Path) -> None:
    with (
        tls_api(tmp_path, "localhost") as (port, ca_file),
        client_of(port, "https", ca_file=ca_file) as client,
    ):
        for _ in range(2):
            assert client.request("GET", "/x", deadline=Deadline(5)).json == {"a": 1}


def test_tls_a_wrong_name_is_refused(tmp_path: Path) -> None:
    with (
        tls_api(tmp_path, "other.example.com") as (port, ca_file),
        client_of(port, "https", ca_file=ca_file) as client,
        pytest.raises(WireError) as refused,
    ):
        client.request("GET", "/x", deadline=Deadline(5))
    assert refused.value.code == "tls_failed"
    assert "mismatch" in refused.value.detail.lower()


def test_tls_an_unknown_authority_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E8 too: a CA bundle named by the environment is not believed."""
    with tls_api(tmp_path, "localhost") as (port, ca_file):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_file)
        with client_of(port, "https") as client, pytest.raises(WireError) as refused:
            client.request("GET", "/x", deadline=Deadline(5))
    assert refused.value.code == "tls_failed"


def test_tls_a_silent_handshake_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECT_S", 0.3)
    with (
        scripted(lambda sock: time.sleep(5)) as (port, _),
        client_of(port, "https") as client,
        pytest.raises(WireError) as refused,
    ):
        client.request("GET", "/x", deadline=Deadline(5))
    assert refused.value.code == "api_timeout"


def test_tls_a_trickled_handshake_ends_at_the_deadline() -> None:
    def act(sock: socket.socket) -> None:
        # A record of 16 kB whose bytes hardly come.
        sock.sendall(b"\x16\x03\x03\x3f\xff")
        while True:
            sock.sendall(b"\x02")
            time.sleep(0.05)

    with (
        scripted(act) as (port, _),
        client_of(port, "https") as client,
        pytest.raises(WireError) as refused,
    ):
        client.request("GET", "/x", deadline=Deadline(0.6))
    assert refused.value.code == "deadline_exceeded"


def test_tls_plain_http_on_the_other_side_is_no_tls() -> None:
    def act(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with (
        scripted(act) as (port, _),
        client_of(port, "https") as client,
        pytest.raises(WireError) as refused,
    ):
        client.request("GET", "/x", deadline=Deadline(5))
    assert refused.value.code == "tls_failed"
