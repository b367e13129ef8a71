"""The log of a process: whatever it writes becomes one line an event."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.process.log_lines import JSON, LOG_FORMATS, PLAIN, LogLine
from jibek.venue.process_log import PIECE_BYTES_MAX, ProcessLog

HEAD = "2027-01-15T08:00:00.500000Z engine[812]"
READY = b'{"time": "2027-01-15T08:00:00Z", "ready": true, "cursor": "1-7", "state_hash": "' + b"5f" * 32 + b'"}\n'


def new_log(tmp_path: Path, log_format: str = PLAIN, name: str = "engine", **sizes: int) -> ProcessLog:
    log = ProcessLog(tmp_path / "x.log", name, log_format, clock=lambda: 1_800_000_000.5, **sizes)
    log.begin_run(812)
    return log


def lines_of(log: ProcessLog) -> list[str]:
    return log.path.read_text().splitlines() if log.path.exists() else []


@pytest.mark.parametrize("log_format", LOG_FORMATS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_finished_lines_go_through_as_they_are(tmp_path: Path, log_format: str, size: int) -> None:
    texts = [LogLine(1.0, "engine", 5, "INFO", "1-2", message).text(log_format) for message in ("one", "two\nthree")]
    log, data = new_log(tmp_path, log_format), "\n".join([*texts, ""]).encode()
    for start in range(0, len(data), size):
        log.take(data[start : start + size], is_report=False)
    assert lines_of(log) == texts


# What a process writes to standard error, and the messages that become of it.
FOREIGN = [
    (b"Traceback (most recent call last):\n  File x\nImportError: no\n", ["Traceback (most recent call last):\\n  File x\\nImportError: no"]),
    (b"\x1b[31mred\x1b[0m \xff\n\n \n", ["\\x1b[31mred\\x1b[0m \\xff"]),
    (b"no end", ["no end"]),
    (b"no key " + b"5f" * 32 + b"\n", ["no key 5f5f5f5f…"]),
    (b"2027-01-15T08:00:00.500000Z gateway[1] 1-1 INFO not me\n", ["2027-01-15T08:00:00.500000Z gateway[1] 1-1 INFO not me"]),
    (b'{"process":"gateway","message":"not me"}\n', ['{"process":"gateway","message":"not me"}']),
]  # fmt: skip


@pytest.mark.parametrize(("data", "messages"), FOREIGN)
def test_lines_of_another_form_get_a_head(tmp_path: Path, data: bytes, messages: list[str]) -> None:
    log = new_log(tmp_path)
    log.take(data, is_report=False)
    log.end_run()
    assert lines_of(log) == [f"{HEAD} - ERROR {message}" for message in messages]


def test_the_lines_of_the_store_keep_their_process_and_level(tmp_path: Path) -> None:
    said = (
        b"813:M 26 Nov 2026 22:04:14.123 * Ready to accept connections unix\n"
        b"900:C 26 Nov 2026 22:04:14.123 # WARNING Memory overcommit\n"
    )
    log = new_log(tmp_path, name="store")
    log.take(said, is_report=True)
    head = "2027-01-15T08:00:00.500000Z store"
    assert lines_of(log) == [
        f"{head}[813] - INFO Ready to accept connections unix",
        f"{head}[900] - WARNING WARNING Memory overcommit",
    ]


def test_ready_is_an_event_with_its_facts_and_other_reports_are_none(tmp_path: Path) -> None:
    for log_format in LOG_FORMATS:
        log = new_log(tmp_path / log_format, log_format)
        log.path.parent.mkdir()
        log.take(READY + b'{"alive": true, "faults": {}}\n', is_report=True)
        log.take(b"then\n", is_report=True)
        ready, then = lines_of(log)
        if log_format == JSON:
            found = json.loads(ready)
            assert (found["message"], found["entry"], found["state_hash"]) == ("ready", "1-7", "5f" * 32)
            assert json.loads(then)["entry"] == "1-7"
        else:
            facts = {"cursor": "1-7", "state_hash": "5f" * 32}
            assert ready == f"{HEAD} 1-7 INFO ready {json.dumps(facts)}"
            assert then == f"{HEAD} 1-7 INFO then"


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    for _ in range(5):
        log.take(b"\0" * (PIECE_BYTES_MAX + 1), is_report=False)
    assert len(lines_of(log)) == 5 and log.path.stat().st_size < 5 * PIECE_BYTES_MAX


def test_the_last_lines_are_of_this_run_alone_even_if_none_is_written(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    log.take(b"of the first\n", is_report=False)
    log.begin_run(900)
    assert log.last_lines() == ""
    log.path.unlink()
    log.path.mkdir()
    log.take(b"".join(b"%d\n" % number for number in range(100)), is_report=True)
    assert [text.split()[-1] for text in log.last_lines(2).splitlines()] == ["98", "99"]
    log.path.rmdir()
    log.on_time()
    [text] = lines_of(log)
    assert text.startswith("2027-01-15T08:00:00.500000Z engine[900] - WARNING lost log lines: 100 (")
