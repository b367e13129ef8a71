"""A small trading client of the venue's WebSocket API: requests, replies by id, signatures.

Any client could be written like this: it knows the venue only by its URLs.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

REPLY_TIMEOUT_S = 30.0
"""The venue answers within 10 s, even if only to report that the outcome is unknown."""
MESSAGE_BYTES_MAX = 16 << 20
WINDOW_MS_MAX = 60_000
"""The longest recvWindow: how long a request may take to the engine before the venue refuses it."""
KEY_WAIT_S = 10.0
KEY_RETRY_S = 0.02
UNKNOWN_KEY_CODE = -2015
UNKNOWN_ORDER_CODE = -2011
"""The order to be cancelled is not open; from `openOrders.cancelAll`: none is."""

Reply = dict[str, Any]
T = TypeVar("T")


class RequestRefused(Exception):
    """The venue answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Credentials:
    """An API key and how it signs."""

    key: str
    sign: Callable[[bytes], str]
    can_log_on: bool
    """An ed25519 key can log a session on; an hmac key signs each request."""

    @classmethod
    def of_key(cls, made: dict[str, str]) -> Credentials:
        """The credentials of a key as `jibek account key --json` gives it: `key`, and `secret` or `private_key`."""
        if "secret" in made:
            return cls.hmac(made["key"], made["secret"])
        return cls.ed25519(made["key"], made["private_key"])

    @classmethod
    def hmac(cls, key: str, secret: str) -> Credentials:
        def sign(payload: bytes) -> str:
            return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()

        return cls(key, sign, can_log_on=False)

    @classmethod
    def ed25519(cls, key: str, private_key_pem: str) -> Credentials:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        private_key = load_pem_private_key(private_key_pem.encode(), None)
        assert isinstance(private_key, Ed25519PrivateKey)

        def sign(payload: bytes) -> str:
            return base64.b64encode(private_key.sign(payload)).decode()

        return cls(key, sign, can_log_on=True)

    def signed(self, params: dict[str, str]) -> dict[str, str]:
        """The parameters with key, time and signature.

        The time is in microseconds, so that two requests with the same parameters do not have the same signature, which the
        venue would accept for one of them only. The signature is over all of them, sorted by name, as `name=value` joined by `&`.
        """
        params = params | {"apiKey": self.key, "timestamp": str(time.time_ns() // 1000)}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        return params | {"signature": self.sign(payload.encode())}


async def until_key_is_known(request: Callable[[], Awaitable[T]]) -> T:
    """Repeats a request until the venue knows its key; of a new key it learns a moment later.

    Args:
        request: sends the request and waits for its result.

    Raises:
        RequestRefused: the venue refused it for another reason, or does not know the key after 10 s.
        Exception: whatever else `request` raises.
    """
    deadline_s = time.monotonic() + KEY_WAIT_S
    while True:
        try:
            return await request()
        except RequestRefused as refused:
            if refused.code != UNKNOWN_KEY_CODE or time.monotonic() > deadline_s:
                raise
        await asyncio.sleep(KEY_RETRY_S)


def result_of(reply: Reply) -> Any:
    """The result in a reply.

    >>> result_of({"id": 1, "status": 200, "result": {"orderId": 7}})
    {'orderId': 7}

    Raises:
        RequestRefused: the reply is an error.
    """
    if refused := refusal_of(reply):
        raise refused
    return reply["result"]


def refusal_of(reply: Reply) -> RequestRefused | None:
    """The error in a reply; None if the request was executed.

    >>> refusal_of({"id": 1, "status": 400, "error": {"code": -2011, "msg": "Unknown order sent."}})
    RequestRefused('Unknown order sent. (-2011)')
    >>> refusal_of({"id": 1, "status": 200, "result": {}})
    """
    if reply["status"] == 200:
        return None
    return RequestRefused(reply["error"]["code"], reply["error"]["msg"])


async def open_websocket(url: str) -> ClientConnection:
    """A connection to the WebSocket API, without rate limits in its replies."""
    return await connect(f"{url}?returnRateLimits=false", compression=None, max_size=MESSAGE_BYTES_MAX)


class TradingClient:
    """One connection, logged on if the key allows it. Use it as an asynchronous context manager."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self.url = url
        self.credentials = credentials
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> TradingClient:
        self._connection: ClientConnection = await open_websocket(self.url)
        self._reader = asyncio.create_task(self._read())
        method = "session.logon" if self.credentials.can_log_on else "account.status"
        await until_key_is_known(lambda: self._request(method, self.credentials.signed({})))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def call(self, method: str, **params: str) -> Any:
        """Sends a request that needs the key, and returns its result.

        Raises:
            RequestRefused: the venue refused it.
            ConnectionError, ConnectionClosed: the connection was lost; whether the request was executed is unknown.
            TimeoutError: no reply came within 30 s; whether the request was executed is unknown.
        """
        if self.credentials.can_log_on:
            return await self._request(method, params | {"timestamp": str(time.time_ns() // 1_000_000)})
        return await self._request(method, self.credentials.signed(params))

    async def _request(self, method: str, params: dict[str, str]) -> Any:
        id = next(self._ids)
        self._waiting[id] = future = asyncio.get_running_loop().create_future()
        try:
            await self._connection.send(orjson.dumps({"id": id, "method": method, "params": params}).decode())
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                reply = await future
        finally:
            del self._waiting[id]
        return result_of(reply)

    async def _read(self) -> None:
        """Hands each reply to the request that waits for it, until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            async for message in self._connection:
                reply = orjson.loads(message)
                future = self._waiting.get(reply.get("id"))
                if future is not None and not future.done():
                    future.set_result(reply)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection was closed"))
