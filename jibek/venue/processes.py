"""What the system says about processes: whether they live, how much CPU time they have used, how much memory they hold.

On Linux it comes from /proc, CPU time to the microsecond; elsewhere (macOS) from `ps`, CPU time to a hundredth of a second.
Nothing is known about processes of other users or machines.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists, be it another user's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Process id -> CPU time of all its threads since it began, in seconds. Processes that are gone are left out."""
    if sys.platform != "linux":
        return {pid: seconds_of(text) for pid, text in _ask_ps("time", pids).items()}
    found = {pid: _cpu_from_proc(pid) for pid in pids}
    return {pid: seconds for pid, seconds in found.items() if seconds is not None}


def resident_bytes(pids: Iterable[int]) -> dict[int, int]:
    """Process id -> resident memory. Processes that are gone are left out."""
    if sys.platform != "linux":
        return {pid: int(kilobytes) * 1024 for pid, kilobytes in _ask_ps("rss", pids).items()}
    sizes = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            sizes[pid] = int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return sizes


def _cpu_from_proc(pid: int) -> float | None:
    """From the scheduler's account of each thread. Threads that have ended are missing; the services end none."""
    try:
        total_ns = 0
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total_ns += int((task / "schedstat").read_text().split()[0])
        return total_ns / 1e9
    except OSError:
        return None


def _ask_ps(column: str, pids: Iterable[int]) -> dict[int, str]:
    """Process id -> what `ps` shows in one column."""
    command = ["ps", "-o", f"pid=,{column}=", "-p", ",".join(map(str, pids))]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {int(pid): text for pid, text in (line.split() for line in answer.splitlines())}


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
