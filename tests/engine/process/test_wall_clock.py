"""A clock that is set beyond what Python can read or write ends no process, and shows as clocks that part."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from engine.process.log_lines import JSON, LineFormatter, make_record
from engine.process.wall_clock import TIME_NS_MAX, time_text, wall_ns, wall_s
from engine.service.clocks import MACHINE, Accepted, Look, baseline_of, parted, stepped
from jibek.venue.up_log import UpLog


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is beyond 2262."""

    def read() -> float:
        raise OverflowError("timestamp too large to convert to C _PyTime_t")

    monkeypatch.setattr(time, "time_ns", read)
    monkeypatch.setattr(time, "time", read)


@pytest.mark.usefixtures("unreadable")
def test_logs_are_written_under_a_clock_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = UpLog(tmp_path / "logs" / "up.log", JSON)
    log.open()
    log.write("hello")
    found = json.loads((tmp_path / "logs" / "up.log").read_text())
    assert found["time"].startswith("2262-04-11T")
    record = make_record("engine", logging.WARNING, "", 0, "it is %s", ("late",), None)
    found = json.loads(LineFormatter("engine", JSON, lambda: "1-2").format(record))
    assert (found["level"], found["message"], found["time"][:5]) == ("WARNING", "it is late", "2262-")


@pytest.mark.usefixtures("unreadable")
def test_a_clock_that_cannot_be_read_was_set_ahead() -> None:
    assert wall_ns() == TIME_NS_MAX and wall_s() > 9e9
    now_us = 1_800_000_000_000_000
    seen = Look(2, MACHINE.wall_us(), now_us, 3)
    fault = stepped(baseline_of(Look(0, now_us, now_us, 1)), seen)
    assert fault is not None and fault.kind == "set ahead"
    assert [fault.kind for fault in parted(seen, now_us, Accepted())] == ["difference"]


@pytest.mark.parametrize("time_us", [-(1 << 63), -1, 0, (1 << 63) - 1])
def test_any_number_of_64_bits_is_shown(time_us: int) -> None:
    assert "Z" in time_text(time_us)
