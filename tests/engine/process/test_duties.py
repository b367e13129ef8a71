"""What a process says of itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from engine.process import PARENT_FD_VARIABLE
from engine.process.duties import FAULT_LENGTH_MAX, FAULTS_MAX, Duties, Report
from tests.worlds.processes import process_environment

PIPE_WRITE_BYTES_MAX = 4096
"""What a pipe takes in one piece."""


def test_it_stands_still_until_its_loop_comes_round_or_its_cursor_moves() -> None:
    duties = Duties()
    cursor = [1]
    duties.watch_progress(lambda: cursor[0])
    duties.report(10.0)
    assert duties.report(13.0).still_s == 3.0
    duties.came_round()
    assert duties.report(14.0).still_s == 0.0
    assert duties.report(15.0).still_s == 1.0
    cursor[0] = 2
    assert duties.report(16.0).still_s == 0.0


def test_only_duties_that_cannot_be_done_are_named() -> None:
    duties = Duties()
    faults = {"watermark": "", "store": "it is away"}
    for name in faults:
        duties.watch(name, lambda name=name: faults[name])
    assert duties.report(0.0).faults == {"store": "it is away"}
    faults |= {"watermark": "the disk is full", "store": ""}
    assert duties.report(0.0).faults == {"watermark": "the disk is full"}


def test_a_duty_that_cannot_be_asked_does_not_silence_the_others() -> None:
    duties = Duties()
    duties.watch("broken", lambda: str(1 // 0))
    duties.watch("store", lambda: "it is away")
    found = duties.report(0.0).faults
    assert "ZeroDivisionError" in found["broken"] and found["store"] == "it is away"


def test_a_line_is_whole_and_comes_back_as_the_same_report() -> None:
    duties = Duties()
    for number in range(2 * FAULTS_MAX):
        duties.watch(f"duty-{number}", lambda: "\u20b8" * 2 * FAULT_LENGTH_MAX)
    report = duties.report(0.0)
    line = report.line()
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert Report.parse(line.rstrip()) == report
    plain = Report(1.0, {f"duty-{number}": "x" * FAULT_LENGTH_MAX for number in range(FAULTS_MAX)})
    assert len(plain.line()) <= PIPE_WRITE_BYTES_MAX


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"alive",
        b'{"ready": true}',
        b'{"alive": true, "still_s": ',
        b'{"alive": true, "still_s": 0.0}',
        b'{"alive": true, "faults": []}',
        b'{"alive": true, "still_s": "x", "faults": {}}',
        b'{"alive": true, "still_s": 0.0, "faults": []}',
    ],
)
def test_any_other_line_is_none(line: bytes) -> None:
    assert Report.parse(line) is None


def test_lines_are_written_for_a_supervisor_alone() -> None:
    code = "import time; from engine.process.duties import Duties; Duties().begin(); time.sleep(0.1)"
    environment = {name: value for name, value in process_environment().items() if name != PARENT_FD_VARIABLE}

    def run(**more: str) -> bytes:
        return subprocess.run(
            [sys.executable, "-c", code], env=environment | more, capture_output=True, check=True
        ).stdout

    assert run() == b""
    assert json.loads(run(**{PARENT_FD_VARIABLE: "0"}).splitlines()[0])["alive"]
