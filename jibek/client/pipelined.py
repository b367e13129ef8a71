"""A connection to the venue's WebSocket API that has many requests on their way at once.

Requests leave in the order in which you submit them, and the gateway executes commands of one connection in the order in
which they arrive. Each is signed by the credentials given with it, so one connection serves several accounts.

The gateway executes the first request of a key only after it has read the key's secret from the store, which may take
longer than the request behind it. If the order matters, first make one request with each key and wait for its reply.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from jibek.client.trading import REPLY_TIMEOUT_S, WINDOW_MS_MAX, Credentials, Reply, open_websocket, result_of


class PipelineClient:
    """One connection. Use it as an asynchronous context manager.

    Args:
        in_flight: how many requests may be without a reply; the next one waits.
        on_event: called with each event of the user-data streams.
    """

    def __init__(
        self, url: str, in_flight: int, on_event: Callable[[dict[str, Any]], None] = lambda event: None
    ) -> None:
        assert in_flight > 0
        self.url = url
        self.in_flight = in_flight
        self._on_event = on_event
        self._ids = itertools.count(1)
        self._answered: dict[int, Callable[[Reply], None]] = {}
        self._progress: asyncio.Future[None] | None = None
        """Done at the next reply, if `submit` or `drain` waits for one."""
        self._failure: Exception | None = None
        """Why there will be no more replies."""

    async def __aenter__(self) -> PipelineClient:
        self._connection: ClientConnection = await open_websocket(self.url)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()
        await self._reader

    async def submit(
        self, credentials: Credentials, method: str, params: dict[str, str], answered: Callable[[Reply], None]
    ) -> None:
        """Sends a request as soon as there is room for one more; `answered` is called with its reply.

        Raises:
            ConnectionError: the connection was lost; the outcome of requests without a reply is unknown.
            TimeoutError: no reply to any request came for 30 s; likewise.
        """
        await self._wait_until_open(self.in_flight - 1)
        id = next(self._ids)
        self._answered[id] = answered
        # The widest window, so that a slow machine is no reason to refuse an order.
        signed = credentials.signed(params | {"recvWindow": str(WINDOW_MS_MAX)})
        try:
            await self._connection.send(orjson.dumps({"id": id, "method": method, "params": signed}), text=True)
        except WebSocketException as error:
            raise ConnectionError(str(error)) from error

    async def drain(self) -> None:
        """Waits until every request has its reply. Raises what `submit` raises."""
        await self._wait_until_open(0)

    async def request(self, credentials: Credentials, method: str, **params: str) -> Any:
        """Sends a request behind all others, waits until all have their replies, and returns its result.

        Raises:
            RequestRefused: the venue refused this request.
            ConnectionError, TimeoutError: as `submit`.
        """
        replies: list[Reply] = []
        await self.submit(credentials, method, params, replies.append)
        await self.drain()
        (reply,) = replies
        return result_of(reply)

    async def _wait_until_open(self, count: int) -> None:
        """Waits until at most `count` requests are without a reply."""
        while len(self._answered) > count:
            if self._failure is not None:
                raise self._failure
            self._progress = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await self._progress
            except TimeoutError:
                raise TimeoutError(f"no reply came for {REPLY_TIMEOUT_S:.0f} s") from None

    async def _read(self) -> None:
        try:
            async for message in self._connection:
                self._take(orjson.loads(message))
            self._failure = ConnectionError("the connection was closed")
        except WebSocketException as error:
            self._failure = ConnectionError(str(error))
        except Exception as error:
            # `submit` and `drain` raise it.
            self._failure = error
        self._notify()

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._on_event(message["event"])
            return
        answered = self._answered.pop(message["id"], None)
        if answered is not None:
            answered(message)
            self._notify()

    def _notify(self) -> None:
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)
