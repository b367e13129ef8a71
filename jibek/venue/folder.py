"""The data folder of a venue: its marker, its files, and the lock that lets one venue at a time use it.

    jibek-data/
      jibek-venue.json   the marker: this is the folder of a venue, and of which; only `jibek up` writes it
      venue.json         how commands find the running venue (mode 0600); absent if none runs
      secret.key         seals the HMAC secrets
      store/             the files of the embedded store
      logs/              one log per process
      …                  `OWN_ENTRIES` lists everything

The lock is an flock on the folder itself, by an open descriptor that all processes of the venue share. The kernel lets go
of it when the last of them is gone, so a folder is never used by a new venue while an old process still writes to it; and
no file that somebody removes takes it away. A folder that is moved keeps its lock; `is_in_place` shows it to the venue.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from engine.process.private_files import (
    UnsafePath,
    check_parents,
    check_private_file,
    check_private_folder,
    make_private_folder,
    open_private_folder,
    read_private,
    read_private_json,
    replace_private,
)
from jibek.venue.processes import flock_taker, holds_flock, is_jibek_up

MARKER_FILE = "jibek-venue.json"
MARKER_FORMAT = "jibek venue 1"
VENUE_FILE = "venue.json"
UP_FILE = "up.pid"
"""The process id of `jibek up`, where the system does not say who holds a lock (macOS)."""
DYING_VENUE_WAIT_S = 10.0
"""How long a start waits for the last processes of a venue whose `jibek up` is gone."""

OWN_ENTRIES = tuple(
    re.compile(pattern)
    for pattern in (
        r"jibek-venue\.json(\.new)?",
        r"venue\.(json|json\.new|new)",
        r"up\.pid(\.new)?",
        r"secret\.key(\.[0-9]+)?",
        r"directory\.cache(\.new)?",
        r"clocks\.json(\.new)?",
        r"watermark\.json(\.new)?",
        r"rebuild-ledger\.json(\.new)?",
        r"engine-stopped-at-[0-9]+-[0-9]+\.txt(\.new)?",
        r"store|logs|refusals|watermarks",
    )
)
"""What the processes of a venue put into its folder. `jibek reset` deletes this and nothing else."""
OWN_PARTS = {
    "store": re.compile(r"appendonlydir|valkey\.conf(\.new)?|served-by(\.new)?|temp-rewriteaof-.*"),
    "logs": re.compile(r"[a-z0-9-]+\.log(\.[0-9]+)?"),
}
"""What is in two folders whose names are common. A folder without a marker is a venue's only if they hold no more."""
BESIDE = ("venue.toml", "lost+found")
"""What may be in a folder before its first venue: the definition, and what a new file system has."""

_RETRY_S = 0.05
_NAMES_SHOWN = 3
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EINVAL)


class FolderRefused(Exception):
    """The folder cannot be used; the text says why and what to do."""


class FolderLocked(FolderRefused):
    """Another venue uses the folder; the text names its process."""


