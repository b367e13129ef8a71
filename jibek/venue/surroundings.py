"""What a venue relies on besides its processes: the disk, its folders, the files and the socket of its store.

People and cleaners of temporary folders remove what they should not. The supervisor looks three times a second; what can be put
back is put back, and what cannot stops trading or is shown.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import redis

from engine.journal import connect
from engine.process.disk import Disk, read_disk
from jibek.venue import store_server
from jibek.venue.folder import DataFolder
from jibek.venue.store_binary import StoreUnavailable
from jibek.venue.store_files import AOF_FOLDER, MANIFEST

LEFT_OVERS = ("temp-rewriteaof-*.aof", "temp-*.rdb", "temp-*.manifest")
REWRITE_TIMEOUT_S = 1.0


def file_identity(path: Path) -> tuple[int, int] | None:
    """Device and number of what a path leads to; None if it leads nowhere."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def look_at_disk(folder: Path) -> Disk | None:
    """The disk of a folder; None if the folder is gone."""
    try:
        return read_disk(folder)
    except OSError:
        return None


class Surroundings:
    """Looks at all of it. `look` comes first; then the attributes say what it has found.

    Args:
        socket: of the embedded store; None for a store of the operator's own, whose files are not looked after.
    """

    def __init__(self, folder: DataFolder, socket: Path | None, store_url: str) -> None:
        self._folder = folder
        self._identity = file_identity(folder.path)
        self._store_url = store_url
        self._spare = None if socket is None else SpareSocket(socket)
        self._files = StoreFiles(folder.store)
        self._missing: list[str] = []
        """Files of the store that were missing, or not its own, at the last look."""
        self._missing_said = False
        self._lines: list[str] = []
        self.disk = look_at_disk(folder.path)
        self.faults: dict[str, str] = {}
        """What is wrong -> a sentence about it."""
        self.must_restart_store = False
        """Whether only a new store can be connected to."""
        self.orders_stop = ""
        """Why no more orders may come in, whatever the gateway thinks; empty if they may."""

    @property
    def disk_takes_writes(self) -> bool:
        return self.disk is not None and self.disk.takes_writes

    def store_serves(self) -> None:
        """A store has just begun to serve: its socket is new, and it has opened the files that are there."""
        self._files = StoreFiles(self._folder.store)
        if self._spare is not None:
            self._spare.keep()

    def look(self, *, is_serving: bool) -> None:
        """Looks at everything. Cost: some 100 µs.

        Args:
            is_serving: whether the embedded store serves, so that it must have files and a socket.
        """
        self.faults = {}
        self.must_restart_store = False
        self.orders_stop = ""
        self._look_at_folders()
        if self._spare is not None and is_serving:
            self._look_at_socket(self._spare)
            self._look_at_store_files()

    def take_lines(self) -> list[str]:
        """What there is to say about what `look` has done, once."""
        lines, self._lines = self._lines, []
        return lines

    def forget_socket(self) -> None:
        """Removes the socket of the store, which has ended."""
        if self._spare is not None:
            self._spare.forget()

    def _look_at_folders(self) -> None:
        folder = self._folder
        self.disk = look_at_disk(folder.path)
        if file_identity(folder.path) != self._identity:
            self.faults["folder"] = self.orders_stop = (
                f"the data folder {folder.path} was removed or replaced: put it back, and orders are taken again"
            )
            return
        if self.disk is not None and not self.disk.takes_writes:
            self.faults["disk"] = (
                f"the disk of the data folder is {self.disk.state} ({self.disk.free_bytes / 1e6:,.0f} MB are free), and new "
                "orders are refused: make room"
            )
        if not folder.logs.is_dir():
            try:
                folder.logs.mkdir(mode=0o700)
                self._lines.append("The folder of the logs was removed: it is made again.")
            except OSError as error:
                self.faults["logs"] = f"the folder of the logs was removed, and cannot be made again: {error.strerror}"

    def _look_at_socket(self, spare: SpareSocket) -> None:
        if not spare.is_lost:
            return
        if spare.restore():
            self._lines.append("The socket of the store was removed: it is put back.")
        else:
            self._lines.append("The socket of the store was removed: the store is started again.")
            self.must_restart_store = True

    def _look_at_store_files(self) -> None:
        """A store whose files were removed, replaced or cut goes on in memory: what it acknowledges would be gone with it."""
        if self._files.are_elsewhere():
            self._stop_orders(
                f"the folder {self._folder.store} was removed or replaced, and the store goes on in the old one: put that back. "
                "If it is deleted, the store's memory is the only copy: do not stop the venue"
            )
            return
        before, self._missing = self._missing, self._files.lost()
        if not self._missing:
            self._missing_said = False
        if not (before and self._missing):
            return  # A rewrite of the log, which replaces its files, may have come in between.
        names = ", ".join(self._missing)
        if not self._missing_said:
            self._lines.append(f"Files of the store were removed, replaced or cut ({names}): it writes them anew.")
        self._missing_said = True
        self._stop_orders(
            f"files of the store were removed, replaced or cut ({names}). Its memory is the only copy: do not stop the venue"
        )
        self._rewrite()

    def _stop_orders(self, fault: str) -> None:
        self.orders_stop = "the store has lost its files"
        self.faults["store"] = fault

    def _rewrite(self) -> None:
        """Lets the store write a new log from its memory, with a manifest that names the new files."""
        client = connect(self._store_url, timeout_s=REWRITE_TIMEOUT_S)
        try:
            client.bgrewriteaof()
        except (redis.RedisError, OSError):
            return  # One is under way, or the store does not answer: the next look comes soon.
        finally:
            client.close()


