"""Watermarks: how far the chain had come, kept outside the store (promise P5).

    DATA/watermarks/<process>.json   {"id": "1-20", "head": 64 hexadecimal digits, "check": 16 of them}

A store that was restored from an old copy, or that lost its tail, has an unbroken chain that merely ends too early. Each
process of the venue notes the last entry that it has verified, with the head of the chain there, at most 100 ms behind. At
a start the store must reach the largest of these marks, and the chain must have the head of each of them.

`jibek up` writes the first mark, at the beginning of the chain, before a new venue has its first entry. So a venue is
never without one, and a folder without any next to a store with entries has lost them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from engine.journal import BEGINNING, GENESIS_HEAD, ChainBroken, EntryId, Source
from engine.process.private_files import check_private_folder, open_private_folder, read_private_json, sync_folder

FOLDER_NAME = "watermarks"
UP = "up"
"""The process that writes the first mark: `jibek up`."""
INTERVAL_S = 0.075
REPAIR_WAITS = 4
"""So many intervals a starting process gives the others to write their marks again where one cannot be read."""
FAULT_S = 1.0
"""A mark that has been on its way to the disk for so long counts as one that cannot be written."""
CLOSE_S = 2.0
"""How long the end of a process waits for its last mark: a disk that hangs must not hold it up."""
ACCEPT_STORE_END = "--accept-store-end"
"""The option of `jibek up` by which an operator goes on with a store that the marks do not vouch for."""
WAY_OUT = (
    f"Restore what was lost from a copy. To go on with the store as it is, start once with `jibek up {ACCEPT_STORE_END}`: "
    "whatever the store has lost is then lost for good"
)

_CHECK_DIGITS = 16


class BadWatermark(Exception):
    """A mark cannot be read, or all are missing; the text names the file and what to do."""


class Watermark(NamedTuple):
    """What one process has verified."""

    process: str
    id: EntryId
    head: bytes
    """The head of the chain at this entry."""


def path_of(data: Path, process: str) -> Path:
    """The file of a process's mark."""
    return data / FOLDER_NAME / f"{process}.json"


# -- reading


def read_watermarks(data: Path) -> list[Watermark]:
    """The marks of all processes in the data folder; none for a folder that no venue was started in.

    Raises:
        BadWatermark: a file is there that is no mark, or the folder is a link or another user's.
    """
    marks, bad = _read_all(data)
    if bad:
        raise bad[0]
    return marks


def vouching_watermarks(data: Path, source: Source) -> list[Watermark]:
    """The marks by which a process of a running venue begins. `jibek up` has begun with sound ones. So one that was damaged
    since is passed over with a log line if another one has the end of the store, or has it soon.

    Raises:
        BadWatermark: a mark cannot be read, and no other one has the end of the store.
    """
    end = source.published()
    for attempt in range(REPAIR_WAITS + 1):
        if attempt:
            time.sleep(INTERVAL_S)
        marks, bad = _read_all(data)
        if not bad:
            return marks
    if end == BEGINNING or not any(mark.id >= end for mark in marks):
        raise bad[0]
    for error in bad:
        logging.getLogger("watermark").warning(
            "passed over, since another mark has the end of the store, %s: %s", end, error
        )
    return marks


def _read_all(data: Path) -> tuple[list[Watermark], list[BadWatermark]]:
    """The marks, and what is wrong with those that cannot be read."""
    folder = data / FOLDER_NAME
    marks: list[Watermark] = []
    bad: list[BadWatermark] = []
    try:
        check_private_folder(folder)
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [BadWatermark(f"the watermarks cannot be read: {error.strerror}")]
    for path in sorted(folder.glob("*.json")):
        try:
            marks.append(_read(path))
        except BadWatermark as error:
            bad.append(error)
    return marks, bad


def check_begun(marks: Iterable[Watermark], data: Path, end: EntryId) -> None:
    """Checks that a store that ends at `end` has marks with it.

    Raises:
        BadWatermark: there is none, but the store has entries.
    """
    if end != BEGINNING and not any(True for _ in marks):
        raise BadWatermark(
            f"the store has entries up to {end}, but {data / FOLDER_NAME} has no watermark: nothing shows whether the store "
            f"is whole. {WAY_OUT}"
        )


