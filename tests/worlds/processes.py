"""Processes of a test: start a service of the venue, wait until it is ready, end it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
"""Far longer than anything takes; a test that waits so long fails."""


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Waits for a true value of `condition` and returns it.

    Raises:
        AssertionError: `condition` was still false after `WAIT_S`; the text names `what`.
    """
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {WAIT_S:.0f} s in vain until {what}")


def is_running(pid: int) -> bool:
    """Whether the process runs. A zombie, which has ended and waits to be reaped, does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


@contextmanager
def paused(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stops the process inside the `with`: it keeps its connections and answers nothing (SIGSTOP)."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def process_environment() -> dict[str, str]:
    """The environment of a Python process that imports this repository, whatever its working folder is."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


class ServiceProcess:
    """A service of the venue, ready once constructed. `ready` is what it printed then; its log goes to a file.

    Args:
        folder: where the log is written, as `<name>.log`.
        module: the service's module, as in `python -m module`.
    """

    def __init__(self, folder: Path, name: str, module: str, *arguments: str) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, stderr=log, cwd=ROOT
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{name} did not start: {self.log.read_text()}"
        self.ready: dict[str, Any] = json.loads(line)

    def kill(self) -> None:
        """SIGKILL."""
        self.end(signal.SIGKILL)

    def stop(self) -> int:
        """Stops it in order, and returns its exit code."""
        return self.end(signal.SIGTERM)

    def end(self, how: signal.Signals) -> int:
        """Sends a signal, waits for the end, and returns the exit code."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Waits until the process ends by itself, and returns its exit code."""
        code = self.process.wait(WAIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code
