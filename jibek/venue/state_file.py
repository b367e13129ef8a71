"""The state of a running venue in a file, `venue.json`: written three times a second by `jibek up`, read by commands.

It must be written when the disk is full, too. So its blocks are allocated once, at the start, and then written over in
place: the document is padded with spaces to the size of the file. A reader may come in the middle of that; the CRC-32 in the
document shows it, and the reader tries again.

`written_s` in it is the system's monotonic clock, which all processes of the machine share and which no one can set: a
reader sees from it how old the state is.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from engine.process.private_files import read_private_json

FILE_BYTES = 32 << 10
"""Of the file. The document has some 1 to 4 KB; sentences in it are cut, so it never outgrows this."""
READ_ATTEMPTS = 50
READ_PAUSE_S = 0.002
STALE_S = 2.0
"""A state that is older was left by a supervisor that does not get on."""


class UnreadableState(Exception):
    """The file is no state of a venue."""


class StateFile:
    """The writer's side. `open` once, `write` as often as there is something to say, `remove` at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault = ""
        """Why the state could not be written the last time; the empty text if it was."""
        self._fd: int | None = None

    def open(self) -> None:
        """Allocates a new file next to the old one, which `write` puts in its place.

        Raises:
            OSError: the disk has no room for it.
        """
        self._close()
        temporary = self.path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # Written, not only reserved: some file systems have no other way.
            os.write(fd, b" " * FILE_BYTES)
        except OSError:
            os.close(fd)
            temporary.unlink(missing_ok=True)
            raise
        self._fd = fd

    def write(self, facts: Mapping[str, Any]) -> None:
        """Writes the state; what hinders it is in `fault` afterwards, and the next call tries again. Never raises.
        Cost: 0.1 ms, no fsync."""
        try:
            if self._fd is None or not self._is_in_place():
                self.open()
                self._overwrite(facts)
                self.path.with_suffix(".new").replace(self.path)
            else:
                self._overwrite(facts)
            self.fault = ""
        except OSError as error:
            self.fault = f"{self.path.name} cannot be written: {error.strerror or error}"

    def _is_in_place(self) -> bool:
        """Whether the path still leads to this file: somebody may have removed it, or its folder."""
        assert self._fd is not None
        try:
            return os.path.samestat(os.fstat(self._fd), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _overwrite(self, facts: Mapping[str, Any]) -> None:
        assert self._fd is not None
        document = encode(facts)
        assert len(document) <= FILE_BYTES
        os.pwrite(self._fd, document.ljust(FILE_BYTES), 0)

    def remove(self) -> None:
        """Removes the file, if it is there; once it was written, only if it is still this one, not another venue's."""
        try:
            if self._fd is not None and not self._is_in_place():
                return
        finally:
            self._close()
        for path in (self.path, self.path.with_suffix(".new")):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def encode(facts: Mapping[str, Any]) -> bytes:
    """The document of a state, with the time and its checksum."""
    document = {**facts, "written_s": round(time.monotonic(), 3)}
    return json.dumps({**document, "crc32": _checksum(document)}, indent=1).encode()


def read_state(path: Path) -> dict[str, Any]:
    """The state in a file, whole.

    Raises:
        OSError: there is no such file, or it cannot be read.
        UnsafePath: it is a link, another user's, or others may write to it.
        UnreadableState: it holds something else.
    """
    error: Exception = UnreadableState("it is empty")
    for attempt in range(READ_ATTEMPTS):
        if attempt:
            time.sleep(READ_PAUSE_S)
        try:
            return _verified(read_private_json(path))
        except (ValueError, RecursionError, UnreadableState) as failure:
            error = failure
    raise UnreadableState(str(error))


def _verified(document: dict[str, Any]) -> dict[str, Any]:
    checksum = document.pop("crc32", None)
    if checksum is not None and checksum != _checksum(document):
        raise UnreadableState("its checksum is wrong")
    return document


def _checksum(document: Mapping[str, Any]) -> int:
    return crc32(json.dumps(document, sort_keys=True).encode())


def age_s(written_s: float | None, now_s: float) -> float:
    """How old a state is; 0 if it does not say, or says what cannot be, as after a restart of the machine.

    >>> age_s(10.0, 12.5), age_s(None, 1.0), age_s(10.0, 1.0)
    (2.5, 0.0, 0.0)
    """
    return 0.0 if written_s is None else max(0.0, now_s - written_s)
