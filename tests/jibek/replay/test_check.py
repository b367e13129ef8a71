"""The comparison with the book: it passes what is equal, and whatever is changed is found and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import Side
from jibek.client.trading import RequestRefused
from jibek.replay.check import (
    Totals,
    UnmatchedFill,
    first_difference,
    outcomes_at_venue,
    outcomes_in_book,
    pair_fills,
    totals,
)
from jibek.replay.plan import CancelOrder, PlaceOrder, Plan, ReplayCommand
from jibek.replay.run import Fill, ReplayResult
from tests.worlds.replay import default_market, played_like_the_book

MARKET = default_market()
REFUSED = RequestRefused(-2011, "Unknown order sent.")

PLAN = Plan(
    MARKET,
    [
        PlaceOrder(11, 0, Side.SELL, 23650, 2_000_000),
        PlaceOrder(12, 1, Side.SELL, 23651, 2_000_000),
        PlaceOrder(13, 0, Side.BUY, 23651, 3_000_000),  # trades with 11, and with half of 12
        CancelOrder(11, 0),  # too late
        CancelOrder(12, 1),
        PlaceOrder(14, 1, Side.BUY, 23651, 1_000_000),
        PlaceOrder(15, 0, Side.SELL, 23640, 500_000),  # trades with half of 14
    ],
)
"""Three trades; trade 1 is the first two fills of `played_like_the_book`, and so on."""


def difference(result: ReplayResult, plan: Plan = PLAN) -> str:
    book, _ = outcomes_in_book(plan.commands)
    return first_difference(plan, outcomes_at_venue(plan.commands, result), book)


def test_a_venue_that_does_what_the_book_does_passes() -> None:
    result = played_like_the_book(PLAN)
    assert len(result.fills) == 6
    assert difference(result) == ""


def test_volume_and_value_are_added_up() -> None:
    outcomes, resting = outcomes_in_book(PLAN.commands)
    value = 23650 * 2_000_000 + 23651 * 1_000_000 + 23651 * 500_000
    assert totals(outcomes, MARKET) == Totals(3, 3_500_000, value * MARKET.lot_value_units)
    assert resting == 1


def change_fill(trade: int, **changes: Any) -> Callable[[ReplayResult], None]:
    """Both sides of a trade as something else."""

    def change(result: ReplayResult) -> None:
        for index in (2 * trade - 2, 2 * trade - 1):
            result.fills[index] = result.fills[index]._replace(**changes)

    return change


def change_order(trade: int, order_id: int, *, is_maker: bool) -> Callable[[ReplayResult], None]:
    def change(result: ReplayResult) -> None:
        index = 2 * trade - 2 if is_maker else 2 * trade - 1
        result.fills[index] = result.fills[index]._replace(order_id=order_id)

    return change


def drop_trade(trade: int) -> Callable[[ReplayResult], None]:
    def change(result: ReplayResult) -> None:
        del result.fills[2 * trade - 2 : 2 * trade]

    return change


def swap_trades(result: ReplayResult) -> None:
    first, second = result.fills[0].trade_id, result.fills[2].trade_id
    change_fill(1, trade_id=second)(result)
    change_fill(2, trade_id=first)(result)


def add_trade(result: ReplayResult) -> None:
    result.fills.extend([Fill(104, 12, True, 23651, 1), Fill(104, 14, False, 23651, 1)])


# what was tampered with                                                      what is said
TAMPERED = (
    (change_fill(1, price_ticks=23651),                                        "command 3 of 7, order 13 to buy 3 at 236.51: the venue made trade 1 of 2 at 236.51"),
    (change_fill(2, quantity_lots=1_000_001),                                  "trade 2 of 1.000001 at 236.51 with order 12; engine.Book made"),
    (change_fill(3, price_ticks=23640),                                        "command 7 of 7"),
    (change_order(2, 11, is_maker=True),                                       "trade 2 of 1 at 236.51 with order 11; engine.Book made trade 1 of 2 at 236.5 with order 11, trade 2 of 1 at 236.51 with order 12"),
    (change_order(1, 14, is_maker=False),                                      "command 3 of 7"),
    (drop_trade(1),                                                            "command 3 of 7"),
    (drop_trade(3),                                                            "the venue took it and made no trade; engine.Book made trade 3 of 0.5 at 236.51 with order 14"),
    (swap_trades,                                                              "command 3 of 7"),
    (add_trade,                                                                "command 6 of 7, order 14 to buy 1 at 236.51: the venue made trade 4"),
    (lambda result: result.refusals.pop(3),                                    "command 4 of 7, cancel order 11: the venue took it and made no trade; engine.Book refused it"),
    (lambda result: result.refusals.update({4: REFUSED}),                      "command 5 of 7, cancel order 12: the venue refused it (Unknown order sent. (-2011)); engine.Book took it"),
    (lambda result: result.refusals.update({0: REFUSED}),                      "command 1 of 7, order 11 to sell 2 at 236.5: the venue refused it"),
)  # fmt: skip


@pytest.mark.parametrize(("tamper", "said"), TAMPERED)
def test_whatever_is_tampered_with_is_found(tamper: Callable[[ReplayResult], None], said: str) -> None:
    result = played_like_the_book(PLAN)
    tamper(result)
    assert said in difference(result)


# fills                                                                 what is said
UNMATCHED = (
    ([Fill(7, 1, False, 5, 5)],                                          "trade 7 was reported to order 1 and not once"),
    ([Fill(7, 1, True, 5, 5)],                                           "did another client trade in this market"),
    ([Fill(7, 1, True, 5, 5), Fill(7, 2, True, 5, 5)],                   "trade 7 was reported to order 1, 2 and not once"),
    ([Fill(7, 1, True, 5, 5), Fill(7, 2, False, 5, 5)] * 2,              "and not once to a taker and once to a maker"),
    ([Fill(7, 1, True, 5, 5), Fill(7, 2, False, 6, 5)],                  "trade 7 was reported differently to its two sides"),
    ([Fill(7, 1, True, 5, 5), Fill(7, 2, False, 5, 6)],                  "trade 7 was reported differently to its two sides"),
)  # fmt: skip


@pytest.mark.parametrize(("fills", "said"), UNMATCHED)
def test_a_trade_needs_both_its_sides(fills: list[Fill], said: str) -> None:
    with pytest.raises(UnmatchedFill, match=said):
        pair_fills(fills)


PLACINGS = st.tuples(st.sampled_from(Side), st.integers(100, 104), st.integers(1, 20))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    commands: list[ReplayCommand] = []
    for order_id, (side, ticks, lots) in enumerate(draw(st.lists(PLACINGS, max_size=30)), start=1):
        commands.append(PlaceOrder(order_id, order_id % 3, side, ticks, lots))
        if draw(st.booleans()):
            other = draw(st.integers(1, order_id))
            commands.append(CancelOrder(other, other % 3))
    return Plan(MARKET, commands)


@given(plans())
def test_equal_is_equal_whatever_the_flow(plan: Plan) -> None:
    assert difference(played_like_the_book(plan), plan) == ""


@st.composite
def plans_that_trade(draw: st.DrawFn) -> Plan:
    """The last order of the plan meets the one before it, or what rests there."""
    plan = draw(plans())
    first = 1 + sum(isinstance(command, PlaceOrder) for command in plan.commands)
    sell, buy = PlaceOrder(first, 0, Side.SELL, 104, 1), PlaceOrder(first + 1, 1, Side.BUY, 104, 1)
    return Plan(plan.market, [*plan.commands, sell, buy])


@given(plans_that_trade(), st.data())
def test_one_lot_or_tick_anywhere_is_found(plan: Plan, data: st.DataObject) -> None:
    result = played_like_the_book(plan)
    assert result.fills
    trade = data.draw(st.integers(1, len(result.fills) // 2))
    field = data.draw(st.sampled_from(["price_ticks", "quantity_lots"]))
    value = getattr(result.fills[2 * trade - 2], field)
    change_fill(trade, **{field: value + 1})(result)
    assert difference(result, plan)
