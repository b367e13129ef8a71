"""What all commands share: finding the venue, tables, failures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
import redis
from click.testing import CliRunner

from engine.journal import ChainBroken, Store, StoreTimeout
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from jibek.console.output import (
    VENUE_FILE,
    Column,
    Failure,
    VenueAddress,
    fail,
    find_venue,
    open_store,
    operator_name,
    print_table,
    store_errors,
)
from tests.worlds.store import StoreProcess

CONTENT = {
    "pid": 1,
    "store": "unix:///x",
    "host": "127.0.0.1",
    "port": 9443,
    "engine": "compiled",
    "services": {"engine": 7},
}


def test_a_venue_is_found_by_its_file(tmp_path: Path) -> None:
    (tmp_path / VENUE_FILE).write_text(json.dumps(CONTENT))
    venue = find_venue(tmp_path)
    assert venue == VenueAddress(tmp_path, 1, "unix:///x", "127.0.0.1", 9443, "compiled", {"engine": 7})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No venue runs on .*: start it with `jibek up`, or name its folder with --data."),
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"pid": "x", "store": "y"}', "cannot be read"),
        ('{"pid": 1, "store": "y", "services": []}', "cannot be read"),
    ],
)
def test_a_folder_without_a_venue_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / VENUE_FILE).write_text(text)
    with pytest.raises(Failure, match=says) as failure:
        find_venue(tmp_path)
    assert failure.value.exit_code == EXIT_UNREACHABLE


def test_a_venue_knows_whether_its_supervisor_lives(tmp_path: Path) -> None:
    venue = VenueAddress(tmp_path, os.getpid(), "", "", 0, "", {})
    assert venue.is_running()
    assert not venue._replace(pid=2**22 + 1).is_running()


def test_a_store_is_opened(server: StoreProcess, client: Store, tmp_path: Path) -> None:
    assert open_store(VenueAddress(tmp_path, 1, server.url, "", 0, "", {})).ping()


def test_a_store_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="does not answer: is the venue up") as failure:
        open_store(VenueAddress(tmp_path, 1, f"unix://{tmp_path}/nothing", "", 0, "", {}))
    assert failure.value.exit_code == EXIT_UNREACHABLE


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (redis.ConnectionError("gone"), EXIT_UNREACHABLE),
        (redis.TimeoutError("slow"), EXIT_UNREACHABLE),
        (StoreTimeout("no answer"), EXIT_UNREACHABLE),
        (ChainBroken("at 1-7"), EXIT_REFUSED),
        (redis.ResponseError("WRONGTYPE"), EXIT_REFUSED),
    ],
)
def test_what_the_store_raises_becomes_one_sentence(error: Exception, exit_code: int) -> None:
    with pytest.raises(Failure, match=str(error)) as failure, store_errors():
        raise error
    assert failure.value.exit_code == exit_code


def test_a_failure_is_one_line_on_standard_error() -> None:
    @click.command()
    def command() -> None:
        fail(EXIT_REFUSED, "It cannot be done.")

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.stdout, result.stderr) == (EXIT_REFUSED, "", "It cannot be done.\n")


def test_the_operator_is_named_by_the_environment_or_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JIBEK_OPERATOR", "aigerim")
    assert operator_name() == "aigerim"
    monkeypatch.delenv("JIBEK_OPERATOR")
    assert operator_name()


def test_a_piped_table_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("asset"), Column("total", right=True)], [["BTC", "1"], ["KZT", "200"]], title="T", footer="F")
    assert capsys.readouterr().out == "T\nasset  total\nBTC        1\nKZT      200\nF\n"


def test_a_table_on_a_terminal_is_drawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table([Column("asset"), Column("total", right=True)], [["BTC", "[1]"]], title="T", footer="F")
    drawn = capsys.readouterr().out
    assert "─" in drawn and "[1]" in drawn and "F" in drawn
