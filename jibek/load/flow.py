"""What a load client sends: an endless flow of orders and cancels that leaves the book as small as it found it.

A flow repeats a cycle of requests whose texts are made once. Only the id, the time, the name of an order and the
signature are filled in when a request leaves, so that the client costs little and the venue is measured.

| mix | a block of requests | what happens to them |
| --- | --- | --- |
| trade | buy at a price, sell at the same price | they fill each other: one trade for two orders |
| cancel | an order away from the market, the cancel of an earlier one | every order rests for a while and is cancelled |
| mixed | both blocks | three orders and a cancel for each trade |

Each client draws its own prices. So orders of one client may also fill those of another, at another pair's price; then some
orders of both rest until an order at their price comes, or until the end, and there are fewer trades.

No request depends on a reply: an order that will be cancelled never trades, and its client id names it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any, NamedTuple

from jibek.client.trading import WINDOW_MS_MAX, Credentials
from jibek.console.text import without_trailing_zeros

MIXES = ("trade", "cancel", "mixed")
REPLIES = ("ack", "result", "full")
BLOCKS = 128
"""Blocks of a cycle, each with a price of its own draw."""
PRICES = 64
"""Neighbouring prices at which orders trade; orders to be cancelled rest as many ticks away from them."""
RESTING_BLOCKS = 8
"""For how many blocks an order rests before it is cancelled."""


class Terms(NamedTuple):
    """What a flow trades."""

    symbol: str
    price: Decimal
    """The middle of the prices at which orders trade."""
    tick: Decimal
    quantity: Decimal
    """Of each order, in the base asset."""

    @property
    def value(self) -> Decimal:
        """The most that an order is worth, in the quote asset."""
        return (self.price + 2 * PRICES * self.tick) * self.quantity


class TermsImpossible(ValueError):
    """The market has no room for such a flow; the text says why."""


def make_terms(rules: dict[str, Any], price: Decimal | None) -> Terms:
    """What a flow trades on a market: the smallest orders that the market takes, at a price or in the middle of its range.

    Args:
        rules: the market as exchangeInfo describes it.

    Raises:
        TermsImpossible: the price is outside the market's range, or too near to its ends.
    """
    filters = {each["filterType"]: each for each in rules["filters"]}
    prices, lots = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    tick, least, most = (Decimal(prices[name]) for name in ("tickSize", "minPrice", "maxPrice"))
    middle = price if price is not None else (least * most).sqrt()
    middle = (middle / tick).to_integral_value(ROUND_DOWN) * tick
    reach = 2 * PRICES * tick
    if not least <= middle - reach <= middle + reach <= most:
        shown = [_text(each) for each in (least, most, middle if price is None else price)]
        raise TermsImpossible("{} takes prices from {} to {}: {} is too near to an end".format(rules["symbol"], *shown))
    step = Decimal(lots["stepSize"])
    notional = Decimal(filters["NOTIONAL"]["minNotional"])
    steps = (notional / (middle - reach) / step).to_integral_value(ROUND_UP)
    return Terms(rules["symbol"], middle, tick, max(steps * step, Decimal(lots["minQty"])))


class Step(NamedTuple):
    """One request of a cycle, as formats for `%`."""

    frame: bytes
    """Takes the request's number, the number in the order's name if it has one, the time in milliseconds, and the
    signature if the request is signed."""
    payload: bytes
    """What is signed, as a format without the request's number and the signature; empty if nothing is signed."""
    back: int | None
    """How many requests ago the order was placed that this one names: 0 if it places one; None if it names none."""
    is_order: bool


