"""Runs a load: opens the connections, keeps them busy, and counts the replies.

Closed loop: each client keeps so many requests in flight, and sends one more for each reply. It shows how much the venue
takes, and the latency at that load.

Open loop: requests leave on schedule, whatever the venue does. The latency counts from the moment at which a request was
due, so a request that waited behind others counts with its wait (no coordinated omission). The generator looks at the
schedule once a millisecond; that much of a latency may be its own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from websockets.uri import parse_uri

from jibek.client.trading import (
    UNKNOWN_ORDER_CODE,
    Credentials,
    RequestRefused,
    refusal_of,
    result_of,
    until_key_is_known,
)
from jibek.console.trust import context_for, transport_hint
from jibek.load.connection import LoadConnection, LoadStatistics, now_us
from jibek.load.flow import Flow
from jibek.load.histogram import Histogram

SCHEDULE_STEP_S = 0.001
DRAIN_S = 15.0
"""How long to wait for the last replies; the venue answers within 10 s, even if only that the outcome is unknown."""


class LoadFailed(Exception):
    """The load could not begin or go on; the text says why."""


@dataclass(frozen=True)
class Load:
    """How much to send, and for how long. Without a limit it goes on until it is stopped."""

    in_flight: int = 32
    """Of each client, in a closed loop."""
    orders: int | None = None
    seconds: float | None = None
    rate: float | None = None
    """Requests a second of all clients together; an open loop."""


class LoadClient(NamedTuple):
    """A connection to open, with the requests that it sends."""

    flow: Flow
    credentials: Credentials
    logs_on: bool


@dataclass
class LoadResult:
    """What a load has done, so far or in the end."""

    seconds: float = 0.0
    """From the first request to the last reply."""
    generator_cpu_s: float = 0.0
    orders: int = 0
    """Orders that were sent."""
    cancels: int = 0
    """Cancels that were sent."""
    orders_accepted: int = 0
    """Orders that the venue took; neither those it refused nor those without a reply."""
    cancels_accepted: int = 0
    unknown: int = 0
    """Requests that never got a reply."""
    latencies: Histogram = field(default_factory=Histogram)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Connections that ended before the load did."""

    @property
    def answered(self) -> int:
        return self.latencies.count


Show = Callable[[LoadResult], None]


async def run_load(
    url: str,
    clients: Sequence[LoadClient],
    load: Load,
    symbol: str,
    *,
    stop: asyncio.Event | None = None,
    show: Show = lambda result: None,
    show_s: float = 1.0,
) -> LoadResult:
    """Opens a connection for each client, loads, and at the end cancels the orders that are still open.

    Args:
        url: of the WebSocket API.
        symbol: the market in which orders may be open at the end.
        stop: ends the load early.
        show: called every `show_s` seconds with the result so far.

    Raises:
        LoadFailed: a connection could not be opened or logged on.
    """
    run = LoadRun(load)
    try:
        for client in clients:
            connection = await run.add(url, client.flow)
            await log_on(connection, client)
        await run.run(stop, show, show_s)
        result = run.result()
        for client, connection in zip(clients, run.connections, strict=True):
            await cancel_orders_of(connection, client, symbol)
    except (OSError, TimeoutError) as error:
        raise LoadFailed(f"{url}: {error}.{transport_hint(url, error)}".removesuffix(".")) from None
    except RequestRefused as refused:
        raise LoadFailed(f"{refused}") from None
    finally:
        run.close()
    return result


