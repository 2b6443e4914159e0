"""A provider that drips holds nobody for longer than twice the timeout."""

import datetime
import gc
import socket
import ssl
import threading
import time
import traceback
from contextlib import contextmanager
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.providers import get_provider
from bff_sessions.oidc.transport import http
from bff_sessions.oidc.transport.deadlines import time_left, time_limit
from bff_sessions.oidc.transport.http import Response, get_json, post_form

TIMEOUT = 0.25
# The drips last for a minute: a caller that waits for them is late by far, on any machine.
LONGEST = 20
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
# What is sent at once, and what is repeated, a byte at a time.
DRIPS = {
    "nothing": (b"", b""),
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "header": (HEAD + b"X: ", b"y"),
    "header lines": (HEAD, b"X: yyyyyyyyyyyyyyyyyyyyyy\r\n"),
    "body": (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "body until the end": (HEAD + b"Connection: close\r\n\r\n", b" "),
    "chunk size": (CHUNKED, b"0"),
    "chunk extension": (CHUNKED + b"5;", b"x"),
    "chunk": (CHUNKED + b"ffff\r\n", b" "),
    "trailer": (CHUNKED + b"0\r\n", b"X: y\r\n"),
    "compressed body": (HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n", b"\x1f"),
    "body of a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /a\r\nX: ", b"y"),
}


@contextmanager
def drip(start, more, context=None):
    """Serve that to each connection; the port, and what has been received."""
    received, is_over = [], threading.Event()

    def serve(connection):
        try:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                received.append(connection.recv(65536))
                connection.sendall(start)
                for number in range(60 * 50):
                    if is_over.wait(0.02):
                        return
                    if more:
                        connection.sendall(more[number % len(more) :][:1])
        except OSError:
            pass

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[connection], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], received
        is_over.set()
        server.shutdown(socket.SHUT_RDWR)


@contextmanager
def soon():
    """The block raises ProviderUnavailable, and soon."""
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable) as caught:
        yield caught
    assert time.monotonic() - began < LONGEST


@pytest.fixture(autouse=True)
def timeout(monkeypatch):
    monkeypatch.setattr("bff_sessions.oidc.transport.http.TIMEOUT", TIMEOUT)


def exchanges():
    return [thread for thread in threading.enumerate() if thread.name == "bff_sessions exchange"]


def assert_exchanges_end():
    for thread in exchanges():
        thread.join(LONGEST)
    assert exchanges() == []


def each_of(kinds):
    """Take each way to drip; all but the first one are thorough."""
    first, *others = kinds
    return [first, *(pytest.param(kind, marks=pytest.mark.thorough) for kind in others)]


