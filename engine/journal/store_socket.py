"""The socket of the embedded store: its name, its URL, and that the store behind it is this user's.

The socket lies in a temporary folder that other users may write to. Where one of them could put a folder of his own in its
place, his store would be taken for the venue's: it would be given orders, and be believed what it answers. So each
connection looks at what is there, and asks the kernel who serves it. Only the embedded store is judged: the one of a URL that an
operator gives (`--store unix:///run/valkey/…`) may well run as another user.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import struct
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import redis

from engine.journal.store_url import place_of

SOCKET_NAME = "store.sock"
_FOLDER = re.compile(r"jibek-\d+-[0-9a-f]{12}")
_PEER = struct.Struct("3i")
"""What SO_PEERCRED gives: process, user and group."""


class ForeignStore(redis.ConnectionError):
    """What is in the place of the embedded store is another user's; the text names the path. It passes, as any trouble with a
    store does, once the right one is there again."""


def socket_folder_name(identity: str) -> str:
    """The name of the folder of a venue's socket; by it a socket is known as that of an embedded store.

    Args:
        identity: of the data folder.
    """
    return f"jibek-{os.getuid()}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def socket_url(path: Path) -> str:
    """The URL of a socket, whatever characters are in its path.

    >>> socket_url(Path("/tmp/what?/50%/store.sock"))
    'unix:///tmp/what%3F/50%25/store.sock'

    Raises:
        UnicodeEncodeError: the path is not UTF-8.
    """
    return f"unix://{quote(str(path))}"


def socket_of(url: str) -> Path | None:
    """The path of the socket that a URL names; None if it names none.

    >>> socket_of("unix:///tmp/what%3F/50%25/store.sock"), socket_of("redis://10.0.0.1/0")
    (PosixPath('/tmp/what?/50%/store.sock'), None)
    """
    return Path(unquote(place_of(url).removeprefix("unix://"))) if url.startswith("unix://") else None


def is_embedded(path: str) -> bool:
    """Whether a socket's path is that of an embedded store.

    >>> is_embedded("/tmp/jibek-1000-0123456789ab/store.sock"), is_embedded("/run/valkey/store.sock")
    (True, False)
    """
    folder, name = os.path.split(path)
    return name == SOCKET_NAME and _FOLDER.fullmatch(os.path.basename(folder)) is not None


def check_socket_place(path: str) -> None:
    """Checks, before connecting, that the socket of an embedded store and its folder are no links, and belong to this user
    or root. Other sockets pass. Cost: two system calls.

    Raises:
        ForeignStore: they are not.
        OSError: one of them is not there.
    """
    if not is_embedded(path):
        return
    for place, is_kind in ((os.path.dirname(path), stat.S_ISDIR), (path, stat.S_ISSOCK)):
        found = os.lstat(place)
        if not is_kind(found.st_mode):
            raise ForeignStore(f"{place} is not what `jibek up` has put there: {_CURE}")
        _check_user(place, "belongs to", found.st_uid)


def check_server(path: str, connected: Any) -> None:
    """Checks, after connecting, that the server of an embedded store runs as this user or root. Other servers pass, and all on a
    system that does not say who serves.

    Args:
        connected: the socket, or what gives its options.

    Raises:
        ForeignStore: it runs as another user.
    """
    if is_embedded(path) and hasattr(socket, "SO_PEERCRED"):
        _, uid, _ = _PEER.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        _check_user(path, "is served by", uid)


def _check_user(place: str, verb: str, uid: int) -> None:
    if uid not in (0, os.geteuid()):
        raise ForeignStore(f"{place} {verb} user {uid}, so it is not the store of this venue: {_CURE}")


_CURE = "stop the venue, see who has changed it, and start again with XDG_RUNTIME_DIR on a folder that only you may write to"


class CheckedSocketConnection(redis.UnixDomainSocketConnection):
    """A connection to a socket that gives nothing to the store of another user."""

    def _connect(self) -> Any:
        check_socket_place(self.path)
        connected = super()._connect()  # type: ignore[no-untyped-call]
        try:
            check_server(self.path, connected)
        except BaseException:
            connected.close()
            raise
        return connected
