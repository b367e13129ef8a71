"""The trading client, against a server that answers as the test wants."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from websockets.asyncio.server import ServerConnection, serve

from jibek.client import trading
from jibek.client.trading import Credentials, RequestRefused, TradingClient

PRIVATE_KEY = Ed25519PrivateKey.generate()
PEM = PRIVATE_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ED25519, HMAC = Credentials.ed25519("e-key", PEM), Credentials.hmac("h-key", "secret")
UNKNOWN_KEY = {"status": 401, "error": {"code": -2015, "msg": "Invalid API-key."}}


def run(answers: Callable[[dict[str, Any]], dict[str, Any] | None], use: Callable[[str], Awaitable[None]]) -> None:
    """Runs `use(url)` against a server that sends `answers(request)`, and closes the connection for None."""

    async def handle(connection: ServerConnection) -> None:
        async for message in connection:
            request = json.loads(message)
            answer = answers(request)
            if answer is None:
                return
            await connection.send(json.dumps({"id": request["id"], "status": 200, "result": {}, **answer}))

    async def main() -> None:
        async with serve(handle, "127.0.0.1", 0) as server, asyncio.timeout(30):
            await use(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    asyncio.run(main())


def payload_of(params: dict[str, str]) -> bytes:
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature").encode()


def test_an_ed25519_key_logs_on_once_and_then_signs_nothing() -> None:
    requests: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        requests.append(request)
        return {"result": request["method"]}

    async def use(url: str) -> None:
        async with TradingClient(url, ED25519) as client:
            assert await client.call("order.place", symbol="BTCKZT") == "order.place"

    run(answer, use)
    logon, order = requests
    assert (logon["method"], logon["params"]["apiKey"]) == ("session.logon", "e-key")
    PRIVATE_KEY.public_key().verify(base64.b64decode(logon["params"]["signature"]), payload_of(logon["params"]))
    assert order["params"].keys() == {"symbol", "timestamp"}


def test_an_hmac_key_signs_each_request() -> None:
    requests: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        requests.append(request)
        return {}

    async def use(url: str) -> None:
        async with TradingClient(url, HMAC) as client:
            await client.call("order.place", symbol="BTCKZT")

    run(answer, use)
    assert [request["method"] for request in requests] == ["account.status", "order.place"]
    for request in requests:
        assert request["params"]["signature"] == HMAC.sign(payload_of(request["params"]))


def test_a_new_key_is_tried_until_the_venue_knows_it() -> None:
    seen = 0

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal seen
        seen += 1
        return UNKNOWN_KEY if seen < 4 else {}

    async def use(url: str) -> None:
        async with TradingClient(url, ED25519):
            assert seen == 4

    run(answer, use)


def test_a_key_that_stays_unknown_is_refused_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trading, "KEY_WAIT_S", 0.0)

    async def use(url: str) -> None:
        with pytest.raises(RequestRefused, match=r"Invalid API-key\. \(-2015\)"):
            await TradingClient(url, ED25519).__aenter__()

    run(lambda request: UNKNOWN_KEY, use)


def test_another_refusal_is_raised_at_once_and_the_connection_goes_on() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "order.cancel":
            return {"status": 400, "error": {"code": -2011, "msg": "Unknown order sent."}}
        return {"result": "fine"}

    async def use(url: str) -> None:
        async with TradingClient(url, ED25519) as client:
            with pytest.raises(RequestRefused) as refused:
                await client.call("order.cancel")
            assert (refused.value.code, refused.value.message) == (-2011, "Unknown order sent.")
            assert await client.call("order.place") == "fine"

    run(answer, use)


def test_a_request_without_a_reply_fails_when_the_connection_ends() -> None:
    async def use(url: str) -> None:
        async with TradingClient(url, ED25519) as client:
            with pytest.raises(ConnectionError):
                await client.call("order.place")

    run(lambda request: {} if request["method"] == "session.logon" else None, use)


@pytest.mark.parametrize(
    ("made", "can_log_on"),
    [({"key": "k", "secret": "s"}, False), ({"key": "k", "private_key": PEM}, True)],
    ids=["hmac", "ed25519"],
)
def test_credentials_of_a_key_that_was_made(made: dict[str, str], can_log_on: bool) -> None:
    credentials = Credentials.of_key(made)
    assert (credentials.key, credentials.can_log_on) == ("k", can_log_on)
    if not can_log_on:
        assert credentials.sign(b"x") == Credentials.hmac("k", "s").sign(b"x")
