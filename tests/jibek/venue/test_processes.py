"""What the system says about processes, from /proc and from `ps`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from jibek.venue.processes import cpu_seconds, is_alive, is_jibek_up, is_stopped, resident_bytes, signal_proved
from tests.worlds.processes import wait_until

NO_PROCESS = 2**22 + 1
"""Above the largest process id of Linux."""


@pytest.fixture(params=["proc", "ps"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both sources; /proc is read on Linux only."""
    if request.param == "proc" and sys.platform != "linux":
        pytest.skip("needs /proc")
    if request.param == "ps":
        monkeypatch.setattr("jibek.venue.processes.sys.platform", "darwin")
    return str(request.param)


def test_cpu_time_grows_with_work_and_a_missing_process_is_left_out(source: str) -> None:
    before = cpu_seconds([os.getpid(), NO_PROCESS])
    assert list(before) == [os.getpid()]

    def has_grown() -> bool:
        sum(range(1_000_000))
        return cpu_seconds([os.getpid()])[os.getpid()] > before[os.getpid()]

    wait_until(has_grown, "the CPU time has grown")


def test_memory_is_at_least_what_was_allocated_and_a_missing_process_is_left_out(source: str) -> None:
    code = "import sys; block = bytearray(b'x') * 50_000_000; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = resident_bytes([process.pid, NO_PROCESS])
        assert list(found) == [process.pid]
        assert 50_000_000 < found[process.pid] < 500_000_000
        process.communicate()


def test_a_process_is_alive_until_it_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_alive(process.pid)
        process.communicate()
    assert not is_alive(process.pid)
    assert is_alive(1), "another user's process is alive, too"


def test_a_signal_goes_only_to_a_process_that_was_proved() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not signal_proved(process.pid, signal.SIGKILL, lambda pid: False)
        assert process.poll() is None
        assert signal_proved(process.pid, signal.SIGKILL, lambda pid: pid == process.pid)
        assert process.wait() == -signal.SIGKILL
    assert not signal_proved(NO_PROCESS, signal.SIGKILL, is_jibek_up)


def test_a_stopped_process_is_seen(source: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert not is_stopped(process.pid)
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: is_stopped(process.pid), "it is stopped")
        process.kill()
    assert not is_stopped(NO_PROCESS)
