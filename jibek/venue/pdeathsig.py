"""A wrapper that starts a program and makes it end with its parent, however the parent dies.

    python pdeathsig.py PARENT_PID FD PROGRAM NAME ARGUMENT …

On Linux the wrapper asks the kernel to kill it at the parent's death (`PR_SET_PDEATHSIG`) and becomes the program:
nothing else remains. Elsewhere it forks the program and watches `FD`, the read end of a pipe whose other end the parent
holds; the pipe closes when the parent is gone.

SIGKILL is the right end even for the store: it replies only after a write is on disk, so there is nothing to save.

The file runs alone, with nothing but the standard library, so that it starts in a few milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
EXIT_NO_PARENT = 1
EXIT_NO_PROGRAM = 127
NO_PROGRAM = "the program cannot be run:"
"""The first words of the one sentence that is said then."""
FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def wrapped(fd: int, command: list[str], called: str = "") -> list[str]:
    """The command line that starts `command` so that it ends with the calling process.

    Start it on the main thread: on Linux a child dies with the thread that started it.

    Args:
        fd: the read end of a pipe, which the child must inherit.
        called: the name to start the program under; empty for its path.
    """
    program, *arguments = command
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(fd), program, called or program, *arguments]


def exec_with_pdeathsig(parent_pid: int, command: list[str]) -> None:
    """Asks the kernel for SIGKILL at the parent's death and becomes `command`. Linux only; does not return.

    The request survives the exec. If the parent died before it was made, `getppid` has changed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        sys.exit(EXIT_NO_PARENT)
    become(command)


def become(command: list[str]) -> None:
    """Becomes the program `command[0]` with the rest as its arguments, of which the first is its name. If that cannot be, it
    says so in one sentence and ends."""
    program, *arguments = command
    try:
        os.execv(program, arguments)
    except OSError as error:
        os.write(2, f"{NO_PROGRAM} {program} ({error.strerror})\n".encode(errors="backslashreplace"))
        os._exit(EXIT_NO_PROGRAM)


def run_until_pipe_closes(fd: int, command: list[str]) -> int:
    """Runs `command`, forwards signals to it, kills it once `fd` is at its end; returns its exit code."""
    # A signal that comes before there is a handler for it waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED_SIGNALS)
        become(command)
    for number in FORWARDED_SIGNALS:
        signal.signal(number, lambda received, _: os.kill(pid, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED_SIGNALS)
    threading.Thread(target=_kill_at_end_of, args=(fd, pid), daemon=True).start()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _kill_at_end_of(fd: int, pid: int) -> None:
    while os.read(fd, 1):
        pass
    os.kill(pid, signal.SIGKILL)


def main() -> int:
    parent_pid, fd, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        exec_with_pdeathsig(parent_pid, command)
    return run_until_pipe_closes(fd, command)


if __name__ == "__main__":
    sys.exit(main())
