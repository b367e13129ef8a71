"""What the machine's clocks showed last, kept in the data folder: so a clock that was set while the engine was down shows.

    DATA/clocks.json   {"boot": …, "low_us": …, "high_us": …, "at_us": …}

The clock since the start of the machine goes on when the engine is down, and begins again with the machine. So the file counts
only as long as the machine has not been started again. It is a help: without it the venue runs as well.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from pathlib import Path

from engine.process.private_files import read_private_json, replace_private
from engine.service.clocks import Baseline

FILE_NAME = "clocks.json"
CLOSE_S = 2.0
"""How long the end of the process waits for the last write: a disk that hangs must not hold it up."""


def boot_id() -> str:
    """Names this start of the machine; empty where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # A container may have a clock since the start of its own.
        return f"{boot} {os.readlink('/proc/self/ns/time')}"
    except OSError:
        return ""


class ClockFile:
    """Reads the file, and writes it on a thread of its own. Nothing that goes wrong is raised.

    Args:
        data: the data folder.
        boot: names this start of the machine; empty: nothing is read or written.
    """

    def __init__(self, data: Path, log: logging.Logger, boot: str | None = None) -> None:
        self._path = data / FILE_NAME
        self._log = log
        self._boot = boot_id() if boot is None else boot
        self._latest: Baseline | None = None
        self._failure = ""
        self._is_closing = False
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def read(self) -> Baseline | None:
        """What was written since the machine was started; None if nothing was, or if it cannot be read."""
        try:
            document = read_private_json(self._path)
            if not self._boot or document["boot"] != self._boot:
                return None
            low_us, high_us, at_us = (document[name] for name in Baseline._fields)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        baseline = Baseline(low_us, high_us, at_us)
        is_sound = all(type(value) is int for value in baseline) and low_us <= high_us
        return baseline if is_sound else None

    def note(self, baseline: Baseline) -> None:
        """Has it written; never waits."""
        if not self._boot:
            return
        self._latest = baseline
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="clocks", daemon=True)
            self._thread.start()
        self._woken.set()

    def close(self) -> None:
        """Writes the last one, if the disk takes it in time, and ends the thread."""
        self._is_closing = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._is_closing:
            self._woken.wait()
            self._woken.clear()
            if self._latest is not None:
                self._write(self._latest)

    def _write(self, baseline: Baseline) -> None:
        text = json.dumps({"boot": self._boot, **baseline._asdict()})
        try:
            replace_private(self._path, text.encode())
        except Exception as error:
            failure = f"{self._path} cannot be written: {error}"
            if failure != self._failure:
                with contextlib.suppress(Exception):
                    self._log.warning("%s; a clock that is set while the engine is down will not show", failure)
            self._failure = failure
            return
        self._failure = ""
