"""Carries a plan out on the venue: its commands over one WebSocket connection, and what the venue made of each.

The trades come from the user-data streams of the replay's accounts on the same connection. A FULL reply would name the
fills of the taker only; the streams report each trade once to either side, so both orders of it are known, and a trade
with a stranger shows as one without its other side. Events and replies share the connection, so when a request that was
sent last is answered, every event before it has come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.decimals import parse_decimal
from engine.listing import Market
from engine.records import PRICE_SCALE, Side
from jibek.client.pipelined import PipelineClient, Reply, refusal_of
from jibek.client.trading import KEY_RETRY_S, KEY_WAIT_S, UNKNOWN_KEY_CODE, Credentials, RequestRefused
from jibek.commands.market import price_text, quantity_text
from jibek.replay.plan import PlaceOrder, Plan, ReplayCommand, lot_e8

CANCEL_REFUSED_CODE = -2011
SIDES = {Side.BUY: "BUY", Side.SELL: "SELL"}
REPLIES_PER_PROGRESS = 100


class Fill(NamedTuple):
    """One side of a trade, as its owner is told."""

    trade_id: int
    order_id: int
    """The recorded id."""
    is_maker: bool
    price_ticks: int
    quantity_lots: int


@dataclass
class Played:
    """What the venue made of a plan."""

    refusals: dict[int, RequestRefused] = field(default_factory=dict)
    """By the command's place in the plan."""
    fills: list[Fill] = field(default_factory=list)
    seconds: float = 0.0
    """From the first command to the last reply."""


async def play(
    url: str, plan: Plan, credentials: list[Credentials], in_flight: int, progress: Callable[[int, int], None]
) -> Played:
    """Sends the commands in their order, at most `in_flight` of them without a reply, and waits for all that follows.

    Args:
        credentials: one of each account.
        progress: called now and then with how many commands are answered and how many there are.

    Raises:
        RequestRefused: an account cannot follow its events.
        ConnectionError, TimeoutError: the venue went away; what became of the last commands is unknown.
    """
    played = Played()
    player = _Player(plan, played, progress)
    async with PipelineClient(url, in_flight, player.take_event) as client:
        for each in credentials:
            await follow_account(client, each)
        began_s = time.monotonic()
        for index, command in enumerate(plan.commands):
            method, params = request_of(command, plan.market)
            await client.submit(credentials[command.account], method, params, player.answer_to(index))
        await client.drain()
        played.seconds = time.monotonic() - began_s
        await client.request(credentials[0], "userDataStream.unsubscribe")
    return played


async def follow_account(client: PipelineClient, credentials: Credentials) -> None:
    """Subscribes to the events of an account, as soon as the venue knows its key. Then the gateway has its secret, too."""
    deadline_s = time.monotonic() + KEY_WAIT_S
    while True:
        try:
            await client.request(credentials, "userDataStream.subscribe.signature")
            return
        except RequestRefused as refused:
            if refused.code != UNKNOWN_KEY_CODE or time.monotonic() > deadline_s:
                raise
        await asyncio.sleep(KEY_RETRY_S)


async def cancel_what_rests(url: str, market: Market, credentials: list[Credentials]) -> None:
    """Takes the replay's orders out of the book, over a connection of its own: the other one may be lost.

    Raises:
        RequestRefused, ConnectionError, TimeoutError, OSError: orders may still rest.
    """
    async with PipelineClient(url, 1) as client:
        for each in credentials:
            try:
                await client.request(each, "openOrders.cancelAll", symbol=market.symbol)
            except RequestRefused as refused:
                # Nothing was open.
                if refused.code != CANCEL_REFUSED_CODE:
                    raise


def request_of(command: ReplayCommand, market: Market) -> tuple[str, dict[str, str]]:
    """Method and parameters of a command. The recorded id is the client's id of the order, so a cancel can name it
    before its placing is answered."""
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


class _Player:
    """Takes in replies and events."""

    def __init__(self, plan: Plan, played: Played, progress: Callable[[int, int], None]) -> None:
        self._played = played
        self._progress = progress
        self._total = len(plan.commands)
        self._answered = 0
        self._symbol = plan.market.symbol
        self._tick_e8 = plan.market.definition.tick_e8
        self._lot_e8 = lot_e8(plan.market)

    def answer_to(self, index: int) -> Callable[[Reply], None]:
        """What takes the reply to the command with this place in the plan."""

        def answered(reply: Reply) -> None:
            if refused := refusal_of(reply):
                self._played.refusals[index] = refused
            self._answered += 1
            if self._answered % REPLIES_PER_PROGRESS == 0 or self._answered == self._total:
                self._progress(self._answered, self._total)

        return answered

    def take_event(self, event: dict[str, Any]) -> None:
        """Notes one side of a trade; other events say nothing that is compared."""
        if event["e"] == "executionReport" and event["x"] == "TRADE" and event["s"] == self._symbol:
            price_e8 = parse_decimal(event["L"], PRICE_SCALE)
            quantity_e8 = parse_decimal(event["l"], PRICE_SCALE)
            self._played.fills.append(
                Fill(event["t"], int(event["c"]), event["m"], price_e8 // self._tick_e8, quantity_e8 // self._lot_e8)
            )
