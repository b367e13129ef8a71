"""How much CPU time processes have used.

On Linux it comes from /proc, to the microsecond; elsewhere (macOS) from `ps`, to a hundredth of a second. Of processes of
other users or machines nothing is known.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

PROC = Path("/proc")


def cpu_seconds(pids: dict[str, int]) -> dict[str, float]:
    """CPU time of each process since it began, all its threads together. Those that are gone are left out."""
    if sys.platform == "linux":
        found = {name: _from_proc(pid) for name, pid in pids.items()}
        return {name: seconds for name, seconds in found.items() if seconds is not None}
    return _from_ps(pids)


def _from_proc(pid: int) -> float | None:
    """From the scheduler's account of each thread. Threads that have ended are missing; the services end none."""
    try:
        total_ns = 0
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total_ns += int((task / "schedstat").read_text().split()[0])
        return total_ns / 1e9
    except OSError:
        return None


def _from_ps(pids: dict[str, int]) -> dict[str, float]:
    command = ["ps", "-o", "pid=,time=", "-p", ",".join(map(str, pids.values()))]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    seconds = {int(pid): seconds_of(text) for pid, text in (line.split() for line in lines)}
    return {name: seconds[pid] for name, pid in pids.items() if pid in seconds}


def seconds_of(text: str) -> float:
    """A time as `ps` writes it.

    >>> seconds_of("0:01.23"), seconds_of("1-02:00:03")
    (1.23, 93603.0)
    """
    days, _, rest = text.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = 60 * seconds + float(part)
    return int(days or 0) * 86400 + seconds
