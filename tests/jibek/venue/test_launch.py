"""`jibek up` from another process: the command line says the options, and its end is a failure with its text."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.journal import store_from_environment
from engine.process import EXIT_REFUSED
from jibek.commands.up import up
from jibek.venue.launch import LaunchFailed, VenueOptions, launch

OPTIONS = [
    VenueOptions(Path("/data")),
    VenueOptions(Path("/data"), Path("venue.toml"), "redis://127.0.0.1:6379/0", "::1", 1234, "reference", 7),
    VenueOptions(
        Path("/data"),
        tls_cert=Path("/cert.pem"),
        tls_key=Path("/key.pem"),
        trusted_proxies=("10.0.0.0/8", "::1"),
        proxy_header="proxy-protocol",
        allow_origins=("https://trade.example",),
        allow_hosts=("venue.example", "other.example"),
        connections_per_address_max=7,
        connections_max=8,
        failures_max=9,
        store_memory_bytes=20_000_000,
        store_binary=Path("/usr/bin/redis-server"),
    ),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_command_line_says_every_option(options: VenueOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    python, *module, jibek, command = options.command_line()[:5]
    arguments = options.command_line()[5:]
    assert (python, module, jibek, command) == (sys.executable, ["-P", "-m"], "jibek", "up")
    given = up.make_context("up", arguments).params
    assert given.pop("detach") is False and given.pop("ready_fd") is None
    assert given.pop("store") is None and given.pop("store_file") is None
    monkeypatch.setattr(os, "environ", options.environment())
    assert VenueOptions(data=given.pop("data_dir"), store=store_from_environment(), **given) == options


def test_a_venue_without_a_store_of_its_own_does_not_take_the_one_of_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A demo, which trades with itself, must not do so in the operator's store."""
    monkeypatch.setenv("JIBEK_STORE", "redis://127.0.0.1:6379/0")
    monkeypatch.setenv("JIBEK_STORE_FILE", "/run/credentials/store")
    environment = VenueOptions(Path("/data")).environment()
    assert "JIBEK_STORE" not in environment and "JIBEK_STORE_FILE" not in environment
    assert environment["PATH"] == os.environ["PATH"]


def test_a_password_is_in_no_text_of_the_options() -> None:
    options = VenueOptions(Path("/data"), store="redis://:hidden@127.0.0.1:6379/0")
    assert "hidden" not in repr(options) + " ".join(options.command_line())
    assert options.environment()["JIBEK_STORE"] == "redis://:hidden@127.0.0.1:6379/0"


@pytest.mark.parametrize("tied", [False, True])
def test_an_up_that_dies_before_it_is_ready_is_named_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tied: bool
) -> None:
    code = "import sys; print('a last word', file=sys.stderr); sys.exit(9)"
    monkeypatch.setattr(VenueOptions, "command_line", lambda self: [sys.executable, "-c", code])
    launched = launch(VenueOptions(tmp_path), tied=tied)
    with pytest.raises(LaunchFailed, match=f"has died; see {launched.log}") as failed:
        launched.wait_until_ready()
    assert failed.value.exit_code == EXIT_REFUSED
    assert launched.stop() == 9
    assert launched.log.read_text() == "a last word\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--store redis://:hidden@127.0.0.1:1/0", "the URL of --store holds a password"),
        ("--store redis://127.0.0.1:1/0 --store-file /nowhere", "give either --store or --store-file"),
        ("--store-file /nowhere/store", "the store's URL cannot be read from /nowhere/store"),
        ("--store-memory 8", "'8' is no size: write 500MB or 8GB."),
        ("--store-memory 0GB", "'0GB' is no size"),
        ("--store-memory 8.5GB", "'8.5GB' is no size"),
        ("--store-memory 15MB", "15MB is not between 16.0 MB and the"),
        ("--store-memory 9000TB", "9000TB is not between 16.0 MB and the"),
        ("--store-memory 64MB --store redis://127.0.0.1:1/0", "--store-memory is for the embedded store"),
    ],
)
def test_a_memory_that_the_store_cannot_have_is_wrong_usage(words: str, says: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(up, ["--data", str(tmp_path), *words.split()])
    assert (result.exit_code, says in result.output) == (2, True), result.output


def test_what_up_warns_of_reaches_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = 'import os, sys; os.write(int(sys.argv[2]), b\'{"ready": true, "warnings": ["Mind the gap."]}\\n\')'
    monkeypatch.setattr(VenueOptions, "command_line", lambda self: [sys.executable, "-c", code])
    launched = launch(VenueOptions(tmp_path), tied=False)
    assert launched.wait_until_ready() == ["Mind the gap."]
    launched.stop()


def test_what_up_says_is_raised_with_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = 'import os, sys; os.write(int(sys.argv[2]), b\'{"error": "the port is taken", "exit_code": 2}\\n\')'
    monkeypatch.setattr(VenueOptions, "command_line", lambda self: [sys.executable, "-c", code])
    launched = launch(VenueOptions(tmp_path), tied=False)
    with pytest.raises(LaunchFailed, match="the port is taken") as failed:
        launched.wait_until_ready()
    assert failed.value.exit_code == 2
    launched.stop()
