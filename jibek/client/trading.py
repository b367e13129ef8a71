"""A small trading client of the venue's WebSocket API: requests, replies by id, signatures.

It is what any client would write, and knows the venue only by its URLs.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

REPLY_TIMEOUT_S = 30.0
"""The venue answers within 10 s, if only that the result is unknown."""
MESSAGE_BYTES_MAX = 16 << 20
KEY_WAIT_S = 10.0
KEY_RETRY_S = 0.02
UNKNOWN_KEY_CODE = -2015


class RequestRefused(Exception):
    """The venue answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Credentials:
    """An API key with the way in which it signs."""

    key: str
    sign: Callable[[bytes], str]
    can_log_on: bool
    """An ed25519 key can log a session on; an hmac key signs each request."""

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
        """The parameters with key, time and signature: over all of them, sorted by name, as `name=value` joined by `&`."""
        params = params | {"apiKey": self.key, "timestamp": str(time.time_ns() // 1_000_000)}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        return params | {"signature": self.sign(payload.encode())}


class TradingClient:
    """One connection, logged on where the key allows it. Use it as an asynchronous context manager."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self.url = url
        self.credentials = credentials
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> TradingClient:
        self._connection: ClientConnection = await connect(
            f"{self.url}?returnRateLimits=false", compression=None, max_size=MESSAGE_BYTES_MAX
        )
        self._reader = asyncio.create_task(self._read())
        await self._introduce()
        return self

    async def _introduce(self) -> None:
        """Logs on, or else asks for something, until the venue knows the key: of a new one it learns a moment later."""
        method = "session.logon" if self.credentials.can_log_on else "account.status"
        deadline_s = time.monotonic() + KEY_WAIT_S
        while True:
            try:
                await self._request(method, self.credentials.signed({}))
                return
            except RequestRefused as refused:
                if refused.code != UNKNOWN_KEY_CODE or time.monotonic() > deadline_s:
                    raise
            await asyncio.sleep(KEY_RETRY_S)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def call(self, method: str, **params: str) -> Any:
        """Asks for something that needs the key, and returns the result.

        Raises:
            RequestRefused: the venue said no.
            ConnectionError, ConnectionClosed: the connection was lost; whether it was carried out is unknown.
            TimeoutError: no answer came; whether it was carried out is unknown.
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
        if reply["status"] != 200:
            raise RequestRefused(reply["error"]["code"], reply["error"]["msg"])
        return reply["result"]

    async def _read(self) -> None:
        """Hands each reply to the one who waits for it, until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            async for message in self._connection:
                reply = orjson.loads(message)
                future = self._waiting.get(reply.get("id"))
                if future is not None and not future.done():
                    future.set_result(reply)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection was closed"))
