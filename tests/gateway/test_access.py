"""The options by which an operator says how clients reach the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.access import Access, exposure_warning
from gateway.arguments import parse_arguments

NEEDED = ["--store", "unix:///s", "--data", "/d"]
FULL = Access(
    Path("/etc/cert.pem"),
    Path("/etc/key.pem"),
    ("10.0.0.0/8", "2001:db8::1"),
    "x-forwarded-for",
    ("https://trade.example",),
    ("venue.example", "other.example"),
)


@pytest.mark.parametrize("access", [Access(), FULL], ids=["none", "all"])
def test_the_options_say_the_same_to_the_gateway(access: Access) -> None:
    assert parse_arguments([*NEEDED, *access.arguments()]).access == access


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--tls-cert", "c"], "TLS needs both --tls-cert and --tls-key"),
        (["--tls-key", "k"], "TLS needs both --tls-cert and --tls-key"),
        (["--trusted-proxy", "10.0.0.1"], "--trusted-proxy and --proxy-header need each other"),
        (["--proxy-header", "x-forwarded-for"], "--trusted-proxy and --proxy-header need each other"),
        (["--trusted-proxy", "10.0.0.1/8", "--proxy-header", "x-forwarded-for"], "has host bits set"),
        (["--trusted-proxy", "proxy", "--proxy-header", "proxy-protocol"], "--trusted-proxy: 'proxy'"),
        (["--trusted-proxy", "10.0.0.1", "--proxy-header", "forwarded"], "invalid choice"),
        (["--allow-origin", "trade.example"], "--allow-origin: 'trade.example' is no origin"),
        (["--allow-origin", "null"], "--allow-origin: 'null' is no origin"),
        (["--allow-origin", "https://trade.example/"], "is no origin"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments([*NEEDED, *options])
    assert caught.value.code == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "warns"),
    [("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("::", True),
     ("", True), ("192.0.2.1", True), ("venue.example", True)],
)  # fmt: skip
def test_others_can_listen_where_there_is_no_tls(host: str, warns: bool) -> None:
    warning = exposure_warning(host, Access())
    assert bool(warning) == warns
    assert not warns or "--tls-cert" in warning
    assert exposure_warning(host, FULL) == ""