class Flow:
    """The requests of one client.

    Args:
        name: the prefix of its client order ids, different for each client.
        seed: draws the prices; the same seed gives the same requests.
        credentials: sign every request; None for a session that is logged on.
    """

    def __init__(
        self, terms: Terms, mix: str, reply: str, name: str, seed: int, credentials: Credentials | None = None
    ) -> None:
        self.orders = 0
        """How many orders were requested."""
        self._sign = credentials.sign if credentials is not None else None
        self._steps = list(_cycle(terms, mix, reply, name, random.Random(seed), credentials))

    def request(self, number: int, time_ms: int) -> bytes:
        """The request of this number, to be sent at this time. Call it for 1, 2, 3, … in order."""
        step = self._step(number)
        self.orders += step.is_order
        if step.back is None:
            return step.frame % (number, time_ms)
        name = number - step.back
        if self._sign is None:
            return step.frame % (number, name, time_ms)
        return step.frame % (number, name, time_ms, self._sign(step.payload % (name, time_ms)).encode())

    def is_order(self, number: int) -> bool:
        """Whether the request of this number, from 1, places an order."""
        return self._step(number).is_order

    def requests_for(self, orders: int) -> int:
        """How many requests, from the first, place so many orders."""
        number = 0
        while orders > 0:
            number += 1
            orders -= self.is_order(number)
        return number

    def _step(self, number: int) -> Step:
        steps = self._steps
        step = steps[(number - 1) % len(steps)]
        if step.back and number <= step.back:
            # The order that it would cancel was never placed, so it places one more instead.
            step = steps[(number - 2) % len(steps)]
        return step


def _cycle(
    terms: Terms, mix: str, reply: str, name: str, draw: random.Random, credentials: Credentials | None
) -> Iterator[Step]:
    """All requests of a cycle."""

    def step(method: str, params: dict[str, str], back: int | None) -> Step:
        return _step(method, params, name, back, credentials)

    block_length = {"trade": 2, "cancel": 2, "mixed": 4}[mix]
    placing = {"symbol": terms.symbol, "type": "LIMIT", "timeInForce": "GTC", "newOrderRespType": reply.upper()}
    placing["quantity"] = _text(terms.quantity)
    # The venue takes a signature only once, so signed orders must differ: they have names.
    trading_back = None if credentials is None else 0
    for block in range(BLOCKS):
        ticks = draw.randrange(-PRICES // 2, PRICES // 2)
        if mix != "cancel":
            price = _text(terms.price + ticks * terms.tick)
            yield step("order.place", placing | {"side": "BUY", "price": price}, trading_back)
            yield step("order.place", placing | {"side": "SELL", "price": price}, trading_back)
        if mix != "trade":
            side, away = ("BUY", -PRICES) if block % 2 else ("SELL", PRICES)
            price = _text(terms.price + (away + ticks) * terms.tick)
            yield step("order.place", placing | {"side": side, "price": price}, 0)
            yield step("order.cancel", {"symbol": terms.symbol}, 1 + RESTING_BLOCKS * block_length)


def _step(method: str, params: dict[str, str], name: str, back: int | None, credentials: Credentials | None) -> Step:
    """A request as formats. No text in it has a percent sign."""
    named = {"order.place": "newClientOrderId", "order.cancel": "origClientOrderId"}[method]
    names: list[tuple[str, str]] = [] if back is None else [(named, f"{name}%d")]
    if credentials is None:
        texts = {**params, **dict(names)}
        signature = payload = ""
    else:
        texts = {**params, **dict(names), "apiKey": credentials.key, "recvWindow": str(WINDOW_MS_MAX)}
        payload = "&".join(f"{each}={text}" for each, text in sorted([*texts.items(), ("timestamp", "%d")]))
        signature = ',"signature":"%s"'
    # The name comes first and the time last, as they are filled in; sorted for the signature, they keep that order.
    texts = dict(names) | texts
    body = ",".join(f'"{each}":"{text}"' for each, text in texts.items())
    frame = f'{{"id":%d,"method":"{method}","params":{{{body},"timestamp":%d{signature}}}}}'
    return Step(frame.encode(), payload.encode(), back, method == "order.place")


def _text(number: Decimal) -> str:
    """
    >>> _text(Decimal("89000.0100"))
    '89000.01'
    """
    return without_trailing_zeros(f"{number:f}")
