"""What becomes of the rows of a recording."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import Side
from jibek.replay.plan import CancelOrder, Funds, PlaceOrder, RowDisposition, make_plan
from jibek.replay.recording import Action, Row
from tests.worlds.replay import default_market, row

MARKET = default_market()
"""BTCUSDT: tick 0.01, lot 0.000001, prices to 10,000,000, quantities to 1000, notionals from 1 to 1,000,000,000."""

# BTCUSDT                                        what becomes of it           why
ORDERS = (
    ("1 created bid  200000000      236.47",      RowDisposition.ORDER,                  "whole lots"),
    ("1 created ask  178855669      236.47",      RowDisposition.ORDER,                  "rounded down"),
    ("1 created ask  100            1000000",     RowDisposition.ORDER,                  "one lot, worth just the minimum"),
    ("1 created bid  100000000000   10",          RowDisposition.ORDER,                  "the largest quantity"),
    ("1 created bid  100000000      10000000",    RowDisposition.ORDER,                  "the highest price"),
    ("1 created bid  10000000000    10000000",    RowDisposition.ORDER,                  "the largest notional"),
    ("1 created bid  200000000      236.475",     RowDisposition.PRICE_OFF_TICK,         "half a tick"),
    ("1 created bid  200000000      0.00000001",  RowDisposition.PRICE_OFF_TICK,         "less than a tick"),
    ("1 created bid  200000000      10000000.01", RowDisposition.PRICE_OUTSIDE_LIMITS,   "a tick too high"),
    ("1 created bid  99             236.47",      RowDisposition.ROUNDED_TO_NOTHING,     "nearly a lot"),
    ("1 created bid  0              236.47",      RowDisposition.ROUNDED_TO_NOTHING,     "no volume at all"),
    ("1 created bid  100000000100   10",          RowDisposition.QUANTITY_OUTSIDE_LIMITS,"a lot too many"),
    ("1 created bid  9999           10000",       RowDisposition.NOTIONAL_TOO_SMALL,     "worth 0.99, after rounding"),
    ("1 created bid  10000000100    10000000",    RowDisposition.NOTIONAL_TOO_LARGE,     "a lot too many for its price"),
)  # fmt: skip

# rows                                                 what becomes of the last one
LIVES = (
    (["1 created bid 200 5000000", "1 changed bid 100 5000000"],                                   RowDisposition.RECORDED_PART_FILL),
    (["1 created bid 200 5000000", "1 deleted bid 0 5000000"],                                     RowDisposition.RECORDED_FILL),
    (["1 created bid 200 5000000", "1 deleted bid 200 5000000"],                                   RowDisposition.CANCEL),
    (["1 created bid 200 5000000", "1 changed bid 0 5000000"],                                     RowDisposition.RECORDED_PART_FILL),
    (["1 created bid 200 5000000", "1 deleted bid 0 5000000", "1 deleted bid 50 5000000"],         RowDisposition.CANCEL),
    (["1 created bid 200 5000000", "1 created ask 200 5000000"],                                   RowDisposition.USED_ID),
    (["1 created bid 200 5000000", "1 deleted bid 200 5000000", "1 created bid 200 5000000"],      RowDisposition.USED_ID),
    (["1 created bid 99 5000000", "1 created bid 200 5000000"],                                    RowDisposition.USED_ID),
    (["1 created bid 99 5000000", "1 deleted bid 99 5000000"],                                     RowDisposition.DROPPED_ORDER),
    (["1 created bid 99 5000000", "1 changed bid 50 5000000"],                                     RowDisposition.DROPPED_ORDER),
    (["1 deleted bid 200 5000000"],                                                                RowDisposition.UNKNOWN_ORDER),
    (["1 changed bid 200 5000000"],                                                                RowDisposition.UNKNOWN_ORDER),
    (["1 created bid 200 5000000", "2 deleted bid 0 5000000"],                                     RowDisposition.UNKNOWN_ORDER),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "disposition"), [pytest.param(text, disposition, id=why) for text, disposition, why in ORDERS]
)
def test_an_order_is_placed_or_dropped_for_one_reason(text: str, disposition: RowDisposition) -> None:
    plan = make_plan([row(text)], MARKET, 1)
    assert plan.dispositions == {disposition: 1}
    assert len(plan.commands) == (disposition == RowDisposition.ORDER)


@pytest.mark.parametrize(("texts", "disposition"), LIVES)
def test_later_rows_of_an_order_are_cancels_or_nothing(texts: list[str], disposition: RowDisposition) -> None:
    before, plan = make_plan(map(row, texts[:-1]), MARKET, 1), make_plan(map(row, texts), MARKET, 1)
    assert plan.dispositions - before.dispositions == {disposition: 1}
    sent = [CancelOrder(1, 0)] if disposition == RowDisposition.CANCEL else []
    assert plan.commands == before.commands + sent


def test_volumes_are_rounded_down_and_prices_left_as_they_are() -> None:
    plan = make_plan([row("1 created ask 178855669 236.47"), row("2 created bid 200000000 0.57")], MARKET, 1)
    assert plan.commands == [PlaceOrder(1, 0, Side.SELL, 23647, 1788556), PlaceOrder(2, 0, Side.BUY, 57, 2_000_000)]
    assert plan.rounded == 1


def test_accounts_take_turns_and_cancel_their_own_orders() -> None:
    texts = ["1 created bid 200 5000000", "2 created bid 99 5000000", "3 created bid 200 5000000",
             "4 created bid 200 5000000", "3 deleted bid 200 5000000", "1 deleted bid 200 5000000"]  # fmt: skip
    plan = make_plan(map(row, texts), MARKET, 2)
    assert [(command.order_id, command.account) for command in plan.commands] == [
        (1, 0),
        (3, 1),
        (4, 0),
        (3, 1),
        (1, 0),
    ]
    assert plan.funds == [Funds(base=0, quote=20_00000000), Funds(base=0, quote=10_00000000)]


def test_lots_and_funds_follow_the_scales_of_the_market() -> None:
    """USDTKZT: tick 0.01, lot 1, and tenge have two decimals."""
    plan = make_plan(
        [row("1 created bid 250000000 505.25"), row("2 created ask 300000000 506")], default_market("USDTKZT"), 1
    )
    assert [command.quantity_lots for command in plan.commands if isinstance(command, PlaceOrder)] == [2, 3]
    assert plan.funds == [Funds(base=3 * 10**8, quote=2 * 505_25)]
    assert plan.rounded == 1


def test_the_recording_lasts_from_its_earliest_to_its_latest_row() -> None:
    times = [row("5 deleted bid 1 1"), row("2 deleted bid 1 1"), row("9 deleted bid 1 1"), row("4 deleted bid 1 1")]
    assert make_plan(times, MARKET, 1).recorded_s == 7.0


ROWS = st.builds(
    Row,
    st.integers(1, 12),
    st.integers(0, 10_000),
    st.sampled_from([1, 1_000_000, 23_647_000_000, 23_648_000_000, 10**15, 10**17]),
    st.sampled_from([0, 1, 100, 9_999, 178_855_669, 200_000_000, 10**12]),
    st.sampled_from(Action),
    st.sampled_from(Side),
)


@given(st.lists(ROWS, max_size=60), st.integers(1, 5))
def test_every_row_has_one_disposition_and_every_order_is_paid_for(rows: list[Row], accounts: int) -> None:
    plan = make_plan(rows, MARKET, accounts)
    orders = [command for command in plan.commands if isinstance(command, PlaceOrder)]
    assert plan.rows == len(rows)
    assert (plan.orders, plan.cancels) == (len(orders), len(plan.commands) - len(orders))
    assert len({order.order_id for order in orders}) == len(orders)
    owner = {order.order_id: order.account for order in orders}
    assert all(owner[command.order_id] == command.account for command in plan.commands)
    for account, funds in enumerate(plan.funds):
        mine = [order for order in orders if order.account == account]
        value = sum(order.price_ticks * order.quantity_lots for order in mine if order.side == Side.BUY)
        assert funds.quote == value * MARKET.lot_value_units
        assert funds.base == sum(100 * order.quantity_lots for order in mine if order.side == Side.SELL)
