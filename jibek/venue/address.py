"""How a command finds the venue on a data folder: its supervisor, its store, its URLs.

`jibek up` writes all of it into `venue.json` in the folder, and removes the file when it stops. A file that is left over
belongs to a venue whose supervisor was killed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from engine.journal import BadStoreUrl, ForeignStore, Store, connect, socket_of
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.process.private_files import UnsafePath, check_private_folder
from jibek.console.failure import fail
from jibek.console.trust import trust_certificate
from jibek.venue.folder import VENUE_FILE, DataFolder, FolderRefused
from jibek.venue.state_file import UnreadableState, read_state

STORE_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class VenueAddress:
    """A venue as its supervisor has written it into `venue.json`."""

    data_dir: Path
    pid: int
    """Process id of `jibek up`."""
    store: str = field(repr=False)
    """URL of the store; may hold a password."""
    host: str
    port: int
    engine: str
    """`compiled` or `reference`."""
    services: dict[str, int]
    """Name -> process id, of the processes that run."""
    states: dict[str, str] = field(default_factory=dict)
    """Name -> `ready`, `starting`, or `down: …`."""
    restarts: dict[str, int] = field(default_factory=dict)
    """Name -> how many times it was restarted."""
    store_binary: dict[str, str] | None = None
    """What the embedded store is, as `StoreBinary.facts` gives it; None if the venue has a store of the operator's own."""
    certificate: Path | None = None
    """What the venue speaks TLS with; None if it does not."""
    disk: dict[str, Any] | None = None
    """Free bytes, size and state of the disk of the data folder; None if it could not be looked at."""
    written_s: float | None = None
    """When the supervisor wrote this, by the system's monotonic clock."""

    @property
    def is_running(self) -> bool:
        """Whether the supervisor is alive; a store of the operator's own may be up without it. A process that has got the
        number of a dead one does not hold the folder's lock."""
        return DataFolder(self.data_dir).is_held_by(self.pid)

    @property
    def urls(self) -> dict[str, str]:
        """The URLs for clients, as `urls` gives them."""
        return urls(self.host, self.port, tls=self.certificate is not None)


def urls(host: str, port: int, *, tls: bool = False) -> dict[str, str]:
    """The URLs at which clients reach a venue.

    >>> urls("127.0.0.1", 9443)["ws_api"], urls("::1", 9443)["http"]
    ('ws://127.0.0.1:9443/ws-api/v3', 'http://[::1]:9443/api/v3')
    >>> urls("venue.example", 443, tls=True)["ws"]
    'wss://venue.example:443/ws'
    """
    place = f"{f'[{host}]' if ':' in host else host}:{port}"
    websocket, http = ("wss", "https") if tls else ("ws", "http")
    return {
        "ws_api": f"{websocket}://{place}/ws-api/v3",
        "ws": f"{websocket}://{place}/ws",
        "stream": f"{websocket}://{place}/stream",
        "http": f"{http}://{place}/api/v3",
    }


def check_is_there(data_dir: Path) -> None:
    """A folder that was moved away may be that of a running venue, and another one must not be started in its place.

    Raises:
        Failure: exit code 3 if there is no such folder.
    """
    if not os.path.lexists(data_dir):
        fail(
            EXIT_UNREACHABLE,
            f"There is no folder {data_dir}: is it the right one (--data)? If a venue ran there, put its folder back; do not "
            "start another.",
        )


def find_venue(data_dir: Path) -> VenueAddress:
    """The venue of a data folder, whether its supervisor is alive or not.

    Raises:
        Failure: exit code 3 if the folder has no readable `venue.json`.
    """
    path = data_dir / VENUE_FILE
    check_is_there(data_dir)
    try:
        check_private_folder(data_dir)
        content = read_state(path)
        certificate = content.get("certificate")
        address = VenueAddress(
            data_dir=data_dir,
            pid=int(content["pid"]),
            store=str(content["store"]),
            host=str(content.get("host", "127.0.0.1")),
            port=int(content.get("port", 0)),
            engine=str(content.get("engine", "")),
            store_binary=content.get("store_binary"),
            services={str(name): int(pid) for name, pid in content.get("services", {}).items()},
            states={str(name): str(state) for name, state in content.get("states", {}).items()},
            restarts={str(name): int(count) for name, count in content.get("restarts", {}).items()},
            certificate=None if certificate is None else Path(str(certificate)),
            disk=content.get("disk"),
            written_s=content.get("written_s"),
        )
    except FileNotFoundError:
        fail(
            EXIT_UNREACHABLE,
            f"No venue runs on {data_dir}: start one with `jibek up`, or name its folder with --data.",
        )
    except UnsafePath as error:
        fail(EXIT_REFUSED, str(error))
    except PermissionError:
        fail(
            EXIT_UNREACHABLE,
            f"{path} cannot be read by this user: run the command as the user of the venue, with `sudo -u`.",
        )
    except (OSError, UnreadableState, ValueError, KeyError, TypeError, AttributeError) as error:
        fail(EXIT_UNREACHABLE, f"{path} cannot be read ({error}): start the venue again with `jibek up`.")
    if address.certificate is not None:
        trust_certificate(address.urls["http"], address.certificate)
    return address


def running_venue(data_dir: Path) -> VenueAddress:
    """The venue that runs on a data folder.

    Raises:
        Failure: exit code 3 if none does.
    """
    address = find_venue(data_dir)
    if not address.is_running:
        fail(EXIT_UNREACHABLE, f"The venue on {data_dir} has died: `jibek up` starts it again and recovers.")
    return address


def open_store(address: VenueAddress, *, timeout_s: float = STORE_TIMEOUT_S) -> Store:
    """A connection to the venue's store that has answered once.

    Raises:
        Failure: exit code 3 if the store does not answer within the timeout.
    """
    try:
        client = connect(address.store, timeout_s=timeout_s)
    except BadStoreUrl as error:
        fail(
            EXIT_UNREACHABLE,
            f"{address.data_dir / VENUE_FILE} names no store ({error}): start the venue again with `jibek up`.",
        )
    try:
        client.ping()
    except ForeignStore as error:
        fail(EXIT_UNREACHABLE, f"{error}.")
    except (redis.ConnectionError, redis.TimeoutError, OSError):
        socket = socket_of(address.store)
        if address.is_running and socket is not None and not os.path.exists(socket):
            fail(
                EXIT_UNREACHABLE,
                f"The venue on {address.data_dir} runs, but the socket of its store, {socket}, cannot be seen from here. Has "
                "its service a private /tmp? With systemd, leave out PrivateTmp=true; and run commands as the user of the venue.",
            )
        fail(
            EXIT_UNREACHABLE,
            f"The store of the venue on {address.data_dir} does not answer: is the venue up? See `jibek status`.",
        )
    return client


@contextlib.contextmanager
def folder_errors() -> Iterator[None]:
    """
    Raises:
        Failure: the data folder is not this user's alone, or cannot be used for another reason.
    """
    try:
        yield
    except (FolderRefused, UnsafePath) as error:
        fail(EXIT_REFUSED, str(error))
