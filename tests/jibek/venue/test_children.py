"""One child of the supervisor: its log, its readiness, its crashes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from engine.process.duties import Report
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


def take_all(child: Child) -> None:
    """Takes everything that the child says until its end."""
    wait_until(lambda: child.poll() is not None, "the child has ended")
    for pipe in child.pipes:
        while child.take_output(pipe):
            pass


def test_reports_are_taken_and_kept_out_of_the_log(tmp_path: Path, fds: InheritedFds) -> None:
    line = Report(2.5, {"watermark": "no room"}).line().decode()
    child = run(
        tmp_path,
        fds,
        f"print('hello'); print({line!r}, end=''); print('{{\"ready\": true}}'); print('the end', end='')",
    )
    take_all(child)
    assert child.report == Report(2.5, {"watermark": "no room"})
    assert child.ready == {"ready": True}
    child.reap()
    lines = child.log.path.read_text().splitlines()
    assert [line.split(" - INFO ")[1] for line in lines] == ["hello", "ready {}", "the end"]


def test_what_an_earlier_process_said_is_not_quoted(tmp_path: Path, fds: InheritedFds) -> None:
    child = run(tmp_path, fds, "import sys; sys.exit('No space left on device')")
    take_all(child)
    child.reap()
    assert child.last_lines() == "No space left on device"
    child.command[-1] = "print('a'); print('b'); print('c'); print('d')"
    child.start(fds)
    take_all(child)
    child.reap()
    assert child.last_lines() == "b\nc\nd"
    assert "No space" in child.log.path.read_text() and "No space" not in child.said()


def test_a_full_disk_costs_lines_and_not_the_venue(tmp_path: Path, fds: InheritedFds) -> None:
    (tmp_path / "probe.log").mkdir()
    child = run(tmp_path, fds, "print('hello')")
    take_all(child)
    child.reap()
    assert child.last_lines() == "hello"


NOW_S = 1000.0
READY = {"ready": True}
OK = Report()

# heard, ready, report, seen from outside, store answers, its state
STATES: tuple[tuple[float, dict[str, Any] | None, Report, dict[str, str], bool, str], ...] = (
    (0.0,  READY, OK,                      {},                  True,  "ready"),
    (1.2,  READY, OK,                      {},                  True,  "ready"),
    (1.4,  READY, OK,                      {},                  True,  "stopped answering 1 s ago"),
    (12.0, READY, OK,                      {},                  False, "stopped answering 12 s ago"),
    (9.0,  None,  OK,                      {},                  True,  "starting"),
    (11.0, None,  OK,                      {},                  True,  "stopped answering 11 s ago"),
    (0.0,  None,  Report(30.0),            {},                  True,  "starting"),
    (0.0,  None,  OK,                      {"waits": "for it"}, True,  "waiting: for it"),
    (0.0,  None,  Report(0.0, {"a": "b"}), {"waits": ""},       True,  "waiting: a: b"),
    (0.0,  READY, Report(1.0),             {},                  True,  "ready"),
    (0.0,  READY, Report(3.0),             {},                  True,  "trouble: its main loop has not come round for 3 s"),
    (0.0,  READY, Report(3.0),             {},                  False, "trouble: its main loop has not come round for 3 s: it waits "
                                                                       "for the store, which does not answer"),
    (0.0,  READY, Report(0.0, {"a": "b"}), {},                  True,  "trouble: a: b"),
    (0.0,  READY, Report(0.0, {"a": "b"}), {"c": "d", "e": ""}, True,  "trouble: a: b; c: d"),
)  # fmt: skip


@pytest.mark.parametrize(("silent_s", "ready", "report", "seen", "store_answers", "state"), STATES)
def test_a_running_child_has_a_state_in_words(
    tmp_path: Path,
    fds: InheritedFds,
    silent_s: float,
    ready: dict[str, Any] | None,
    report: Report,
    seen: dict[str, str],
    store_answers: bool,
    state: str,
) -> None:
    child = Child("probe", [sys.executable, "-c", ""], tmp_path / "probe.log")
    child.process = cast(Any, object())
    child.ready, child.report, child.seen, child.heard_s = ready, report, seen, NOW_S - silent_s
    assert child.state(NOW_S, store_answers=store_answers) == state


def test_a_child_that_does_not_run_has_a_state_in_words(tmp_path: Path) -> None:
    child = Child("probe", [], tmp_path / "probe.log")
    assert child.state(NOW_S) == "starting"
    child.seen["start"] = "no room"
    assert child.state(NOW_S) == "waiting: no room"
    child.held = "the disk takes no writes"
    assert child.state(NOW_S) == "waiting: the disk takes no writes"
    child.down = "it crashed"
    assert child.state(NOW_S).startswith("down: it crashed; see ")


def test_a_system_without_room_for_a_process_changes_nothing(
    tmp_path: Path, fds: InheritedFds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    child = Child("probe", [sys.executable, "-c", "print('hello')"], tmp_path / "probe.log")
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        with pytest.raises(OSError, match="temporarily unavailable"):
            child.start(fds)
    assert not child.is_running
    child.start(fds)
    take_all(child)
    child.reap()
    assert child.last_lines() == "hello"


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


def test_failed_starts_count_as_crashes_only_after_longer_and_longer_pauses(tmp_path: Path) -> None:
    """What hinders them, such as an update of the program, may be over by then."""
    child = Child("probe", [], tmp_path / "probe.log")
    pauses_s, restarted = [], []
    for child.failed_starts in range(1, 8):
        restarted.append(child.note_crash(NOW_S, "it ended"))
        pauses_s.append(round(child.restart_at_s - NOW_S, 3))
    assert pauses_s == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert restarted == [True] * 6 + [False]
