"""One child of the supervisor: its log, its readiness, its crashes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jibek.venue.children import CRASH_WINDOW_S, Child, InheritedFds
from tests.worlds.processes import wait_until


@pytest.fixture
def fds(tmp_path: Path) -> Iterator[InheritedFds]:
    fds = InheritedFds.create(os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR))
    yield fds
    for fd in (fds.pipe_read_fd, fds.pipe_write_fd, fds.lock_fd):
        os.close(fd)


def run(tmp_path: Path, fds: InheritedFds, code: str) -> Child:
    """Starts a child that runs `code`."""
    child = Child("probe", [sys.executable, "-c", code], tmp_path / "probe.log")
    child.start(fds)
    return child


def test_ready_is_one_line_of_json_among_others(tmp_path: Path, fds: InheritedFds) -> None:
    child = run(tmp_path, fds, "print('hello'); print('{\"ready\": true, \"port\": 5}'); print('more')")
    wait_until(lambda: child.poll() is not None, "the child has ended")
    for pipe in child.pipes:
        while child.take_output(pipe):
            pass
    assert child.ready == {"ready": True, "port": 5}
    child.reap()
    lines = child.log.path.read_text().splitlines()
    assert [line.split(" - INFO ")[1] for line in lines] == ["hello", 'ready {"port": 5}', "more"]
    assert not child.is_running


def test_reaping_ends_what_the_child_left_behind(tmp_path: Path, fds: InheritedFds) -> None:
    child = run(tmp_path, fds, "import subprocess; subprocess.Popen(['/bin/sleep', '600'])")
    group = child.pid
    wait_until(lambda: child.poll() is not None, "the child has ended")
    child.reap()

    def group_is_gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(group_is_gone, "the grandchild has ended")


# Times of the crashes, in seconds, and whether the child is started again after each.
CRASHES = [
    ([0, 1, 2], [True, True, False]),
    ([0, 1, CRASH_WINDOW_S + 0.5, CRASH_WINDOW_S + 0.6], [True, True, True, False]),
    ([0, 50, 100, 150, 200], [True, True, True, True, True]),
]


@pytest.mark.parametrize(("times_s", "expected"), CRASHES)
def test_three_crashes_within_a_minute_are_the_end(tmp_path: Path, times_s: list[float], expected: list[bool]) -> None:
    child = Child("probe", [], tmp_path / "probe.log")
    assert [child.note_crash(time_s, "it crashed") for time_s in times_s] == expected
    assert bool(child.down) == (not expected[-1])


def test_the_number_of_crashes_can_be_chosen(tmp_path: Path) -> None:
    child = Child("probe", [], tmp_path / "probe.log", crashes_max=5)
    assert [child.note_crash(time_s, "it crashed") for time_s in range(5)] == [True, True, True, True, False]
    assert child.down == "it crashed; 5 times within 60 s, so it stays down"