def check_reached(marks: Iterable[Watermark], end: EntryId) -> None:
    """Checks that the events, which end at `end`, have all that the marks name.

    Raises:
        ChainBroken: they do not.
    """
    for mark in marks:
        if end < mark.id:
            raise ChainBroken(
                f"the store ends at {end}, but the {mark.process} had verified {mark.id}: it has lost its tail, or this is an old "
                f"copy of the store. {WAY_OUT}"
            )


def heads_of(marks: Iterable[Watermark]) -> dict[EntryId, bytes]:
    """The heads that the chain must have, by entry.

    Raises:
        BadWatermark: two marks name different heads of one entry.
    """
    heads: dict[EntryId, bytes] = {}
    for mark in marks:
        if heads.setdefault(mark.id, mark.head) != mark.head:
            raise BadWatermark(f"two watermarks name different heads of the chain at {mark.id}. {WAY_OUT}")
    heads.pop(BEGINNING, None)
    return heads


def known_heads(data: Path, source: Source) -> dict[EntryId, bytes]:
    """The heads that the chain must have, by entry, after it was checked that the events reach them.

    Raises:
        BadWatermark: see `vouching_watermarks`, or two of them differ.
        ChainBroken: the events end before a mark.
    """
    marks = vouching_watermarks(data, source)
    check_reached(marks, source.published())
    return heads_of(marks)


def check_heads(heads: Mapping[EntryId, bytes], source: Source, data: Path) -> None:
    """Checks that the events have these heads, without reading what is between them. Cost: one round trip.

    Raises:
        ChainBroken: one of them is another one, or its entry is not there.
    """
    found = {entry.id: entry.head for entry in source.events_at(heads)}
    for id, head in heads.items():
        if id not in found:
            raise ChainBroken(f"the store has no entry {id}, which {data / FOLDER_NAME} names. {WAY_OUT}")
        if found[id] != head:
            raise ChainBroken(f"the chain at {id} is not the one that {data / FOLDER_NAME} names. {WAY_OUT}")


def check_vouched(data: Path, source: Source) -> None:
    """Checks that a store has all that the marks name: what every command does before it shows or changes anything, since
    the processes that would notice may be down. Cost: two round trips.

    Raises:
        BadWatermark: see `known_heads`.
        ChainBroken: the store has lost its tail, or is another one.
    """
    check_heads(known_heads(data, source), source, data)


def _read(path: Path) -> Watermark:
    try:
        document = read_private_json(path)
        mark = Watermark(path.stem, EntryId.parse(document["id"]), bytes.fromhex(document["head"]))
        if len(mark.head) == len(GENESIS_HEAD) and document["check"] == _check(mark.id, mark.head):
            return mark
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    except OSError as error:
        raise BadWatermark(f"{path} cannot be read: {error.strerror}") from None
    raise BadWatermark(
        f"{path} is not a watermark, or was changed: restore it from a copy, or remove it; the store must still reach the "
        "watermarks of the other processes"
    )


def _check(id: EntryId, head: bytes) -> str:
    """Shows a changed mark, which would else speak against a sound store."""
    return hashlib.sha256(f"{id} {head.hex()}".encode()).hexdigest()[:_CHECK_DIGITS]


# -- writing


def begin_watermarks(data: Path) -> None:
    """Removes all marks, and writes that of `jibek up` at the beginning of the chain."""
    write_watermark(data, UP, BEGINNING, GENESIS_HEAD)
    for path in (data / FOLDER_NAME).glob("*.json"):
        if path != path_of(data, UP):
            path.unlink()
    sync_folder(data / FOLDER_NAME)