class SpareSocket:
    """A second name of the store's socket, in a folder of its own, by which the first one can be put back.

    A server cannot listen on a socket again whose name was removed, but a hard link to it is as good. Where there are no hard
    links of sockets, there is no spare, and the store has to be started again.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.spare = socket.parent.with_name(socket.parent.name + "-spare") / socket.name
        self._identity: tuple[int, int] | None = None

    def keep(self) -> None:
        """Links the socket of a store that has just begun to serve."""
        try:
            store_server.make_runtime_folder(self.spare.parent)
            self.spare.unlink(missing_ok=True)
            os.link(self.socket, self.spare, follow_symlinks=False)
            self._identity = file_identity(self.spare)
        except (OSError, NotImplementedError, StoreUnavailable):
            self._identity = None

    @property
    def is_lost(self) -> bool:
        """Whether the socket is gone, or something else is in its place."""
        found = file_identity(self.socket)
        if found is None:
            return True
        return self._identity is not None and found != self._identity

    def restore(self) -> bool:
        """Puts the socket back; returns whether that succeeded."""
        if self._identity is None or file_identity(self.spare) != self._identity:
            return False
        try:
            store_server.make_runtime_folder(self.socket.parent)
            self.socket.unlink(missing_ok=True)
            os.link(self.spare, self.socket, follow_symlinks=False)
        except (OSError, StoreUnavailable):
            return False
        return True

    def forget(self) -> None:
        """Removes both names of a socket that is no longer served, and their folders if they are empty."""
        store_server.forget_runtime_folder(self.spare)
        store_server.forget_runtime_folder(self.socket)


class StoreFiles:
    """The files of an embedded store's log, as its manifest names them, and as they were when first seen.

    A server keeps them open and adds to them: one with another number is not the one that it writes, and none gets shorter. It
    gives each new one a name of its own.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._identity = file_identity(store)
        self._seen: dict[str, SeenFile] = {}

    def are_elsewhere(self) -> bool:
        """Whether the folder at the path is not the one in which the server works. Where it writes a file by its name, it does so
        in its own folder."""
        return self._identity is not None and file_identity(self._store) != self._identity

    def lost(self) -> list[str]:
        """Which of them were removed, replaced or cut: paths within the folder. If the manifest is gone, that is all of them.
        Cost: some 50 µs."""
        folder = self._store / AOF_FOLDER
        names = names_in_manifest(folder)
        if names is None:
            return []
        if not names:
            return [AOF_FOLDER]
        seen, self._seen = self._seen, {}
        for name in names:
            now = SeenFile.at(folder / name)
            self._seen[name] = seen[name].followed_by(now) if name in seen else now
        return [f"{AOF_FOLDER}/{name}" for name in names if self._seen[name].is_lost]


class SeenFile(NamedTuple):
    """A file of the log as it was at the last look."""

    identity: tuple[int, int] | None
    """As it was first seen; None for one that has not been there."""
    size_bytes: int
    is_lost: bool
    is_cut: bool = False

    @classmethod
    def at(cls, path: Path) -> SeenFile:
        try:
            found = path.stat()
        except OSError:
            return cls(None, 0, True)
        return cls((found.st_dev, found.st_ino), found.st_size, False)

    def followed_by(self, now: SeenFile) -> SeenFile:
        """What is known after another look. One that was moved away and put back is the same as before; what was cut off a file
        does not come back, however long it gets."""
        if self.identity is None:
            return now
        is_cut = self.is_cut or (now.identity == self.identity and now.size_bytes < self.size_bytes)
        if is_cut or now.identity != self.identity:
            return self._replace(is_lost=True, is_cut=is_cut)
        return now


def names_in_manifest(folder: Path) -> list[str] | None:
    """The names of the files of a log; none if the manifest is gone, or names none. None if it could not be looked at, for want
    of file descriptors for example: that is no reason to stop."""
    try:
        rows = [line.split() for line in (folder / MANIFEST).read_text().splitlines()]
        # file NAME seq NUMBER type b|i|h; what is history (h) is about to be deleted.
        return [row[1] for row in rows if row[0] == "file" and row[-1] != "h"]
    except (FileNotFoundError, NotADirectoryError, ValueError, IndexError):
        return []
    except OSError:
        return None


def remove_left_overs(store: Path) -> list[str]:
    """Removes what rewrites of the log have left that were killed; returns the names. Call it while no store runs there."""
    removed = []
    for folder in (store, store / AOF_FOLDER):
        for pattern in LEFT_OVERS:
            for path in folder.glob(pattern):
                try:
                    if stat.S_ISREG(path.lstat().st_mode):
                        path.unlink()
                        removed.append(path.name)
                except OSError:
                    continue
    return removed