@pytest.mark.parametrize("kind", each_of(DRIPS))
def test_dripping_provider_is_not_waited_for(kind):
    with drip(*DRIPS[kind]) as (port, _):
        with soon():
            get_json(f"http://127.0.0.1:{port}/keys")
        assert_exchanges_end()


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """A TLS context for 127.0.0.1 whose certificate is trusted here."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "certificate.pem").write_bytes(pem)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return context


@pytest.mark.parametrize("kind", each_of(["header", "body until the end", "chunk size"]))
def test_dripping_over_tls_is_not_waited_for(kind, trusted, monkeypatch):
    # Long enough for a handshake on a slow machine.
    monkeypatch.setattr("bff_sessions.oidc.transport.http.TIMEOUT", 1)
    with drip(*DRIPS[kind], context=trusted) as (port, received):
        with soon():
            get_json(f"https://127.0.0.1:{port}/keys")
        assert_exchanges_end()
    assert received[0].startswith(b"GET /keys")


def test_dripping_tls_handshake_is_not_waited_for():
    # A handshake record of 16383 bytes, of which each comes by itself.
    with drip(b"\x16\x03\x03\x3f\xff", b"\x00") as (port, _):
        with soon():
            get_json(f"https://127.0.0.1:{port}/keys")
        assert_exchanges_end()


# CPython's ssl leaves the socket to the garbage collector if it is reset before the handshake.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_dripping_proxy_is_not_waited_for(monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with drip(HEAD + b"X: ", b"y") as (port, received):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        with soon():
            get_json("https://idp.example/keys")
        assert_exchanges_end()
    assert received[0].startswith(b"CONNECT idp.example:443")
    gc.collect()


def test_slow_name_server_is_not_waited_for(monkeypatch):
    is_over = threading.Event()
    resolve = socket.getaddrinfo

    def resolve_slowly(*args, **kwargs):
        is_over.wait(60)
        return resolve("127.0.0.1", *args[1:], **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_slowly)
    with drip(*DRIPS["nothing"]) as (port, received):
        with soon():
            post_form(f"http://idp.example:{port}/token", {"refresh_token": "r"})
        # What is sent now would be lost: nobody waits for the answer.
        is_over.set()
        assert_exchanges_end()
        assert b"r" not in b"".join(received)


def test_many_addresses_are_not_waited_for(monkeypatch):
    """Each has a timeout of its own to connect."""
    monkeypatch.setattr(http, "TIMEOUT", 0.5)
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))] * 100
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: addresses)

    def connect(self, address):
        time.sleep(0.4)
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with soon():
        get_json("http://idp.example/keys")


def test_error_tells_nothing_of_the_exchange():
    with drip(HEAD + b"X-Hidden: ", b"y") as (port, _), soon() as caught:
        post_form(f"http://127.0.0.1:{port}/hidden", {"a": "hidden"}, authorization="hidden")
    error = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    assert "hidden" not in "".join(traceback.format_exception_only(error)).lower()


def test_fault_of_any_kind_makes_the_provider_unavailable(monkeypatch):
    def send(*args, **kwargs):
        raise KeyError("hidden")

    monkeypatch.setattr("requests.adapters.HTTPAdapter.send", send)
    with pytest.raises(ProviderUnavailable, match="KeyError") as caught:
        get_json("http://127.0.0.1:1/hidden")
    assert caught.value.__context__ is None
    assert "hidden" not in str(caught.value)


def test_no_more_threads_make_the_provider_unavailable(monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(ProviderUnavailable, match="thread"):
        get_json("http://127.0.0.1:1/")


def test_redirect_is_not_read(monkeypatch):
    with drip(b"HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n", b" ") as (port, _):
        with soon() as caught:
            get_json(f"http://127.0.0.1:{port}/")
        assert "answered with a redirect" in str(caught.value)


# Locks


def provide(settings, port):
    issuer = f"http://127.0.0.1:{port}"
    settings.BFF_SESSIONS = {"PROVIDERS": {issuer: {"CLIENT_ID": "shop"}}}
    return get_provider(issuer)


@pytest.mark.parametrize("kind", each_of(["body", "header lines", "interim answers"]))
def test_locks_are_free_after_a_drip(settings, kind):
    with drip(*DRIPS[kind]) as (port, _):
        provider = provide(settings, port)
        with soon():
            next(provider.keys.find("a", "RS256"))
        for source in (provider.keys._source, provider.discovery._source):
            assert source._lock.acquire(blocking=False)
            source._lock.release()


def test_threads_that_wait_for_the_keys_are_held_no_longer(settings):
    with drip(*DRIPS["header"]) as (port, _):
        keys = provide(settings, port).keys
        failed = []

        def find():
            try:
                next(keys.find("a", "RS256"))
            except ProviderUnavailable as error:
                failed.append(error)

        threads = [threading.Thread(target=find, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONGEST)
        assert len(failed) == 8


def test_known_key_is_found_while_another_is_looked_for(provider, configure):
    keys = configure().keys
    assert next(keys.find("RS256", "RS256"))
    with keys._source._lock:  # Another thread asks the provider.
        assert next(keys.find("ES256", "ES256"))
        with soon():
            next(keys.find("unknown", "ES256"))


def test_waiting_for_another_thread_is_not_a_failure_of_the_provider(provider, configure):
    configured = configure()
    with configured.discovery._source._lock, soon():
        configured.find_endpoint("token_endpoint")
    assert configured.find_endpoint("token_endpoint")


# One limit for all


@pytest.fixture
def seconds_left(monkeypatch, provider):
    """What each request has left, by path; each takes a moment."""
    seconds = {}

    def send(method, url, **options):
        seconds[url.removeprefix(provider.issuer)] = time_left()
        time.sleep(0.05)
        documents = {"configuration": provider.configuration, "keys": {"keys": provider.keys}}
        body = http.json.dumps(documents.get(url.rpartition("-")[2].rpartition("/")[2], {}))
        return Response(200, body.encode())

    monkeypatch.setattr(http, "_send", send)
    return seconds


def test_metadata_and_keys_share_one_limit(configure, seconds_left):
    assert next(configure().keys.find("RS256", "RS256"))
    asked = list(seconds_left.values())
    assert 2 * TIMEOUT >= asked[0] >= asked[1] + 0.05


def test_metadata_and_a_post_share_one_limit(configure, seconds_left):
    configure().post("token_endpoint", {}, timeout=1)
    assert seconds_left["/token"] <= 2 - 0.05


def test_limit_ends_with_its_block():
    with time_limit(60), time_limit(600):
        assert time_left() <= 60
    assert time_left() > 600


def test_nothing_is_sent_after_the_limit():
    with drip(*DRIPS["nothing"]) as (port, received):
        with time_limit(-1), pytest.raises(ProviderUnavailable):
            get_json(f"http://127.0.0.1:{port}/")
        assert received == []
