"""How a process shows that it lives, that it gets on, and which of its duties it cannot do at the moment.

From outside, a process that waits and one that hangs look alike. So a thread of each writes a line of JSON to its standard
output every 0.3 s:

    {"alive": true, "still_s": 0.0, "faults": {"watermark": "it cannot be written: No space left on device"}}

`still_s` is for how long the process has not come on: its main loop has not come round, and it has taken no entry. A
process that is stopped writes no line; one that hangs writes a growing `still_s`. `jibek up` reads the lines, keeps them
out of the log, and shows in `jibek status` what they say.

Nothing here stops a process or trading: that is for who owns the duty. These lines say what an operator must know.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.process.common import PARENT_FD_VARIABLE

LINE_INTERVAL_S = 0.3
FAULT_LENGTH_MAX = 300
"""Characters of a fault that are shown. A line must fit into one write to a pipe, which is whole up to 4,096 bytes."""
FAULTS_MAX = 6

Fault = Callable[[], str]
"""Says why a duty cannot be done at the moment, in a few words; the empty text if it can. It is called by another thread, so
it must neither wait nor change anything."""


def _no_progress() -> object:
    return None


class Duties:
    """The duties of one process. `came_round` is for its main loop; a thread of its own asks for the rest."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._rounds = 0
        self._progress: Callable[[], object] = _no_progress
        self._last: object = None
        self._moved_s = time.monotonic()

    def watch(self, name: str, fault: Fault) -> None:
        """Adds a duty, or replaces the one of this name."""
        self._faults[name] = fault

    def watch_progress(self, progress: Callable[[], object]) -> None:
        """Takes what changes whenever the process comes on, such as its cursor, as a sign of life like `came_round`."""
        self._progress = progress

    def came_round(self) -> None:
        """The main loop has come round. Cost: 50 ns."""
        self._rounds += 1

    def begin(self) -> None:
        """Begins to write the lines, if a supervisor reads them."""
        if PARENT_FD_VARIABLE in os.environ:
            threading.Thread(target=self._write_lines, args=(sys.stdout.fileno(),), name="duties", daemon=True).start()

    def report(self, now_s: float) -> Report:
        """What the next line says."""
        now_at = (self._rounds, self._progress())
        if now_at != self._last:
            self._last, self._moved_s = now_at, now_s
        # A copy, because the main thread may add a duty meanwhile.
        texts = {name: _ask(fault)[:FAULT_LENGTH_MAX] for name, fault in list(self._faults.items())}
        broken = [(name, text) for name, text in texts.items() if text]
        return Report(now_s - self._moved_s, dict(broken[:FAULTS_MAX]))

    def _write_lines(self, fd: int) -> None:
        # Once the supervisor is gone, this process is about to end as well.
        with contextlib.suppress(BrokenPipeError):
            while True:
                os.write(fd, self.report(time.monotonic()).line())
                time.sleep(LINE_INTERVAL_S)


def _ask(fault: Fault) -> str:
    """What a duty says. One that fails to say it is a defect, and no reason to fall silent about the others."""
    try:
        return fault()
    except Exception as error:
        return f"it cannot be asked: {error!r}"


@dataclass(frozen=True)
class Report:
    """One line of a process about itself."""

    still_s: float = 0.0
    """For how long it has not come on."""
    faults: dict[str, str] = field(default_factory=dict)
    """Duty -> why it cannot be done."""

    def line(self) -> bytes:
        document = {"alive": True, "still_s": round(self.still_s, 1), "faults": self.faults}
        return json.dumps(document).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Report | None:
        """The report in a line; None if it is any other line."""
        if not line.startswith(b'{"alive": true,'):
            return None
        try:
            found: dict[str, Any] = json.loads(line)
            faults = {str(name): str(text) for name, text in found["faults"].items()}
            return cls(float(found["still_s"]), faults)
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return None
