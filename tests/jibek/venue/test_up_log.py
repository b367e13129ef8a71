"""The log of `jibek up`: early lines wait for the folder, and nothing is written into a folder of others."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

import pytest

from engine.process.log_lines import JSON, PLAIN
from jibek.venue.up_log import EARLY_LINES_MAX, UpLog


def test_what_is_said_before_the_folder_is_there_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "up.log"
    log = UpLog(path, PLAIN, clock=lambda: 1_800_000_000.5)
    for number in range(2 * EARLY_LINES_MAX):
        log.write(f"early {number}")
    assert not path.parent.exists()
    log.open()
    log.write("Port 9443 is taken:\nchoose another.", logging.ERROR)
    *early, last = path.read_text().splitlines()
    head = f"2027-01-15T08:00:00.500000Z up[{os.getpid()}] -"
    assert early == [f"{head} INFO early {number}" for number in range(EARLY_LINES_MAX, 2 * EARLY_LINES_MAX)]
    assert last == f"{head} ERROR Port 9443 is taken:\\nchoose another."


def test_a_defect_is_one_line_with_its_traceback(tmp_path: Path) -> None:
    log = UpLog(tmp_path / "up.log", JSON)
    log.open()
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError as error:
        log.write_defect(error)
    found = json.loads((tmp_path / "up.log").read_text())
    assert (found["level"], found["message"]) == ("CRITICAL", "ended by ZeroDivisionError")
    assert "test_up_log.py" in found["traceback"]


def test_what_ends_a_thread_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    log = UpLog(tmp_path / "up.log", PLAIN)
    log.open()
    log.watch_threads()
    thread = threading.Thread(target=lambda: 1 / 0, name="store watch")
    thread.start()
    thread.join()
    [line] = (tmp_path / "up.log").read_text().splitlines()
    assert " CRITICAL the thread store watch ended by ZeroDivisionError\\nTraceback" in line


@pytest.mark.parametrize("name", ["ours", "missing", "link", "file"])
def test_a_refused_start_writes_only_into_our_own_folder(tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    folder = tmp_path / "logs"
    if name == "ours":
        folder.mkdir()
    elif name == "link":
        folder.symlink_to(target)
    elif name == "file":
        folder.write_text("")
    log = UpLog(folder / "up.log", PLAIN)
    log.write("refused")
    log.open_if_ours(lambda: False)
    log.write("refused again")
    assert list(target.iterdir()) == []
    if name == "ours":
        assert len((folder / "up.log").read_text().splitlines()) == 2
    else:
        assert name != "missing" or not folder.exists()


def test_a_refused_start_writes_nothing_into_the_log_of_a_venue_that_runs(tmp_path: Path) -> None:
    log = UpLog(tmp_path / "up.log", PLAIN)
    log.write("Early.")
    log.open_if_ours(lambda: True)
    log.write("Refused.")
    assert list(tmp_path.iterdir()) == []
