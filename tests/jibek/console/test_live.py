"""What is shown while a command works: drawn on a terminal, lines or nothing elsewhere."""

from __future__ import annotations

import pytest

from jibek.console.live import DRAW_INTERVAL_S, LINE_INTERVAL_S, live_view, progress_shown


@pytest.mark.parametrize("stderr", [False, True])
def test_without_a_terminal_a_value_is_a_line(capfd: pytest.CaptureFixture[str], stderr: bool) -> None:
    with live_view(str, lambda value: f"line {value}", stderr=stderr, transient=False) as (show, interval_s):
        show(1)
        show(2)
    assert interval_s == LINE_INTERVAL_S
    printed = capfd.readouterr()
    assert (printed.err if stderr else printed.out) == "line 1\nline 2\n"
    assert (printed.out if stderr else printed.err) == ""


def test_on_a_terminal_a_value_is_drawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with live_view(str.upper, str, stderr=False, transient=False) as (show, interval_s):
        show("drawn")
    assert interval_s == DRAW_INTERVAL_S
    assert "DRAWN" in capsys.readouterr().out


def test_progress_is_shown_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress_shown("reading") as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_shown("reading") as progress:
        progress(1, 2)
    printed = capsys.readouterr()
    assert "reading" in printed.err and printed.out == ""
