"""The lines of a log: one line an event, plain or JSON.

    2026-11-26T10:30:00.123456Z engine[812] 1-42 WARNING the store cannot be used, trying again: no route to host
    {"time":"2026-11-26T10:30:00.123456Z","process":"engine","pid":812,"level":"WARNING","entry":"1-42","message":"…"}

The entry is the one of the journal that the process has taken last; `-`, or null, before there is one. What goes wrong
when a line is written is never raised: a process does not end because of its log.

Whatever a message says, these hold for its line:

- It is one line, without a control character or any other that a terminal does not print: those are escaped.
- It has a bounded length. The middle of a longer text is left out, since an error's end says most.
- It has no whole key id, secret or signature: of a run of 32 letters and digits the first eight are shown. No line of
  ours means to say one, but an error of a library or of the store may quote what it was given.

Lines alike, which come from one place in the code, are bounded to `LINES_ALIKE_PER_MINUTE_MAX`; the others are counted.
"""

from __future__ import annotations

import errno
import faulthandler
import json
import logging
import os
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from engine.process import wall_clock

LOG_FORMAT_VARIABLE = "JIBEK_LOG_FORMAT"
"""How a process writes its log lines; `jibek up --log-format` sets it for its children."""
PLAIN, JSON = LOG_FORMATS = ("plain", "json")

MESSAGE_CHARACTERS_MAX = 4_000
TRACEBACK_CHARACTERS_MAX = 8_000
WHERE_FRAMES_MAX = 8
SHOWN_CHARACTERS = 8
"""What a line shows of a key."""
LINES_ALIKE_PER_MINUTE_MAX = 20
PLACES_MAX = 1_000
"""Places in the code whose lines are counted; the lines of others are not bounded. There are fewer."""

NO_ENTRY = "-"
FIELDS = "fields"
"""Name of what a log call gives as `extra`, for the JSON line: a mapping of names to values."""

MINUTE_S = 60.0
_TOKEN = re.compile(r"[A-Za-z0-9+=]{32,}")


class LogLine(NamedTuple):
    """One event in a log."""

    time_s: float
    """Since 1970 UTC."""
    process: str
    pid: int
    level: str
    entry: str
    """The last journal entry that the process has taken; empty if it has none."""
    message: str
    """May have several lines and any characters."""
    traceback: str = ""
    fields: Mapping[str, Any] = MappingProxyType({})
    """What else a JSON line has; a plain line has it in its message."""

    def text(self, log_format: str) -> str:
        """The line as it is written, without its line break. Made of printable characters alone."""
        message = bounded(without_tokens(self.message), MESSAGE_CHARACTERS_MAX)
        trace = bounded(without_tokens(self.traceback), TRACEBACK_CHARACTERS_MAX)
        return self._json(message, trace) if log_format == JSON else self._plain(message, trace)

    def _plain(self, message: str, trace: str) -> str:
        text = f"{message}\n{trace}" if trace else message
        return (
            f"{time_text(self.time_s)} {self.process}[{self.pid}] {self.entry or NO_ENTRY} {self.level} {escaped(text)}"
        )

    def _json(self, message: str, trace: str) -> str:
        found = {
            "time": time_text(self.time_s),
            "process": self.process,
            "pid": self.pid,
            "level": self.level,
            "entry": self.entry or None,
            "message": message,
            **({"traceback": trace} if trace else {}),
            **self.fields,
        }
        # What JSON leaves as it is and a terminal does not print: DEL.
        return json.dumps(found, separators=(",", ":")).replace("\x7f", "\\u007f")


def time_text(time_s: float) -> str:
    """
    >>> time_text(1_800_000_000.25)
    '2027-01-15T08:00:00.250000Z'
    """
    return wall_clock.time_text(round(time_s * 1e6))


