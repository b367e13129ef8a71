"""A log file that is bounded, and that never stops who writes to it.

    x.log      in use
    x.log.1    the newest of the old files
    x.log.2 …  the older ones; the last of them is deleted when one more is needed

A file that would grow beyond its size becomes an old one. A file that was removed or renamed by somebody else, as logrotate
does, is made again with the next line. The disk may be full, or the folder be gone: then lines are lost, and
counted. The next line that can be written comes behind one that says how many.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOG_BYTES_MAX = 4 << 20
"""Size at which a log becomes an old one."""
OLD_FILES = 3
"""Old files that are kept of each log."""


def lost_line(lines: int, why: str) -> bytes:
    """What a log without a format says of lines that were lost."""
    return f"lost log lines: {lines} ({why})\n".encode()


class LogFile:
    """
    Args:
        path: of the file in use; its folder is made if it is missing, if the folder above is there.
        bytes_max: its size. Only a single line may pass it.
        say_lost: makes the line about lost lines, from their number and what the system said.
        captured: file descriptors, such as 2 for standard error, that are made to lead into the file in use.
    """

    def __init__(
        self,
        path: Path,
        bytes_max: int = LOG_BYTES_MAX,
        old_files: int = OLD_FILES,
        *,
        say_lost: Callable[[int, str], bytes] = lost_line,
        captured: tuple[int, ...] = (),
    ) -> None:
        self.path = path
        self.lost = 0
        """Lines that could not be written since the last one that could."""
        self._bytes_max = bytes_max
        self._old_files = old_files
        self._say_lost = say_lost
        self._captured = captured
        self._why_lost = ""
        self._fd: int | None = None
        self._file = (0, 0)
        """Device and inode of the file in use."""

    def write(self, line: bytes) -> None:
        """Writes a line, which ends with its line break. It raises nothing: a line that cannot be written is counted."""
        try:
            self._write_lost()
            self._append(line)
        except OSError as error:
            if not self.lost:
                self._why_lost = error.strerror or str(error)
            self.lost += 1

    def on_time(self) -> None:
        """Says that lines were lost, if there is room again. Cost: nothing if none was."""
        with suppress(OSError):
            self._write_lost()

    def fileno(self) -> int:
        """The descriptor of the file in use, for the output of a process that is started; it stays this object's own.

        Raises:
            OSError: the file cannot be opened.
        """
        return self._prepared(0)

    def close(self) -> None:
        """Closes the file; the next line opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write_lost(self) -> None:
        if self.lost:
            self._append(self._say_lost(self.lost, self._why_lost))
            self.lost = 0

    def _append(self, line: bytes) -> None:
        """Raises OSError: not the whole line was written; then nothing of it is in the file."""
        fd = self._prepared(len(line))
        size = os.fstat(fd).st_size
        if os.write(fd, line) != len(line):
            with suppress(OSError):
                os.ftruncate(fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _prepared(self, more_bytes: int) -> int:
        """The descriptor of a file in use that has room for so much. Raises OSError."""
        fd = self._opened()
        size = os.fstat(fd).st_size
        if size and size + more_bytes > self._bytes_max:
            self._rotate()
            fd = self._opened()
        return fd

    def _opened(self) -> int:
        """The descriptor of the file that is under the path now. Raises OSError."""
        try:
            found = os.lstat(self.path)
            is_there = (found.st_dev, found.st_ino) == self._file
        except FileNotFoundError:
            is_there = False
        if self._fd is not None and is_there:
            return self._fd
        self.close()
        # Without waiting for a reader, if there is a pipe under this name: it is no log.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(self.path, flags, 0o600)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, f"{self.path.name} is no file")
        self._fd, self._file = fd, (status.st_dev, status.st_ino)
        for captured in self._captured:
            os.dup2(fd, captured)
        return fd

    def _rotate(self) -> None:
        """Makes the file in use an old one. Raises OSError."""
        for number in range(self._old_files - 1, 0, -1):
            with suppress(FileNotFoundError):
                os.replace(old_file(self.path, number), old_file(self.path, number + 1))
        os.replace(self.path, old_file(self.path, 1))


def old_file(path: Path, number: int) -> Path:
    """The old file of this number; 1 is the newest.

    >>> str(old_file(Path("logs/up.log"), 1))
    'logs/up.log.1'
    """
    return path.with_name(f"{path.name}.{number}")
