"""What the demo shows while it runs: the markets, from the public streams, and how far the ledger lags behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import orjson
from websockets.asyncio.client import connect

from jibek.console.text import counted, without_trailing_zeros
from jibek.console.trust import context_for
from jibek.demo.traders import DemoMarket

if TYPE_CHECKING:
    from rich.table import Table

LAST_TRADES = 3
RATE_WINDOW_S = 3.0
"""Rates are those of the last few seconds."""


@dataclass
class MarketView:
    """One market, from its streams."""

    symbol: str
    bid: str = ""
    ask: str = ""
    trades: int = 0
    last_trades: deque[tuple[str, bool]] = field(default_factory=lambda: deque(maxlen=LAST_TRADES))
    """Price, and whether the taker bought; the newest first."""

    def take(self, event: dict[str, Any]) -> None:
        """Takes in a `trade` or `bookTicker` event."""
        if event.get("e") == "trade":
            self.trades += 1
            self.last_trades.appendleft((event["p"], not event["m"]))
        else:
            self.bid, self.ask = event["b"], event["a"]


async def watch(url: str, views: dict[str, MarketView]) -> None:
    """Keeps the views up to date, until it is cancelled."""
    streams = "/".join(f"{symbol.lower()}@{name}" for symbol in views for name in ("bookTicker", "trade"))
    async with connect(f"{url}?streams={streams}", compression=None, ssl=context_for(url)) as connection:
        async for message in connection:
            event = orjson.loads(message)["data"]
            views[event["s"]].take(event)


class Rate:
    """How fast a count grows, over the last few seconds; the count begins at zero."""

    def __init__(self, now_s: float) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now_s, 0)])

    def note(self, now_s: float, count: int) -> float:
        """Takes the count as it is now; returns its growth a second."""
        self._samples.append((now_s, count))
        while now_s - self._samples[0][0] > RATE_WINDOW_S:
            self._samples.popleft()
        then_s, then = self._samples[0]
        return (count - then) / (now_s - then_s) if now_s > then_s else 0.0


@dataclass
class DemoSnapshot:
    """Everything that is shown at once."""

    seconds: float
    markets: list[DemoMarket]
    views: dict[str, MarketView]
    orders_per_s: dict[str, float]
    ledger_lag_entries: int

    @property
    def summary(self) -> str:
        orders = sum(market.statistics.orders for market in self.markets)
        trades = sum(view.trades for view in self.views.values())
        return (
            f"{self.seconds:.0f} s: {counted(orders, 'order')}, {sum(self.orders_per_s.values()):,.0f} a second; {counted(trades, 'trade')}; "
            f"reply in {median_ms(self.markets):.1f} ms; ledger {counted(self.ledger_lag_entries, 'entry')} behind"
        )

    def line(self) -> str:
        """The snapshot as one line of plain text."""
        markets = (f"{view.symbol} {short(view.bid)} / {short(view.ask)}" for view in self.views.values())
        return f"{self.summary} | {' | '.join(markets)}"

    def table(self) -> Table:
        """The snapshot as it is drawn on a terminal."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, caption=self.summary, caption_justify="left")
        table.add_column("market")
        for title in ("bid", "ask", "last trades", "trades", "orders/s"):
            table.add_column(title, justify="right", no_wrap=True)
        for view in self.views.values():
            last = Text("  ").join(
                Text(short(price), style="green" if bought else "red") for price, bought in view.last_trades
            )
            table.add_row(
                view.symbol, short(view.bid), short(view.ask), last, f"{view.trades:,}",
                f"{self.orders_per_s[view.symbol]:,.0f}",
            )  # fmt: skip
        return table


def median_ms(markets: Iterable[DemoMarket]) -> float:
    """The median of the last round trips of all traders."""
    return 1000 * median([seconds for market in markets for seconds in market.statistics.round_trips_s] or [0.0])


def short(price: str) -> str:
    """A price for people: without trailing zeros, with separators between thousands; a dash if a side is empty.

    >>> short("45000000.00000000"), short("505.10000000"), short("0.00000000"), short("")
    ('45,000,000', '505.1', '-', '-')
    """
    if not price.strip("0."):
        return "-"
    whole, _, fraction = without_trailing_zeros(price).partition(".")
    return f"{int(whole):,}" + (f".{fraction}" if fraction else "")
