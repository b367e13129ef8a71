"""The processes of a venue as their parent sees them: one child, its log, its readiness, its restarts.

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
from engine.process.log_lines import PLAIN
from jibek.venue.pdeathsig import wrapped
from jibek.venue.process_log import ProcessLog

READY_LINE_BYTES_MAX = 64 << 10
CRASHES_MAX = 3
"""A child that crashes so often within `CRASH_WINDOW_S` stays down; `jibek up --crashes-max` sets another number."""
CRASH_WINDOW_S = 60.0


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

    States: not started (`process` is None, `down` is empty), running, ready (`ready` holds what it reported), down
    (`down` says why, and it is not restarted).
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, crashes_max: int = CRASHES_MAX, log_format: str = PLAIN
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = ProcessLog(log, name, log_format)
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] | None = None
        self.down = ""
        self.restarts = 0
        self.started_s = 0.0
        """Time of its last start, by the monotonic clock."""
        self._crash_times_s: deque[float] = deque(maxlen=crashes_max)
        self._output = bytearray()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None

    def start(self, fds: InheritedFds, environment: Mapping[str, str] | None = None) -> None:
        """Starts the process with these variables added to the supervisor's own. Call it on the main thread."""
        assert self.process is None
        self.ready = None
        self.started_s = time.monotonic()
        self._output.clear()
        self.process = subprocess.Popen(
            wrapped(fds.pipe_read_fd, self.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(fds.pipe_read_fd, fds.lock_fd),
            env={**os.environ, **(environment or {}), PARENT_FD_VARIABLE: str(fds.pipe_read_fd)},
            start_new_session=True,
        )
        self.log.begin_run(self.process.pid)

    @property
    def pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process is not None and self.process.stdout is not None and self.process.stderr is not None
        return self.process.stdout, self.process.stderr

    def take_output(self, pipe: Any) -> bool:
        """Moves what has come through `pipe` into the log; False once the pipe is at its end."""
        data = os.read(pipe.fileno(), 1 << 16)
        is_report = self.process is not None and pipe is self.process.stdout
        self.log.take(data, is_report=is_report)
        if self.ready is None and is_report:
            self._look_for_ready(data)
        return bool(data)

    def _look_for_ready(self, data: bytes) -> None:
        *lines, remainder = bytes(self._output + data).split(b"\n")
        self._output[:] = remainder[-READY_LINE_BYTES_MAX:]
        for line in lines:
            try:
                facts = json.loads(line)
            except ValueError:
                continue
            if isinstance(facts, dict) and facts.get("ready") is True:
                self.ready = facts

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
        self.log.end_run()
        self.process = None
        self.ready = None

    def _kill_group(self) -> None:
        """Kills what remains of the process group, such as a store that is rewriting its log."""
        assert self.process is not None
        # Linux reports an empty group by ESRCH, macOS by EPERM.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def note_crash(self, now_s: float, text: str) -> bool:
        """Records a crash; returns whether the child may be restarted. If not, `down` says why."""
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


def exit_text(code: int) -> str:
    """An exit code in words.

    >>> exit_text(-9), exit_text(3)
    ('was killed by SIGKILL', 'ended with exit code 3')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"
