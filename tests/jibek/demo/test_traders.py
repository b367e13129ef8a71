"""The traders of the demo: what they send, which refusals they expect, and what ends them."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import Any

import pytest

from jibek.client.trading import RequestRefused
from jibek.demo.traders import LEVELS, DemoMarket, Maker, Taker, Trader


def new_market() -> DemoMarket:
    return DemoMarket("BTCKZT", Decimal(45_000_000), Decimal(5000), Decimal("0.002"), Decimal(1000), Decimal("0.00001"))


class Venue:
    """Takes the place of a connection: records requests, and refuses the one with this number."""

    def __init__(self, refused: int = 0, code: int = 0) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.refused, self.code = refused, code

    async def __aenter__(self) -> Venue:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def call(self, method: str, **params: str) -> Any:
        self.requests.append((method, params))
        if len(self.requests) == self.refused:
            raise RequestRefused(self.code, "no")
        return {"orderId": len(self.requests)}


def turns(trader: Trader, count: int) -> None:
    async def run() -> None:
        for _ in range(count):
            await trader.turn()

    asyncio.run(run())


def test_a_maker_keeps_its_newest_quotes_on_each_side_of_the_fair_price() -> None:
    venue, market = Venue(), new_market()
    turns(Maker(market, venue, seed="a"), 3 * LEVELS)  # type: ignore[arg-type]
    open_ids: list[int] = []
    for id, (method, params) in enumerate(venue.requests, start=1):
        if method == "order.cancel":
            open_ids.remove(int(params["orderId"]))
            continue
        open_ids.append(id)
        assert params["type"] == "LIMIT_MAKER"
        price = Decimal(params["price"])
        assert price < market.price if params["side"] == "BUY" else price > market.price
    sides = [venue.requests[id - 1][1]["side"] for id in open_ids]
    assert (sides.count("BUY"), sides.count("SELL")) == (LEVELS, LEVELS)
    assert (market.statistics.orders, market.statistics.cancels) == (6 * LEVELS, 4 * LEVELS)


def test_a_taker_uses_every_order_type_that_takes() -> None:
    venue = Venue()
    turns(Taker(new_market(), venue, seed="b"), 100)  # type: ignore[arg-type]
    kinds = {
        (params["type"], params.get("timeInForce") or ("quantity" in params and "by quantity") or "by amount")
        for _, params in venue.requests
    }
    assert kinds == {("MARKET", "by quantity"), ("MARKET", "by amount"), ("LIMIT", "IOC"), ("LIMIT", "FOK")}


@pytest.mark.parametrize("code", [-2010, -2011])
def test_an_expected_refusal_is_counted_and_trading_goes_on(code: int) -> None:
    venue, market = Venue(refused=2, code=code), new_market()
    turns(Maker(market, venue, seed="c"), 2)  # type: ignore[arg-type]
    assert len(venue.requests) == 4
    assert market.statistics.refusals == {"no": 1}


def test_an_unexpected_refusal_ends_the_trader_and_is_kept() -> None:
    venue, market = Venue(refused=3, code=-1021), new_market()
    asyncio.run(Maker(market, venue, seed="d").run())  # type: ignore[arg-type]
    assert len(venue.requests) == 3
    assert market.statistics.errors == ["BTCKZT: no (-1021)"]


@pytest.mark.parametrize("seed", range(5))
def test_quantities_are_whole_lots_around_the_typical_one(seed: int) -> None:
    market, draw = new_market(), random.Random(seed)
    for _ in range(100):
        quantity = Decimal(market.random_quantity(draw))
        assert quantity % market.lot == 0
        assert market.quantity / 5 <= quantity <= market.quantity * 2
