"""What `jibek load` prints: while it runs, and at the end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jibek.console.output import Column, print_line, print_table
from jibek.console.text import counted
from jibek.load.histogram import Histogram
from jibek.load.run import LoadResult

if TYPE_CHECKING:
    from rich.table import Table

QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
BUSY_SHARE = 0.95
"""Of a core. A generator that uses so much of one limits the load itself."""


@dataclass(frozen=True)
class LoadReport:
    """The result of a load test, and its cost for the venue."""

    clients: int
    in_flight: int | None
    """Of each client; None in an open loop."""
    rate: float | None
    market: str
    result: LoadResult
    fills: int | None
    """Trades of the market in the meantime; None if they are not known."""
    cpu_s: dict[str, float]
    """CPU time of each process of the venue during the load; empty if it is not known."""

    @property
    def is_generator_busy(self) -> bool:
        result = self.result
        return result.seconds > 0 and result.generator_cpu_s / result.seconds > BUSY_SHARE


def orders_per_second(result: LoadResult) -> float:
    """Accepted orders a second."""
    return result.orders_accepted / result.seconds if result.seconds else 0.0


def latency_json(latencies: Histogram) -> dict[str, int]:
    """The latencies that are shown, in microseconds."""
    shown = {f"{name}_us": latencies.quantile_us(share) for name, share in QUANTILES}
    return shown | {"max_us": latencies.largest_us}


def load_report_json(report: LoadReport) -> dict[str, Any]:
    """The report as one JSON value."""
    result = report.result
    requests = result.orders + result.cancels
    return {
        "market": report.market,
        "clients": report.clients,
        "in_flight": report.in_flight,
        "rate": report.rate,
        "seconds": round(result.seconds, 3),
        "orders": result.orders,
        "orders_accepted": result.orders_accepted,
        "cancels": result.cancels,
        "cancels_accepted": result.cancels_accepted,
        "fills": report.fills,
        "refusals": dict(result.refusals.most_common()),
        "unknown": result.unknown,
        "orders_per_second": round(orders_per_second(result)),
        "requests_per_second": round(requests / result.seconds) if result.seconds else 0,
        "latency": latency_json(result.latencies),
        "cpu_us_per_request": {
            name: round(1e6 * seconds / max(1, requests), 2)
            for name, seconds in {**report.cpu_s, "generator": result.generator_cpu_s}.items()
        },
        "cores": os.cpu_count(),
        "generator_is_the_limit": report.is_generator_busy,
        "failures": result.failures,
    }


def print_load_report(report: LoadReport) -> None:
    result = report.result
    requests = result.orders + result.cancels
    fills = "unknown, as the replies of --url do not show them" if report.fills is None else f"{report.fills:,}"
    print_line(
        f"{counted(result.orders_accepted, 'order')} and {counted(result.cancels_accepted, 'cancel')} accepted"
        f" in {result.seconds:.2f} s on {report.market}: {orders_per_second(result):,.0f} orders a second; fills: {fills}."
    )
    if refused := result.refusals.total():
        print_line(f"{counted(refused, 'request')} of {requests:,} {'was' if refused == 1 else 'were'} refused.")
    if result.unknown:
        print_line(f"{counted(result.unknown, 'request')} never got a reply: their outcome is unknown.")
    print_line()
    latency = latency_json(result.latencies)
    print_table(
        [Column(name.removesuffix("_us"), right=True) for name in latency],
        [[f"{value / 1000:,.3f} ms" for value in latency.values()]],
        title="Acknowledged after",
    )
    if result.refusals:
        print_line()
        rows = [[reason, f"{count:,}"] for reason, count in result.refusals.most_common()]
        print_table([Column("refused because"), Column("requests", right=True)], rows)
    print_line()
    columns = [Column("process"), Column("CPU of a core", right=True), Column("µs a request", right=True)]
    shown = {**report.cpu_s, "generator": result.generator_cpu_s}
    rows = [
        [name, f"{100 * seconds / (result.seconds or 1):.0f} %", f"{1e6 * seconds / max(1, requests):.1f}"]
        for name, seconds in shown.items()
    ]
    print_table(columns, rows)
    if report.is_generator_busy:
        print_line("This generator was busy all the time: for more load, run a second one.", err=True)


# -- while it runs


def progress_line(result: LoadResult) -> str:
    """The result so far, as one line of plain text."""
    latency = result.latencies
    return (
        f"{result.seconds:.0f} s: {counted(result.orders_accepted, 'order')}, {orders_per_second(result):,.0f} a second; "
        f"{counted(result.cancels_accepted, 'cancel')}; {result.refusals.total():,} refused; "
        f"p50 {latency.quantile_us(0.5) / 1000:.2f} ms, p99 {latency.quantile_us(0.99) / 1000:.2f} ms"
    )


def progress_table(result: LoadResult) -> Table:
    """The result so far, as it is drawn on a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, caption=progress_line(result), caption_justify="left")
    cells = {
        "orders": f"{result.orders_accepted:,}",
        "orders/s": f"{orders_per_second(result):,.0f}",
        "cancels": f"{result.cancels_accepted:,}",
        "refused": f"{result.refusals.total():,}",
        **{name: f"{result.latencies.quantile_us(share) / 1000:.2f} ms" for name, share in QUANTILES},
        "max": f"{result.latencies.largest_us / 1000:.2f} ms",
    }
    for title in cells:
        drawn.add_column(title, justify="right", no_wrap=True)
    drawn.add_row(*cells.values())
    return drawn
