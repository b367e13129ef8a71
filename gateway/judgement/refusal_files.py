"""The files of the record of refusals. All of this blocks: it is called in a thread of its own.

    refusals/gateway-16.jsonl                               the one in use
    refusals/gateway-16-20261126T103000.000123Z.jsonl       closed ones, by the time when they were closed

A file is closed when it is large enough, when a new day (UTC) begins, and when the gateway stops. A closed file never
changes. When all closed files of a gateway together are too large, the oldest are deleted.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from engine.process.private_files import make_private_folder
from gateway.limits import REFUSAL_FILE_BYTES_MAX, REFUSALS_BYTES_MAX

DAY_US = 86_400_000_000


class RefusalFiles:
    """Appends to the file in use, and closes it in time.

    Args:
        folder: is made, for its owner alone, with the first line.
        name: what all names begin with.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._in_use = folder / f"{name}.jsonl"
        self._file: BinaryIO | None = None
        self._day = 0

    def write(self, lines: bytes, time_us: int) -> None:
        """Appends whole lines. Raises OSError."""
        day = time_us // DAY_US
        file = self._file
        if file is not None and os.fstat(file.fileno()).st_nlink == 0:
            # Somebody has removed it: no one would read what is written to it now.
            file.close()
            file = self._file = None
        if file is not None and (day != self._day or file.tell() + len(lines) > REFUSAL_FILE_BYTES_MAX):
            self.close()
            file = None
        if file is None:
            file = self._open()
            self._day = day
        # What a full disk took of a line must not stand in front of the next one.
        size = file.tell()
        try:
            written = 0
            while written < len(lines):
                written += file.write(lines[written:])
        except OSError:
            os.truncate(file.fileno(), size)
            file.seek(size)
            raise

    def close(self) -> None:
        """Closes the file in use, if there is one, and deletes the oldest where there are too many bytes. Raises OSError."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
        if self._in_use.exists():
            closed = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            self._in_use.rename(self._folder / f"{self._name}-{closed}.jsonl")
            self._prune()

    def _open(self) -> BinaryIO:
        make_private_folder(self._folder)
        # What a process that was killed has left may end within a line.
        self.close()
        descriptor = os.open(self._in_use, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = open(descriptor, "wb", buffering=0)  # noqa: SIM115  # kept open until the next rotation
        return self._file

    def _prune(self) -> None:
        closed = sorted(self._folder.glob(f"{self._name}-*.jsonl"))
        sizes = [path.stat().st_size for path in closed]
        left = sum(sizes)
        for path, size in zip(closed, sizes, strict=True):
            if left <= REFUSALS_BYTES_MAX:
                return
            path.unlink()
            left -= size
