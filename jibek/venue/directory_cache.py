"""The copy of the entries that define something, in a file of the data folder, so that a command need not read them again.

    directory.cache   records of  id (2 × 64 bits) · head (32 bytes) · length (32 bits) · event entry · check (16 bytes)

The check of a record covers the record and the check before it, so a record that was changed, removed or moved shows. A
record without an event entry says how far the events have been read. The file is only ever appended to. You may delete it
at any time; a command deletes it when it is damaged or when its end is not in the chain of the store. Of what is no file
of this user alone (a link, a pipe, a folder) nothing is read, and nothing written to it; what can be deleted is.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from engine.journal import BEGINNING, EntryId, PublishedEntry
from engine.process.private_files import open_private, read_private

CACHE_FILE = "directory.cache"

_RECORD = struct.Struct("<QQ32sI")
_CHECK_BYTES = 16
_NO_DIGEST = bytes(32)
"""Of an entry from the cache: it was verified when it was read from the store, and the entries before it are left out."""
_NO_SIZE = -1
"""No file has this size: nothing is appended."""


class CacheUnusable(Exception):
    """The cache is damaged, or belongs to another store."""


class DirectoryCache:
    """The cache of a data folder. Read it to its end, then append what comes next.

    Args:
        defines: whether an event entry may define something; only such entries are kept whole.
    """

    def __init__(self, data: Path, defines: Callable[[bytes], bool]) -> None:
        self._path = data / CACHE_FILE
        self._defines = defines
        self._check = bytes(_CHECK_BYTES)
        """Of the last record."""
        self._size = 0
        """Of the file, as far as it was read or written here."""

    def read(self) -> Iterator[PublishedEntry]:
        """The records, in ascending order of ids. Their events are empty where they define nothing.

        Raises:
            CacheUnusable: the file is damaged, or cannot be read.
        """
        try:
            data = read_private(self._path)
        except FileNotFoundError:
            return
        except OSError:
            raise CacheUnusable from None
        position = 0
        last: EntryId = BEGINNING
        while position < len(data):
            try:
                epoch, sequence, head, length = _RECORD.unpack_from(data, position)
            except struct.error:
                raise CacheUnusable from None
            end = position + _RECORD.size + length
            check = self._next_check(data[position:end])
            id = EntryId(epoch, sequence)
            if data[end : end + _CHECK_BYTES] != check or id <= last:
                raise CacheUnusable
            yield PublishedEntry(id, head, _NO_DIGEST, data[position + _RECORD.size : end])
            last, self._check, position = id, check, end + _CHECK_BYTES
        self._size = position

    def append(self, entries: Sequence[PublishedEntry]) -> None:
        """Adds the entries that define something, and how far the entries reach, in one write. If another command has
        appended since this one has read, nothing is added: that command adds the same.

        A disk that takes no writes costs the next command some time, and must not cost this one its effect: then nothing is
        added, now or later."""
        kept = [entry for entry in entries if self._defines(entry.data)]
        if not kept or kept[-1] is not entries[-1]:
            kept.append(entries[-1]._replace(data=b""))
        try:
            self._write(kept)
        except OSError:
            self._size = _NO_SIZE

    def _write(self, entries: Sequence[PublishedEntry]) -> None:
        fd = open_private(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_size == self._size:
                self._size += os.write(fd, b"".join(self._record(entry) for entry in entries))
        finally:
            os.close(fd)

    def delete(self) -> None:
        """Deletes the file, and begins a new one; on a disk that takes no writes, none."""
        self._check, self._size = bytes(_CHECK_BYTES), 0
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            self._size = _NO_SIZE

    def _record(self, entry: PublishedEntry) -> bytes:
        record = _RECORD.pack(*entry.id, entry.head, len(entry.data)) + entry.data
        self._check = self._next_check(record)
        return record + self._check

    def _next_check(self, record: bytes) -> bytes:
        return sha256(self._check + record).digest()[:_CHECK_BYTES]
