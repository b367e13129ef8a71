"""Reads the logs of a venue: the last lines of one, across its old files, and the lines that come.

Memory is bounded whatever is in a file: files are read in blocks, and a line that is longer than any of ours comes in pieces.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from engine.process.private_files import open_private
from jibek.venue.log_file import OLD_FILES, old_file

BLOCK_BYTES = 64 << 10
LINE_BYTES_MAX = 256 << 10
"""A longer line comes in pieces."""

_TIME = re.compile(r'(?:\{"time":")?(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)Z')
_AGE = re.compile(r"(?P<number>\d{1,9})(?P<unit>[smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def files_of(path: Path, old_files: int = OLD_FILES) -> list[Path]:
    """The files of a log that are there, the oldest first."""
    names = [*(old_file(path, number) for number in range(old_files, 0, -1)), path]
    return [name for name in names if name.exists()]


def last_lines(path: Path, count: int, since: datetime.datetime | None = None) -> Iterator[str]:
    """The last lines of a log, its old files included; without their line breaks.

    Args:
        count: how many at most.
        since: only those from this time on; a line without a time goes with the one before it.

    Raises:
        OSError: a file cannot be read.
    """
    is_due = since is None
    with ExitStack() as stack:
        # All are opened before one is read: a file that becomes an old one meanwhile stays the same.
        files: list[BinaryIO] = []
        for file_path in reversed(files_of(path)):
            if count <= 0:
                break
            with suppress(FileNotFoundError):
                file = stack.enter_context(_opened(file_path))
                if any(os.path.sameopenfile(file.fileno(), newer.fileno()) for newer in files):
                    continue
                offset, found = _offset_of_last(file, count)
                file.seek(offset)
                files.append(file)
                count -= found
        for opened in reversed(files):
            while line := opened.readline(LINE_BYTES_MAX):
                text = line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
                is_due = is_due or _is_since(text, since)
                if is_due:
                    yield text


def _opened(path: Path) -> BinaryIO:
    """Raises OSError, UnsafePath among it: a log is a file of this user, and no link."""
    return os.fdopen(open_private(path, os.O_RDONLY), "rb")


def _offset_of_last(file: BinaryIO, count: int) -> tuple[int, int]:
    """Where the last `count` lines of a file begin, and how many they are."""
    position = file.seek(0, os.SEEK_END)
    end, found = position, 0
    while position > 0:
        start = max(0, position - BLOCK_BYTES)
        file.seek(start)
        block = file.read(position - start)
        # The line break at the very end begins no line.
        at = len(block) - 1 if position == end else len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found == count:
                return start + at + 1, found
        position = start
    return 0, found + (end > 0)


def _is_since(text: str, since: datetime.datetime | None) -> bool:
    found = _TIME.match(text)
    return found is not None and since is not None and _time_of(found["time"]) >= since


def _time_of(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    except ValueError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def since_time(text: str, now: datetime.datetime) -> datetime.datetime:
    """A time as an operator writes it: how long ago (`30s`, `10m`, `2h`, `1d`), or a moment of UTC in ISO 8601.

    >>> moment = datetime.datetime(2026, 11, 26, 10, 30, tzinfo=datetime.UTC)
    >>> since_time("10m", moment).isoformat(), since_time("2026-11-26T09:00", moment).isoformat()
    ('2026-11-26T10:20:00+00:00', '2026-11-26T09:00:00+00:00')

    Raises:
        ValueError: it is neither.
    """
    age = _AGE.fullmatch(text)
    if age is not None:
        try:
            return now - datetime.timedelta(seconds=int(age["number"]) * _UNIT_S[age["unit"]])
        except OverflowError:
            return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    moment = datetime.datetime.fromisoformat(text)
    return moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment


class LogFollower:
    """The lines that come to a log, also when its file becomes an old one and a new one takes its place.

    It begins at the end of what is there. A log that is not there yet is read from its beginning when it comes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._unfinished = b""
        self._open(path)
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def new_lines(self) -> Iterator[str]:
        """What was added since the last call, without line breaks; a line whose end is yet to come waits."""
        yield from self._lines()
        if self._is_in_use():
            return
        # What was written to it between the read above and its end as the file in use.
        yield from self._lines()
        for path in self._successors():
            self._open(path)
            yield from self._lines()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lines(self) -> Iterator[str]:
        if self._file is None:
            return
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
        while data := self._file.readline(LINE_BYTES_MAX):
            self._unfinished += data
            if data.endswith(b"\n") or len(self._unfinished) >= LINE_BYTES_MAX:
                line, self._unfinished = self._unfinished, b""
                yield line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")

    def _is_in_use(self) -> bool:
        """Whether the file that is read is the one under the path, or there is none under the path."""
        try:
            found = os.stat(self.path)
        except OSError:
            return True
        return self._file is not None and os.path.samestat(found, os.fstat(self._file.fileno()))

    def _successors(self) -> list[Path]:
        """The files that have come after the one that is read, the oldest first; the file in use if that one is gone."""
        files = files_of(self.path)
        if self._file is not None:
            here = os.fstat(self._file.fileno())
            for index, path in enumerate(files):
                try:
                    is_here = os.path.samestat(os.stat(path), here)
                except OSError:
                    continue
                if is_here:
                    return files[index + 1 :]
        return files[-1:]

    def _open(self, path: Path) -> None:
        self.close()
        self._unfinished = b""
        try:
            self._file = _opened(path)
        except OSError:
            self._file = None