def escaped(text: str) -> str:
    r"""A text on one line, of printable characters alone: all others are written as Python would.

    >>> print(escaped("two\nlines, a bell \x07, a text turned round \u202e"))
    two\nlines, a bell \x07, a text turned round \u202e
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def bounded(text: str, characters_max: int) -> str:
    """A text without its middle, if it is longer; three quarters of what is kept are of its end.

    >>> bounded("0123456789" * 10, 40)
    '0123456789… 60 characters left out …012345678901234567890123456789'
    """
    left_out = len(text) - characters_max
    if left_out <= 0:
        return text
    begin = characters_max // 4
    return f"{text[:begin]}… {left_out:,} characters left out …{text[begin + left_out :]}"


def without_tokens(text: str) -> str:
    """A text in which what may be a key, a secret or a signature is cut to its first eight characters.

    >>> without_tokens(f"no key {'5f' * 32} here")
    'no key 5f5f5f5f… here'
    """
    return _TOKEN.sub(lambda found: found[0][:SHOWN_CHARACTERS] + "…", text)


def shown_key(key_id: str) -> str:
    """What a log shows of a key's id, which may be any text that a client has sent: eight characters, and never all of it.

    >>> shown_key("5f2ab10c77e0aa01"), shown_key("abcd"), shown_key("")
    ('5f2ab10c…', 'ab…', '…')
    """
    return escaped(key_id[: min(SHOWN_CHARACTERS, len(key_id) // 2)]) + "…"


def where_of(error: BaseException) -> str:
    """Where an exception was raised, the innermost call first, without its text: for one that may quote what a client sent."""
    frames = traceback.extract_tb(error.__traceback__)[-WHERE_FRAMES_MAX:]
    return " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))


# -- from the standard library's records to lines


class LineFormatter(logging.Formatter):
    """Makes the lines of one process.

    Args:
        process: its name.
        log_format: one of `LOG_FORMATS`.
        entry: gives the entry at which the process is; None before there is one.
    """

    def __init__(self, process: str, log_format: str, entry: Callable[[], object]) -> None:
        super().__init__()
        self._process = process
        self._log_format = log_format
        self._entry = entry

    def format(self, record: logging.LogRecord) -> str:
        return LogLine(
            record.created,
            self._process,
            os.getpid(),
            record.levelname,
            self._entry_text(),
            _message_of(record),
            _traceback_of(record),
            getattr(record, FIELDS, {}),
        ).text(self._log_format)

    def _entry_text(self) -> str:
        entry = self._entry()
        return "" if entry is None else str(entry)


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # A mistake in a log call; its arguments could be anything.
        return str(record.msg)


def _traceback_of(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")


class Unblocked:
    """Standard error, or whatever a descriptor leads to, without waiting for its reader: a terminal that was stopped, a pager,
    a parent that hangs. A process that waited for them would stand still.

    Args:
        fd: to which it writes; not closed here.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._is_torn = False
        """Whether the last line was written in part."""

    def write(self, text: str) -> int:
        """Writes a text, as much of it as there is room for.

        Raises:
            BlockingIOError: there was no room for all of it.
            OSError: it cannot be written.
        """
        data = text.encode("utf-8", "backslashreplace")
        rest = memoryview(b"\n" + data if self._is_torn else data)
        while rest:
            if not self._poll.poll(0):
                raise BlockingIOError(errno.EAGAIN, "its reader does not read")
            # So much a pipe takes at once when it takes anything.
            written = os.write(self._fd, rest[: select.PIPE_BUF])
            rest = rest[written:]
            self._is_torn = bool(rest)
        return len(text)

    def flush(self) -> None:
        """Nothing is kept."""


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes lines to a stream, and bounds how many alike it writes in a minute. It never raises; lines that the stream does not
    take are counted, and the next one that it takes comes behind one that says how many.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, stream: Any, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._places: dict[str, _Place] = {}
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        now_s = self._clock()
        self._note_left_out(now_s)
        if self._admits(str(record.msg), now_s):
            self._write(record)

    def close(self) -> None:
        """Says what was left out; called at the end of the process."""
        self._note_left_out(float("inf"))
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        try:
            if self._lost:
                text = "lost log lines: %d (they could not be written)"
                self._write_line(_own_record(text, self._lost))
                self._lost = 0
            self._write_line(record)
        except Exception:
            # The reader of the log is gone or does not read, or its disk is full: the process goes on without.
            self._lost += 1

    def _write_line(self, record: logging.LogRecord) -> None:
        self.stream.write(self.format(record) + self.terminator)
        self.stream.flush()

    def _admits(self, template: str, now_s: float) -> bool:
        place = self._places.get(template)
        if place is None:
            if len(self._places) >= PLACES_MAX:
                return True
            place = self._places[template] = _Place(now_s)
        place.count += 1
        return place.count <= LINES_ALIKE_PER_MINUTE_MAX

    def _note_left_out(self, now_s: float) -> None:
        """Ends the minutes that are over. Cost: O(places with lines in the last minute)."""
        for template, place in list(self._places.items()):
            if now_s - place.began_s >= MINUTE_S:
                del self._places[template]
                if (left_out := place.count - LINES_ALIKE_PER_MINUTE_MAX) > 0:
                    self._write(_own_record("%d further lines were left out that read: %s", left_out, template))


