"""The processes of a venue as their parent sees them: one child, its log, its state, its restarts.

A child gets a process group of its own, so that Ctrl-C in a terminal reaches the parent alone, which then ends the
children in their order. Its output goes through the parent into a log of bounded size (`process_log`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from engine.process import PARENT_FD_VARIABLE
from engine.process.duties import Report
from engine.process.log_lines import PLAIN
from jibek.venue.pdeathsig import wrapped
from jibek.venue.process_log import LAST_LINES, LAST_LINES_KEPT, ProcessLog

LINE_BYTES_MAX = 64 << 10
CRASHES_MAX = 3
"""A child that crashes so often within `CRASH_WINDOW_S` stays down; `jibek up --crashes-max` sets another number."""
CRASH_WINDOW_S = 60.0
RESTART_PAUSE_S_MIN, RESTART_PAUSE_S_MAX = 0.1, 1.0
"""Pause before a restart. It doubles with each start in a row that fails, and once it is the longest, these count as crashes."""

SILENT_S = 1.3
"""A process that has not shown for so long that it lives has stopped answering. It should every 0.3 s."""
SILENT_AT_START_S = 10.0
"""The same before it is ready: it loads its code, and works through long entries in one go."""
STILL_S = 1.4
"""A process whose main loop has not come round for so long hangs, or waits for a store that does not answer."""


@dataclass(frozen=True)
class InheritedFds:
    """The file descriptors that tie a child to its parent.

    A child inherits the read end of the pipe, whose end shows that its parent is gone, and the lock, which keeps the
    data folder locked until the last child has ended. The parent alone holds the write end.
    """

    pipe_read_fd: int
    pipe_write_fd: int
    lock_fd: int

    @classmethod
    def create(cls, lock_fd: int) -> InheritedFds:
        read_fd, write_fd = os.pipe()
        return cls(read_fd, write_fd, lock_fd)


class Child:
    """One process, and its successor after a crash.

    States: not started (`process` is None, `down` is empty), running, ready (`ready` holds what it reported), held (`held`
    says what it waits for before it is started again), down (`down` says why, and it is not restarted).
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, crashes_max: int = CRASHES_MAX, log_format: str = PLAIN
    ) -> None:
        self.name = name
        self.command = list(command)
        self.called = ""
        """The name that its program is started under; empty for its path."""
        self.log = ProcessLog(log, name, log_format)
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] | None = None
        self.held = ""
        self.down = ""
        self.restarts = 0
        self.failed_starts = 0
        """How many of its processes, the last ones, have ended before they were ready."""
        self.restart_at_s = 0.0
        """When it may be started again, by the monotonic clock."""
        self.started_s = 0.0
        """Time of its last start, by the monotonic clock."""
        self.heard_s = 0.0
        """When it last showed that it lives, by the monotonic clock."""
        self.report = Report()
        """What it said of itself then."""
        self.seen: dict[str, str] = {}
        """What others see of it: duty -> why it is not done."""
        self._crash_times_s: deque[float] = deque(maxlen=crashes_max)
        self._unfinished = bytearray()
        """The beginning of a line of its standard output whose end has not come."""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None

    def start(self, fds: InheritedFds, environment: Mapping[str, str] | None = None) -> None:
        """Starts the process with these variables added to the supervisor's own. Call it on the main thread.

        Raises:
            OSError: the system has no room for it: no process, no memory, no file descriptor.
        """
        assert self.process is None
        self.process = subprocess.Popen(
            wrapped(fds.pipe_read_fd, self.command, self.called),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(fds.pipe_read_fd, fds.lock_fd),
            env={**os.environ, **(environment or {}), PARENT_FD_VARIABLE: str(fds.pipe_read_fd)},
            start_new_session=True,
        )
        self.log.begin_run(self.process.pid)
        self.ready = None
        self.report = Report()
        self.started_s = self.heard_s = time.monotonic()
        self._unfinished.clear()

    @property
    def pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process is not None and self.process.stdout is not None and self.process.stderr is not None
        return self.process.stdout, self.process.stderr

    # -- what it says

    def take_output(self, pipe: Any) -> bool:
        """Moves what has come through `pipe` into the log; False once the pipe is at its end."""
        data = os.read(pipe.fileno(), 1 << 16)
        if self.process is not None and pipe is self.process.stdout:
            self._take_lines(data)
        else:
            self.log.take(data, is_report=False)
        return bool(data)

    def _take_lines(self, data: bytes) -> None:
        """Takes the reports out of the standard output, and looks for the line that says that it is ready."""
        *lines, rest = bytes(self._unfinished + data).split(b"\n")
        if not data or len(rest) > LINE_BYTES_MAX:
            # This line gets no end, or none that could be waited for.
            self.log.take(rest, is_report=True)
            rest = b""
        self._unfinished[:] = rest
        said = b""
        for line in lines:
            report = Report.parse(line)
            if report is not None:
                self.report, self.heard_s = report, time.monotonic()
                continue
            said += line + b"\n"
            if self.ready is None:
                self.ready = _ready_facts(line)
        self.log.take(said, is_report=True)

    def last_lines(self, count: int = LAST_LINES) -> str:
        """The last lines that this process has said, not those of an earlier one."""
        return self.log.last_lines(count)

    def said(self) -> str:
        """The end of what this process has said, at most 20 lines."""
        return self.log.last_lines(LAST_LINES_KEPT)

    # -- its state

    def silent_s(self, now_s: float) -> float:
        """For how long it has not answered; 0 while that is nothing to speak of."""
        silent_s = now_s - self.heard_s
        return silent_s if self.is_running and silent_s > (SILENT_S if self.ready else SILENT_AT_START_S) else 0.0

    def state(self, now_s: float, *, store_answers: bool = True) -> str:
        """Its state in words, as `jibek status` shows it; `ready` if there is nothing to say."""
        if self.down:
            return f"down: {self.down}; see {self.log.path}"
        if self.held and not self.is_running:
            return f"waiting: {self.held}"
        if silent_s := self.silent_s(now_s):
            return f"stopped answering {silent_s:.0f} s ago"
        if not self.ready:
            why = self.seen.get("start") or self.seen.get("waits") or _faults_text(self.report.faults)
            return f"waiting: {why}" if why else "starting"
        if faults := _faults_text({**self.report.faults, **self.seen}):
            return f"trouble: {faults}"
        if self.report.still_s > STILL_S:
            waits = "" if store_answers else ": it waits for the store, which does not answer"
            return f"trouble: its main loop has not come round for {self.report.still_s:.0f} s{waits}"
        return "ready"

    def poll(self) -> int | None:
        """The exit code once the process has ended; None while it runs. Call `reap` then."""
        assert self.process is not None
        return self.process.poll()

    def reap(self) -> None:
        """Takes the last output of the ended process and kills what remains of its process group."""
        assert self.process is not None and self.process.returncode is not None
        self._kill_group()
        for pipe in self.pipes:
            os.set_blocking(pipe.fileno(), False)
            # A blocking error means that a grandchild which is about to end still holds the other end.
            with contextlib.suppress(BlockingIOError):
                while self.take_output(pipe):
                    pass
            pipe.close()
        self.log.take(bytes(self._unfinished), is_report=True)
        self._unfinished.clear()
        self.log.end_run()
        self.failed_starts = 0 if self.ready else self.failed_starts + 1
        self.process = None
        self.ready = None

    def _kill_group(self) -> None:
        """Kills what remains of the process group, such as a store that is rewriting its log."""
        assert self.process is not None
        # Linux reports an empty group by ESRCH, macOS by EPERM.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def note_crash(self, now_s: float, text: str) -> bool:
        """Records a crash; returns whether the child may be restarted. If not, `down` says why.

        The first failed starts in a row do not count: each pause before the next one is longer, and what hinders it, such as an
        update of its program, may be over by then.
        """
        pause_s = min(RESTART_PAUSE_S_MIN * 2 ** max(0, self.failed_starts - 1), RESTART_PAUSE_S_MAX)
        self.restart_at_s = now_s + pause_s
        if self.failed_starts and pause_s < RESTART_PAUSE_S_MAX:
            self.restarts += 1
            return True
        self._crash_times_s.append(now_s)
        crashes_max = self._crash_times_s.maxlen
        too_often = len(self._crash_times_s) == crashes_max and now_s - self._crash_times_s[0] <= CRASH_WINDOW_S
        if too_often:
            self.down = f"{text}; {crashes_max} times within {CRASH_WINDOW_S:.0f} s, so it stays down"
        else:
            self.restarts += 1
        return not too_often

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


def _faults_text(faults: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in faults.items() if text)


def _ready_facts(line: bytes) -> dict[str, Any] | None:
    """What a process reports when it is ready; None if the line is another one."""
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and facts.get("ready") is True else None


def exit_text(code: int) -> str:
    """An exit code in words.

    >>> exit_text(-9), exit_text(3)
    ('was killed by SIGKILL', 'ended with exit code 3')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"
