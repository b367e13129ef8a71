"""A connection to the venue's WebSocket API that has many requests on their way at once.

Requests leave in the order in which they are submitted, and the gateway carries commands of one connection out in the
order in which they come. Each is signed by the credentials given with it, so one connection serves several accounts.

A connection carries out the first request of a key only when the store has given it the key's secret, which may take
longer than the request behind it needs. Where order matters, make one request with each key and wait for it first.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from jibek.client.trading import MESSAGE_BYTES_MAX, REPLY_TIMEOUT_S, Credentials, RequestRefused

WINDOW_MS = 60_000
"""How long a request may take to the engine. The longest that is offered: a slow machine is no reason to refuse orders."""

Reply = dict[str, Any]


class PipelineClient:
    """One connection. Use it as an asynchronous context manager.

    Args:
        in_flight: requests without a reply; one more waits until there is room.
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
        """Somebody waits for the next reply."""
        self._failure: Exception | None = None
        """Why there will be no more replies."""

    async def __aenter__(self) -> PipelineClient:
        self._connection: ClientConnection = await connect(
            f"{self.url}?returnRateLimits=false", compression=None, max_size=MESSAGE_BYTES_MAX
        )
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
            ConnectionError: the connection was lost; what became of requests without a reply is unknown.
            TimeoutError: no reply to any request came for 30 s; likewise.
        """
        await self._wait_until_open(self.in_flight - 1)
        id = next(self._ids)
        self._answered[id] = answered
        signed = credentials.signed(params | {"recvWindow": str(WINDOW_MS)})
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
            RequestRefused: the venue said no to this request.
            ConnectionError, TimeoutError: as `submit`.
        """
        replies: list[Reply] = []
        await self.submit(credentials, method, params, replies.append)
        await self.drain()
        (reply,) = replies
        if refused := refusal_of(reply):
            raise refused
        return reply["result"]

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
            # Whoever waits for a reply raises it.
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


def refusal_of(reply: Reply) -> RequestRefused | None:
    """What the venue had against a request; None where it was carried out.

    >>> refusal_of({"id": 1, "status": 400, "error": {"code": -2011, "msg": "Unknown order sent."}})
    RequestRefused('Unknown order sent. (-2011)')
    >>> refusal_of({"id": 1, "status": 200, "result": {}})
    """
    if reply["status"] == 200:
        return None
    return RequestRefused(reply["error"]["code"], reply["error"]["msg"])