_ANY_RECORD = logging.LogRecord("", logging.WARNING, "", 0, "", (), None)


def make_record(
    name: str,
    level: int,
    pathname: str,
    line: int,
    message: object,
    arguments: Any,
    exc_info: Any,
    *rest: Any,
    **more: Any,
) -> logging.LogRecord:
    """A log record as the standard library makes it, also under a clock that Python cannot read."""
    try:
        return logging.LogRecord(name, level, pathname, line, message, arguments, exc_info, *rest, **more)
    except OverflowError:
        fields = {
            "name": name,
            "levelno": level,
            "levelname": logging.getLevelName(level),
            "msg": message,
            "args": arguments,
            "exc_info": exc_info,
            "created": wall_clock.wall_s(),
        }
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__.update(_ANY_RECORD.__dict__ | fields)
        return record


def _own_record(text: str, *arguments: object) -> logging.LogRecord:
    return make_record("", logging.WARNING, "", 0, text, arguments, None)


class _Place:
    """A place in the code that has written lines in this minute."""

    __slots__ = ("began_s", "count")

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.count = 0


# -- the log of this process


class _Progress:
    """At which entry this process is."""

    entry: Callable[[], object] = staticmethod(lambda: None)


def entry_is(entry: Callable[[], object]) -> None:
    """From here on log lines name the entry that `entry` gives; it may be called on any thread."""
    _Progress.entry = staticmethod(entry)


def log_to_stderr(name: str) -> logging.Logger:
    """Sends the log lines of this process to standard error, in the format that `LOG_FORMAT_VARIABLE` names, with whatever
    ends a thread or the process among them. Returns the process's logger."""
    log_format = os.environ.get(LOG_FORMAT_VARIABLE) or PLAIN
    logging.setLogRecordFactory(make_record)
    handler = LineHandler(_standard_error())
    handler.setFormatter(
        LineFormatter(name, log_format if log_format in LOG_FORMATS else PLAIN, lambda: _Progress.entry())
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    log = logging.getLogger(name)
    if handler in logging.getLogger().handlers:
        _log_what_ends(log)
    if log_format not in LOG_FORMATS:
        log.warning("%s is neither plain nor json: log lines are plain", LOG_FORMAT_VARIABLE)
    return log


def _standard_error() -> Any:
    """Where lines go. A process without standard error must not write to whatever has got its number."""
    try:
        return Unblocked(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        return sys.stderr


def _log_what_ends(log: logging.Logger) -> None:
    """Exceptions that no code has caught become one line each; a fault in C prints where it was."""
    faulthandler.enable()

    def process_ends(kind: type[BaseException], error: BaseException, where: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            log.error("interrupted")
        else:
            log.critical("ended by %s", kind.__name__, exc_info=(kind, error, where))

    def thread_ends(found: threading.ExceptHookArgs) -> None:
        if found.exc_type is not SystemExit:
            name = found.thread.name if found.thread is not None else "unknown"
            error = found.exc_value or found.exc_type()
            log.error(
                "the thread %s ended by %s",
                name,
                found.exc_type.__name__,
                exc_info=(found.exc_type, error, found.exc_traceback),
            )

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        error = found.exc_value or found.exc_type()
        log.error(
            "%s could not be raised", found.exc_type.__name__, exc_info=(found.exc_type, error, found.exc_traceback)
        )

    sys.excepthook = process_ends
    threading.excepthook = thread_ends
    sys.unraisablehook = unraisable
