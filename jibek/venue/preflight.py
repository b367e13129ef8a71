"""What `jibek up` checks before it starts anything: the store, the port, the certificate, the engine, the disk."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

from engine.journal import BadStoreUrl, place_of
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from engine.process.disk import read_disk
from gateway.access import Access, AccessRefused
from gateway.wire.tls import Certificate, TlsRefused
from jibek.venue import store_server


class StartFailed(Exception):
    """The venue cannot be started; the text says why in one sentence."""

    def __init__(self, text: str, exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def check_store_answers(url: str) -> None:
    """
    Raises:
        StartFailed: it is no URL, or no store answers there.
    """
    try:
        if store_server.is_serving(url):
            return
    except BadStoreUrl as error:
        raise StartFailed(f"{error}.", EXIT_USAGE) from None
    raise StartFailed(f"No store answers at {place_of(url)}.", EXIT_UNREACHABLE)


def check_port(host: str, port: int) -> None:
    """
    Raises:
        StartFailed: the port cannot be listened on.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        raise StartFailed(
            f"Port {port} on {host} cannot be used ({error.strerror}): choose another with --port."
        ) from None


def check_access(access: Access) -> Certificate | None:
    """Returns the certificate; None without TLS.

    Raises:
        StartFailed: the options do not go together, or the certificate cannot be used.
    """
    try:
        access.check()
        return access.certificate()
    except AccessRefused as error:
        raise StartFailed(f"{error}.", EXIT_USAGE) from None
    except TlsRefused as error:
        raise StartFailed(f"{error}.") from None


def check_engine_is_built(name: str) -> None:
    """
    Raises:
        StartFailed: it is the compiled engine, and that is not built.
    """
    if name == "compiled" and importlib.util.find_spec("engine.core.core") is None:
        raise StartFailed("The compiled engine is not built: run `make build`, or start with --engine reference.")


def check_disk(folder: Path) -> None:
    """
    Raises:
        StartFailed: the disk of the data folder takes no writes, or only a few more.
    """
    disk = read_disk(folder)
    if disk.is_read_only:
        raise StartFailed(f"The disk of {folder} is read-only: mount it for writing.")
    if not disk.takes_writes:
        raise StartFailed(
            f"The disk of {folder} is full ({disk.free_bytes / 1e6:.0f} MB are free): make room, at least "
            f"{disk.full_bytes / 1e6:.0f} MB."
        )
