"""The streams of a command: closed, full, not read at the other end, or of another encoding."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from jibek.console.output import Column, print_json, print_line, print_table
from jibek.console.standard_streams import EXIT_READ_NO_MORE, OutputLost, of_system, run
from tests.worlds.venue import VenueProcess

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
"""An environment in which Python writes to its streams as for most users: at the end of a line, or of the process."""


class Refusing(io.TextIOBase):
    """A stream that takes nothing."""

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


PRINTERS: dict[str, Callable[[], None]] = {
    "line": lambda: print_line("text"),
    "json": lambda: print_json({"text": 1}),
    "table": lambda: print_table([Column("text")], [["text"]]),
    "print": lambda: print("text", flush=True),
    "echo": lambda: click.echo("text"),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE, errno.EIO])
@pytest.mark.parametrize("printer", PRINTERS)
def test_output_that_is_refused_is_one_sentence(
    printer: str, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Refusing(number))
    said = f"Standard output cannot be written ({os.strerror(number)}): something may be missing there."
    is_pipe = number == errno.EPIPE
    assert run(PRINTERS[printer]) == (EXIT_READ_NO_MORE if is_pipe else 1)
    assert capsys.readouterr().err == ("" if is_pipe else f"{said}\n")
    with click.Context(click.Command("deposit")) as context:
        context.params["who"] = "op"
        assert run(PRINTERS[printer]) == 1 or printer in ("print", "echo")
    if printer not in (
        "print",
        "echo",
    ):  # What writes past `console/output` fails where the command is not known any more.
        assert capsys.readouterr().err == f"{said} `jibek audit` shows what was changed.\n"


def test_errors_that_cannot_be_shown_leave_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> None:
        raise click.UsageError("wrong")

    monkeypatch.setattr(sys, "stderr", Refusing(errno.ENOSPC))
    print_line("talk", err=True)
    assert run(wrong) == 2
    monkeypatch.setattr(sys, "stdout", Refusing(errno.ENOSPC))
    assert run(PRINTERS["line"]) == 1


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 2, f"too long ({'x' * 64}…)."),
        (OSError(errno.EACCES, "Permission denied", "se\x1bcret"), 1, "Permission denied (se\\x1bcret)."),
        (OSError(errno.ENOSPC, "No space left on device", "logs"), 1, "No space left on device (logs)."),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "Standard output cannot be written"),
    ],
)
def test_what_the_system_refuses_is_a_sentence(error: OSError, code: int, text: str) -> None:
    sentence = of_system(error)
    assert (sentence.exit_code, text in sentence.message) == (code, True)
    assert isinstance(sentence, OutputLost) == (text.startswith("Standard"))


# -- real processes: (words, redirections of a shell, exit code, whether standard error says so)

FULL, CLOSED = "No space left on device", "it is closed"
REAL = [
    ("--help", ">/dev/full", 1, FULL),
    ("account list --data {data}", ">/dev/full", 1, FULL),
    ("status --data {data} --json", ">&-", 1, CLOSED),
    ("market list --data {data}", ">&- 2>&- <&-", 1, ""),
    ("nonsense", ">&- 2>/dev/full", 1, ""),
    ("nonsense", "2>/dev/full", 2, ""),
    ("account show nobody --data {data}", "2>&-", 1, ""),
    ("down --data {data}/none", ">&-", 3, "There is no folder"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "redirections", "code", "says"), REAL, ids=[f"{row[0]} {row[1]}" for row in REAL])
def test_a_command_on_streams_that_do_not_work(
    running_venue: VenueProcess, tmp_path: Path, words: str, redirections: str, code: int, says: str
) -> None:
    line = f'"{sys.executable}" -m jibek {words.format(data=running_venue.data)} {redirections}'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False, env=BUFFERED)
    assert done.returncode == code, done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


def test_a_pipe_that_is_not_read(running_venue: VenueProcess) -> None:
    command = [sys.executable, "-m", "jibek", "market", "list", "--data", str(running_venue.data)]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (EXIT_READ_NO_MORE, "")


def test_a_stream_of_another_alphabet_gets_escapes(running_venue: VenueProcess) -> None:
    command = [sys.executable, "-m", "jibek", "account", "show", "Ақтау", "--data", str(running_venue.data)]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.startswith("No account is named \\u0410\\u049b")) == (1, True)
