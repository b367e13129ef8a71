"""`engine.Engine`: readable calls, exact decimals, and arrays that give what the calls give."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine import Engine
from engine.exchange import Refused, command_dtype
from engine.reasons import Reason
from engine.records import CommandKind, EventKind, OrderType, Side, TimeInForce
from engine.venue import DecimalError


@pytest.fixture(params=[False, True], ids=["compiled", "reference"])
def engine(request: pytest.FixtureRequest) -> Engine:
    engine = Engine(reference=request.param)
    engine.add_asset("KZT", scale=2)
    engine.add_asset("BTC", scale=8)
    engine.add_market(
        "BTCKZT", base="BTC", quote="KZT", tick="1000", lot="0.00001", maker_fee_ppm=500, taker_fee_ppm=1000
    )
    engine.add_account("maker", {"BTC": "10"})
    engine.add_account("taker", {"KZT": 500_000_000})
    return engine


def test_an_order_rests_is_taken_and_is_cancelled(engine: Engine) -> None:
    resting = engine.place("maker", "BTCKZT", "sell", price="45000000", quantity="2", client_order_id="mine")
    assert (resting.accepted, resting.order_id, resting.resting, resting.fills) == (True, 1, Decimal(2), [])
    taken = engine.place("taker", "BTCKZT", "buy", quote_amount="45000000")
    [fill] = taken.fills
    assert (fill.price, fill.quantity, fill.fee) == (Decimal(45_000_000), Decimal(1), Decimal("0.001"))
    assert taken.filled == 1
    assert engine.balances("maker")["KZT"].available == Decimal("44977500.00")
    assert engine.depth("BTCKZT", "sell") == [(Decimal(45_000_000), Decimal(1))]
    assert engine.open_order_count == 1
    assert engine.cancel("maker", "BTCKZT", 1).reason == Reason.CANCELLED_BY_OWNER
    assert engine.cancel("maker", "BTCKZT", 1).reason == Reason.UNKNOWN_ORDER
    assert engine.open_order_count == 0


def test_a_refused_order_is_an_outcome_a_refused_change_an_exception(engine: Engine) -> None:
    outcome = engine.place("maker", "BTCKZT", "sell", price="45000000", quantity="11")
    assert (outcome.accepted, outcome.reason) == (False, Reason.INSUFFICIENT_FUNDS)
    with pytest.raises(Refused, match="ACCOUNT_EXISTS") as refusal:
        engine.add_account("maker")
    assert refusal.value.reason == Reason.ACCOUNT_EXISTS
    with pytest.raises(Refused, match="INSUFFICIENT_FUNDS"):
        engine.withdraw("maker", "BTC", "10.00000001")
    engine.halt()
    assert engine.place("maker", "BTCKZT", "sell", price="45000000", quantity="1").reason == Reason.VENUE_HALTED
    engine.resume()
    assert engine.place("maker", "BTCKZT", "sell", price="45000000", quantity="1", post_only=True).accepted


@pytest.mark.parametrize(("price", "quantity"), [("45000500", "1"), ("45000000", "0.000001"), ("0.000000001", "1")])
def test_numbers_finer_than_a_tick_or_a_lot(engine: Engine, price: str, quantity: str) -> None:
    with pytest.raises(DecimalError):
        engine.place("maker", "BTCKZT", "sell", price=price, quantity=quantity)


def test_a_float_is_not_a_number_of_money(engine: Engine) -> None:
    with pytest.raises(TypeError, match="float"):
        engine.place("maker", "BTCKZT", "sell", price=45_000_000.0, quantity="1")  # type: ignore[arg-type]


def test_an_array_of_commands_gives_what_the_calls_give(engine: Engine) -> None:
    numpy = pytest.importorskip("numpy")
    commands = numpy.zeros(600, command_dtype())
    commands["kind"] = CommandKind.ORDER_PLACE
    commands["market"] = 1
    commands["account"] = numpy.where(numpy.arange(600) % 2, 2, 1)
    commands["side"] = numpy.where(numpy.arange(600) % 2, Side.BUY, Side.SELL)
    commands["order_type"] = OrderType.LIMIT
    commands["time_in_force"] = TimeInForce.GTC
    commands["price_ticks"] = 45_000
    commands["quantity_lots"] = 10 + numpy.arange(600) % 2
    events = engine.apply(commands)
    assert (events["kind"] == EventKind.ORDER_ACCEPTED).sum() == 600
    assert (events["kind"] == EventKind.TRADE).sum() > 300
    engine.core.check()
    by_call = Engine()
    by_call.add_asset("KZT", scale=2)
    by_call.add_asset("BTC", scale=8)
    by_call.add_market(
        "BTCKZT", base="BTC", quote="KZT", tick="1000", lot="0.00001", maker_fee_ppm=500, taker_fee_ppm=1000
    )
    by_call.add_account("maker", {"BTC": "10"})
    by_call.add_account("taker", {"KZT": 500_000_000})
    fills = 0
    for number in range(600):
        account, side, quantity = ("taker", "buy", "0.00011") if number % 2 else ("maker", "sell", "0.0001")
        fills += len(by_call.place(account, "BTCKZT", side, price="45000000", quantity=quantity).fills)
    assert fills == (events["kind"] == EventKind.TRADE).sum()
    assert by_call.balances("taker") == engine.balances("taker")
    assert by_call.open_order_count == engine.open_order_count
    with pytest.raises(ValueError, match="dtype"):
        engine.apply(numpy.zeros(3, "u1"))


def test_nothing_of_a_venue_is_imported() -> None:
    import subprocess
    import sys

    check = (
        "import sys, engine; engine.Engine(); assert not {'redis', 'gateway', 'ledger', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
