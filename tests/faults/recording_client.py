"""Clients that trade through everything and write down what they see.

Each client is one connection at a time, with several requests in flight. When the connection ends, whatever has no reply
stays unknown; the client connects again, asks what is open, asks for each order of unknown fate by its client order id,
and goes on. Nothing is ever sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from jibek.client.trading import Credentials
from tests.faults.client_log import ClientLog, LastLook, Outcome, Reply, Request, Stream

REQUESTS_IN_FLIGHT = 2
ANSWER_WAIT_S = 20.0
"""The venue answers within 10 s, if only that it does not know."""
CONNECT_TIMEOUT_S = 5.0
RECONNECT_WAIT_S = 0.02
PAUSE_S_MAX = 0.01
"""A client thinks for so long at most between two requests: the load leaves the machine time for what is tested."""
OPEN_ORDERS_MAX = 12
"""Above it a client cancels rather than places."""
LAST_ORDERS = 100
"""Orders that a client asks about one by one at the end; the venue remembers 1,000 of an account."""

CODES_EXPECTED = {-2010, -2011, -2013, -1013, -1001, -1008, -1021}
"""Refusals that this trading provokes. Any other is a mistake of the venue or of this test, and ends the client."""


@dataclass(frozen=True)
class Pitch:
    """One market as the clients trade it: prices of these levels, quantities up to this one."""

    symbol: str
    price: int
    step: int
    quantity: int
    quantity_decimals: int

    def price_at(self, steps: int) -> str:
        return str(self.price + steps * self.step)

    def draw_quantity(self, randomness: random.Random) -> str:
        lots = randomness.randint(self.quantity // 4, self.quantity)
        return f"{lots // 10**self.quantity_decimals}.{lots % 10**self.quantity_decimals:0{self.quantity_decimals}}"


#          market    price       level  quantity, decimals
PITCHES = (
    Pitch("BTCKZT",  45_000_000, 5_000, 400, 5),
    Pitch("ETHKZT",  1_600_000,  300,   900, 4),
    Pitch("BTCUSDT", 89_000,     10,    4000, 6),
)  # fmt: skip


class ConnectionLost(Exception):
    """The connection has ended; what was not answered on it stays unknown."""


class RecordingClient:
    """One client of an account.

    Args:
        acknowledged: called with the moment in which a placement was sent, once it is acknowledged.
    """

    def __init__(
        self,
        name: str,
        url: str,
        account: int,
        credentials: Credentials,
        log: ClientLog,
        acknowledged: Callable[[float], None],
        seed: str,
    ) -> None:
        self.name = name
        self.url = url
        self.account = account
        self.credentials = credentials
        self.log = log
        self.connections = 0
        self.is_done = asyncio.Event()
        """Whether it has placed its last order, after `stop`."""
        self._acknowledged = acknowledged
        self._randomness = random.Random(seed)
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._connection: ClientConnection | None = None
        self._open: dict[int, str] = {}
        """Open orders, as far as this client knows: order id to symbol."""
        self._unknown: list[Request] = []
        """Placements whose fate is to be asked for at the next connection."""
        self._orders: list[tuple[int, str]] = []
        """Acknowledged orders, with their symbols."""
        self._is_stopping = False
        self._stream: Stream | None = None

    def stop(self) -> None:
        """Lets the requests in flight come to their answers; `run` then places a last order and waits to look."""
        self._is_stopping = True

    async def run(self, may_look: asyncio.Event) -> None:
        """Trades until `stop`, waits for `may_look`, and takes the last look. When a connection ends, it begins another."""
        while True:
            try:
                await self._live(may_look)
                return
            except (ConnectionLost, OSError, TimeoutError, WebSocketException):
                await asyncio.sleep(RECONNECT_WAIT_S)

    async def _live(self, may_look: asyncio.Event) -> None:
        """The life of one connection."""
        async with connect(
            f"{self.url}?returnRateLimits=false",
            compression=None,
            open_timeout=CONNECT_TIMEOUT_S,
            close_timeout=1,
            max_size=None,
        ) as self._connection:
            self.connections += 1
            stream = self._stream = Stream(self.account, self.name)
            self.log.streams.append(stream)
            reader = asyncio.create_task(self._read(stream))
            try:
                await self._begin()
                await self._trade_with_all_hands()
                await self._place_last()
                self.is_done.set()
                await may_look.wait()
                await self._take_last_look()
                stream.is_whole = True
            finally:
                reader.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reader

    async def _begin(self) -> None:
        """Logs on, follows the account's events, and finds out how things stand."""
        if self.credentials.can_log_on:
            await self._ask("session.logon", self.credentials.signed({}))
            await self._ask("userDataStream.subscribe", {})
        else:
            await self._ask("userDataStream.subscribe.signature", self.credentials.signed({}))
        shown = await self._query("openOrders.status")
        self._look(shown)
        self._open = {order["orderId"]: order["symbol"] for order in shown}
        # "No such order" is not the last word: what was sent may still be on its way to the journal.
        unknown, self._unknown = self._unknown, []
        for placement in unknown:
            params = placement.params
            reply = await self._ask_own(
                "order.status", {"symbol": params["symbol"], "origClientOrderId": params["newClientOrderId"]}
            )
            if reply["status"] == 200:
                self._look([reply["result"]])

    def _look(self, shown: list[Reply]) -> None:
        self.log.looks.extend((self.account, order) for order in shown)

    # -- requests and replies

    async def _ask(self, method: str, params: dict[str, str]) -> Reply:
        """Sends a request and returns the reply, which must be good.

        Raises:
            ConnectionLost: the connection has ended before the reply.
        """
        reply = await self._send(method, params)
        if reply["status"] != 200 and reply["error"]["code"] in CODES_EXPECTED:
            raise ConnectionLost(f"{method} cannot be served at the moment")
        assert reply["status"] == 200, f"{method} was refused: {reply}"
        return reply

    async def _query(self, method: str, **params: str) -> Any:
        reply = await self._ask_own(method, params)
        if reply["status"] != 200:
            assert reply["error"]["code"] in CODES_EXPECTED, f"{method} was refused: {reply}"
            raise ConnectionLost(f"{method} cannot be served at the moment")
        return reply["result"]

    async def _ask_own(self, method: str, params: dict[str, str]) -> Reply:
        """Sends a request in the name of the account."""
        if self.credentials.can_log_on:
            return await self._send(method, params | {"timestamp": str(time.time_ns() // 1_000_000)})
        return await self._send(method, self.credentials.signed(params))

    async def _send(self, method: str, params: dict[str, str]) -> Reply:
        assert self._connection is not None
        id = next(self._ids)
        self._waiting[id] = future = asyncio.get_running_loop().create_future()
        try:
            await self._connection.send(orjson.dumps({"id": id, "method": method, "params": params}).decode())
            async with asyncio.timeout(ANSWER_WAIT_S):
                reply: Reply = await future
                return reply
        except TimeoutError:
            self.log.silences.append(f"{self.name} had no answer to {method} within {ANSWER_WAIT_S:.0f} s")
            raise ConnectionLost from None
        finally:
            del self._waiting[id]

    async def _read(self, stream: Stream) -> None:
        """Hands replies to those who wait for them and writes reports down, until the connection ends."""
        assert self._connection is not None
        with contextlib.suppress(WebSocketException, OSError):
            async for message in self._connection:
                frame = orjson.loads(message)
                if "event" in frame:
                    self._hear(stream, frame["event"])
                elif (future := self._waiting.get(frame["id"])) is not None and not future.done():
                    future.set_result(frame)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionLost())

    def _hear(self, stream: Stream, event: Reply) -> None:
        if event["e"] != "executionReport":
            return
        stream.reports.append(event)
        if event["X"] not in ("NEW", "PARTIALLY_FILLED"):
            self._open.pop(event["i"], None)

    # -- trading

    async def _trade_with_all_hands(self) -> None:
        hands = [asyncio.create_task(self._trade()) for _ in range(REQUESTS_IN_FLIGHT)]
        try:
            await asyncio.gather(*hands)
        finally:
            for hand in hands:
                hand.cancel()
            await asyncio.gather(*hands, return_exceptions=True)

    async def _trade(self) -> None:
        """One request after the other, until it is enough."""
        while not self._is_stopping:
            await self._turn()
            await asyncio.sleep(self._randomness.uniform(0, PAUSE_S_MAX))

    async def _turn(self) -> None:
        draw = self._randomness
        if len(self._open) > OPEN_ORDERS_MAX or (self._open and draw.random() < 0.2):
            await self._cancel_something()
        elif draw.random() < 0.01:
            await self._cancel({"symbol": draw.choice(PITCHES).symbol}, "openOrders.cancelAll")
        else:
            await self._send_order(self._draw_order(draw.choice(PITCHES)))

    async def _cancel_something(self) -> None:
        draw = self._randomness
        order_id, symbol = draw.choice(list(self._open.items()))
        del self._open[order_id]
        # Now and then a cancel names an order that is not there, or gives itself an id.
        params = {"symbol": symbol, "orderId": str(order_id if draw.random() < 0.98 else order_id + 10**9)}
        if draw.random() < 0.5:
            params["newClientOrderId"] = self._new_id()
        await self._cancel(params, "order.cancel")

    async def _cancel(self, params: dict[str, str], method: str) -> None:
        cancel = Request(self.account, method, params)
        self.log.cancels.append(cancel)
        self._note(cancel, await self._ask_own(method, params))

    async def _send_order(self, params: dict[str, str]) -> Outcome:
        """Places an order, writes down what comes of it, and returns that."""
        placement = Request(self.account, "order.place", params)
        self.log.placements.append(placement)
        self._unknown.append(placement)
        sent_s = time.monotonic()
        self._note(placement, await self._ask_own("order.place", params))
        if placement.outcome == Outcome.ACKNOWLEDGED:
            self._acknowledged(sent_s)
            order_id, symbol = placement.result["orderId"], params["symbol"]
            self._orders.append((order_id, symbol))
            # The reports say whether it is still open. They may have come before this reply.
            if params["type"] == "LIMIT_MAKER" or params.get("timeInForce") == "GTC":
                self._note_open(order_id, symbol)
        return placement.outcome

    def _note_open(self, order_id: int, symbol: str) -> None:
        assert self._stream is not None
        last = next((report for report in reversed(self._stream.reports) if report["i"] == order_id), None)
        if last is None or last["X"] in ("NEW", "PARTIALLY_FILLED"):
            self._open[order_id] = symbol

    def _note(self, request: Request, reply: Reply) -> None:
        request.answered(reply)
        if request in self._unknown and request.outcome != Outcome.UNKNOWN:
            self._unknown.remove(request)
        assert request.outcome != Outcome.REFUSED or request.code in CODES_EXPECTED, (request, reply)

    def _draw_order(self, pitch: Pitch) -> dict[str, str]:
        draw = self._randomness
        side, sign = draw.choice((("BUY", -1), ("SELL", 1)))
        params = {"symbol": pitch.symbol, "side": side, "newClientOrderId": self._new_id()}
        params["newOrderRespType"] = draw.choice(("ACK", "RESULT", "FULL"))
        quantity = pitch.draw_quantity(draw)
        kind = draw.choices(
            ("GTC", "LIMIT_MAKER", "IOC", "FOK", "MARKET", "by amount", "wrong"), (40, 15, 15, 5, 12, 8, 2)
        )[0]
        if kind in ("GTC", "IOC", "FOK"):
            distance = draw.randint(-3, 10) if kind == "GTC" else draw.randint(-6, 0)
            params |= {
                "type": "LIMIT",
                "timeInForce": kind,
                "price": pitch.price_at(sign * distance),
                "quantity": quantity,
            }
        elif kind == "LIMIT_MAKER":
            params |= {"type": kind, "price": pitch.price_at(sign * draw.randint(0, 10)), "quantity": quantity}
        elif kind == "MARKET":
            params |= {"type": kind, "quantity": quantity}
        elif kind == "by amount":
            params |= {"type": "MARKET", "quoteOrderQty": str(draw.randint(pitch.price // 2000, pitch.price // 500))}
        else:
            # More than the account has, or a price off the tick.
            price, quantity = draw.choice(((str(pitch.price), "900"), (f"{pitch.price}.00001", quantity)))
            params |= {"type": "LIMIT", "timeInForce": "GTC", "price": price, "quantity": quantity}
        return params

    def _new_id(self) -> str:
        return f"{self.name}-{next(self._ids)}"

    # -- the end

    async def _place_last(self) -> None:
        """Places an order far from the market. Its acknowledgement says that the gateway has applied all that came before.

        A gateway that was just started takes signed orders only when none of them can be a copy of one that the gateway
        before it has taken, so there may be refusals first.
        """
        pitch = PITCHES[0]
        terms = {"symbol": pitch.symbol, "side": "BUY", "type": "LIMIT_MAKER", "price": pitch.price_at(-1000)}
        terms |= {"quantity": "0.001", "newOrderRespType": "RESULT"}
        deadline_s = time.monotonic() + ANSWER_WAIT_S
        while await self._send_order(terms | {"newClientOrderId": self._new_id()}) != Outcome.ACKNOWLEDGED:
            assert time.monotonic() < deadline_s, f"{self.name} can place no order any more"
            await asyncio.sleep(RECONNECT_WAIT_S)

    async def _take_last_look(self) -> None:
        """Everything that the account can see."""
        trades = {pitch.symbol: await self._query("myTrades", symbol=pitch.symbol, limit="300") for pitch in PITCHES}
        orders = [
            await self._query("order.status", symbol=symbol, orderId=str(order_id))
            for order_id, symbol in self._orders[-LAST_ORDERS:]
        ]
        account = await self._query("account.status")
        shown = await self._query("openOrders.status")
        self.log.last_looks.append(LastLook(self.account, shown, trades, account["balances"], orders))
