"""The data folder of a venue: its files, and the lock that lets one venue at a time use it.

    jibek-data/
      lock           held by `jibek up` and inherited by every process of the venue
      venue.json     how commands find the running venue (mode 0600); absent if none runs
      secret.key     seals the HMAC secrets
      store/         the files of the embedded store
      logs/          one log per process

The lock is an flock on an open file that all processes of the venue share. The kernel lets go of it when the last of
them is gone, so a folder is never used by a new venue while an old process still writes to it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

from jibek.venue.processes import is_alive

VENUE_FILE = "venue.json"
DYING_VENUE_WAIT_S = 10.0
"""How long a start waits for the last processes of a venue whose `jibek up` is gone."""

_RETRY_S = 0.05


class FolderLocked(Exception):
    """Another venue uses the folder; the text names its process."""


class DataFolder:
    """The paths in a data folder. Creates nothing until `create` is called."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.lock_file = self.path / "lock"
        self.venue_file = self.path / VENUE_FILE
        self.store = self.path / "store"
        self.logs = self.path / "logs"

    def create(self) -> None:
        """Makes the folder and its parts, as far as they are missing, for this user alone."""
        for folder in (self.path, self.store, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self, *, wait_s: float = DYING_VENUE_WAIT_S) -> int:
        """Takes the lock and returns its file descriptor; every process that inherits the descriptor holds the lock, too.

        If the `jibek up` that took the lock is gone, it waits up to `wait_s` for its processes to end as well.

        Raises:
            FolderLocked: a venue is running in the folder, or processes of a dead one do not end.
        """
        fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_s
        while not _try_lock(fd):
            holder = self.holder()
            if holder is not None and is_alive(holder):
                os.close(fd)
                raise FolderLocked(f"{self.path} is in use by `jibek up`, process {holder}: `jibek down` stops it.")
            if time.monotonic() > deadline:
                os.close(fd)
                raise FolderLocked(f"{self.path} is still held by processes of a venue that has died: end them first.")
            time.sleep(_RETRY_S)
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps({"pid": os.getpid()}).encode(), 0)
        return fd

    def is_locked(self) -> bool:
        """Whether any process of a venue in this folder is alive."""
        try:
            fd = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(fd)
        finally:
            os.close(fd)

    def holder(self) -> int | None:
        """The process id of the `jibek up` that took the lock last; None if the file does not say."""
        try:
            return int(json.loads(self.lock_file.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
