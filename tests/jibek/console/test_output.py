"""Tables: plain text when piped, drawn on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

import jibek
from jibek.console.output import Column, print_json, print_line, print_table
from jibek.console.printable import is_printable


def test_a_piped_table_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("asset"), Column("total", right=True)], [["BTC", "1"], ["KZT", "200"]], title="T", footer="F")
    assert capsys.readouterr().out == "T\nasset  total\nBTC        1\nKZT      200\nF\n"


def test_a_table_on_a_terminal_is_drawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table([Column("asset"), Column("total", right=True)], [["BTC", "[1]"]], title="T", footer="F")
    drawn = capsys.readouterr().out
    assert "─" in drawn and "[1]" in drawn and "F" in drawn


KEY = "01234567890123456789012345678901"
AMOUNT = "123456789.00000000000000000001"
LONG_TABLE = (
    [Column("key"), Column("name of the account"), Column("amount", right=True), Column("fee", right=True)],
    [[KEY, "Ақтау and a friend of theirs", AMOUNT, "0.00000001"], ["short", "東京" * 12, "1", "2"]],
)


@pytest.mark.parametrize("width", [1, 20, 60, 66, 67, 70, 80, 100, 200])
def test_nothing_is_cut_however_narrow_the_terminal_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    columns, rows = LONG_TABLE
    print_table(columns, rows, title="A title that is longer than it should be", footer=f"after {AMOUNT}")
    drawn = capsys.readouterr().out
    assert "…" not in drawn
    assert AMOUNT in drawn and "0.00000001" in drawn, "a number stays on one line"
    together = "".join(drawn.split())
    for text in (KEY, "東京" * 12) if width in (1, 20, 200) else ():
        assert text in together
    for character in {*KEY, *"Ақтау", "東"}:
        shown = sum(text.count(character) for row in rows for text in row)
        assert drawn.count(character) >= shown, f"{character} is cut"
    if "─" in drawn:
        lines = re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines()
        assert all(cell_len(line) <= width for line in lines)


def test_json_keeps_letters_of_every_alphabet(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"why": "Жібек жолы"})
    printed = capsys.readouterr().out
    assert "Жібек жолы" in printed and json.loads(printed) == {"why": "Жібек жолы"}


HOSTILE = "\x1b[2Jforged\nline \u202e\x9b [red]"


def test_what_is_printed_cannot_write_on_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ([Column(HOSTILE)], [[HOSTILE], ["x"]])
    print_table(*table, title=HOSTILE, footer=HOSTILE)
    print_line(HOSTILE)
    print_line(HOSTILE, err=True)
    printed = capsys.readouterr()
    lines = printed.out.splitlines() + printed.err.splitlines()
    assert all(map(is_printable, lines)) and len(lines) == 1 + 3 + 1 + 1 + 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(*table, title=HOSTILE, footer=HOSTILE)
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)  # what rich draws with
    assert all(map(is_printable, drawn.splitlines())) and drawn.count("\\x9b [red]") == 4
    print_json({HOSTILE: [HOSTILE]})
    document = capsys.readouterr().out
    assert all(map(is_printable, document.splitlines())) and json.loads(document) == {HOSTILE: [HOSTILE]}


def test_commands_print_through_one_place() -> None:
    """What `click.echo` and `print` are given goes to the terminal as it is."""
    root = Path(jibek.__file__).parent
    allowed = {root / "console" / name for name in ("output.py", "standard_streams.py")}
    found = [
        f"{path.relative_to(root)}:{number}: use jibek.console.output.print_line"
        for path in root.rglob("*.py")
        if path not in allowed
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"click\.(echo|secho)\b|(?<![\w.>])print\((?! *\))", line)
        and ">>>" not in line
        and "..." not in line
    ]
    assert not found, "\n".join(found)
