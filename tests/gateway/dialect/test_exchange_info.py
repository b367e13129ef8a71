"""What exchangeInfo declares is what an order may have, digit for digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.reasons import Reason
from engine.records import AMOUNT_MAX, COMMAND, MARKET_DEFINITION, Command, CommandKind, MarketDefinition
from gateway.dialect.orders import place_order
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import Request
from tests.worlds.accounts import ASSETS, BY_TEST
from tests.worlds.gateway_in_process import GatewayInProcess

RIG = GatewayInProcess()
MARKETS = RIG.projection.markets_by_symbol
DECLARED: dict[str, dict[str, Any]] = {
    market["symbol"]: market for market in RIG.client().result("exchangeInfo")["symbols"]
}
SYMBOLS = st.sampled_from(sorted(DECLARED))
AMOUNTS = st.integers(1, 2**62 - 2)
ONE_MORE_DIGIT = st.integers(1, 9)


def written(units: int, decimals: int) -> str:
    """`units` of the last of so many decimals, as a client writes them."""
    return f"{Decimal(units).scaleb(-decimals):f}"


def placed(symbol: str, **params: str) -> Any:
    """The command of an order. Raises Rejected."""
    request = Request(b"", "1", "order.place", {"symbol": symbol, "side": "BUY", **params})
    return COMMAND.unpack_from(place_order(request, MARKETS, 1)[0])


def by_quote(symbol: str, amount: str) -> Any:
    return placed(symbol, type="MARKET", quoteOrderQty=amount)


@settings(max_examples=150, deadline=None)
@given(SYMBOLS, AMOUNTS, ONE_MORE_DIGIT)
@example("BTCKZT", 50_001, 5)
@example("BTCKZT", 10_000_000_000_000, 1)
def test_a_quote_amount_has_the_decimals_that_are_declared(symbol: str, units: int, digit: int) -> None:
    decimals = DECLARED[symbol]["quotePrecision"]
    amount = written(units, decimals)
    assert by_quote(symbol, amount).amount == units
    with pytest.raises(Rejected) as refusal:
        by_quote(symbol, f"{amount}{'' if decimals else '.'}{digit}")
    expected = Reason.TOO_PRECISE
    assert (refusal.value.reject.reason, refusal.value.reject.details[0]) == (expected, "quoteOrderQty")
    assert by_quote(symbol, f"{amount}{'' if decimals else '.'}000").amount == units


@settings(max_examples=150, deadline=None)
@given(SYMBOLS, st.integers(1, 10**6), st.integers(1, 10**6), ONE_MORE_DIGIT)
def test_a_price_and_a_quantity_have_the_steps_that_are_declared(
    symbol: str, ticks: int, lots: int, digit: int
) -> None:
    price_filter, lot_size = DECLARED[symbol]["filters"][:2]
    tick, lot = Decimal(price_filter["tickSize"]), Decimal(lot_size["stepSize"])
    good = {"type": "LIMIT", "timeInForce": "GTC", "price": f"{tick * ticks:f}", "quantity": f"{lot * lots:f}"}
    command = placed(symbol, **good)
    assert (command.price_ticks, command.quantity_lots) == (ticks, lots)
    for name, step in (("price", tick), ("quantity", lot)):
        off_step = Decimal(good[name]) + step * digit / 10
        with pytest.raises(Rejected):
            placed(symbol, **{**good, name: f"{off_step:f}"})


@pytest.mark.parametrize("symbol", sorted(DECLARED))
def test_the_greatest_notional_that_is_declared_can_be_sent(symbol: str) -> None:
    [notional] = [rule for rule in DECLARED[symbol]["filters"] if rule["filterType"] == "NOTIONAL"]
    assert by_quote(symbol, notional["maxNotional"]).amount == MARKETS[symbol].market.definition.notional_max
    with pytest.raises(Rejected) as refusal:
        by_quote(symbol, "99999999999999999999")
    assert refusal.value.reject.reason == Reason.NUMBER_TOO_LARGE


def test_the_greatest_price_and_quantity_that_are_declared_can_be_sent() -> None:
    """Also where they are more than 2^63 in the eighth decimal."""
    rig = GatewayInProcess()
    definition = MarketDefinition(
        base_asset=ASSETS["BTC"], quote_asset=ASSETS["KZT"], tick_e8=10**12, lot_units=10**12, price_min_ticks=1,
        price_max_ticks=10**10, quantity_min_lots=1, quantity_max_lots=10**6, notional_min=1_000_000, notional_max=AMOUNT_MAX,
        open_orders_max=10,
    )  # fmt: skip
    rig.command(Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(definition), b"HUGE", *BY_TEST)
    price_filter, lot_size, *_ = rig.client().result("exchangeInfo", symbol="HUGE")["symbols"][0]["filters"]
    good = {"symbol": "HUGE", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    good |= {"price": price_filter["maxPrice"], "quantity": lot_size["maxQty"]}
    request = Request(b"", "1", "order.place", good)
    command = COMMAND.unpack_from(place_order(request, rig.projection.markets_by_symbol, 1)[0])
    assert (command.price_ticks, command.quantity_lots) == (10**10, 10**6)
    with pytest.raises(Rejected) as refusal:
        request = Request(b"", "1", "order.place", {**good, "price": f"{Decimal(good['price']) + 10_000:f}"})
        place_order(request, rig.projection.markets_by_symbol, 1)
    assert refusal.value.reject.reason == Reason.NUMBER_TOO_LARGE


@pytest.mark.parametrize("symbol", sorted(DECLARED))
def test_each_precision_is_that_of_its_asset(symbol: str) -> None:
    market, declared = MARKETS[symbol].market, DECLARED[symbol]
    assert declared["baseAssetPrecision"] == declared["baseCommissionPrecision"] == market.base.scale
    assert declared["quotePrecision"] == declared["quoteAssetPrecision"] == market.quote.scale
    assert declared["quoteCommissionPrecision"] == market.quote.scale


def test_amounts_that_are_shown_have_no_digit_beyond_the_declared_ones() -> None:
    rig = GatewayInProcess()
    maker, taker = rig.trader(BTC="1"), rig.trader(KZT="100000000.37")
    maker.place("BTCKZT", "SELL", "0.00333", "50001000")
    result = taker.result(
        "order.place", symbol="BTCKZT", side="BUY", type="MARKET", quoteOrderQty="166503.33", timestamp=rig.now_ms
    )
    (trade,) = maker.result("myTrades", symbol="BTCKZT", timestamp=rig.now_ms)
    shown = {balance["asset"]: balance for balance in taker.result("account.status", timestamp=rig.now_ms)["balances"]}
    declared = DECLARED["BTCKZT"]
    for text in (
        trade["commission"],
        trade["quoteQty"],
        result["cummulativeQuoteQty"],
        result["origQuoteOrderQty"],
        shown["KZT"]["free"],
    ):
        whole, _, decimals = text.partition(".")
        assert len(decimals) == 8 and whole
        assert decimals[declared["quotePrecision"] :].strip("0") == "", text
    assert trade["commissionAsset"] == "KZT"
