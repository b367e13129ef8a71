"""A log file that is bounded, and that never stops who writes to it.

    x.log      in use
    x.log.1    the newest of the old files
    x.log.2 …  the older ones; the last of them is deleted when one more is needed

A file that would grow beyond its size becomes an old one. A file that was removed or renamed by somebody else, as logrotate
does, is made again with the next line. The folder above is opened once: if that is moved, the log goes with it, and nothing is
written into another folder that is put in its place. The disk may be full, or the folder be gone: then lines are lost, and
counted. The next line that can be written comes behind one that says how many.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOG_BYTES_MAX = 4 << 20
"""Size at which a log becomes an old one."""
OLD_FILES = 3
"""Old files that are kept of each log."""

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without waiting for a reader, if there is a pipe under the name: it is no log.
_FILE_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


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
        self._above, self._folder, self._use = _Opened(), _Opened(), _Opened()
        """The folder above, the folder, and the file in use."""

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
        """Closes what is open; the next line opens it again."""
        for each in (self._use, self._folder, self._above):
            each.close()

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
        if self._above.fd is None:
            # This one may be a link; whether it is a data folder is not for a log to judge.
            self._above.fd = os.open(self.path.parent.parent, _FOLDER_FLAGS & ~os.O_NOFOLLOW)
        folder = self._folder
        if not folder.is_at(self.path.parent.name, self._above.fd):
            folder.close()
            with suppress(FileExistsError):
                os.mkdir(self.path.parent.name, 0o700, dir_fd=self._above.fd)
            folder.open(self.path.parent.name, _FOLDER_FLAGS, self._above.fd)
        use = self._use
        if use.fd is None or not use.is_at(self.path.name, folder.fd):
            use.close()
            use.open(self.path.name, _FILE_FLAGS, folder.fd)
            assert use.fd is not None
            found = os.fstat(use.fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                use.close()
                raise OSError(errno.EPERM, f"{self.path.name} is no file of this user")
            if found.st_mode & 0o077:
                os.fchmod(use.fd, 0o600)
            for captured in self._captured:
                os.dup2(use.fd, captured)
        assert use.fd is not None
        return use.fd

    def _rotate(self) -> None:
        """Makes the file in use an old one. Raises OSError."""
        folder_fd = self._folder.fd
        names = [self.path.name, *(old_file(self.path, number).name for number in range(1, self._old_files + 1))]
        for newer, older in reversed(list(itertools.pairwise(names))):
            try:
                os.replace(newer, older, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            except FileNotFoundError:
                if newer == self.path.name:
                    raise


class _Opened:
    """What is open of a file or folder, and which one it is."""

    def __init__(self) -> None:
        self.fd: int | None = None
        self._identity = (0, 0)

    def open(self, name: str, flags: int, folder_fd: int | None) -> None:
        """Raises OSError."""
        self.fd = os.open(name, flags, 0o600, dir_fd=folder_fd)
        found = os.fstat(self.fd)
        self._identity = found.st_dev, found.st_ino

    def is_at(self, name: str, folder_fd: int | None) -> bool:
        """Whether it is what has this name in a folder now. Raises OSError."""
        try:
            found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return self.fd is not None and (found.st_dev, found.st_ino) == self._identity

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def old_file(path: Path, number: int) -> Path:
    """The old file of this number; 1 is the newest.

    >>> str(old_file(Path("logs/up.log"), 1))
    'logs/up.log.1'
    """
    return path.with_name(f"{path.name}.{number}")
