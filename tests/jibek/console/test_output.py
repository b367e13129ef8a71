"""Tables: plain text when piped, drawn on a terminal."""

from __future__ import annotations

import json

import pytest

from jibek.console.output import Column, print_json, print_table


def test_a_piped_table_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("asset"), Column("total", right=True)], [["BTC", "1"], ["KZT", "200"]], title="T", footer="F")
    assert capsys.readouterr().out == "T\nasset  total\nBTC        1\nKZT      200\nF\n"


def test_a_table_on_a_terminal_is_drawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table([Column("asset"), Column("total", right=True)], [["BTC", "[1]"]], title="T", footer="F")
    drawn = capsys.readouterr().out
    assert "─" in drawn and "[1]" in drawn and "F" in drawn


def test_json_keeps_letters_of_every_alphabet(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"why": "Жібек жолы"})
    printed = capsys.readouterr().out
    assert "Жібек жолы" in printed and json.loads(printed) == {"why": "Жібек жолы"}
