"""myTrades shows what its filters ask for, in every combination that the specification has, and refuses the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits import LIST_ENTRIES_DEFAULT, TRADES_MAX
from tests.worlds.gateway_in_process import START_MS, GatewayInProcess

RICH = {"BTC": "1000", "KZT": "100000000000", "ETH": "1000"}
HOUR_MS = 3_600_000
STEP_MS = 2 * HOUR_MS
TRADES = 24
"""One every two hours: BTCKZT, and every third one ETHKZT; two of the same order after each other in each market."""


class World:
    def __init__(self) -> None:
        self.rig = GatewayInProcess()
        self.trader, maker = self.rig.trader(**RICH), self.rig.trader(**RICH)
        for number in range(TRADES):
            symbol, price = ("ETHKZT", "1000000") if number % 3 == 2 else ("BTCKZT", "40000000")
            if number % 6 in (0, 2):
                self.trader.place(symbol, "BUY", "0.02", price)
            maker.place(symbol, "SELL", "0.005", price)
            self.rig.now_ms += STEP_MS
        self.all = {symbol: self.result(symbol=symbol) for symbol in ("BTCKZT", "ETHKZT")}

    def result(self, **params: Any) -> list[dict[str, Any]]:
        trades: list[dict[str, Any]] = self.trader.result("myTrades", timestamp=self.rig.now_ms, **params)
        return trades

    def code(self, **params: Any) -> int:
        return self.trader.refusal("myTrades", timestamp=self.rig.now_ms, **params)[0]


WORLD = World()


def test_the_world_has_trades_to_choose_from() -> None:
    trades = WORLD.all["BTCKZT"]
    assert [trade["id"] for trade in trades] == list(range(1, 17))
    assert len({trade["orderId"] for trade in trades}) == 4
    assert trades[-1]["time"] - trades[0]["time"] > 24 * HOUR_MS


Trade = dict[str, Any]
FILTERS: dict[str, Callable[[Trade, int], bool]] = {
    "orderId": lambda trade, value: bool(trade["orderId"] == value),
    "fromId": lambda trade, value: bool(trade["id"] >= value),
    "startTime": lambda trade, value: bool(trade["time"] >= value),
    "endTime": lambda trade, value: bool(trade["time"] <= value),
}


def expected(symbol: str, params: dict[str, int]) -> list[Trade]:
    """What the specification says, read once more: filters first, and then as many as are wanted from one end."""
    trades = WORLD.all[symbol]
    for name, keeps in FILTERS.items():
        if name in params:
            trades = [trade for trade in trades if keeps(trade, params[name])]
    limit = params.get("limit", LIST_ENTRIES_DEFAULT)
    return trades[:limit] if "fromId" in params or "startTime" in params else trades[-limit:]


TIMES = st.builds(
    lambda steps, shift_ms: START_MS + steps * STEP_MS + shift_ms, st.integers(-1, TRADES + 1), st.integers(-1, 1)
)
CHOICES = st.one_of(
    st.fixed_dictionaries({}, optional={"orderId": st.integers(0, 40), "fromId": st.integers(0, 20)}),
    st.fixed_dictionaries({}, optional={"startTime": TIMES, "endTime": TIMES}),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["BTCKZT", "ETHKZT"]), CHOICES, st.none() | st.integers(1, 20))
def test_a_combination_shows_what_it_asks_for(symbol: str, filters: dict[str, Any], limit: int | None) -> None:
    params = filters if limit is None else {**filters, "limit": limit}
    start, end = params.get("startTime"), params.get("endTime")
    if start is not None and end is not None and (end < start or end - start > 24 * HOUR_MS):
        assert WORLD.code(symbol=symbol, **params) == (-1128 if end < start else -1127)
    else:
        assert WORLD.result(symbol=symbol, **params) == expected(symbol, params)
        texts = {name: str(value) for name, value in params.items()}
        assert WORLD.result(symbol=symbol, **texts) == expected(symbol, params)


@pytest.mark.parametrize("first", ["orderId", "fromId"])
@pytest.mark.parametrize("second", ["startTime", "endTime"])
def test_an_id_and_a_time_do_not_go_together(first: str, second: str) -> None:
    assert WORLD.code(symbol="BTCKZT", **{first: 1, second: START_MS}) == -1128


def test_a_day_is_not_too_long_and_a_millisecond_more_is() -> None:
    day = {"startTime": START_MS, "endTime": START_MS + 24 * HOUR_MS}
    assert len(WORLD.result(symbol="BTCKZT", **day)) == 9
    code, message = WORLD.trader.refusal(
        "myTrades", symbol="BTCKZT", timestamp=WORLD.rig.now_ms, startTime=START_MS, endTime=START_MS + 24 * HOUR_MS + 1
    )
    assert (code, message) == (-1127, "More than 24 hours between startTime and endTime.")


@pytest.mark.parametrize("name", ["orderId", "fromId", "startTime", "endTime"])
@pytest.mark.parametrize("value", [-1, "-1", 1.5, "1.0", "soon", "", True, 2**63, [1]], ids=repr)
def test_what_is_no_whole_number_is_refused(name: str, value: object) -> None:
    assert WORLD.code(symbol="BTCKZT", **{name: value}) == -1100


@pytest.mark.parametrize("name", ["orderId", "fromId", "startTime", "endTime", "limit"])
def test_null_was_not_sent(name: str) -> None:
    assert WORLD.result(symbol="BTCKZT", **{name: None}) == WORLD.all["BTCKZT"]


def test_the_greatest_numbers_find_nothing() -> None:
    assert WORLD.result(symbol="BTCKZT", fromId=2**63 - 1) == []
    assert WORLD.result(symbol="BTCKZT", startTime=2**63 - 1) == []
    assert WORLD.result(symbol="BTCKZT", endTime=2**63 - 1) == WORLD.all["BTCKZT"]


def test_what_is_no_longer_remembered_is_not_shown() -> None:
    rig = GatewayInProcess()
    trader, maker = rig.trader(**RICH), rig.trader(**RICH)
    maker.place("BTCKZT", "SELL", "50", "40000000")
    account = rig.projection.accounts[1]
    for _ in range(3):
        trader.place("BTCKZT", "BUY", "0.005", "40000000")
    account.trades.extend([account.trades[-1]] * (TRADES_MAX - 2))
    shown = trader.result("myTrades", symbol="BTCKZT", fromId=0, limit=1, timestamp=rig.now_ms)
    assert [trade["id"] for trade in shown] == [2]