def write_watermark(data: Path, process: str, id: EntryId, head: bytes) -> None:
    """Replaces the mark of a process atomically, for this user alone; on return it is on disk. Cost: two fsyncs, and 0.4 ms
    of CPU.

    Raises:
        OSError: it cannot be written; the old one is still there.
    """
    folder = data / FOLDER_NAME
    if not os.path.lexists(folder):
        os.mkdir(folder, 0o700)
        os.chmod(folder, 0o700)
        sync_folder(data)
    text = json.dumps({"id": str(id), "head": head.hex(), "check": _check(id, head)}).encode()
    draft = f"{process}.new"
    # By its descriptor: it stays this folder, and no link is followed that somebody puts in its place.
    folder_fd = open_private_folder(folder)
    try:
        descriptor = _open_draft(draft, folder_fd)
        try:
            os.fchmod(descriptor, 0o600)
            if os.write(descriptor, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(draft, f"{process}.json", src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


def _open_draft(name: str, folder_fd: int) -> int:
    """A new file, in the place of one that a killed process has left, or of whatever somebody has put there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, 0o600, dir_fd=folder_fd)
    except FileExistsError:
        os.unlink(name, dir_fd=folder_fd)
        return os.open(name, flags, 0o600, dir_fd=folder_fd)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


class WatermarkWriter:
    """Writes the newest mark of a process every 75 ms if it has changed; `close` writes the last one. A file that is not as it
    was written, or gone, is written again.

    It has a thread of its own, so that its fsyncs cost the caller nothing. What goes wrong does not end the thread: it
    tries again until the disk takes the mark, and `fault` says so meanwhile. A mark never goes back.

    Args:
        data: the data folder, which exists.
        process: its name, which is that of the file.
        say: takes what goes wrong, with the level of the line; None for the log of the process. A thread calls it.
    """

    def __init__(self, data: Path, process: str, say: Callable[[int, str], object] | None = None) -> None:
        self._data = data
        self._folder = _identity(data)
        self._process = process
        self._say = say or logging.getLogger(process).log
        self._latest: tuple[EntryId, bytes] | None = None
        self._seen = self._identity_of_mark()
        """Of the file as it was written here, or found at the start."""
        self._written = self._find()
        self._failure = ""
        self._began_s: float | None = None
        """Since when the present write is under way, by the monotonic clock."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watermark", daemon=True)
        self._thread.start()

    @property
    def fault(self) -> str:
        """Why the mark cannot be written at the moment, as a sentence without its full stop; empty if it can."""
        began_s = self._began_s
        if not self._failure and began_s is not None and (waited_s := time.monotonic() - began_s) > FAULT_S:
            return f"the watermark has been waiting for the disk for {waited_s:.1f} s"
        return self._failure

    def note(self, id: EntryId, head: bytes) -> None:
        """Remembers the pair to be written; never waits. Cost: 0.1 µs."""
        self._latest = (id, head)

    def close(self) -> None:
        """Writes the last mark, if the disk takes it in time, and ends the thread."""
        self._stopping.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while True:
            stopping = self._stopping.wait(INTERVAL_S)
            due = self._due()
            if due is not None:
                self._write(*due)
            if stopping:
                return

    def _find(self) -> tuple[EntryId, bytes] | None:
        """The mark that the process has left before; None for none. One that cannot be read was judged by who reads the
        chain, and is written again."""
        path = path_of(self._data, self._process)
        if not os.path.lexists(path):
            return None
        try:
            mark = _read(path)
        except BadWatermark as error:
            self._say(logging.WARNING, str(error))
            self._seen = None
            return None
        return mark.id, mark.head

    def _due(self) -> tuple[EntryId, bytes] | None:
        """What is to be written now; None if the file has it."""
        latest, written = self._latest, self._written
        if latest is not None and (written is None or latest[0] > written[0]):
            return latest
        # Also where nothing new was noted: what was damaged while the venue idles would keep a process down later.
        return written if self._failure or self._identity_of_mark() != self._seen else None

    def _identity_of_mark(self) -> tuple[int, ...] | None:
        """What changes with the file or its folder; None if one of them is missing. Cost: 4 µs."""
        try:
            folder, mark = os.lstat(self._data / FOLDER_NAME), os.lstat(path_of(self._data, self._process))
        except OSError:
            return None
        return folder.st_mode, mark.st_dev, mark.st_ino, mark.st_mode, mark.st_size, mark.st_mtime_ns, mark.st_ctime_ns

    def _check_folder(self) -> None:
        """Raises OSError if the data folder is not the one that it was: another one in its place may be another venue's."""
        if _identity(self._data) != self._folder:
            raise FileNotFoundError(errno.ENOENT, "the data folder was removed or replaced")

    def _write(self, id: EntryId, head: bytes) -> None:
        self._began_s = time.monotonic()
        try:
            self._check_folder()
            write_watermark(self._data, self._process, id, head)
        except Exception as error:
            reason = (isinstance(error, OSError) and error.strerror) or repr(error)
            failure = f"the watermark {path_of(self._data, self._process)} cannot be written: {reason}"
            if failure != self._failure:
                self._say(logging.ERROR, f"{failure}; trying again")
            self._failure = failure
            return
        finally:
            self._began_s = None
        if self._failure:
            self._say(logging.INFO, "the watermark can be written again")
        self._failure, self._written, self._seen = "", (id, head), self._identity_of_mark()
