"""Carries out a load: opens the connections, keeps them busy, and counts what comes back.

Closed loop: each client has so many requests on their way, and sends one more for each reply. So it shows how much the
venue takes, and the latency at that.

Open loop: requests leave by a schedule, whatever the venue does. The latency counts from the moment at which a request was
due, so that one which had to wait behind others is counted with its wait (no coordinated omission). The schedule is looked
at once a millisecond; that much of a latency may be this generator's own.
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

from jibek.client.trading import KEY_RETRY_S, KEY_WAIT_S, UNKNOWN_KEY_CODE, Credentials
from jibek.load.connection import LoadConnection, Statistics, now_us
from jibek.load.flow import Flow
from jibek.load.histogram import Histogram

SCHEDULE_STEP_S = 0.001
DRAIN_S = 15.0
"""How long the last replies are waited for; the venue answers within 10 s, if only that the outcome is unknown."""
NOTHING_OPEN_CODE = -2011


class LoadFailed(Exception):
    """The load could not begin or go on; the text says why."""


@dataclass(frozen=True)
class Load:
    """How much, and for how long. Without an end it goes on until it is stopped."""

    in_flight: int = 32
    """Of each client, in a closed loop."""
    orders: int | None = None
    seconds: float | None = None
    rate: float | None = None
    """Requests a second of all clients together; an open loop."""


class LoadClient(NamedTuple):
    """One connection to be, with what it sends."""

    flow: Flow
    credentials: Credentials
    logs_on: bool


@dataclass
class Outcome:
    """What became of a load."""

    seconds: float = 0.0
    """From the first request to the last reply."""
    generator_cpu_s: float = 0.0
    orders: int = 0
    cancels: int = 0
    unknown: int = 0
    """Requests that never got a reply."""
    latencies: Histogram = field(default_factory=Histogram)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Connections that ended before the load did."""

    @property
    def answered(self) -> int:
        return self.latencies.count


Show = Callable[[Outcome], None]


async def run_load(
    url: str,
    clients: Sequence[LoadClient],
    load: Load,
    symbol: str,
    *,
    stop: asyncio.Event | None = None,
    show: Show = lambda outcome: None,
    show_s: float = 1.0,
) -> Outcome:
    """Opens a connection for each client, loads, and at the end cancels what rests.

    Args:
        url: of the WebSocket API.
        symbol: the market in which orders may rest at the end.
        stop: ends the load early.
        show: called every `show_s` seconds with how it stands.

    Raises:
        LoadFailed: a connection could not be opened or logged on.
    """
    run = LoadRun(load)
    try:
        for client in clients:
            connection = await run.add(url, client.flow)
            await introduce(connection, client)
        await run.run(stop, show, show_s)
        outcome = run.outcome()
        for client, connection in zip(clients, run.connections, strict=True):
            await cancel_what_rests(connection, client, symbol)
    except (OSError, TimeoutError) as error:
        raise LoadFailed(f"{url}: {error}") from None
    finally:
        run.close()
    return outcome


class LoadRun:
    """One load on its connections, from the first request to the last reply."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.connections: list[LoadConnection] = []
        self._flows: list[Flow] = []
        self._statistics = Statistics()
        self._began_us = 0
        self._cpu_s = 0.0

    async def add(self, url: str, flow: Flow, **options: Any) -> LoadConnection:
        """Opens a connection that will send this flow. `options` are those of `LoadConnection`.

        Raises:
            OSError: nobody answers, or not as a WebSocket.
        """
        place = f"{url}?returnRateLimits=false"
        uri = parse_uri(place)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: LoadConnection(place, flow.request, self._statistics, **options),
            uri.host,
            uri.port,
            ssl=uri.secure or None,
        )
        self.connections.append(connection)
        self._flows.append(flow)
        await connection.opened()
        return connection

    async def run(
        self, stop: asyncio.Event | None = None, show: Show = lambda outcome: None, show_s: float = 1.0
    ) -> None:
        """Loads until it is enough or `stop` is set, and waits for the last replies."""
        stop = stop or asyncio.Event()
        self._began_us, self._cpu_s = now_us(), -time.process_time()
        if self.load.orders is not None:
            for count, flow, connection in zip(self._shares(self.load.orders), self._flows, self.connections, strict=True):  # fmt: skip
                connection.requests_max = flow.requests_for(count)
        schedule = self._begin()
        done: asyncio.Future[Any] = asyncio.gather(*(connection.done for connection in self.connections))
        stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        try:
            while not done.done() and not stopped.done() and (left_s := self._left_s()) > 0:
                await asyncio.wait({done, stopped}, timeout=min(show_s, left_s), return_when=asyncio.FIRST_COMPLETED)
                show(self.outcome())
            for connection in self.connections:
                connection.stop()
            await asyncio.wait({done}, timeout=DRAIN_S)
        finally:
            stopped.cancel()
            if schedule is not None:
                schedule.cancel()
        self._cpu_s += time.process_time()

    def outcome(self) -> Outcome:
        """How it stands, or what became of it."""
        requests = sum(connection.requests for connection in self.connections)
        orders = sum(flow.orders for flow in self._flows)
        cpu_s = self._cpu_s if self._cpu_s >= 0 else self._cpu_s + time.process_time()
        return Outcome(
            seconds=max(0, self._statistics.last_reply_us - self._began_us) / 1e6,
            generator_cpu_s=cpu_s,
            orders=orders,
            cancels=requests - orders,
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
        """How long the load still goes on, as far as the time decides it."""
        if self.load.seconds is None:
            return math.inf
        return self.load.seconds - (now_us() - self._began_us) / 1e6

    def _begin(self) -> asyncio.Task[None] | None:
        """Sends the first requests; in an open loop what sends the others."""
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


async def introduce(connection: LoadConnection, client: LoadClient) -> None:
    """Logs on, or else asks for something, until the venue knows the key: of a new one it learns a moment later.

    Raises:
        LoadFailed: the venue said no.
        ConnectionError, TimeoutError: it does not answer.
    """
    method = "session.logon" if client.logs_on else "account.status"
    deadline_s = time.monotonic() + KEY_WAIT_S
    while True:
        reply = await connection.ask(method, client.credentials.signed({}))
        if reply["status"] == 200:
            return
        error = reply["error"]
        if error["code"] != UNKNOWN_KEY_CODE or time.monotonic() > deadline_s:
            raise LoadFailed(f"{error['msg']} ({error['code']})")
        await asyncio.sleep(KEY_RETRY_S)


async def cancel_what_rests(connection: LoadConnection, client: LoadClient, symbol: str) -> None:
    """Takes the client's orders out of the book, as far as the venue still answers."""
    if connection.failure or connection.open_requests:
        return
    reply = await connection.ask("openOrders.cancelAll", client.credentials.signed({"symbol": symbol}))
    if reply["status"] != 200 and reply["error"]["code"] != NOTHING_OPEN_CODE:
        raise LoadFailed(f"orders may still rest: {reply['error']['msg']}")
