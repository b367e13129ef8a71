"""The URL of the store: `redis://[user:password@]host:port/db`, `rediss://…` or `unix:///path`.

It may hold a password, and every user of the machine can read the arguments of a process. So such a URL comes from the
environment or from a file, and no text shows more of a URL than `place_of` does.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

import redis

STORE_VARIABLE = "JIBEK_STORE"
"""The store's URL for a process that is started without `--store`."""
STORE_FILE_VARIABLE = "JIBEK_STORE_FILE"
"""The file with the store's URL for a process that is started without `--store-file`."""
SAFE_WAYS = (
    f"set {STORE_VARIABLE} in the environment, or put the URL into a file of mode 0600 and name it with --store-file or "
    f"{STORE_FILE_VARIABLE}"
)

_SECRET_PARAMETER = re.compile(r"[?&][^=&]*(pass|secret|token|credential)[^=&]*=", re.IGNORECASE)


class BadStoreUrl(ValueError):
    """It is no URL of a store, or it came in a way that shows its password; the text holds no secret."""


def has_password(url: str) -> bool:
    """Whether a URL holds a password, be it well-formed or not.

    >>> has_password("redis://:hidden@127.0.0.1:6379/0"), has_password("redis://10.0.0.1/0?password=hidden")
    (True, True)
    >>> has_password("redis://jibek@10.0.0.1/0"), has_password("unix:///run/a:b@c.sock")
    (False, False)
    """
    return bool(_user_part(url).partition(":")[2] or _SECRET_PARAMETER.search(unquote(url)))


def place_of(url: str) -> str:
    """What may be shown of a URL: where the store is, without user, password and parameters.

    >>> place_of("redis://:hidden@127.0.0.1:6379/0?password=hidden"), place_of("unix:///run/store.sock?db=1")
    ('127.0.0.1:6379/0', 'unix:///run/store.sock')
    >>> place_of("redis://:not/encoded@10.0.0.1/0"), place_of("redis://10.0.0.1/0?password=hid@den")
    ('redis://…', 'redis://…')
    """
    user = _user_part(url)
    scheme, separator, _ = url.partition("://")
    if any(character in user for character in "/?#"):
        # Where the password ends can only be guessed.
        return f"{scheme}{separator}…" if separator else "…"
    place = url.rpartition("@")[2] if user else url
    return re.split("[?#]", place, maxsplit=1)[0]


def _user_part(url: str) -> str:
    """What is before the last `@`, after the scheme; empty for a path with an `@` in it."""
    scheme, separator, rest = url.partition("://")
    user = (rest if separator else url).rpartition("@")[0]
    return "" if scheme == "unix" and user.startswith("/") and not _SECRET_PARAMETER.search(unquote(url)) else user


def check_store_url(url: str) -> None:
    """
    Raises:
        BadStoreUrl: no store can be reached by it.
    """
    try:
        pool = redis.ConnectionPool.from_url(url)
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, AttributeError, redis.RedisError):
        # What the library says may quote a part of the password.
        raise BadStoreUrl(
            f"{place_of(url)} is no URL of a store: it is redis://host:port/0, rediss://host:port/0 or unix:///path, and special "
            "characters of a password are percent-encoded (%40 for @)"
        ) from None


def check_is_for_all_eyes(url: str) -> None:
    """For a URL on a command line.

    Raises:
        BadStoreUrl: it holds a password.
    """
    if has_password(url):
        raise BadStoreUrl(
            f"the URL of --store holds a password, and every user of this machine can read it in the list of processes: {SAFE_WAYS}"
        )


def store_from_environment() -> str | None:
    """The URL that the environment holds, itself or in a file that it names; None if it does neither.

    Raises:
        BadStoreUrl: the file cannot be used.
    """
    url, file = os.environ.get(STORE_VARIABLE), os.environ.get(STORE_FILE_VARIABLE)
    if not url and file:
        return read_store_file(Path(file))
    return url or None


def read_store_file(path: Path) -> str:
    """The URL in a file, which is all that it holds.

    Raises:
        BadStoreUrl: it cannot be read, others than this user (and root) may read or write it, or it is not one line.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise BadStoreUrl(f"{path} is not a regular file")
            _check_is_private(path, found)
            lines = file.read(4096).decode().split("\n")
    except OSError as error:
        raise BadStoreUrl(f"the store's URL cannot be read from {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        lines = []
    if not lines or not lines[0].strip() or any(line.strip() for line in lines[1:]):
        raise BadStoreUrl(f"{path} does not hold the store's URL, in one line and nothing else")
    return lines[0].strip()


def _check_is_private(path: Path, found: os.stat_result) -> None:
    """The file is this user's, or one of root that a group may read: so services get their credentials."""
    if found.st_uid not in (os.geteuid(), 0):
        raise BadStoreUrl(
            f"{path} belongs to another user, who could name another store: copy what is right into a file of yours"
        )
    is_own = found.st_uid == os.geteuid()
    if found.st_mode & (0o077 if is_own else 0o027):
        raise BadStoreUrl(f"{path} can be read or changed by others: run `chmod 600 {path}`")
