"""The watermark: how far the chain had come, kept outside the store.

A store that was restored from an old copy, or that lost its tail, has an unbroken chain that merely ends too early. The
pair (id, head) in a file of the data folder shows it (promise P5). The file is written at most 100 ms behind, by a
thread of its own, so that its fsync costs the matching nothing.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from engine.journal import BEGINNING, GENESIS_HEAD, EntryId

FILE_NAME = "watermark.json"
INTERVAL_S = 0.05


class BadWatermark(Exception):
    """The file is there, but it is not a watermark."""


def read_watermark(data: Path) -> tuple[EntryId, bytes]:
    """The pair last written in the data folder; the beginning of the chain if there is no file.

    Raises:
        BadWatermark: the file is there, but it is not a watermark.
    """
    try:
        text = (data / FILE_NAME).read_text()
    except FileNotFoundError:
        return BEGINNING, GENESIS_HEAD
    try:
        document = json.loads(text)
        return EntryId.parse(document["id"]), bytes.fromhex(document["head"])
    except (ValueError, KeyError, TypeError):
        raise BadWatermark(f"{data / FILE_NAME} is not a watermark; restore it or remove it knowingly") from None


def write_watermark(data: Path, id: EntryId, head: bytes) -> None:
    """Replaces the file atomically; on return it is on disk. Cost: two fsyncs."""
    temporary = data / (FILE_NAME + ".new")
    with temporary.open("w") as file:
        json.dump({"id": str(id), "head": head.hex()}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(data / FILE_NAME)
    folder = os.open(data, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class WatermarkWriter:
    """Writes the newest pair every 50 ms if it has changed; `close` writes the last one."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.fault = ""
        """Why the newest pair is not on disk; the empty text if it is, or is about to be."""
        self._latest: tuple[EntryId, bytes] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watermark", daemon=True)
        self._thread.start()

    def note(self, id: EntryId, head: bytes) -> None:
        """Remembers the pair to be written; never waits."""
        self._latest = (id, head)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        written = None
        while True:
            stopping = self._stopping.wait(INTERVAL_S)
            latest = self._latest
            if latest is not None and latest is not written:
                try:
                    write_watermark(self.data, *latest)
                except OSError as error:
                    self.fault = f"it cannot be written: {error}"
                else:
                    written, self.fault = latest, ""
            if stopping:
                return
