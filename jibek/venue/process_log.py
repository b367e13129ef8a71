"""The log of one process: what it writes to its standard output and error, one line an event.

A service writes finished lines to standard error (`engine.process.log_lines`), and they go into the log as they are. All
else becomes the message of a line that is made here: what a service reports to `jibek up` when it is ready, the lines of the
store, which have a format of their own, and what an interpreter writes that cannot begin or has to end.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.process.log_lines import JSON, PLAIN, LogLine, bounded, escaped, without_tokens
from engine.process.wall_clock import wall_s
from jibek.venue.log_file import LOG_BYTES_MAX, OLD_FILES, LogFile

PIECE_BYTES_MAX = 128 << 10
"""Longest line that is taken in one piece; what is longer is cut there. No service writes one."""
LAST_LINES = 3
LAST_LINES_KEPT = 20
QUOTED_CHARACTERS_MAX = 1000

_FINISHED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (?P<process>[\w-]+)\[\d+\] \S+ [A-Z]+ ")
_OF_STORE = re.compile(
    r"(?P<pid>\d+):[A-Z] \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} (?P<level>[.\-*#]) (?P<text>.*)", re.DOTALL
)
_STORE_LEVELS = {".": "DEBUG", "-": "DEBUG", "*": "INFO", "#": "WARNING"}


class ProcessLog:
    """
    Args:
        path: of the file in use.
        name: of the process.
        log_format: one of `LOG_FORMATS`.
        clock: seconds since 1970 UTC.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        log_format: str = PLAIN,
        *,
        bytes_max: int = LOG_BYTES_MAX,
        old_files: int = OLD_FILES,
        clock: Callable[[], float] = wall_s,
    ) -> None:
        self.path = path
        self._name = name
        self._format = log_format
        self._clock = clock
        self._file = LogFile(path, bytes_max, old_files, say_lost=self._lost_line)
        self._pid = 0
        self._entry = ""
        """The entry that the process has named when it was ready."""
        self._unfinished: dict[bool, bytes] = {}
        """The beginning of a line whose end is yet to come, of standard output (True) and of standard error."""
        self._last: deque[str] = deque(maxlen=LAST_LINES_KEPT)

    def begin_run(self, pid: int) -> None:
        """What is taken from here on is of this process."""
        self._pid = pid
        self._entry = ""
        self._unfinished.clear()
        self._last.clear()

    def take(self, data: bytes, *, is_report: bool) -> None:
        """Takes what the process has written; lines may come in pieces. Raises nothing.

        Args:
            is_report: whether it is from standard output, by which a process reports to `jibek up`.
        """
        *lines, rest = (self._unfinished.get(is_report, b"") + data).split(b"\n")
        if len(rest) > PIECE_BYTES_MAX:
            lines.append(rest)
            rest = b""
        self._unfinished[is_report] = rest
        self._take_lines(lines, is_report)

    def end_run(self) -> None:
        """Takes the lines that the process has not ended."""
        for is_report, rest in self._unfinished.items():
            self._take_lines([rest] if rest else [], is_report)
        self._unfinished.clear()

    def last_lines(self, count: int = LAST_LINES) -> str:
        """The last lines of this run, at most 20, for an error message; also if they could not be written."""
        return "\n".join(list(self._last)[-count:])

    def on_time(self) -> None:
        """Says that lines were lost, if they can be written again."""
        self._file.on_time()

    def close(self) -> None:
        self._file.close()

    # -- lines

    def _take_lines(self, lines: list[bytes], is_report: bool) -> None:
        foreign: list[str] = []
        for line in lines:
            text = line[:PIECE_BYTES_MAX].decode("utf-8", "backslashreplace").rstrip("\r")
            if is_report:
                self._take_report(text)
            elif self._is_finished(text):
                self._write_foreign(foreign)
                self._write(escaped(text), text)
            elif (found := _OF_STORE.fullmatch(text)) is not None:
                self._write_foreign(foreign)
                self._write_of_store(found)
            elif text.strip():
                foreign.append(text)
        self._write_foreign(foreign)

    def _is_finished(self, text: str) -> bool:
        """Whether the process has made the line itself."""
        if text.startswith("{"):
            found = _json_object(text)
            return found is not None and found.get("process") == self._name and "message" in found
        found_head = _FINISHED.match(text)
        return found_head is not None and found_head["process"] == self._name

    def _take_report(self, text: str) -> None:
        """A report to `jibek up` is no event for the log, but that the process is ready is one."""
        found = _json_object(text)
        if found is None:
            if (of_store := _OF_STORE.fullmatch(text)) is not None:
                self._write_of_store(of_store)
            elif text.strip():
                self._write_line("INFO", text)
        elif found.pop("ready", None) is True:
            found.pop("time", None)
            self._entry = str(found.get("cursor", ""))
            # The facts are our own, and whole: the state hash of an engine that begins is for who compares it.
            line = LogLine(self._clock(), self._name, self._pid, "INFO", self._entry, "ready", fields=found)
            more = "" if self._format == JSON else f" {escaped(json.dumps(found))}"
            self._write(line.text(self._format) + more, line.message)

    def _write_of_store(self, found: re.Match[str]) -> None:
        line = LogLine(
            self._clock(), self._name, int(found["pid"]), _STORE_LEVELS[found["level"]], "", found["text"].strip()
        )
        self._write(line.text(self._format), line.message)

    def _write_foreign(self, lines: list[str]) -> None:
        """Lines of another form that came together are one event, for example a traceback."""
        if lines:
            self._write_line("ERROR", "\n".join(lines))
            lines.clear()

    def _write_line(self, level: str, message: str) -> None:
        line = LogLine(self._clock(), self._name, self._pid, level, self._entry, message)
        self._write(line.text(self._format), message)

    def _write(self, text: str, quoted: str) -> None:
        """Writes a line.

        Args:
            quoted: what an error message quotes of it.
        """
        self._last.append(escaped(bounded(without_tokens(quoted), QUOTED_CHARACTERS_MAX)))
        self._file.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def _lost_line(self, lines: int, why: str) -> bytes:
        message = f"lost log lines: {lines} ({why})"
        line = LogLine(self._clock(), self._name, self._pid, "WARNING", self._entry, message)
        return line.text(self._format).encode() + b"\n"


def _json_object(text: str) -> dict[str, Any] | None:
    """The object that a line holds; None if it holds none."""
    try:
        found = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
