"""A venue that speaks TLS, by `jibek up`: what it prints, who can reach it, and its certificate at SIGHUP."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.process.private_files import UnsafePath
from jibek.console import trust
from jibek.main import main
from jibek.venue.launch import VenueOptions
from jibek.venue.supervisor import Supervisor
from tests.worlds.front import make_certificate
from tests.worlds.processes import WAIT_S, wait_until
from tests.worlds.venue import VenueProcess

EXAMPLE = Path(__file__).parents[3] / "examples" / "place_order.py"


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = make_certificate(folder, host="venue.example")
    venue = VenueProcess(folder / "data", tls_cert=cert, tls_key=key, allow_hosts=("venue.example",))
    try:
        yield venue.start()
    finally:
        venue.end()


def jibek(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def certificate_of(venue: VenueProcess) -> str:
    return ssl.get_server_certificate(("127.0.0.1", venue.options.port), timeout=WAIT_S)


def test_its_urls_say_so(venue: VenueProcess) -> None:
    urls = venue.json("status")["urls"]
    assert urls["ws_api"] == f"wss://127.0.0.1:{venue.options.port}/ws-api/v3"
    assert urls["http"] == f"https://127.0.0.1:{venue.options.port}/api/v3"
    assert f"wss://127.0.0.1:{venue.options.port}/ws" in venue.said() or "Jibek is up" not in venue.said()
    assert venue.facts()["certificate"] == str(venue.options.tls_cert)


def test_commands_on_its_folder_reach_it(venue: VenueProcess) -> None:
    assert jibek("market", "book", "BTCKZT", "--json", "--data", str(venue.data)).exit_code == 0
    options = ("--orders", "20", "--clients", "2", "--price", "50000000", "--market", "BTCKZT", "--json")
    loaded = jibek("load", "--data", str(venue.data), *options)
    assert json.loads(loaded.stdout)["orders"] == 20


def test_the_example_client_names_the_authority_or_says_what_is_wrong(venue: VenueProcess) -> None:
    venue.json("account", "create", "example", "--deposit", "KZT=1000000", "--why", "test")
    made = venue.json("account", "key", "example", "--type", "hmac")
    environment = {**os.environ, "JIBEK_KEY": made["key"], "JIBEK_SECRET": made["secret"]}
    url = f"wss://127.0.0.1:{venue.options.port}/ws-api/v3"

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLE)]
        return subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, timeout=WAIT_S, check=False
        )

    trusted = run(JIBEK_URL=url, SSL_CERT_FILE=str(venue.options.tls_cert))
    assert (trusted.returncode, len(trusted.stdout.splitlines())) == (0, 3), trusted.stderr
    for failed, hint in (
        (run(JIBEK_URL=url), "name its authority with SSL_CERT_FILE=venue.pem."),
        (run(JIBEK_URL=url.replace("wss", "ws")), "Does it speak TLS? Use wss://"),
    ):
        assert (failed.returncode, failed.stderr.count("\n")) == (1, 1), failed.stderr
        assert hint in failed.stderr


def test_a_load_from_elsewhere_names_who_vouches_for_it(
    venue: VenueProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_contexts", {})
    venue.json("account", "create", "visitor")
    made = venue.json("account", "key", "visitor", "--type", "hmac", "--may", "trade")
    secret = tmp_path / "secret"
    secret.write_text(made["secret"])
    command = [
        *("load", "--url", f"wss://127.0.0.1:{venue.options.port}", "--key", made["key"], "--secret", str(secret)),
        *(
            "--market",
            "BTCKZT",
            "--price",
            "50000000",
            "--orders",
            "2",
            "--clients",
            "1",
            "--signature",
            "hmac",
            "--json",
        ),
    ]
    refused = jibek(*command)
    assert refused.exit_code == 3
    assert "Its certificate is not trusted: name the authority that signed it with --ca FILE." in refused.stderr
    unencrypted = jibek(*(word.replace("wss://", "ws://") for word in command))
    assert (unencrypted.exit_code, unencrypted.stderr.count("\n")) == (3, 1)
    assert "Does it speak TLS? Use wss://." in unencrypted.stderr
    loaded = jibek(*command, "--ca", str(venue.options.tls_cert))
    # The account has no money, so its orders are refused; they got there.
    assert "insufficient balance" in loaded.stderr
    assert json.loads(loaded.stdout)["orders"] == 2
    plain = jibek("load", "--url", "ws://127.0.0.1:1", "--ca", str(secret))
    assert (plain.exit_code, "--ca goes with --url wss://" in plain.stderr) == (2, True)


def test_sighup_goes_to_the_gateway(venue: VenueProcess, tmp_path: Path) -> None:
    before = certificate_of(venue)
    cert, key = venue.options.tls_cert, venue.options.tls_key
    assert cert is not None and key is not None
    new_cert, new_key = make_certificate(tmp_path, host="venue.example")
    cert.write_bytes(new_cert.read_bytes())
    key.write_bytes(new_key.read_bytes())
    assert venue.launched is not None
    venue.launched.process.send_signal(signal.SIGHUP)
    wait_until(lambda: certificate_of(venue) != before, "the new certificate is shown")
    assert venue.facts()["restarts"] == dict.fromkeys(venue.facts()["services"], 0)


def test_the_end_of_the_terminal_ends_the_venue_and_nothing_else_does(tmp_path: Path) -> None:
    for has_tls, had_terminal, has_terminal, ends in (
        (False, False, False, True),
        (False, True, True, True),
        (True, False, False, False),
        (True, True, True, False),
        (True, True, False, True),
    ):
        options = VenueOptions(tmp_path, tls_cert=tmp_path / "cert" if has_tls else None)
        supervisor = Supervisor(options, lambda line: None)
        supervisor._has_terminal = had_terminal
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stderr.isatty", lambda has_terminal=has_terminal: has_terminal)
            supervisor._note_hang_up()
        assert (bool(supervisor._signals), supervisor._reload_is_due) == (ends, not ends)


def test_a_certificate_that_ends_soon_is_said_where_the_venue_is_started(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, days=3)
    lines: list[str] = []
    (tmp_path / "data").touch()
    supervisor = Supervisor(VenueOptions(tmp_path / "data", tls_cert=cert, tls_key=key), lines.append)
    with pytest.raises(UnsafePath, match="is not a folder"):
        supervisor.run()
    assert lines == supervisor.warnings
    [warning] = lines
    assert warning.startswith("Warning: The certificate is valid until ")


def test_where_others_can_listen_without_tls_it_warns(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        options = ("--data", str(tmp_path / "data"), "--host", "0.0.0.0", "--port", str(taken.getsockname()[1]))
        command = [sys.executable, "-m", "jibek", "up", *options]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert ended.returncode == 1
    assert "Warning: The venue listens on 0.0.0.0 without TLS" in ended.stderr
    assert "choose another with --port" in ended.stderr


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--tls-cert", "nothing.pem"], 2, "TLS needs both --tls-cert and --tls-key"),
        (["--tls-cert", "nothing.pem", "--tls-key", "nothing.key"], 1, "The certificate nothing.pem cannot be read"),
        (["--trusted-proxy", "10.0.0.1"], 2, "--trusted-proxy and --proxy-header need each other"),
        (["--allow-origin", "everything"], 2, "'everything' is no origin"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_starts(
    options: list[str], code: int, text: str, tmp_path: Path
) -> None:
    ended = jibek("up", "--data", str(tmp_path / "data"), *options)
    assert ended.exit_code == code
    assert text in " ".join(ended.stderr.split())
    assert not (tmp_path / "data").exists()
