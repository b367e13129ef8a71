"""Log lines: one line an event, bounded, printable, without keys; plain and JSON say the same."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.process.log_lines import (
    JSON,
    LINES_ALIKE_PER_MINUTE_MAX,
    LOG_FORMAT_VARIABLE,
    LOG_FORMATS,
    MESSAGE_CHARACTERS_MAX,
    MINUTE_S,
    PLAIN,
    TRACEBACK_CHARACTERS_MAX,
    LineFormatter,
    LineHandler,
    LogLine,
    Unblocked,
    shown_key,
)
from tests.worlds.processes import process_environment

SECRET = "5f2ab10c77e0" * 5


def line(message: str, traceback: str = "", entry: str = "1-42") -> LogLine:
    return LogLine(1_800_000_000.5, "probe", 812, "INFO", entry, message, traceback)


def test_a_plain_line_begins_with_time_process_entry_and_level() -> None:
    assert line("it begins").text(PLAIN) == "2027-01-15T08:00:00.500000Z probe[812] 1-42 INFO it begins"
    assert line("it begins", entry="").text(PLAIN) == "2027-01-15T08:00:00.500000Z probe[812] - INFO it begins"


def test_a_json_line_has_the_same_under_names() -> None:
    found = json.loads(line("it\nbegins")._replace(fields={"address": "192.0.2.1"}).text(JSON))
    assert found == {
        "time": "2027-01-15T08:00:00.500000Z", "process": "probe", "pid": 812, "level": "INFO", "entry": "1-42",
        "message": "it\nbegins", "address": "192.0.2.1",
    }  # fmt: skip
    assert json.loads(line("x", entry="").text(JSON))["entry"] is None
    assert json.loads(line("x", traceback="a\nb").text(JSON))["traceback"] == "a\nb"


@settings(max_examples=50)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_one_printable_line(message: str, traceback: str) -> None:
    for log_format in LOG_FORMATS:
        text = line(message, traceback).text(log_format)
        assert text.isprintable(), text
        text.encode()


@pytest.mark.parametrize("log_format", LOG_FORMATS)
@pytest.mark.parametrize("character", ["x", " ", "\0", "й", "\U0001f40e", "\ud800"])
def test_a_line_is_bounded_and_keeps_its_end(log_format: str, character: str) -> None:
    found = line("begin " + character * 1_000_000 + " end", "begin " + character * 1_000_000 + " end")
    text = found.text(log_format)
    assert len(text.encode()) < 12 * (MESSAGE_CHARACTERS_MAX + TRACEBACK_CHARACTERS_MAX) + 1000
    assert text.count("begin ") == text.count(" end") == 2


@pytest.mark.parametrize("log_format", LOG_FORMATS)
@pytest.mark.parametrize(
    "token", [SECRET, SECRET.upper(), "f" * 64, "MEUCIQDx" * 8 + "AA==", SECRET[:32]], ids=lambda token: token[:12]
)
def test_no_key_is_whole_wherever_it_is(log_format: str, token: str) -> None:
    for text in (f"no key {token}.", f"['{token}', b'{token}']", f"{token}\n{token}", token):
        written = line(text, text).text(log_format)
        assert token not in written and token[:8] in written
        assert token[:9] not in written


def test_names_paths_and_entries_are_whole() -> None:
    text = "see /var/lib/jibek/engine-stopped-at-1-1234567890123.txt: IncompleteReadOfTheEventsLink in end_store_without_socket"
    assert text in line(text).text(PLAIN)


def test_a_key_is_shown_by_its_beginning_alone() -> None:
    assert shown_key(SECRET) == "5f2ab10c…"
    assert shown_key("a\x1b[31m\n") == "a\\x1b[…"
    assert all(key not in shown_key(key) for key in ("a", "ab", "abcdefgh", "abcdefghi"))


# -- from a logging call to a line


class Log:
    """A logger whose lines are kept, on a clock that the test moves."""

    def __init__(self, log_format: str = PLAIN) -> None:
        self.now_s = 0.0
        self.entry: object = None
        self._stream = io.StringIO()
        self.handler = LineHandler(self._stream, lambda: self.now_s)
        self.handler.setFormatter(LineFormatter("probe", log_format, lambda: self.entry))
        self.logger = logging.Logger("probe")
        self.logger.addHandler(self.handler)

    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()


def test_a_traceback_is_part_of_its_line() -> None:
    for log_format in LOG_FORMATS:
        log = Log(log_format)
        try:
            {}[SECRET]
        except KeyError:
            log.logger.exception("it failed")
        [text] = log.lines()
        assert "Traceback" in text and "KeyError" in text and SECRET not in text
    assert json.loads(text)["traceback"].count("\n") >= 2


def test_the_entry_is_the_one_of_the_moment() -> None:
    log = Log()
    log.logger.info("one")
    log.entry = "1-7"
    log.logger.info("two")
    assert [text.split()[2:] for text in log.lines()] == [["-", "INFO", "one"], ["1-7", "INFO", "two"]]


def test_fields_are_in_the_json_line() -> None:
    log = Log(JSON)
    log.logger.info("banned %s", "192.0.2.1", extra={"fields": {"address": "192.0.2.1", "seconds": 120}})
    [text] = log.lines()
    found = json.loads(text)
    assert (found["message"], found["address"], found["seconds"]) == ("banned 192.0.2.1", "192.0.2.1", 120)


def test_lines_alike_are_bounded_and_the_others_counted() -> None:
    log, most = Log(), LINES_ALIKE_PER_MINUTE_MAX
    for number in range(10 * most):
        log.logger.error("the disk is full, says %d", number)
    log.logger.info("another")
    assert len(log.lines()) == most + 1
    log.now_s += MINUTE_S
    log.logger.info("another")
    assert log.lines()[-2].endswith(
        f"WARNING {9 * most} further lines were left out that read: the disk is full, says %d"
    )
    assert len(log.lines()) == most + 3


def test_what_was_left_out_is_said_at_the_end() -> None:
    log = Log()
    for _ in range(LINES_ALIKE_PER_MINUTE_MAX + 5):
        log.logger.error("again")
    log.handler.close()
    assert log.lines()[-1].endswith("WARNING 5 further lines were left out that read: again")


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_raises_nothing() -> None:
    handler = LineHandler(Broken())
    handler.setFormatter(LineFormatter("probe", PLAIN, lambda: None))
    logger = logging.Logger("probe")
    logger.addHandler(handler)
    logger.error("anything")
    logger.error("wrong arguments: %d", "x", "y")


@pytest.mark.parametrize("size", [10, 1000, 3500, 4000])
def test_a_reader_that_does_not_read_holds_nobody_up(size: int) -> None:
    """A line may end in the middle of the pipe: the next one that is written begins at its beginning."""
    read_fd, write_fd = os.pipe()
    handler = LineHandler(Unblocked(write_fd))
    handler.setFormatter(LineFormatter("probe", PLAIN, lambda: None))
    logger = logging.Logger("probe")
    logger.addHandler(handler)
    for number in range(1000):
        logger.info(f"{number} {'a' + 'b ' * (size // 2)} end")
    os.set_blocking(read_fd, False)
    with os.fdopen(read_fd, "rb", buffering=0) as reader:
        written = reader.read(1 << 20)
        logger.info("at last")
        *lines, note, last = (written + reader.read(1 << 20)).decode().splitlines()
    os.close(write_fd)
    whole = [line for line in lines if line.endswith(" end")]
    assert [line.split()[4] for line in whole] == [str(number) for number in range(len(whole))]
    assert len(lines) - len(whole) <= 1, "one line may be torn"
    assert note.endswith(f"WARNING lost log lines: {1000 - len(whole)} (they could not be written)")
    assert last.endswith("INFO at last")


def test_a_wrong_log_call_shows_no_arguments() -> None:
    log = Log()
    log.logger.error("one number: %d", SECRET)
    assert log.lines()[0].endswith("ERROR one number: %d")


# -- a process

PROBE = """
import logging, sys, threading
from engine.process import entry_is, set_up
log = set_up("probe")
entry_is(lambda: "1-9")
{work}
"""
ENDS: list[tuple[str, str, str, str | None]] = [
    ("log.info('hello')", "INFO", "hello", None),
    ("logging.getLogger('redis').error('two\\nlines')", "ERROR", "two\nlines", None),
    ("raise ValueError('5f2ab10c77e05f2ab10c77e05f2ab10c77e05f2ab10c77e0')", "CRITICAL", "ended by ValueError", "5f2ab10c…"),
    ("t = threading.Thread(target=lambda: 1 / 0, name='worker'); t.start(); t.join()", "ERROR",
     "the thread worker ended by ZeroDivisionError", "ZeroDivisionError: division by zero"),
]  # fmt: skip


@pytest.mark.parametrize("log_format", LOG_FORMATS)
@pytest.mark.parametrize(("work", "level", "message", "last"), ENDS, ids=[end[2][:9] for end in ENDS])
def test_whatever_ends_a_process_is_one_line(
    log_format: str, work: str, level: str, message: str, last: str | None
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROBE.format(work=work)],
        capture_output=True,
        text=True,
        env={**process_environment(), LOG_FORMAT_VARIABLE: log_format},
        check=False,
    )
    [text] = result.stderr.splitlines()
    if log_format == JSON:
        found = json.loads(text)
        assert (found["process"], found["level"], found["entry"], found["message"]) == ("probe", level, "1-9", message)
        assert last is None or found["traceback"].endswith(last)
    else:
        assert f" 1-9 {level} {message}".replace("\n", "\\n") in text
        assert last is None or text.endswith(last)


def test_an_unknown_format_is_said_and_is_plain() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROBE.format(work="")],
        capture_output=True,
        text=True,
        env={**process_environment(), LOG_FORMAT_VARIABLE: "xml"},
        check=False,
    )
    assert "WARNING JIBEK_LOG_FORMAT is neither plain nor json: log lines are plain" in result.stderr