class DataFolder:
    """The paths in a data folder. Creates nothing until `create` is called."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.marker_file = self.path / MARKER_FILE
        self.venue_file = self.path / VENUE_FILE
        self.store = self.path / "store"
        self.logs = self.path / "logs"
        self._lock_fd: int | None = None

    # -- making it

    def create(self) -> None:
        """Makes the folder and its parts, as far as they are missing, for this user alone.

        Raises:
            FolderRefused: something else than a venue is in it, or it cannot be made.
            UnsafePath: it belongs to another user, is a link, or others may write to it or to what is above it.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_parents(self.path)
            make_private_folder(self.path)
        except UnsafePath:
            raise
        except OSError as error:
            raise FolderRefused(
                f"The data folder {self.path} cannot be made ({error.strerror}): name another place with --data."
            ) from None
        if not self.is_marked():
            self._refuse_strangers()
        for folder in (self.store, self.logs):
            make_private_folder(folder)

    def _refuse_strangers(self) -> None:
        strangers = [path.name for path in self.path.iterdir() if not _is_own(path.name) and path.name not in BESIDE]
        for part, pattern in OWN_PARTS.items():
            folder = self.path / part
            if folder.is_dir() and not folder.is_symlink():
                strangers += [f"{part}/{path.name}" for path in folder.iterdir() if not pattern.fullmatch(path.name)]
        if strangers:
            raise FolderRefused(
                f"{self.path} is no data folder of a venue, and it is not empty: {shown(strangers)} would lie among what a "
                "venue writes and deletes. Name an empty or a new folder with --data, or move that out of it."
            )

    def check(self) -> None:
        """Checks the folder itself, if there is one.

        Raises:
            UnsafePath: it is a link, another user's, or writable by others.
        """
        with contextlib.suppress(FileNotFoundError):
            check_private_folder(self.path)

    def check_parts(self) -> None:
        """Checks everything that a venue has in the folder: another user may have put it there before.

        Raises:
            UnsafePath: a part is a link, belongs to another user, or others may write to it.
        """
        for entry in self._own_entries():
            _check_tree(entry)

    def mark(self) -> str:
        """The id of the venue in this folder, from its marker; writes the marker of a new venue. For who holds the lock.

        Raises:
            FolderRefused: what is there is no marker.
            UnsafePath: it is a link, another user's, or writable by others.
        """
        if not self.is_marked():
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            marker = {"format": MARKER_FORMAT, "venue": secrets.token_hex(16), "created": created}
            replace_private(self.marker_file, json.dumps(marker, indent=1).encode(), on_disk=True)
        return self.venue_id()

    def is_marked(self) -> bool:
        """Whether there is a marker, be it a true one or not.

        Raises:
            UnsafePath: the folder is a link, another user's, or writable by others.
        """
        self.check()
        return os.path.lexists(self.marker_file)

    def venue_id(self) -> str:
        """
        Raises:
            FolderRefused: there is no marker.
            UnsafePath: it is a link, another user's, or writable by others.
        """
        try:
            marker = read_private_json(self.marker_file)
            if marker["format"] == MARKER_FORMAT and re.fullmatch("[0-9a-f]{32}", marker["venue"]):
                return str(marker["venue"])
        except FileNotFoundError:
            raise FolderRefused(f"{self.path} is not the data folder of a venue: it has no {MARKER_FILE}.") from None
        except (ValueError, KeyError, TypeError):
            pass
        raise FolderRefused(
            f"{self.marker_file} is not what `jibek up` writes there: restore it from a backup, or, if this is a venue's "
            "folder, remove the file; the next start writes it anew."
        )

    # -- the lock

    def lock(self, *, wait_s: float = DYING_VENUE_WAIT_S) -> int:
        """Takes the lock and returns its file descriptor; every process that inherits the descriptor holds the lock, too.

        If the `jibek up` that took the lock is gone, it waits up to `wait_s` for its processes to end as well.

        Raises:
            FolderLocked: a venue is running in the folder, or processes of a dead one do not end.
            FolderRefused: the file system has no locks.
            UnsafePath: the folder is a link, another user's, or writable by others.
        """
        fd = open_private_folder(self.path)
        try:
            deadline = time.monotonic() + wait_s
            while not self._try_lock(fd, fcntl.LOCK_EX):
                holder = self.holder()
                if holder is not None and is_jibek_up(holder):
                    raise FolderLocked(f"{self.path} is in use by `jibek up`, process {holder}: `jibek down` stops it.")
                if holder is not None:
                    raise FolderLocked(
                        f"{self.path} is in use by process {holder}, which is no `jibek up`: end it first."
                    )
                if time.monotonic() > deadline:
                    raise FolderLocked(
                        f"{self.path} is still held by processes of a venue that has died: end them first."
                    )
                time.sleep(_RETRY_S)
            if not _is_same(self.path, fd):
                raise FolderLocked(f"{self.path} was removed or replaced at this moment: try again.")
            if sys.platform != "linux":
                replace_private(self.path / UP_FILE, str(os.getpid()).encode())
        except BaseException:
            os.close(fd)
            raise
        self._lock_fd = fd
        return fd

    def is_locked(self) -> bool:
        """Whether any process of a venue in this folder is alive.

        Raises:
            UnsafePath: the folder is a link, another user's, or writable by others.
        """
        try:
            with _opened(self.path) as fd:
                # A shared lock: `holder` does not take this process for a venue.
                return not self._try_lock(fd, fcntl.LOCK_SH)
        except FileNotFoundError:
            return False

    def is_in_use(self) -> bool:
        """As `is_locked`; False where the file system has no locks.

        Raises:
            UnsafePath: as `is_locked`.
        """
        try:
            return self.is_locked()
        except FolderRefused:
            return False

    def _try_lock(self, fd: int, kind: int) -> bool:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise FolderRefused(
                    f"The file system of {self.path} has no locks for a folder ({error.strerror}), so two venues could use it at "
                    "once: choose a folder on a local disk with --data."
                ) from None
            raise
        return True

    def holder(self) -> int | None:
        """The process that has taken the lock and still holds it; None if it is gone, be the lock held by its children or not."""
        try:
            if sys.platform == "linux":
                with _opened(self.path) as fd:
                    return flock_taker(fd)
            pid = int(read_private(self.path / UP_FILE))
        except (OSError, ValueError):
            return None
        return pid if is_jibek_up(pid) else None

    def is_held_by(self, pid: int) -> bool:
        """Whether this process is a venue's in this folder, not one that got the number of an ended one."""
        if sys.platform != "linux":
            return is_jibek_up(pid)
        try:
            with _opened(self.path) as fd:
                return holds_flock(pid, fd)
        except OSError:
            return False

    def is_in_place(self) -> bool:
        """Whether the folder that this process has locked is still at its path."""
        return self._lock_fd is not None and _is_same(self.path, self._lock_fd)

    @property
    def identity(self) -> str:
        """What no other folder on this machine has while a process holds the lock of this one, even if it is moved."""
        assert self._lock_fd is not None
        found = os.fstat(self._lock_fd)
        return f"{found.st_dev}:{found.st_ino}:{self.venue_id()}"

    # -- the end

    def delete(self) -> list[str]:
        """Deletes what the venue has written, and the folder if it is empty then; returns the names of what is left. It
        takes the lock while it does, and removes the marker last, so that it can be repeated.

        Raises:
            FolderRefused: it is no venue's folder.
            FolderLocked: a venue runs in it.
            UnsafePath: folder or marker is a link, another user's, or writable by others.
            OSError: something cannot be deleted.
        """
        self.venue_id()
        fd = self.lock(wait_s=0.0)
        try:
            for entry in self._own_entries():
                if entry != self.marker_file:
                    _delete(entry)
            self.marker_file.unlink()
            left = sorted(path.name for path in self.path.iterdir())
            if not left and not _is_needed(self.path):
                self.path.rmdir()
            return left
        finally:
            self._lock_fd = None
            os.close(fd)

    def _own_entries(self) -> Iterator[Path]:
        return (path for path in sorted(self.path.iterdir()) if _is_own(path.name))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = open_private_folder(path)
    try:
        yield fd
    finally:
        os.close(fd)


def _is_own(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in OWN_ENTRIES)


def shown(names: list[str]) -> str:
    """Some names for a message.

    >>> shown(["e", "d", "c", "b", "a"])
    "'a', 'b', 'c' and 2 more"
    """
    shown = ", ".join(repr(name) for name in sorted(names)[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _is_same(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except OSError:
        return False


def _is_needed(path: Path) -> bool:
    """Whether it is the user's home or the current folder, or above it: that stays, be it empty or not."""
    places = [os.path.expanduser("~")]
    with contextlib.suppress(FileNotFoundError):
        places.append(os.getcwd())
    return any(Path(place).resolve().is_relative_to(path.resolve()) for place in places)


def _check_tree(path: Path) -> None:
    if not path.is_dir() or path.is_symlink():
        check_private_file(path)
        return
    check_private_folder(path)
    for inner in path.iterdir():
        _check_tree(inner)


def _delete(path: Path) -> None:
    """Deletes a file, a link or a whole folder; follows no link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
