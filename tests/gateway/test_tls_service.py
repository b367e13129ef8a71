"""The gateway's process with TLS: its files at the start and at SIGHUP, and what it says of where it listens."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.clients import asked
from tests.worlds.front import make_certificate
from tests.worlds.processes import ROOT, wait_until
from tests.worlds.services import ServiceVenue


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceVenue]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = make_certificate(folder)
    venue = ServiceVenue("--tls-cert", str(cert), "--tls-key", str(key), "--host", "0.0.0.0")
    yield venue
    venue.close()


def certificate_of(port: int, cert: Path) -> bytes:
    """What the gateway shows a client that trusts this certificate."""
    context = ssl.create_default_context(cafile=cert)
    reply = asked(f"wss://localhost:{port}/ws-api/v3", context, '{"id":1,"method":"ping"}')
    assert '"status":200' in reply.replace(" ", "")
    with (
        socket.create_connection(("localhost", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as shown,
    ):
        return shown.getpeercert(binary_form=True) or b""


def test_sighup_reads_the_certificate_again_and_a_bad_one_changes_nothing(venue: ServiceVenue) -> None:
    gateway = venue.processes["gateway"]
    cert = Path(venue.gateway_options[1])
    key = Path(venue.gateway_options[3])
    first = certificate_of(venue.port, cert)
    assert "without TLS" not in gateway.log.read_text(), "with TLS it may listen anywhere"

    key.write_text("no key")
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the certificate stays as it is" in gateway.log.read_text(), "the gateway says that it is bad")
    assert certificate_of(venue.port, cert) == first

    new_cert, new_key = make_certificate(cert.parent, "new")
    new_cert.replace(cert)
    new_key.replace(key)
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.log.read_text().count("the certificate is valid until") == 2, "the new one is read")
    assert certificate_of(venue.port, cert) != first


def started(venue: ServiceVenue, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.service", "--store", venue.store.url, "--data", str(venue.data)]
    return subprocess.run(
        [*command, "--port", "0", *options], capture_output=True, text=True, timeout=30, cwd=ROOT, check=False
    )


def test_files_that_do_not_fit_are_named_before_anything_starts(venue: ServiceVenue, tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    key.chmod(0o644)
    ended = started(venue, "--tls-cert", str(cert), "--tls-key", str(key))
    assert ended.returncode == 1
    assert "can be read by every user of the machine" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_gateway_without_tls_survives_sighup_and_warns(venue: ServiceVenue) -> None:
    gateway = venue.start("plain", "gateway.service", "--port", "0", "--host", "0.0.0.0", "--gateway", "31")
    try:
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "speaks no TLS" in gateway.log.read_text(), "it says that there is nothing to read")
        assert "WARNING The venue listens on 0.0.0.0 without TLS" in gateway.log.read_text()
        assert gateway.process.poll() is None
    finally:
        assert gateway.stop() == 0
