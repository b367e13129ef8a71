"""A wrapped program ends with its parent, however the parent dies, both by PDEATHSIG and by the pipe."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from jibek.venue.pdeathsig import EXIT_NO_PROGRAM, wrapped
from tests.worlds.processes import is_running, wait_until

# A parent that starts `sleep` through the wrapper, prints its process id, and waits.
PARENT = """
import os, subprocess, sys
from jibek.venue.pdeathsig import wrapped
read_fd, write_fd = os.pipe()
child = subprocess.Popen(wrapped(read_fd, ["/bin/sleep", "600"]), pass_fds=[read_fd])
print(child.pid, flush=True)
child.wait()
"""

# A wrapper that watches the pipe, as it does on systems without PDEATHSIG; it prints the id of its child.
WATCHING = """
import os, sys, threading
from jibek.venue import pdeathsig
fork = os.fork
def printing_fork():
    pid = fork()
    if pid:
        print(pid, flush=True)
    return pid
os.fork = printing_fork
sys.exit(pdeathsig.run_until_pipe_closes(int(sys.argv[1]), ["/bin/sleep", "sleep", "600"]))
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    for fd in (read_fd, write_fd):
        with contextlib.suppress(OSError):  # The test has closed it.
            os.close(fd)


def watching(read_fd: int) -> tuple[subprocess.Popen[str], int]:
    wrapper = subprocess.Popen(
        [sys.executable, "-c", WATCHING, str(read_fd)], stdout=subprocess.PIPE, text=True, pass_fds=[read_fd]
    )
    assert wrapper.stdout is not None
    return wrapper, int(wrapper.stdout.readline())


def test_sigkill_of_the_parent_ends_the_program() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_running(pid), "the program has ended")


def test_the_end_of_the_pipe_ends_the_program(pipe: tuple[int, int]) -> None:
    wrapper, pid = watching(pipe[0])
    assert is_running(pid)
    os.close(pipe[1])
    assert wrapper.wait(30) == 128 + signal.SIGKILL
    assert not is_running(pid)


def test_sigterm_is_forwarded(pipe: tuple[int, int]) -> None:
    wrapper, pid = watching(pipe[0])
    wrapper.terminate()
    assert wrapper.wait(30) == 128 + signal.SIGTERM
    assert not is_running(pid)


def test_a_program_that_is_missing_is_named_in_one_sentence(pipe: tuple[int, int]) -> None:
    done = subprocess.run(
        wrapped(pipe[0], ["/no/such-server", "-x"]), pass_fds=[pipe[0]], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (EXIT_NO_PROGRAM, "")
    assert done.stderr == "the program cannot be run: /no/such-server (No such file or directory)\n"


def test_a_program_may_be_called_by_another_name(pipe: tuple[int, int]) -> None:
    done = subprocess.run(
        wrapped(pipe[0], ["/bin/sh", "-c", "echo $0"], "redis-server"),
        pass_fds=[pipe[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "redis-server\n")
