"""What the demo shows: the markets from their streams, rates, one line a snapshot."""

from __future__ import annotations

from decimal import Decimal

import pytest

from jibek.demo.traders import DemoMarket
from jibek.demo.view import RATE_WINDOW_S, DemoSnapshot, MarketView, Rate


def test_a_view_follows_the_streams_of_its_market() -> None:
    view = MarketView("BTCKZT")
    view.take({"s": "BTCKZT", "b": "44990000", "a": "45010000"})
    for number in range(4):
        view.take({"e": "trade", "s": "BTCKZT", "p": str(number), "m": number % 2 == 0})
    assert (view.bid, view.ask, view.trades) == ("44990000", "45010000", 4)
    assert list(view.last_trades) == [("3", True), ("2", False), ("1", True)]


# (time, count) of each sample, and the growth a second after each
SAMPLES = (
    ([(0.0, 0)],                                               [0.0]),
    ([(1.0, 10), (2.0, 30)],                                   [10.0, 15.0]),
    ([(1.0, 10), (4.0, 10), (4.0 + RATE_WINDOW_S + 0.1, 10)],  [10.0, 0.0, 0.0]),
)  # fmt: skip


@pytest.mark.parametrize(("samples", "expected"), SAMPLES)
def test_a_rate_is_that_of_the_last_seconds(samples: list[tuple[float, int]], expected: list[float]) -> None:
    rate = Rate(0.0)
    assert [rate.note(time_s, count) for time_s, count in samples] == expected


def test_a_snapshot_is_one_line() -> None:
    market = DemoMarket("BTCKZT", Decimal(1), Decimal(1), Decimal(1))
    market.statistics.orders = 1200
    market.statistics.round_trips_s.extend([0.001, 0.002, 0.009])
    views = {"BTCKZT": MarketView("BTCKZT", bid="45000000.00", ask="", trades=1)}
    snapshot = DemoSnapshot(2.4, [market], views, {"BTCKZT": 500.0}, 1)
    assert snapshot.line() == (
        "2 s: 1,200 orders, 500 a second; 1 trade; reply in 2.0 ms; ledger 1 entry behind | BTCKZT 45,000,000 / -"
    )
