"""The options that commands share."""

from __future__ import annotations

import os

import click
import pytest
from click.testing import CliRunner

from jibek.console.options import TEXT_BYTES_MAX, combined, data_option, json_option, who_and_why
from jibek.main import main


@click.command()
@combined(click.argument("name"), data_option, json_option, who_and_why(why_required=True))
def command(**given: object) -> None:
    click.echo(" ".join(f"{key}={given[key]}" for key in sorted(given)))


def test_combined_options_arrive_like_single_ones() -> None:
    result = CliRunner().invoke(command, ["alice", "--data", "folder", "--json", "--who", "aigerim", "--why", "a test"])
    assert result.output == "as_json=True data_dir=folder name=alice who=aigerim why=a test\n"


def test_combined_options_keep_their_order_in_the_help() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    places = [text.index(option) for option in ("NAME", "--data", "--json", "--who", "--why")]
    assert places == sorted(places)


@pytest.mark.parametrize("option", ["--who", "--why"])
def test_a_text_has_a_bound_in_bytes(option: str) -> None:
    fits, other = "ж" * (TEXT_BYTES_MAX // 2), {"--who": "--why", "--why": "--who"}[option]
    assert CliRunner().invoke(command, ["alice", option, fits, other, "x"]).exit_code == 0
    result = CliRunner().invoke(command, ["alice", option, fits + "x", other, "x"])
    assert (result.exit_code, "at most 500 bytes" in result.output) == (2, True)


def test_what_is_not_text_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    half = os.fsdecode(b"\xff")
    for arguments in (
        ["limits", "set", half, "--orders-per-day", "5"],
        [half],
        ["account", "create", "x", "--why", half],
    ):
        result = CliRunner().invoke(main, arguments)
        assert (result.exit_code, result.output.splitlines()[-1]) == (2, "Error: an argument is not text in UTF-8.")
    monkeypatch.setenv("JIBEK_OPERATOR", half)
    result = CliRunner().invoke(command, ["alice", "--why", "x"])
    assert (result.exit_code, "it is not text in UTF-8" in result.output) == (2, True)


def test_what_is_not_text_in_the_environment_is_refused_without_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JIBEK_LOG_FORMAT", os.fsdecode(b"json\xff"))
    result = CliRunner().invoke(main, ["up"])
    assert result.exit_code == 2
    assert "JIBEK_LOG_FORMAT" in result.output and "it is not text in UTF-8" in result.output
    assert "udcff" not in result.output
