"""The log of `jibek up` itself, `logs/up.log`, in the format of all logs.

Why a venue did not start, why a process was restarted or stays down, and why the venue has ended are in it. What is said
before the data folder is there and locked waits until it is: before that the log may be another venue's.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path

from engine.process.log_lines import LogLine
from engine.process.wall_clock import wall_s
from jibek.venue.log_file import LogFile

UP = "up"
"""The name of `jibek up` in its log."""
EARLY_LINES_MAX = 100


class UpLog:
    """Raises nothing, whatever the disk does.

    Args:
        path: of the file in use.
        log_format: one of `LOG_FORMATS`.
        is_launched: whether another process has started this one. Then whatever is written to standard output and error leads
            into the file in use, too.
        clock: seconds since 1970 UTC.
    """

    def __init__(
        self, path: Path, log_format: str, *, is_launched: bool = False, clock: Callable[[], float] = wall_s
    ) -> None:
        self._format = log_format
        self._clock = clock
        self._file = LogFile(path, say_lost=self._lost_line, captured=(1, 2) if is_launched else ())
        self._lock = threading.Lock()
        """Lines come from the threads of `jibek up`, too."""
        self._is_open = False
        self._early: deque[bytes] = deque(maxlen=EARLY_LINES_MAX)

    def open(self) -> None:
        """From here on lines go into the file; first those that were said before."""
        self._is_open = True
        while self._early:
            self._file.write(self._early.popleft())

    def open_if_ours(self, is_in_use: Callable[[], bool]) -> None:
        """Opens the file if its folder is there already and belongs to this user, and no venue writes into it: for a start that
        was refused before it had locked the data folder.

        Args:
            is_in_use: whether a venue runs on the data folder; it may raise an OSError.
        """
        if self._is_open:
            return
        try:
            if is_in_use():
                return
            found = os.lstat(self._file.path.parent)
        except OSError:
            return
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            self.open()

    def write(self, text: str, level: int = logging.INFO) -> None:
        """Writes one line.

        Args:
            text: one sentence or more, on any number of lines.
            level: of the standard library's `logging`.
        """
        self._write(self._line(text, level))

    def watch_threads(self) -> None:
        """Writes what ends a thread of this process from here on, too."""

        def ended(found: threading.ExceptHookArgs) -> None:
            name = found.thread.name if found.thread is not None else "unknown"
            if found.exc_value is not None:
                self.write_defect(found.exc_value, f"the thread {name} ended by")

        threading.excepthook = ended

    def write_defect(self, error: BaseException, what: str = "ended by") -> None:
        """Writes what has ended `jibek up`, or a part of it, that no code has foreseen, with its traceback."""
        trace = "".join(traceback.format_exception(error)).rstrip("\n")
        self._write(self._line(f"{what} {type(error).__name__}", logging.CRITICAL, trace))

    def on_time(self) -> None:
        """Says that lines were lost, if they can be written again."""
        self._file.on_time()

    def _write(self, line: bytes) -> None:
        with self._lock:
            if self._is_open:
                self._file.write(line)
            else:
                self._early.append(line)

    def _lost_line(self, lines: int, why: str) -> bytes:
        return self._line(f"lost log lines: {lines} ({why})", logging.WARNING)

    def _line(self, text: str, level: int, trace: str = "") -> bytes:
        line = LogLine(self._clock(), UP, os.getpid(), logging.getLevelName(level), "", text, trace)
        return line.text(self._format).encode("utf-8", "backslashreplace") + b"\n"
