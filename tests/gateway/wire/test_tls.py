"""TLS on real sockets: handshakes, the files it is made of, and that nothing stays of a client that speaks none."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from gateway.access import PROXY_PROTOCOL, Access
from gateway.limits import TLS_HANDSHAKES_PER_TURN_MAX, BanSettings, ConnectionLimits
from gateway.wire.handshakes import Handshakes
from gateway.wire.tls import Certificate, TlsRefused, leaf_of, load_certificate
from tests.worlds.clients import asked
from tests.worlds.front import Front, descriptors, front, make_certificate, wait_for_descriptors
from tests.worlds.processes import wait_until
from tests.worlds.raw_client import everything

GET = b"GET /api/v3/ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
QUICK = ConnectionLimits(open_timeout_s=0.2, idle_timeout_s=0.2, close_timeout_s=0.1)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path)


@pytest.fixture
def access(files: tuple[Path, Path]) -> Access:
    return Access(*files)


def trusting(cert: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cert)


def wrapped(served: Front, context: ssl.SSLContext, before: bytes = b"") -> ssl.SSLSocket:
    plain = socket.create_connection((served.host, served.port), timeout=20)
    plain.sendall(before)
    return context.wrap_socket(plain, server_hostname="localhost")


# -- speaking


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_http_and_websockets_go_through_tls(access: Access, files: tuple[Path, Path], version: ssl.TLSVersion) -> None:
    context = trusting(files[0])
    context.minimum_version = context.maximum_version = version
    with front(access) as served:
        with wrapped(served, context) as connection:
            connection.sendall(GET)
            assert everything(connection).startswith(b"HTTP/1.1 200 ")
        reply = asked(f"wss://localhost:{served.port}/ws-api/v3", context, '{"id":1,"method":"ping"}')
        assert '"status":200' in reply.replace(" ", "")
        wait_until(lambda: served.open_count() == 0, "all places are free")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(access: Access) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with front(access) as served, pytest.raises((ssl.SSLError, ConnectionResetError)):
        wrapped(served, context)


def test_a_client_that_offers_http_2_gets_http_1_1(access: Access, files: tuple[Path, Path]) -> None:
    context = trusting(files[0])
    context.set_alpn_protocols(["h2", "http/1.1"])
    with front(access) as served, wrapped(served, context) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_a_page_that_came_without_tls_is_of_another_origin(access: Access, files: tuple[Path, Path]) -> None:
    with front(access) as served:
        place = f"localhost:{served.port}"
        for scheme, status in (("https", 101), ("http", 403)):
            with wrapped(served, trusting(files[0])) as connection:
                connection.sendall(
                    f"GET /ws-api/v3 HTTP/1.1\r\nHost: {place}\r\nOrigin: {scheme}://{place}\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    "Sec-WebSocket-Version: 13\r\n\r\n".encode()
                )
                assert connection.recv(65536).startswith(b"HTTP/1.1 %d " % status)


def test_the_header_of_a_proxy_comes_before_the_handshake(access: Access, files: tuple[Path, Path]) -> None:
    proxied = access._replace(trusted_proxies=("127.0.0.1",), proxy_header=PROXY_PROTOCOL)
    with front(proxied) as served:
        header = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n"
        with wrapped(served, trusting(files[0]), header) as connection:
            connection.sendall(GET[:-2])
            wait_until(
                lambda: [client.ip for client in served.clients._clients] == ["192.0.2.7"], "the client is known"
            )
            connection.sendall(b"\r\n")
            assert everything(connection).startswith(b"HTTP/1.1 200 ")


def test_many_handshakes_at_once_all_end_well(access: Access, files: tuple[Path, Path]) -> None:
    with front(access) as served, ExitStack() as stack:
        contexts = trusting(files[0])
        plain = [socket.create_connection((served.host, served.port), timeout=20) for _ in range(40)]
        hellos = []
        for connection in plain:
            stack.enter_context(connection)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = contexts.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            hellos.append(outgoing.read())
        for connection, hello in zip(plain, hellos, strict=True):
            connection.sendall(hello)
        assert all(connection.recv(5)[:1] == b"\x16" for connection in plain), "each is answered with a handshake"


@pytest.mark.parametrize("held_back", [1, 5, 200], ids=lambda held_back: f"{held_back} bytes first")
def test_handshakes_that_are_held_back_and_then_sent_at_once_take_turns(
    access: Access, held_back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    go_on = Handshakes._go_on

    def counted(line: Handshakes) -> None:
        before = len(line._waiting)
        go_on(line)
        turns.append(before - len(line._waiting))

    monkeypatch.setattr(Handshakes, "_go_on", counted)
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    with front(access) as served, ExitStack() as stack:
        plain = [
            stack.enter_context(socket.create_connection((served.host, served.port), timeout=20)) for _ in range(60)
        ]
        for connection in plain:
            connection.sendall(hello[:held_back])
        wait_until(lambda: sum(turns) >= len(plain), "all have begun")
        for connection in plain:
            connection.sendall(hello[held_back:])
        assert all(connection.recv(5)[:1] == b"\x16" for connection in plain), "each is answered with a handshake"
    assert max(turns) <= TLS_HANDSHAKES_PER_TURN_MAX


# -- leaving


@pytest.mark.parametrize(
    "data",
    [b"", GET, b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\x03\x01\x00\x05hello", bytes(300)],
    ids=["silence", "plain HTTP", "half a hello", "no hello", "zeros"],
)
@pytest.mark.parametrize("is_closed", [True, False], ids=["and gone", "and stays"])
def test_a_handshake_that_fails_leaves_nothing(access: Access, data: bytes, is_closed: bool) -> None:
    with front(access, limits=QUICK) as served:
        before = descriptors()
        connection = socket.create_connection((served.host, served.port), timeout=20)
        connection.sendall(data)
        if is_closed:
            connection.close()
        wait_for_descriptors(before, more=not is_closed)
        wait_until(lambda: served.open_count() == 0, "its place is free")
        connection.close()


@pytest.mark.parametrize("way", ["in order", "gone", "stays"])
def test_a_client_that_leaves_after_the_handshake_leaves_nothing(
    access: Access, files: tuple[Path, Path], way: str
) -> None:
    with front(access, limits=QUICK) as served, ExitStack() as stack:
        before = descriptors()
        large = b"GET /api/v3/exchangeInfo HTTP/1.1\r\nHost: h\r\n\r\n" * 200
        for data in (b"", GET, GET[:20], b"nonsense\r\n\r\n", large):
            connection = stack.enter_context(wrapped(served, trusting(files[0])))
            connection.sendall(data)
            if way == "in order":
                everything(connection)
            if way != "stays":
                connection.close()
        wait_until(lambda: served.open_count() == 0, "all places are free")
        wait_for_descriptors(before, more=5 if way == "stays" else 0)


def test_who_is_turned_away_is_closed_before_the_handshake(access: Access, files: tuple[Path, Path]) -> None:
    with front(access, connections_max=0) as served:
        before = descriptors()
        with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError)):
            wrapped(served, trusting(files[0]))
        wait_for_descriptors(before)


def test_an_address_whose_handshakes_keep_failing_is_banned(access: Access, files: tuple[Path, Path]) -> None:
    with front(access, bans=BanSettings(5)) as served:
        for _ in range(5):
            with socket.create_connection((served.host, served.port), timeout=20) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                everything(connection)
        wait_until(lambda: served.open_count() == 0, "all places are free")
        with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError)):
            wrapped(served, trusting(files[0]))


# -- the files


def test_new_connections_get_the_new_certificate_and_old_ones_live_on(access: Access, tmp_path: Path) -> None:
    cert, key = tmp_path / "venue.pem", tmp_path / "venue.key"
    with front(access) as served, wrapped(served, trusting(cert)) as old:
        before = old.getpeercert(binary_form=True)
        new_cert, new_key = make_certificate(tmp_path, "new")
        new_cert.replace(cert)
        new_key.replace(key)
        served.reload()
        with wrapped(served, trusting(cert)) as new:
            assert new.getpeercert(binary_form=True) != before
        old.sendall(GET)
        assert everything(old).startswith(b"HTTP/1.1 200 ")


def refusal(cert: Path, key: Path) -> str:
    with pytest.raises(TlsRefused) as caught:
        load_certificate(cert, key)
    text = str(caught.value)
    assert "\n" not in text and "PRIVATE" not in text
    return text


def test_files_that_cannot_be_used_are_named(tmp_path: Path, files: tuple[Path, Path]) -> None:
    cert, key = files
    other_cert, other_key = make_certificate(tmp_path, "other")
    nothing, empty = tmp_path / "nothing.pem", tmp_path / "empty.pem"
    empty.touch(mode=0o600)
    assert f"The certificate {nothing} cannot be read" in refusal(nothing, key)
    assert f"The key {nothing} cannot be read" in refusal(cert, nothing)
    assert f"The certificate {tmp_path} cannot be read" in refusal(tmp_path, key)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert f"The key {pipe} cannot be read: it is not a file" in refusal(cert, pipe)
    assert "holds no certificate" in refusal(empty, key)
    assert "holds no certificate" in refusal(key, key)
    assert "cannot be used" in refusal(cert, empty)
    cert.chmod(0o600)
    assert "cannot be used" in refusal(cert, cert)
    assert f"The key {other_key} is not that of the certificate {cert}" in refusal(cert, other_key)
    assert load_certificate(other_cert, other_key).valid_until > datetime.now(UTC)


@pytest.mark.parametrize(("mode", "is_fine"), [(0o600, True), (0o640, True), (0o644, False), (0o602, False)])
def test_a_key_that_others_can_read_is_refused(files: tuple[Path, Path], mode: int, is_fine: bool) -> None:
    cert, key = files
    key.chmod(mode)
    if is_fine:
        load_certificate(cert, key)
    else:
        assert f"chmod o= {key}" in refusal(cert, key)


def test_a_key_with_a_password_is_refused_and_not_asked_for(files: tuple[Path, Path]) -> None:
    cert, key = files
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert "has a password" in refusal(cert, key)


@pytest.mark.parametrize(
    ("days", "word"), [(30, ""), (13, "valid until"), (-1, "has expired")], ids=["long", "short", "expired"]
)
def test_a_certificate_that_ends_soon_is_warned_of(days: int, word: str) -> None:
    now = datetime.now(UTC)
    certificate = Certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), now + timedelta(days=days))
    warning = certificate.warning(now)
    assert word in warning
    assert bool(warning) == bool(word)


def test_the_leaf_is_the_first_certificate_of_a_chain(tmp_path: Path, files: tuple[Path, Path]) -> None:
    cert, key = files
    leaf, other = cert.read_text(), make_certificate(tmp_path, "other")[0].read_text()
    cert.write_text(f"{leaf}{other}")
    assert leaf_of(cert) == leaf
    assert load_certificate(cert, key).valid_until
