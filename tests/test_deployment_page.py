"""What docs/deployment.md says to type is understood: every `jibek` command on it, and the options that it explains."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import click
import pytest

from gateway.access import PROXY_HEADERS, Access
from gateway.limits import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    DESCRIPTORS_SPARE,
    TLS_HANDSHAKES_PER_TURN_MAX,
    TURNED_AWAY_MAX,
)
from jibek.main import main

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "deployment.md").read_text()
CONTEXT = click.Context(main)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def command_of(name: str) -> click.Command:
    command = main.get_command(CONTEXT, name)
    assert command is not None
    return command


def unit() -> configparser.ConfigParser:
    [text] = blocks("ini")
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


SHOWN = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("jibek ")]
SHOWN.append(unit()["Service"]["ExecStart"].removeprefix("/opt/jibek/.venv/bin/"))


@pytest.mark.parametrize("line", SHOWN)
def test_a_command_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "authority.pem").touch()
    (tmp_path / "key.pem").touch()
    name, *words = shlex.split(line)[1:]
    params = command_of(name).make_context(name, words).params
    if name == "up":
        Access(**{field: params[field] for field in Access._fields}).check()


def test_the_page_explains_every_option_of_access() -> None:
    options = [option.opts[0] for option in command_of("up").params if option.name in Access._fields]
    assert len(options) == len(Access._fields)
    assert [option for option in options if f"`{option}`" not in PAGE and f"`{option} " not in PAGE] == []
    assert all(f"`{header}`" in PAGE for header in PROXY_HEADERS)


def test_the_proxies_do_what_the_gateway_is_said_to_expect() -> None:
    [nginx], [haproxy] = blocks("nginx"), blocks("haproxy")
    assert "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;" in nginx
    assert "proxy_set_header Host $host;" in nginx
    assert "source 127.0.0.2 send-proxy-v2" in haproxy
    assert "proxy_bind 127.0.0.2;" in nginx
    assert PAGE.count("--trusted-proxy 127.0.0.2 ") == 2


def test_the_figures_are_those_of_the_code() -> None:
    more = DESCRIPTORS_SPARE + TURNED_AWAY_MAX
    assert f"and {more} more" in PAGE
    assert f"you need {CONNECTIONS_MAX + more:,}" in PAGE
    assert int(unit()["Service"]["LimitNOFILE"]) >= CONNECTIONS_MAX + more
    assert f"At most {TLS_HANDSHAKES_PER_TURN_MAX} begin, or go on, in one turn" in PAGE
    assert f"| {CONNECTIONS_PER_ADDRESS_MAX:,} |" in PAGE
