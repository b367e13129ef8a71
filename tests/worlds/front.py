"""The gateway's front on real sockets: listener, clients and router, with the engine in the same process.

    with front(Access(...)) as served:
        served.port

It runs on a thread with a loop of its own, so that tests may use blocking sockets. Certificates are made for each test run.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.access import PROXY_PROTOCOL, Access
from gateway.clients import Clients
from gateway.limits import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    BanSettings,
    ConnectionLimits,
    RateLimitSettings,
)
from gateway.wire.asyncio_client import Outbox
from gateway.wire.listener import Listener
from gateway.wire.places import Places
from tests.worlds.gateway_in_process import NEVER_BANS, GatewayInProcess
from tests.worlds.processes import wait_until

TICK_S = 0.005
"""How often the front looks at its clock; a gateway does so once a second."""


class Front:
    """What runs on the thread."""

    def __init__(
        self, rig: GatewayInProcess, access: Access, limits: ConnectionLimits, places: Places, host: str
    ) -> None:
        self.rig = rig
        self.clients: Clients
        self._limits = limits
        self._places = places
        self.host = host
        self.access = access
        self.port = 0
        self.is_ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    async def run(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.clients = Clients(
            self.rig.router,
            Outbox(asyncio.get_running_loop().call_soon),
            self._limits,
            self._places,
            self.access,
            self.host,
        )
        log = logging.getLogger("front")
        self.listener = Listener(self.clients, self.loop, log, proxies=self.access.proxies(PROXY_PROTOCOL))
        certificate = self.access.certificate()
        self.listener.tls = certificate and certificate.context
        self.port = self.listener.listen(self.host, 0)
        self.is_ready.set()
        while not self._stop.is_set():
            self.listener.on_time()
            self.clients.on_time()
            await asyncio.sleep(TICK_S)
        self.listener.close()
        for client in list(self.clients._clients):
            client.abort()
        while self.clients._clients:
            await asyncio.sleep(0)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)

    def reload(self) -> None:
        """As the gateway does at SIGHUP."""
        certificate = self.access.certificate()
        assert certificate is not None
        self.listener.tls = certificate.context

    def open_count(self) -> int:
        return self._places.taken

    def count_of(self, ip: str) -> int:
        return self._places.count_of(ip)


@contextmanager
def front(
    access: Access = Access(),  # noqa: B008
    *,
    limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008
    connections_max: int = CONNECTIONS_MAX,
    per_address_max: int = CONNECTIONS_PER_ADDRESS_MAX,
    rates: RateLimitSettings | None = None,
    bans: BanSettings = NEVER_BANS,
    host: str = "127.0.0.1",
) -> Iterator[Front]:
    """A front that serves inside the `with`. At its end no place may be taken for a connection that has gone."""
    rig = GatewayInProcess(rates, bans=bans)
    served = Front(rig, access, limits, Places(connections_max, per_address_max), host)
    thread = threading.Thread(target=lambda: uvloop.run(served.run()))
    thread.start()
    try:
        assert served.is_ready.wait(10)
        yield served
    finally:
        served.stop()
        thread.join()


def descriptors() -> int:
    """How many sockets this process has open."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            count += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return count


def wait_for_descriptors(before: int, *, more: int = 0) -> None:
    """Waits until this process has no more descriptors open than before, and so many more."""
    wait_until(lambda: descriptors() <= before + more, f"{before} descriptors are open, and at most {more} more")


def make_certificate(
    folder: Path, name: str = "venue", *, host: str = "localhost", days: int = 30
) -> tuple[Path, Path]:
    """A certificate that vouches for itself, for 127.0.0.1 and this name, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.touch(mode=0o600)
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path
