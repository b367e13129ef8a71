"""Clients of a gateway: what they ask, how they sign it, and one that speaks over a WebSocket."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import time
from abc import ABC, abstractmethod
from typing import Any

from websockets.asyncio.client import connect as connect_asyncio
from websockets.sync.client import ClientConnection, connect

from tests.worlds.accounts import Ed25519Key, HmacKey

ANSWER_WAIT_S = 10.0

_MICROSECONDS = itertools.count()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def limit_order(symbol: str, side: str, quantity: str, price: str, **params: Any) -> dict[str, Any]:
    """The parameters of a GTC limit order."""
    return {
        "symbol": symbol, "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": quantity, "price": price,
        "timestamp": now_ms(), **params,
    }  # fmt: skip


def json_text(value: Any) -> str:
    """A parameter as it is written in the text that is signed."""
    return value if isinstance(value, str) else json.dumps(value)


def signed(key: HmacKey | Ed25519Key, **params: Any) -> dict[str, Any]:
    """The parameters with key, timestamp and signature. A `timestamp` among them is kept; else it is in microseconds, so that
    no two requests have the same signature."""
    params = {"timestamp": time.time_ns() // 1000, "apiKey": key.id, **params}
    payload = "&".join(f"{name}={json_text(params[name])}" for name in sorted(params))
    return {**params, "signature": key.sign(payload)}


class RequestClient(ABC):
    """The request API as a client uses it, however its frames travel."""

    @abstractmethod
    def ask(self, method: str, **params: Any) -> Any:
        """Sends a request and returns its reply."""

    def time_ms(self) -> int:
        """The client's clock."""
        return now_ms()

    def result(self, method: str, **params: Any) -> Any:
        """Asks, and returns the result.

        Raises:
            AssertionError: the request was refused.
        """
        reply = self.ask(method, **params)
        assert reply.get("status") == 200, reply
        return reply["result"]

    def refusal(self, method: str, **params: Any) -> tuple[int, str]:
        """Asks, and returns code and text of the refusal.

        Raises:
            AssertionError: the request was granted.
        """
        reply = self.ask(method, **params)
        assert reply["status"] != 200, reply
        return reply["error"]["code"], reply["error"]["msg"]

    def signed(self, key: HmacKey | Ed25519Key, **params: Any) -> dict[str, Any]:
        """The parameters with key, timestamp and signature."""
        # No two requests have the same signature, although the clock of a test may stand still.
        time_us = self.time_ms() * 1000 + next(_MICROSECONDS) % 1000
        return signed(key, **{"timestamp": time_us, **params})

    def logon(self, key: Ed25519Key) -> Any:
        return self.result("session.logon", **self.signed(key))

    def limit(self, symbol: str, side: str, quantity: str, price: str, **params: Any) -> dict[str, Any]:
        """The parameters of a GTC limit order."""
        return limit_order(symbol, side, quantity, price, **{"timestamp": self.time_ms(), **params})

    def place(self, symbol: str, side: str, quantity: str, price: str, **params: Any) -> Any:
        """A GTC limit order on a logged-on session; its result."""
        return self.result("order.place", **self.limit(symbol, side, quantity, price, **params))


class Client(RequestClient):
    """A WebSocket client of the `websockets` library."""

    def __init__(self, url: str) -> None:
        self.socket: ClientConnection = connect(url, max_size=None, open_timeout=ANSWER_WAIT_S).__enter__()
        self.events: list[Any] = []
        """Messages that came before a reply that was waited for."""
        self._ids = itertools.count(1)

    def close(self) -> None:
        self.socket.close()

    def send(self, frame: object) -> None:
        """Sends a message: a str as it is, anything else as JSON."""
        self.socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    def receive(self, timeout_s: float = ANSWER_WAIT_S) -> Any:
        """The next message.

        Raises:
            TimeoutError: none came within `timeout_s`.
        """
        return json.loads(self.socket.recv(timeout=timeout_s))

    def event(self, timeout_s: float = ANSWER_WAIT_S) -> Any:
        """The next message that is not a reply."""
        return self.events.pop(0) if self.events else self.receive(timeout_s)

    def ask(self, method: str, **params: Any) -> Any:
        """Sends a request and returns its reply; `events` keeps what comes before it."""
        id = next(self._ids)
        self.send({"id": id, "method": method, "params": params})
        return self.reply_to(id)

    def reply_to(self, id: object) -> Any:
        """The reply with this id; `events` keeps what comes before it."""
        while True:
            message = self.receive()
            if message.get("id") == id:
                return message
            self.events.append(message)


def asked(url: str, context: ssl.SSLContext, message: str) -> str:
    """The reply to one message over TLS.

    Not by the blocking client: two threads use its TLS socket at once, and once in some hundred connections with TLS 1.3 it
    misses what came.
    """

    async def ask() -> str:
        async with connect_asyncio(url, ssl=context) as client:
            await client.send(message)
            return str(await asyncio.wait_for(client.recv(), 20))

    return asyncio.run(ask())