class LoadRun:
    """One load on its connections, from the first request to the last reply."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.connections: list[LoadConnection] = []
        self._flows: list[Flow] = []
        self._statistics = LoadStatistics()
        self._began_us = 0
        self._cpu_s = 0.0

    async def add(self, url: str, flow: Flow, **options: Any) -> LoadConnection:
        """Opens a connection that will send this flow. `options` are those of `LoadConnection`.

        Raises:
            OSError: the server does not answer, or not as a WebSocket.
        """
        place = f"{url}?returnRateLimits=false"
        uri = parse_uri(place)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: LoadConnection(place, flow.request, self._statistics, **options),
            uri.host,
            uri.port,
            ssl=context_for(url),
        )
        self.connections.append(connection)
        self._flows.append(flow)
        await connection.opened()
        return connection

    async def run(
        self, stop: asyncio.Event | None = None, show: Show = lambda result: None, show_s: float = 1.0
    ) -> None:
        """Sends until a limit of the load is reached or `stop` is set, and waits for the last replies."""
        stop = stop or asyncio.Event()
        self._began_us, self._cpu_s = now_us(), -time.process_time()
        if self.load.orders is not None:
            for count, flow, connection in zip(self._shares(self.load.orders), self._flows, self.connections, strict=True):  # fmt: skip
                connection.requests_max = flow.requests_for(count)
        schedule = self._begin()
        done: asyncio.Future[Any] = asyncio.gather(*(connection.done for connection in self.connections))
        stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        shown_s = time.monotonic()
        try:
            while not done.done() and not stopped.done() and (left_s := self._left_s()) > 0:
                await asyncio.wait({done, stopped}, timeout=min(show_s, left_s), return_when=asyncio.FIRST_COMPLETED)
                # A wait may end early, at the end of the load several times in a row.
                if time.monotonic() - shown_s >= show_s:
                    show(self.result())
                    shown_s += show_s
            for connection in self.connections:
                connection.stop()
            await asyncio.wait({done}, timeout=DRAIN_S)
        finally:
            stopped.cancel()
            if schedule is not None:
                schedule.cancel()
        self._cpu_s += time.process_time()

    def result(self) -> LoadResult:
        """The result so far, or in the end."""
        requests = sum(connection.requests for connection in self.connections)
        orders = sum(flow.orders for flow in self._flows)
        # Few requests are refused or open, so counting these costs less than counting the accepted ones.
        missed = missed_orders = 0
        for flow, connection in zip(self._flows, self.connections, strict=True):
            numbers = connection.refused + connection.open_numbers
            missed += len(numbers)
            missed_orders += sum(flow.is_order(number) for number in numbers)
        cpu_s = self._cpu_s if self._cpu_s >= 0 else self._cpu_s + time.process_time()
        return LoadResult(
            seconds=max(0, self._statistics.last_reply_us - self._began_us) / 1e6,
            generator_cpu_s=cpu_s,
            orders=orders,
            cancels=requests - orders,
            orders_accepted=orders - missed_orders,
            cancels_accepted=requests - orders - (missed - missed_orders),
            unknown=sum(connection.open_requests for connection in self.connections),
            latencies=self._statistics.latencies,
            refusals=self._statistics.refusals,
            failures=[connection.failure for connection in self.connections if connection.failure],
        )

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def _shares(self, count: int) -> list[int]:
        """The count in nearly equal whole parts, one for each connection."""
        clients = len(self.connections)
        return [(count + clients - 1 - number) // clients for number in range(clients)]

    def _left_s(self) -> float:
        """How long the load still goes on, if a time limit is set."""
        if self.load.seconds is None:
            return math.inf
        return self.load.seconds - (now_us() - self._began_us) / 1e6

    def _begin(self) -> asyncio.Task[None] | None:
        """Sends the first requests; in an open loop, returns the task that sends the others."""
        if self.load.rate is None:
            for connection in self.connections:
                connection.keep_in_flight(self.load.in_flight)
            return None
        interval_us = 1e6 / self.load.rate
        for number, connection in enumerate(self.connections):
            connection.follow_schedule(self._began_us + number * interval_us, len(self.connections) * interval_us)
        return asyncio.ensure_future(self._follow_schedule())

    async def _follow_schedule(self) -> None:
        while True:
            time_us = now_us()
            for connection in self.connections:
                connection.send_due(time_us)
            await asyncio.sleep(SCHEDULE_STEP_S)


async def log_on(connection: LoadConnection, client: LoadClient) -> None:
    """Logs the session on, or sends one signed request, and returns as soon as the venue knows the key.

    Raises:
        RequestRefused: the venue refuses it.
        ConnectionError, TimeoutError: the venue does not answer.
    """
    method = "session.logon" if client.logs_on else "account.status"

    async def request() -> None:
        result_of(await connection.ask(method, client.credentials.signed({})))

    await until_key_is_known(request)


async def cancel_orders_of(connection: LoadConnection, client: LoadClient, symbol: str) -> None:
    """Cancels the client's open orders, if the venue still answers."""
    if connection.failure or connection.open_requests:
        return
    reply = await connection.ask("openOrders.cancelAll", client.credentials.signed({"symbol": symbol}))
    refused = refusal_of(reply)
    if refused is not None and refused.code != UNKNOWN_ORDER_CODE:
        raise LoadFailed(f"orders may still be open: {refused.message}")
