"""Runs a plan on the venue: sends its commands over one WebSocket connection, and collects what the venue did with each.

The trades come from the user-data streams of the replay's accounts on the same connection. A FULL reply names only the
fills of the taker; the streams report each trade once to either side, so both its orders are known, and a trade with
another client's order shows as one that lacks a side. Events and replies share the connection, so the reply to the last
request comes after every event.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.decimals import parse_decimal
from engine.listing import Market
from engine.records import PRICE_SCALE, Side
from jibek.client.pipelined import PipelineClient
from jibek.client.trading import (
    UNKNOWN_ORDER_CODE,
    Credentials,
    Reply,
    RequestRefused,
    refusal_of,
    until_key_is_known,
)
from jibek.console.text import price_text, quantity_text
from jibek.replay.plan import PlaceOrder, Plan, ReplayCommand, lot_e8

SIDES = {Side.BUY: "BUY", Side.SELL: "SELL"}
REPLIES_PER_PROGRESS = 100


class Fill(NamedTuple):
    """One side of a trade, as the venue reports it to its owner."""

    trade_id: int
    order_id: int
    """The recorded id."""
    is_maker: bool
    price_ticks: int
    quantity_lots: int


@dataclass
class ReplayResult:
    """What the venue did with a plan."""

    refusals: dict[int, RequestRefused] = field(default_factory=dict)
    """By the command's index in the plan."""
    fills: list[Fill] = field(default_factory=list)
    seconds: float = 0.0
    """From the first command to the last reply."""


async def run_plan(
    url: str, plan: Plan, credentials: list[Credentials], in_flight: int, progress: Callable[[int, int], None]
) -> ReplayResult:
    """Sends the commands in order, at most `in_flight` of them without a reply, and waits for all replies and events.

    Args:
        credentials: one for each account.
        progress: called every 100 replies with how many commands are answered and how many there are.

    Raises:
        RequestRefused: an account cannot subscribe to its events.
        ConnectionError, TimeoutError: the venue went away; the outcome of the last commands is unknown.
    """
    result = ReplayResult()
    collector = _Collector(plan, result, progress)
    async with PipelineClient(url, in_flight, collector.take_event) as client:
        for each in credentials:
            await follow_account(client, each)
        began_s = time.monotonic()
        for index, command in enumerate(plan.commands):
            method, params = request_of(command, plan.market)
            await client.submit(credentials[command.account], method, params, collector.answer_to(index))
        await client.drain()
        result.seconds = time.monotonic() - began_s
        await client.request(credentials[0], "userDataStream.unsubscribe")
    return result


async def follow_account(client: PipelineClient, credentials: Credentials) -> None:
    """Subscribes to the events of an account, as soon as the venue knows its key. Then the gateway has its secret, too."""
    await until_key_is_known(lambda: client.request(credentials, "userDataStream.subscribe.signature"))


async def cancel_open_orders(url: str, market: Market, credentials: list[Credentials]) -> None:
    """Cancels the replay's orders, over a connection of its own: the other one may be lost.

    Raises:
        RequestRefused, ConnectionError, TimeoutError, OSError: orders may still be open.
    """
    async with PipelineClient(url, 1) as client:
        for each in credentials:
            try:
                await client.request(each, "openOrders.cancelAll", symbol=market.symbol)
            except RequestRefused as refused:
                # Nothing was open.
                if refused.code != UNKNOWN_ORDER_CODE:
                    raise


def request_of(command: ReplayCommand, market: Market) -> tuple[str, dict[str, str]]:
    """Method and parameters of a command. The recorded id is the client's id of the order, so a cancel can name an order
    whose reply has not come."""
    if not isinstance(command, PlaceOrder):
        return "order.cancel", {"symbol": market.symbol, "origClientOrderId": str(command.order_id)}
    return "order.place", {
        "symbol": market.symbol,
        "side": SIDES[command.side],
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": price_text(market, command.price_ticks),
        "quantity": quantity_text(market, command.quantity_lots),
        "newClientOrderId": str(command.order_id),
        "newOrderRespType": "ACK",
    }


class _Collector:
    """Collects replies and events into a result."""

    def __init__(self, plan: Plan, result: ReplayResult, progress: Callable[[int, int], None]) -> None:
        self._result = result
        self._progress = progress
        self._total = len(plan.commands)
        self._answered = 0
        self._symbol = plan.market.symbol
        self._tick_e8 = plan.market.definition.tick_e8
        self._lot_e8 = lot_e8(plan.market)

    def answer_to(self, index: int) -> Callable[[Reply], None]:
        """A function that takes the reply to the command with this index in the plan."""

        def answered(reply: Reply) -> None:
            if refused := refusal_of(reply):
                self._result.refusals[index] = refused
            self._answered += 1
            if self._answered % REPLIES_PER_PROGRESS == 0 or self._answered == self._total:
                self._progress(self._answered, self._total)

        return answered

    def take_event(self, event: dict[str, Any]) -> None:
        """Records one side of a trade; other events do not matter for the comparison."""
        if event["e"] == "executionReport" and event["x"] == "TRADE" and event["s"] == self._symbol:
            price_e8 = parse_decimal(event["L"], PRICE_SCALE)
            quantity_e8 = parse_decimal(event["l"], PRICE_SCALE)
            self._result.fills.append(
                Fill(event["t"], int(event["c"]), event["m"], price_e8 // self._tick_e8, quantity_e8 // self._lot_e8)
            )
