"""What the system says about processes: whether they live, which locks they hold, their CPU time, their memory.

On Linux it comes from /proc, CPU time to the microsecond; elsewhere (macOS) from `ps`, CPU time to a hundredth of a second.
Nothing is known about processes of other users or machines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
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


def signal_proved(pid: int, number: int, is_right: Callable[[int], bool]) -> bool:
    """Sends a signal to a process that `is_right` has proved; returns whether it was proved. On Linux the process id cannot
    pass to another process between the proof and the signal.
    """
    with _process_fd(pid) as fd, contextlib.suppress(ProcessLookupError):
        if not is_right(pid):
            return False
        if fd is not None and sys.platform == "linux":
            signal.pidfd_send_signal(fd, number)
        else:
            os.kill(pid, number)
    return True


@contextlib.contextmanager
def _process_fd(pid: int) -> Iterator[int | None]:
    """A file descriptor of the process; None where the system has none, or the process is gone."""
    fd = None
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


# -- who holds a lock


def flock_taker(folder_fd: int) -> int | None:
    """The process of this user that has taken the exclusive flock on an open folder and still has it; None if there is none, or
    only processes that have inherited it. Linux only.
    """
    taker = _taker_in_the_list(folder_fd)
    return taker if taker is not None and holds_flock(taker, folder_fd) else None


def holds_flock(pid: int, folder_fd: int) -> bool:
    """Whether a process of this user has the exclusive flock on an open folder, be it taken or inherited. Linux only."""
    place = PROC / str(pid)
    folder = os.fstat(folder_fd)
    try:
        if place.stat().st_uid != os.geteuid():
            return False
        numbers = os.listdir(place / "fd")
    except PermissionError:
        # It has a capability that this process has not, for a port below 1024 for example, so its files are not shown. The list
        # may name a process that is gone, whose number another one has by now; but hardly another `jibek up`.
        return is_jibek_up(pid) and _taker_in_the_list(folder_fd) == pid
    except OSError:
        return False
    return any(_is_lock(place, number, folder) for number in numbers)


def _is_lock(place: Path, number: str, folder: os.stat_result) -> bool:
    """Whether an open file of a process is the folder and has the exclusive flock, as the kernel shows it with the file."""
    try:
        if not os.path.samestat(os.stat(place / "fd" / number), folder):
            return False
        lines = (place / "fdinfo" / number).read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[2:5] == ["FLOCK", "ADVISORY", "WRITE"] for line in lines if line.startswith("lock:"))


def _taker_in_the_list(folder_fd: int) -> int | None:
    """The process that the list of all locks names for the exclusive flock on the folder. It may be gone."""
    place = _place_in_the_list(folder_fd)
    for line in (PROC / "locks").read_text().splitlines():
        match line.split():
            case [_, "FLOCK", _, "WRITE", taker, found, *_] if found == place:
                return int(taker)
    return None


def _place_in_the_list(folder_fd: int) -> str:
    """How the list of locks names a file: by its device, which `stat` does not give for every file system, and its inode."""
    found = os.fstat(folder_fd)
    facts = dict(line.split(":", 1) for line in (PROC / "self" / "fdinfo" / str(folder_fd)).read_text().splitlines())
    major, minor = os.major(found.st_dev), os.minor(found.st_dev)
    for line in (PROC / "self" / "mountinfo").read_text().splitlines():
        mount, _, device, *_ = line.split()
        if mount == facts["mnt_id"].strip():
            major, minor = map(int, device.split(":"))
    return f"{major:02x}:{minor:02x}:{facts.get('ino', str(found.st_ino)).strip()}"


def is_jibek_up(pid: int) -> bool:
    """Whether it is a `jibek up` of this user, by its command line."""
    if sys.platform == "linux":
        try:
            if (PROC / str(pid)).stat().st_uid != os.geteuid():
                return False
            arguments = os.fsdecode((PROC / str(pid) / "cmdline").read_bytes()).split("\0")
        except OSError:
            return False
    else:
        command = ["ps", "-o", "uid=,command=", "-p", str(pid)]
        uid, *arguments = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split() or [""]
        if uid != str(os.geteuid()):
            return False
    return is_up_command(arguments)


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by SIGSTOP, Ctrl-Z or a debugger, and obeys no other signal until it goes on."""
    if sys.platform != "linux":
        found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return found.stdout.startswith("T")
    try:
        # The state follows the name of the program, which is in brackets and may hold any character.
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


def is_up_command(arguments: list[str]) -> bool:
    """
    >>> is_up_command(["/opt/bin/python", "-P", "-m", "jibek", "up"]), is_up_command(["python", "/opt/bin/jibek", "up", "-h"])
    (True, True)
    >>> is_up_command(["sleep", "60"]), is_up_command(["vi", "jibek", "notes"])
    (False, False)
    """
    programs = [Path(argument).name for argument in arguments]
    return any(
        program == "jibek" and following == "up" for program, following in zip(programs, arguments[1:], strict=False)
    )


# -- time and memory


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
