"""No log has a whole key id, a secret, a signature or the text of a request, whatever clients and the store do.

A venue is driven through failures with recognisable values of each kind; then all of its logs are searched for them.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.journal import JOURNAL_KEY
from engine.process.log_lines import JSON, LOG_FORMAT_VARIABLE, LOG_FORMATS, SHOWN_CHARACTERS
from gateway.auth.secrets import SECRETS_KEY
from tests.worlds.accounts import Ed25519Key, HmacKey
from tests.worlds.clients import limit_order, now_ms
from tests.worlds.services import ServiceVenue

TEXT = "AnUnmistakableText"
"""In what clients send that is no request."""


class Watched:
    """Values that no log may have whole."""

    def __init__(self) -> None:
        self.values: list[str] = [TEXT]

    def add(self, value: str) -> str:
        self.values.append(value)
        return value

    def token(self) -> str:
        return self.add(secrets.token_hex(32))

    def signed(self, params: dict[str, Any]) -> dict[str, Any]:
        self.add(params["signature"])
        return params


@pytest.fixture(params=LOG_FORMATS)
def venue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceVenue]:
    monkeypatch.setenv(LOG_FORMAT_VARIABLE, request.param)
    venue = ServiceVenue()
    yield venue
    venue.close()


def fail_as_a_client(venue: ServiceVenue, watched: Watched) -> None:
    """Everything that a client can do wrong with a key, and some rubbish."""
    account = venue.account(BTC="1", KZT="100000000")
    hmac = HmacKey(watched.token(), watched.token())
    ed25519 = Ed25519Key(watched.token(), Ed25519PrivateKey.generate())
    unsealed, expired = HmacKey(watched.token(), watched.token()), HmacKey(watched.token(), watched.token())
    venue.add_hmac_key(account, hmac)
    venue.add_hmac_key(account, unsealed)
    venue.add_hmac_key(account, expired, expiry_us=now_ms() * 1000 + 1)
    venue.add_ed25519_key(account, ed25519)
    venue.client.hset(SECRETS_KEY, unsealed.id, watched.token())
    client = venue.api()
    client.logon(ed25519)
    keys: tuple[HmacKey | Ed25519Key, ...] = (hmac, ed25519, expired, unsealed)
    for key in keys:
        good = watched.signed(client.signed(key, **limit_order("BTCKZT", "BUY", "0.01", "1000000")))
        client.ask("order.place", **good)
        client.ask("order.place", **good)
        client.ask("account.status", **{**good, "signature": watched.token()})
        client.ask("account.status", **{**good, "timestamp": 1})
    for key_id in (watched.token(), hmac.secret, f"\x1b[2J\n{TEXT}", TEXT * 1000):
        client.ask("account.status", apiKey=key_id, signature=watched.token(), timestamp=now_ms())
    for message in (f'{{"id":"{TEXT}"', TEXT, f'["{TEXT}"]', json.dumps({"id": 1, "method": TEXT, "params": {}})):
        client.send(message)
        client.receive()
    client.close()
    for data in (f"GET /{TEXT}\r\n\r\n", f"GET / HTTP/1.1\r\n{TEXT}\x07: x\r\n\r\n", f"{TEXT}\n"):
        with socket.create_connection(("127.0.0.1", venue.port)) as connection:
            connection.sendall(data.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


def fail_as_a_store(venue: ServiceVenue, watched: Watched) -> None:
    """A store in which something else than Jibek has written, until engine and gateway have ended."""
    key = HmacKey(watched.token(), watched.token())
    venue.add_hmac_key(venue.account(), key)
    venue.client.delete(SECRETS_KEY)
    venue.client.set(SECRETS_KEY, watched.token())
    client = venue.api()
    client.ask("account.status", **watched.signed(client.signed(key)))
    client.close()
    venue.client.xadd(JOURNAL_KEY, {"b": f"apiKey={key.id}&secret={key.secret}"}, id="1-*")
    assert venue.processes["engine"].wait() != 0
    venue.processes["gateway"].stop()


def lines_of(folder: Path) -> list[str]:
    logs = sorted(folder.glob("*.log"))
    assert {path.stem for path in logs} >= {"engine", "gateway"}
    return [line for path in logs if path.stem != "store" for line in path.read_text().split("\n") if line]


def test_no_log_has_a_key_a_secret_a_signature_or_a_request(venue: ServiceVenue) -> None:
    watched = Watched()
    fail_as_a_client(venue, watched)
    fail_as_a_store(venue, watched)
    text = "\n".join(lines := lines_of(venue.data))
    assert len(watched.values) > 20
    for value in watched.values:
        assert value not in text
        assert value[: SHOWN_CHARACTERS + 1] not in text, "more of a key than its beginning"
    for words in ("bad signature from 127.0.0.1", "unknown key", "malformed key", "expired key", "unreadable message",
                  "a secret cannot be used",
                  "signature used before", "timestamp too old", "journal"):  # fmt: skip
        assert words in text, text
    assert all(line.isprintable() for line in lines)
    if os.environ[LOG_FORMAT_VARIABLE] == JSON:
        for line in lines:
            assert {"time", "process", "pid", "level", "entry", "message"} <= json.loads(line).keys()
