"""`engine.Engine`: readable calls, exact decimals, and arrays that give what the calls give."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Book, Engine
from engine.decimals import DecimalError
from engine.definitions import Rejected
from engine.library_values import (
    Balance,
    OpenOrder,
    UnknownName,
    command_dtype,
    event_dtype,
    step_count,
    trimmed,
)
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    EVENT_BYTES,
    EVENT_VIEWS,
    EVENTS_BEGIN_MAX,
    NO_COMMAND,
    SAVED_PRODUCER,
    CommandKind,
    EventKind,
    Layout,
    OrderType,
    Side,
    TimeInForce,
)
from engine.venue_file import VenueError


@pytest.fixture(params=[False, True], ids=["compiled", "reference"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return make_engine(reference=request.param)


def make_engine(*, reference: bool = False, journal: bool = False) -> Engine:
    engine = Engine(reference=reference, journal=journal)
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
    with pytest.raises(Rejected, match="ACCOUNT_EXISTS") as refusal:
        engine.add_account("maker")
    assert refusal.value.reason == Reason.ACCOUNT_EXISTS
    with pytest.raises(Rejected, match="INSUFFICIENT_FUNDS"):
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
    by_call = make_engine()
    fills = 0
    for number in range(600):
        account, side, quantity = ("taker", "buy", "0.00011") if number % 2 else ("maker", "sell", "0.0001")
        fills += len(by_call.place(account, "BTCKZT", side, price="45000000", quantity=quantity).fills)
    assert fills == (events["kind"] == EventKind.TRADE).sum()
    assert by_call.balances("taker") == engine.balances("taker")
    assert by_call.open_order_count == engine.open_order_count
    accepted = events[events["kind"] == EventKind.ORDER_ACCEPTED]
    assert accepted["command_index"].tolist() == list(range(600))
    assert len(engine.apply(commands[:0])) == 0
    for wrong in (numpy.zeros(3, "u1"), commands.reshape(2, 300), commands.tolist(), None):
        with pytest.raises(ValueError, match="command_dtype"):
            engine.apply(wrong)
    spread = numpy.zeros(1_200, command_dtype())
    spread[::2] = commands
    again = make_engine().apply(spread[::2])
    assert numpy.array_equal(again, events)


@pytest.mark.parametrize("reference", [False, True], ids=["compiled", "reference"])
def test_a_cancel_of_more_orders_than_an_entry_takes_is_whole(reference: bool) -> None:
    numpy = pytest.importorskip("numpy")
    engine = make_engine(reference=reference, journal=True)
    orders = numpy.zeros(EVENTS_BEGIN_MAX + 300, command_dtype())
    orders["kind"], orders["order_type"], orders["time_in_force"] = CommandKind.ORDER_PLACE, 1, TimeInForce.GTC
    orders["market"], orders["account"], orders["side"] = 1, 1, Side.SELL
    orders["price_ticks"], orders["quantity_lots"] = 45_000, 1
    cancel = numpy.zeros(2, command_dtype())
    cancel["kind"], cancel["account"], cancel["market"] = CommandKind.ORDER_CANCEL_ALL, 1, [1, 0]
    ids = list(range(1, len(orders) + 1))

    assert engine.apply(orders)["order_id"].tolist() == ids
    assert engine.cancel_all("maker") == ids
    assert (engine.open_order_count, engine.balances("maker")["BTC"].held) == (0, 0)

    assert len(engine.apply(orders)) == len(ids)
    events = engine.apply(cancel)
    closed = events[events["kind"] == EventKind.ORDER_CLOSED]
    assert len(closed) == len(ids)
    assert (closed["command_index"] == NO_COMMAND).sum() == 300
    # What comes behind it in the same batch is refused, because the batch is full.
    [refused] = events[events["kind"] == EventKind.REJECTED]
    assert (refused["command_index"], refused["reason"]) == (1, Reason.OVERLOADED)
    assert engine.copy().core.state_hash() == engine.core.state_hash()


@pytest.mark.parametrize("view", EVENT_VIEWS, ids=lambda view: view.record.__name__)
def test_an_event_of_an_array_has_the_fields_of_its_view(view: Layout[Any]) -> None:
    numpy = pytest.importorskip("numpy")
    record = view.record(
        *(b"%d" % n if code.endswith("s") else n % 251 for n, (_, code, _) in enumerate(view.fields, 1))
    )
    dtype = event_dtype()
    [event] = numpy.frombuffer(view.pack(record), dtype)
    assert dtype.itemsize == EVENT_BYTES
    named = {name: value for name, value in record._asdict().items() if not name.startswith("reserved")}
    assert len(named) >= len(record) - 2
    for name, value in named.items():
        moved = dtype.fields[name][1] != view.offsets[name]
        assert event[f"prevented_event_{name}" if moved else name] == value, name


# -- questions


def quote(engine: Engine) -> None:
    """Two asks and two bids, of which one ask is filled by half."""
    engine.add_market("KZTBTC", base="KZT", quote="BTC", tick="0.00000001", lot="1")
    engine.place("maker", "BTCKZT", "sell", price=45_000_000, quantity="2", client_order_id="low ask")
    engine.place("maker", "BTCKZT", "sell", price=46_000_000, quantity=1)
    engine.place("taker", "BTCKZT", "buy", price=44_000_000, quantity="0.5", client_order_id="bid")
    engine.place("maker", "KZTBTC", "buy", price="0.00000002", quantity=1_000, client_order_id="other market")
    engine.place("taker", "BTCKZT", "buy", quantity="0.5")
    engine.place("taker", "BTCKZT", "buy", price="43000000", quantity="0.25")


def test_prices_and_depth(engine: Engine) -> None:
    assert (engine.best_bid("BTCKZT"), engine.best_ask("BTCKZT"), engine.depth("BTCKZT", "buy")) == (None, None, [])
    quote(engine)
    assert (engine.best_bid("BTCKZT"), engine.best_ask("BTCKZT")) == (44_000_000, 45_000_000)
    asks = [(45_000_000, Decimal("1.5")), (46_000_000, 1)]
    assert engine.depth("BTCKZT", "SELL") == engine.depth("BTCKZT", Side.SELL) == asks
    assert [engine.depth("BTCKZT", "sell", levels) for levels in (0, 1, 2, 2**70)] == [[], asks[:1], asks, asks]
    assert engine.depth("BTCKZT", "buy")[0].price == 44_000_000
    assert engine.depth("BTCKZT", "buy")[0].quantity == Decimal("0.5")
    assert engine.best_ask("KZTBTC") is None


def test_balances_are_those_of_the_account(engine: Engine) -> None:
    assert engine.balances("maker") == {"BTC": (10, 0)}
    assert engine.balances("house") == {}
    quote(engine)
    assert engine.balances("house") == {
        "KZT": Balance(Decimal("11250.00"), Decimal("0.00")),
        "BTC": Balance(Decimal("0.00050000"), Decimal("0E-8")),
    }
    assert engine.balances("maker")["BTC"] == Balance(Decimal("6.99998000"), Decimal("2.50002000"))
    engine.add_account("empty", {"BTC": "0", "KZT": 0})
    assert engine.balances("empty") == {}


def test_open_orders_oldest_first(engine: Engine) -> None:
    assert engine.open_orders("maker") == []
    quote(engine)
    low_ask = OpenOrder(1, "low ask", "BTCKZT", Side.SELL, Decimal(45_000_000), Decimal(2), Decimal("0.5"))
    other = OpenOrder(4, "other market", "KZTBTC", Side.BUY, Decimal("0.00000002"), Decimal(1_000), Decimal(0))
    high_ask = OpenOrder(2, "", "BTCKZT", Side.SELL, Decimal(46_000_000), Decimal(1), Decimal(0))
    assert engine.open_orders("maker") == [low_ask, high_ask, other]
    assert engine.open_orders("maker", "BTCKZT") == [low_ask, high_ask]
    assert engine.open_orders("maker", "KZTBTC") == [other]
    assert low_ask.remaining == Decimal("1.5")
    assert [order.order_id for order in engine.open_orders("taker")] == [3, 6]
    assert engine.open_order_count == 5
    assert engine.order("maker", "BTCKZT", 1) == low_ask
    assert engine.order("maker", "BTCKZT", client_order_id="low ask") == low_ask
    assert engine.order("maker", "BTCKZT", 1, client_order_id="low ask") == low_ask
    for account, symbol, order_id, own_id in (
        ("maker", "BTCKZT", 3, ""),
        ("maker", "BTCKZT", 4, ""),
        ("maker", "BTCKZT", 1, "bid"),
        ("maker", "BTCKZT", None, "other market"),
        ("taker", "BTCKZT", None, "low ask"),
        ("taker", "BTCKZT", 5, ""),
        ("taker", "BTCKZT", 99, ""),
        ("maker", "BTCKZT", 0, "low ask"),
        ("maker", "BTCKZT", -1, "low ask"),
        ("maker", "BTCKZT", 2**64, "low ask"),
    ):
        assert engine.order(account, symbol, order_id, client_order_id=own_id) is None
        refused = engine.cancel(account, symbol, order_id, client_order_id=own_id)
        assert (refused.order_id, refused.reason) == (None, Reason.UNKNOWN_ORDER)
    engine.core.check()


def test_cancels_by_all_names(engine: Engine) -> None:
    quote(engine)
    assert engine.cancel("maker", "BTCKZT", client_order_id="low ask").order_id == 1
    assert engine.cancel("taker", "BTCKZT", 3, client_order_id="low ask").reason == Reason.UNKNOWN_ORDER
    assert engine.cancel("taker", "BTCKZT", 3, client_order_id="bid").order_id == 3
    assert engine.cancel("maker", "BTCKZT", client_order_id="low ask").reason == Reason.UNKNOWN_ORDER
    assert engine.place("maker", "BTCKZT", "sell", price=47_000_000, quantity=1, client_order_id="low ask").accepted
    assert engine.cancel_all("maker", "BTCKZT") == [2, 7]
    assert engine.cancel_all("maker", "BTCKZT") == []
    assert engine.cancel_all("maker") == [4]
    assert engine.cancel("taker", "BTCKZT", 6).order_id == 6
    assert engine.cancel_all("taker") == []
    assert engine.open_order_count == 0
    held = {name: balance.held for name, balance in engine.balances("maker").items()}
    assert held == {"BTC": 0, "KZT": 0}


def test_a_frozen_account(engine: Engine) -> None:
    quote(engine)
    assert engine.freeze("maker") == [1, 2, 4]
    assert engine.place("maker", "BTCKZT", "sell", price=45_000_000, quantity=1).reason == Reason.ACCOUNT_FROZEN
    for change in (lambda: engine.freeze("maker"), lambda: engine.withdraw("maker", "BTC", 1)):
        with pytest.raises(Rejected, match="ACCOUNT_FROZEN"):
            change()
    engine.unfreeze("maker")
    assert engine.place("maker", "BTCKZT", "sell", price=45_000_000, quantity=1).accepted
    with pytest.raises(Rejected, match="ACCOUNT_NOT_FROZEN"):
        engine.unfreeze("maker")


def test_the_book_of_a_market(engine: Engine) -> None:
    assert engine.book("BTCKZT") == Book()
    quote(engine)
    book = engine.book("BTCKZT")
    book.check()
    assert [order.order_id for order in book] == [3, 6, 1, 2]
    assert book.depth(Side.SELL) == [(45_000, 150_000), (46_000, 100_000)]
    engine.place("maker", "BTCKZT", "sell", price=45_000_000, quantity=1)
    queue_place = engine.book("BTCKZT").queue_place(7)
    assert queue_place == (1, 150_000)
    assert 7 not in book
    book.clear()
    assert engine.depth("BTCKZT", "sell", 1) == [(45_000_000, Decimal("2.5"))]


# -- what a newcomer may give

ORDER: dict[str, Any] = {"account": "maker", "symbol": "BTCKZT", "side": "sell", "price": "45000000", "quantity": "1"}
PLACES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "an unknown account": ({"account": "alise"}, UnknownName, "there is no account 'alise'; known: maker, taker"),
    "an unknown market": ({"symbol": "BTCUSD"}, UnknownName, "there is no market 'BTCUSD'; known: BTCKZT"),
    "no account": ({"account": None}, UnknownName, "there is no account None"),
    "a bad side": ({"side": "bid"}, ValueError, "the side must be 'buy' or 'sell', not 'bid'"),
    "no side": ({"side": None}, ValueError, "the side must be 'buy' or 'sell', not None"),
    "a side by number": ({"side": 1}, ValueError, "the side must be 'buy' or 'sell', not 1"),
    "a bad time in force": ({"time_in_force": "GTD"}, ValueError, "must be 'GTC', 'IOC' or 'FOK', not 'GTD'"),
    "no time in force": ({"time_in_force": None}, ValueError, "must be 'GTC', 'IOC' or 'FOK', not None"),
    "time in force NONE": ({"time_in_force": TimeInForce.NONE}, ValueError, "must be 'GTC', 'IOC' or 'FOK', not <"),
    "a float price": ({"price": 45e6}, TypeError, "a float is not exact: write the number as a string"),
    "a float quantity": ({"quantity": 1.0}, TypeError, "a float is not exact"),
    "a fraction": ({"quantity": Fraction(1, 2)}, TypeError, "a float is not exact"),
    "a boolean": ({"quantity": True}, TypeError, "a string, an int or a Decimal, not True"),
    "bytes": ({"quantity": b"1"}, TypeError, "a string, an int or a Decimal, not b'1'"),
    "words": ({"quantity": "one"}, DecimalError, "'one' is not a plain decimal number"),
    "an exponent alone": ({"quantity": "e1"}, DecimalError, "'e1' is not a plain decimal number"),
    "a large exponent": ({"quantity": "1e999999999"}, DecimalError, "1E+999999999 has more digits than any amount"),
    "a small exponent": ({"price": Decimal("1e-999999999")}, DecimalError, "1E-999999999 has more digits than any"),
    "nothing": ({"quantity": ""}, DecimalError, "'' is not a plain decimal number"),
    "not a number": ({"quantity": Decimal("NaN")}, DecimalError, "'NaN' is not a plain decimal number"),
    "infinity": ({"price": Decimal("Infinity")}, DecimalError, "'Infinity' is not a plain decimal number"),
    "a negative price": ({"price": -45_000_000}, DecimalError, "'-45000000' is not a plain decimal number"),
    "between ticks": ({"price": "45000500"}, DecimalError, "45000500 is not a whole number of ticks of 1000"),
    "between lots": ({"quantity": "0.000001"}, DecimalError, "0.000001 is not a whole number of lots of 0.00001"),
    "too many decimals": ({"quantity": "0.000000001"}, DecimalError, "has more than 8 decimals"),
    "quantity and amount": ({"quote_amount": 1, "price": None}, ValueError, "a quantity or a quote_amount, not both"),
    "price and amount": ({"quote_amount": 1, "quantity": None}, ValueError, "a quote_amount is for orders without one"),
    "neither": ({"price": None, "quantity": None}, ValueError, "needs a quantity or a quote_amount"),
    "a price alone": ({"quantity": None}, ValueError, "an order with a price needs a quantity"),
    "post_only without price": ({"price": None, "post_only": True}, ValueError, "a post_only order needs a price"),
    "FOK without price": ({"price": None, "time_in_force": "fok"}, ValueError, "time_in_force FOK is not for MARKET orders"),
    "IOC post_only": ({"post_only": True, "time_in_force": "IOC"}, ValueError, "time_in_force IOC is not for LIMIT_MAKER orders"),
    "a long client id": ({"client_order_id": "a" * 37}, ValueError, "at most 36 characters, not 37"),
    "a foreign client id": ({"client_order_id": "тапсырыс"}, ValueError, "is of ASCII characters"),
    "a number as client id": ({"client_order_id": 5}, TypeError, "a client_order_id must be a string, not 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_an_order_that_could_never_be_placed(engine: Engine, name: str) -> None:
    changes, error, text = PLACES[name]
    before = engine.core.state_hash()
    with pytest.raises(error) as raised:
        engine.place(**{**ORDER, **changes})
    assert text in str(raised.value)
    assert engine.core.state_hash() == before
    assert engine.place(**ORDER).accepted


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": 0}, Reason.INVALID_PRICE),
        ({"price": "99999999999999999000"}, Reason.NOTIONAL_TOO_LARGE),
        ({"quantity": 0}, Reason.INVALID_QUANTITY),
        ({"quantity": "99999999999999999999"}, Reason.INVALID_QUANTITY),
        ({"price": None, "quantity": None, "quote_amount": "99999999999999999999"}, Reason.NOTIONAL_TOO_LARGE),
        ({"price": None, "quantity": None, "quote_amount": "0.01"}, Reason.NOTIONAL_TOO_SMALL),
        ({"client_order_id": "a\0b"}, Reason.INVALID_CLIENT_ID),
    ],
    ids=str,
)
def test_numbers_out_of_the_limits_are_refused(engine: Engine, changes: dict[str, Any], reason: Reason) -> None:
    order = {"price": "45000000", "quantity": "1", **changes}
    assert engine.place("maker", "BTCKZT", "sell", **order).reason == reason


def test_a_price_of_more_ticks_than_there_can_be_is_refused(engine: Engine) -> None:
    engine.add_market("KZTBTC", base="KZT", quote="BTC", tick="0.00000001", lot="1")
    assert engine.place("maker", "KZTBTC", "buy", price=10**19, quantity=1).reason == Reason.INVALID_PRICE


def test_numbers_of_any_exact_kind(engine: Engine) -> None:
    numpy = pytest.importorskip("numpy")
    for price in (45_000_000, "45000000", "045000000.0", "4.5E+7", Decimal("45E6"), numpy.int64(45_000_000)):
        engine.place("maker", "BTCKZT", "sell", price=price, quantity=Decimal("1E-5"))
    assert engine.depth("BTCKZT", "sell") == [(45_000_000, Decimal("0.00006"))]
    for number in (numpy.float32(1), numpy.float64(1)):
        with pytest.raises(TypeError, match="a float is not exact"):
            engine.place("maker", "BTCKZT", "sell", price=45_000_000, quantity=number)


def test_the_callers_decimal_precision_changes_nothing(engine: Engine) -> None:
    with localcontext(prec=3):
        engine.place("maker", "BTCKZT", "sell", price="45678000", quantity="1.23456")
        assert engine.depth("BTCKZT", "sell") == [(Decimal("45678000"), Decimal("1.23456"))]
        assert str(engine.balances("maker")["BTC"].available) == "8.76544000"


MISTAKES: dict[str, tuple[Callable[[Engine], object], type[Exception], str]] = {
    "deposit: account": (lambda engine: engine.deposit("x", "BTC", 1), UnknownName, "no account 'x'; known: maker, tak"),
    "deposit: asset": (lambda engine: engine.deposit("maker", "X", 1), UnknownName, "no asset 'X'; known: KZT, BTC"),
    "deposit: float": (lambda engine: engine.deposit("maker", "BTC", 0.1), TypeError, "a float is not exact"),  # type: ignore[arg-type]
    "deposit: none": (lambda engine: engine.deposit("maker", "BTC", None), TypeError, "not None"),  # type: ignore[arg-type]
    "deposit: negative": (lambda engine: engine.deposit("maker", "BTC", -1), DecimalError, "'-1' is not"),
    "deposit: fine": (lambda engine: engine.deposit("maker", "KZT", "0.001"), DecimalError, "more than 2 decimals"),
    "deposit: zero": (lambda engine: engine.deposit("maker", "BTC", 0), Rejected, "INVALID_AMOUNT"),
    "deposit: large": (lambda engine: engine.deposit("maker", "BTC", 10**19), Rejected, "INVALID_AMOUNT"),
    "withdraw: large": (lambda engine: engine.withdraw("maker", "BTC", 10**19), Rejected, "INSUFFICIENT_FUNDS"),
    "withdraw: zero": (lambda engine: engine.withdraw("maker", "BTC", "0"), Rejected, "INVALID_AMOUNT"),
    "account: taken": (lambda engine: engine.add_account("maker"), Rejected, "ACCOUNT_EXISTS"),
    "account: house": (lambda engine: engine.add_account("house"), Rejected, "ACCOUNT_EXISTS"),
    "account: name": (lambda engine: engine.add_account("Bob"), Rejected, "INVALID_ACCOUNT_NAME"),
    "account: number": (lambda engine: engine.add_account(5), TypeError, "must be a string, not 5"),  # type: ignore[arg-type]
    "account: asset": (lambda engine: engine.add_account("bob", {"X": 1}), UnknownName, "no asset 'X'"),
    "account: float": (lambda engine: engine.add_account("bob", {"BTC": 1.5}), TypeError, "float"),  # type: ignore[dict-item]
    "asset: scale": (lambda engine: engine.add_asset("ETH", scale=9), Rejected, "INVALID_ASSET_DEFINITION"),
    "asset: negative": (lambda engine: engine.add_asset("ETH", scale=-1), Rejected, "INVALID_ASSET_DEFINITION"),
    "asset: float": (lambda engine: engine.add_asset("ETH", scale=8.0), TypeError, "scale must be a whole number"),  # type: ignore[arg-type]
    "asset: name": (lambda engine: engine.add_asset("eth", scale=8), Rejected, "INVALID_ASSET_DEFINITION"),
    "asset: taken": (lambda engine: engine.add_asset("BTC", scale=8), Rejected, "ASSET_EXISTS"),
    "fees: market": (lambda engine: engine.set_fees("X", maker_fee_ppm=0, taker_fee_ppm=0), UnknownName, "known: BTCKZT"),
    "fees: account": (lambda engine: engine.set_fees("BTCKZT", maker_fee_ppm=0, taker_fee_ppm=0, account="x"), UnknownName, "no account 'x'"),
    "fees: high": (lambda engine: engine.set_fees("BTCKZT", maker_fee_ppm=0, taker_fee_ppm=100_001), Rejected, "INVALID_FEES"),
    "fees: negative": (lambda engine: engine.set_fees("BTCKZT", maker_fee_ppm=-1, taker_fee_ppm=0), Rejected, "INVALID_FEES"),
    "fees: float": (lambda engine: engine.set_fees("BTCKZT", maker_fee_ppm=0.5, taker_fee_ppm=0), TypeError, "maker_fee_ppm must be a whole"),  # type: ignore[arg-type]
    "market: float": (lambda engine: engine.add_market("X", base="BTC", quote="KZT", tick=0.01, lot=1), TypeError, "float"),  # type: ignore[arg-type]
    "market: asset": (lambda engine: engine.add_market("X", base="ETH", quote="KZT", tick=1, lot=1), UnknownName, "no asset 'ETH'; known: KZT, BTC"),
    "market: missing": (lambda engine: engine.add_market("X", base="BTC", quote="KZT", tick=1), VenueError, "lot is missing"),
    "market: unknown": (lambda engine: engine.add_market("X", base="BTC", quote="KZT", tick=1, lot=1, size=1), VenueError, "size is not known"),
    "market: taken": (lambda engine: engine.add_market("BTCKZT", base="BTC", quote="KZT", tick=1, lot=1), Rejected, "MARKET_EXISTS"),
    "market: number": (lambda engine: engine.add_market(5, base="BTC", quote="KZT", tick=1, lot=1), TypeError, "must be a string, not 5"),  # type: ignore[arg-type]
    "halt": (lambda engine: engine.halt("X"), UnknownName, "no market 'X'"),
    "resume": (lambda engine: engine.resume("X"), UnknownName, "no market 'X'"),
    "freeze": (lambda engine: engine.freeze("x"), UnknownName, "no account 'x'"),
    "unfreeze": (lambda engine: engine.unfreeze("house"), UnknownName, "no account 'house'"),
    "balances": (lambda engine: engine.balances("x"), UnknownName, "no account 'x'"),
    "depth: market": (lambda engine: engine.depth("X", "buy"), UnknownName, "no market 'X'"),
    "depth: side": (lambda engine: engine.depth("BTCKZT", "bids"), ValueError, "'buy' or 'sell', not 'bids'"),
    "depth: negative": (lambda engine: engine.depth("BTCKZT", "buy", -1), ValueError, "levels must not be negative"),
    "depth: float": (lambda engine: engine.depth("BTCKZT", "buy", 1.0), TypeError, "levels must be a whole number, not 1.0"),  # type: ignore[arg-type]
    "best_bid": (lambda engine: engine.best_bid("X"), UnknownName, "no market 'X'"),
    "best_ask": (lambda engine: engine.best_ask("X"), UnknownName, "no market 'X'"),
    "book": (lambda engine: engine.book("X"), UnknownName, "no market 'X'"),
    "open_orders: account": (lambda engine: engine.open_orders("x"), UnknownName, "no account 'x'"),
    "open_orders: market": (lambda engine: engine.open_orders("maker", "X"), UnknownName, "no market 'X'"),
    "order: nothing": (lambda engine: engine.order("maker", "BTCKZT"), ValueError, "its order_id, its client_order_id, or both"),
    "order: float": (lambda engine: engine.order("maker", "BTCKZT", 1.0), TypeError, "order_id must be a whole number"),  # type: ignore[arg-type]
    "cancel: account": (lambda engine: engine.cancel("x", "BTCKZT", 1), UnknownName, "no account 'x'"),
    "cancel: market": (lambda engine: engine.cancel("maker", "X", 1), UnknownName, "no market 'X'"),
    "cancel: nothing": (lambda engine: engine.cancel("maker", "BTCKZT"), ValueError, "its order_id, its client_order_id, or both"),
    "cancel: text": (lambda engine: engine.cancel("maker", "BTCKZT", "1"), TypeError, "order_id must be a whole number, not '1'"),  # type: ignore[arg-type]
    "cancel_all": (lambda engine: engine.cancel_all("maker", "X"), UnknownName, "no market 'X'"),
    "time: float": (lambda engine: setattr(engine, "time_us", 1.5), TypeError, "time_us must be a whole number, not 1.5"),
    "time: back": (lambda engine: setattr(engine, "time_us", -1), ValueError, "time never runs backwards"),
    "time: large": (lambda engine: setattr(engine, "time_us", 2**63), ValueError, "to 2^63 - 1"),
    "copy": (lambda engine: engine.copy(), RuntimeError, r"create it with Engine(journal=True)"),
    "pickle": (lambda engine: pickle.dumps(engine), RuntimeError, "journal=True"),
    "save": (lambda engine: engine.save("/nowhere/at/all"), RuntimeError, "journal=True"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_and_changes_nothing(engine: Engine, name: str) -> None:
    mistake, error, text = MISTAKES[name]
    before, accounts, listing = engine.core.dump(), dict(engine.accounts), copy.deepcopy(engine.listing)
    with pytest.raises(error) as raised:
        mistake(engine)
    assert text in str(raised.value)
    # A refused command is a batch of its own, which the last record counts.
    assert engine.core.dump()[: -SAVED_PRODUCER.size] == before[: -SAVED_PRODUCER.size]
    assert (engine.accounts, engine.listing) == (accounts, listing)


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.fractions(),
    st.text(max_size=40),
    st.from_regex(r"\A[0-9]{1,22}(\.[0-9]{1,12})?\Z"),
    st.sampled_from(["maker", "BTCKZT", "buy", "GTC", "BTC", "45000000", Side.BUY, TimeInForce.IOC, TimeInForce.NONE]),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
)
CALLS: list[Callable[[Engine], Callable[..., object]]] = [
    lambda engine: engine.balances,
    lambda engine: engine.open_orders,
    lambda engine: engine.best_bid,
    lambda engine: engine.best_ask,
    lambda engine: engine.book,
    lambda engine: engine.freeze,
    lambda engine: engine.unfreeze,
    lambda engine: engine.halt,
    lambda engine: engine.resume,
    lambda engine: engine.cancel_all,
    lambda engine: lambda number: setattr(engine, "time_us", number),
    lambda engine: lambda name: engine.depth("BTCKZT", name),
    lambda engine: lambda number: engine.depth("BTCKZT", "buy", number),
    lambda engine: lambda number: engine.order("maker", "BTCKZT", number),
    lambda engine: lambda number: engine.cancel("maker", "BTCKZT", number),
    lambda engine: lambda name: engine.cancel("maker", "BTCKZT", client_order_id=name),
    lambda engine: lambda amount: engine.deposit("maker", "BTC", amount),
    lambda engine: lambda amount: engine.withdraw("maker", "BTC", amount),
    lambda engine: lambda name: engine.deposit("maker", name, 1),
    lambda engine: lambda scale: engine.add_asset("X", scale=scale),
    lambda engine: lambda name: engine.add_asset(name, scale=1),
    lambda engine: lambda fee: engine.set_fees("BTCKZT", maker_fee_ppm=fee, taker_fee_ppm=0),
    lambda engine: lambda tick: engine.add_market("X", base="BTC", quote="KZT", tick=tick, lot=1),
    lambda engine: lambda fee: engine.add_market("X", base="BTC", quote="KZT", tick=1, lot=1, maker_fee_ppm=fee),
    lambda engine: lambda name: engine.add_market("X", base=name, quote="KZT", tick=1, lot=1),
    lambda engine: lambda name: engine.add_market(name, base="BTC", quote="KZT", tick=1, lot=1),
    lambda engine: engine.add_account,
    lambda engine: lambda amount: engine.add_account("bob", {"KZT": amount}),
    lambda engine: engine.apply,
]
ORDER_WORDS = st.sampled_from([*ORDER, "quote_amount", "time_in_force", "post_only", "client_order_id"])


@settings(max_examples=300, deadline=None)
@given(call=st.sampled_from(CALLS), anything=ANYTHING, changes=st.dictionaries(ORDER_WORDS, ANYTHING))
def test_nothing_but_the_documented_errors(
    call: Callable[[Engine], Callable[..., object]], anything: object, changes: dict[str, Any]
) -> None:
    """Whatever is given, what comes out is an answer or an error of the documented kinds, and the state is sound."""
    engine = make_engine()
    with suppress(UnknownName, ValueError, TypeError):
        engine.place(**{**ORDER, **changes})
    with suppress(UnknownName, ValueError, TypeError):
        call(engine)(anything)
    engine.core.check()


STEPS = st.one_of(st.integers(1, 10**12), st.integers(0, 12).map(lambda power: 10**power))


@given(steps=st.integers(1, AMOUNT_MAX), step=STEPS, scale=st.integers(0, 8))
def test_a_number_goes_out_exactly(steps: int, step: int, scale: int) -> None:
    assert trimmed(steps * step, scale, step) == Fraction(steps * step, 10**scale)


@given(step=STEPS, scale=st.integers(0, 8), data=st.data())
def test_a_number_that_goes_out_comes_in_the_same(step: int, scale: int, data: st.DataObject) -> None:
    """Numbers of up to 20 digits are read."""
    steps = data.draw(st.integers(1, min(AMOUNT_MAX, (10**20 - 1) // step)))
    number = trimmed(steps * step, scale, step)
    assert step_count(number, step, scale, "tick") == step_count(str(number), step, scale, "tick") == steps


def test_not_all_of_many_names_are_listed() -> None:
    engine = Engine()
    with pytest.raises(KeyError, match="there is no market 'X': none has been added"):
        engine.book("X")
    for number in range(12):
        engine.add_account(f"a{number}")
    with pytest.raises(KeyError, match=r"known: a0, .*, a9 and 2 more"):
        engine.balances("b")


def test_errors_go_from_process_to_process(engine: Engine) -> None:
    for change in (lambda: engine.add_account("maker"), lambda: engine.balances("x")):
        with pytest.raises((Rejected, UnknownName)) as raised:
            change()
        again = pickle.loads(pickle.dumps(raised.value))
        assert (type(again), str(again), vars(again)) == (type(raised.value), str(raised.value), vars(raised.value))


def test_time_is_what_the_caller_says(engine: Engine) -> None:
    engine.time_us = 5
    engine.add_account("bob")
    assert (engine.time_us, engine.core.time_us) == (5, 5)
    with pytest.raises(ValueError, match="from 5"):
        engine.time_us = 4


# -- copies and files


def trade(engine: Engine, seed: int, steps: int) -> None:
    """A seeded sequence of calls of every kind, refused ones among them."""
    pick = random.Random(seed)
    for step in range(steps):
        account, side = pick.choice(("maker", "taker")), pick.choice(("buy", "sell"))
        price = 45_000_000 + 1_000 * pick.randrange(-5, 30) * (1 if side == "sell" else -1)
        roll = pick.random()
        engine.time_us += pick.randrange(1_000)
        if roll < 0.74:
            own_id = f"own-{step}" if pick.random() < 0.5 else ""
            in_force = pick.choice(("GTC", "GTC", "GTC", "IOC", "FOK"))
            quantity = Decimal(pick.randrange(1, 2_000)).scaleb(-5)
            engine.place(
                account,
                "BTCKZT",
                side,
                price=price,
                quantity=quantity,
                time_in_force=in_force,
                client_order_id=own_id,
            )
        elif roll < 0.78:
            engine.place(account, "BTCKZT", side, quote_amount=pick.randrange(1, 900_000))
        elif roll < 0.95:
            for order in engine.open_orders(account)[: pick.randrange(3)]:
                engine.cancel(account, "BTCKZT", order.order_id, client_order_id=order.client_order_id)
        elif roll < 0.955:
            engine.cancel_all(account)
        elif roll < 0.96:
            engine.freeze(account)
            engine.unfreeze(account)
        elif roll < 0.98:
            engine.deposit(account, "BTC", "0.5")
        else:
            engine.set_fees("BTCKZT", maker_fee_ppm=pick.randrange(900), taker_fee_ppm=900, account=account)


def answers(engine: Engine) -> object:
    """All that can be asked of an engine."""
    return (
        repr(engine),
        engine.time_us,
        engine.core.state_hash(),
        engine.accounts,
        engine.listing,
        [(engine.balances(account), engine.open_orders(account)) for account in engine.accounts],
        engine.balances("house"),
        [engine.depth("BTCKZT", side) for side in ("buy", "sell")],
        engine.book("BTCKZT").to_bytes(),
    )


@pytest.mark.parametrize("seed", range(3))
def test_both_engines_give_the_same_answers(seed: int) -> None:
    compiled, reference = make_engine(), make_engine(reference=True)
    for engine in (compiled, reference):
        trade(engine, seed, 300)
        engine.core.check()
    assert answers(compiled) == answers(reference)
    assert compiled.open_order_count > 5
    book = compiled.book("BTCKZT")
    orders = sorted(order for account in compiled.accounts for order in compiled.open_orders(account))
    assert [order.order_id for order in orders] == sorted(order.order_id for order in book)
    for side in Side:
        resting = sum(order.remaining for order in orders if order.side == side)
        assert resting == sum(level.quantity for level in compiled.depth("BTCKZT", side))
    for account in compiled.accounts:
        for order in compiled.open_orders(account):
            assert compiled.order(account, "BTCKZT", order.order_id) == order


def test_copies_are_equal_and_apart(tmp_path: Path) -> None:
    engine = make_engine(journal=True)
    trade(engine, 7, 200)
    engine.halt("BTCKZT")
    engine.resume()
    engine.time_us += 1
    engine.save(tmp_path / "engine")
    copies = [
        engine.copy(),
        copy.copy(engine),
        copy.deepcopy([engine])[0],
        pickle.loads(pickle.dumps(engine)),
        Engine.from_bytes(memoryview(engine.to_bytes())),
        Engine.load(tmp_path / "engine"),
        Engine.load(str(tmp_path / "engine"), reference=True),
        Engine.load(bytes(tmp_path / "engine"), reference=True).copy(),
    ]
    before = answers(engine)
    for other in copies:
        other.core.check()
        assert answers(other) == before
        assert other.to_bytes() == engine.to_bytes()
        other.add_account("bob")
        other.resume("BTCKZT")
        trade(other, 8, 20)
    assert answers(engine) == before
    assert len({answer.core.state_hash() for answer in copies}) == 1
    assert type(copies[-1].core) is type(Engine(reference=True).core)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engine"]


def test_commands_in_arrays_are_kept_too() -> None:
    numpy = pytest.importorskip("numpy")
    engine = make_engine(journal=True)
    commands = numpy.zeros(300, command_dtype())
    commands["kind"], commands["market"], commands["account"] = CommandKind.ORDER_PLACE, 1, 1
    commands["side"], commands["order_type"], commands["time_in_force"] = Side.SELL, OrderType.LIMIT, TimeInForce.GTC
    commands["price_ticks"], commands["quantity_lots"] = 45_000, 1
    engine.apply(commands)
    assert answers(engine.copy()) == answers(engine)
    assert engine.open_order_count == 300


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:30],
        lambda data: b"X" + data[1:],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:8] + (9).to_bytes(8, "little") + data[16:-8] + bytes(8),
        lambda data: data[:16] + (2**63).to_bytes(8, "little") + data[24:],
        lambda data: data.replace(b"maker", b"Maker"),
        lambda data: data.replace((1).to_bytes(8, "little") + (3).to_bytes(8, "little"), bytes(16)),
    ],
    ids=[
        "empty",
        "cut",
        "another kind",
        "a byte less",
        "a byte more",
        "hash",
        "hash and time",
        "count",
        "name",
        "number",
    ],
)
def test_what_is_no_saved_engine(damage: Callable[[bytes], bytes]) -> None:
    engine = make_engine(journal=True)
    trade(engine, 7, 20)
    data = engine.to_bytes()
    assert damage(data) != data
    with pytest.raises(ValueError, match=r"not a saved engine|another state"):
        Engine.from_bytes(damage(data))


def test_nothing_of_a_venue_is_imported() -> None:
    import subprocess
    import sys

    check = (
        "import sys, engine; engine.Engine(); assert not {'redis', 'gateway', 'ledger', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
