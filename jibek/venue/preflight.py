"""What `jibek up` checks before it starts anything: the store, the port, the certificate, the engine, the disk."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

import redis

from engine.journal import BadStoreUrl, connect, place_of
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, STORE_VARIABLE
from engine.process.disk import read_disk
from gateway.access import Access, AccessRefused
from gateway.wire.tls import Certificate, TlsRefused
from jibek.venue.cures import with_cure


class StartFailed(Exception):
    """The venue cannot be started; the text says why in one sentence."""

    def __init__(self, text: str, exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def start_failed(error: OSError, folder: Path) -> StartFailed:
    """What a start says that ended of an error of the system: where, why, and what to do.

    Args:
        folder: the data folder, for an error that names no path.
    """
    place = error.filename or folder
    place = os.fsdecode(place) if isinstance(place, bytes) else place
    return StartFailed(with_cure([f"The venue did not start: {place}: {error.strerror or error}."], str(error)))


def sentence(error: Exception) -> str:
    """What a refusal says, as a sentence.

    >>> sentence(ValueError("the store has no `maxmemory`"))
    'The store has no `maxmemory`.'
    """
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def check_store_answers(url: str) -> None:
    """
    Raises:
        StartFailed: it is no URL, no store answers there, it wants another password, or it still loads its files.
    """
    place = place_of(url)
    try:
        client = connect(url, timeout_s=2.0)
    except BadStoreUrl as error:
        raise StartFailed(f"{error}.", EXIT_USAGE) from None
    try:
        client.ping()
    except redis.BusyLoadingError:
        raise StartFailed(f"The store at {place} still loads its files: try again later.", EXIT_UNREACHABLE) from None
    except redis.AuthenticationError:
        raise StartFailed(
            f"The store at {place} does not take the user and password of its URL, or wants one: correct it in {STORE_VARIABLE} or "
            "in the file of --store-file."
        ) from None
    except redis.ResponseError as error:
        raise StartFailed(f"The store at {place} refuses: {error}.", EXIT_UNREACHABLE) from None
    except (redis.RedisError, OSError):
        raise StartFailed(f"No store answers at {place}.", EXIT_UNREACHABLE) from None
    finally:
        client.close()


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
