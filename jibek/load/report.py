"""What `jibek load` prints: while it runs, and at the end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from jibek.console.output import Column, print_table
from jibek.console.text import counted
from jibek.load.histogram import Histogram
from jibek.load.run import Outcome

if TYPE_CHECKING:
    from rich.table import Table

QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
DRAW_S = 0.25
LINE_S = 1.0
BUSY_SHARE = 0.95
"""Of a core. A generator that uses so much of one is what limits the load."""


@dataclass(frozen=True)
class Report:
    """What became of a load, and what it cost the venue."""

    clients: int
    in_flight: int | None
    """Of each client; None in an open loop."""
    rate: float | None
    market: str
    outcome: Outcome
    fills: int | None
    """Trades of the market in the meantime; None where they are not known."""
    cpu_s: dict[str, float]
    """Of each process of the venue while the load ran; empty where they are not known."""

    @property
    def is_generator_busy(self) -> bool:
        outcome = self.outcome
        return outcome.seconds > 0 and outcome.generator_cpu_s / outcome.seconds > BUSY_SHARE


def orders_per_second(outcome: Outcome) -> float:
    return outcome.orders / outcome.seconds if outcome.seconds else 0.0


def latency_json(latencies: Histogram) -> dict[str, int]:
    """The latencies that are shown, in microseconds."""
    shown = {f"{name}_us": latencies.quantile_us(share) for name, share in QUANTILES}
    return shown | {"max_us": latencies.largest_us}


def report_json(report: Report) -> dict[str, Any]:
    """The report as one JSON value."""
    outcome = report.outcome
    requests = outcome.orders + outcome.cancels
    return {
        "market": report.market,
        "clients": report.clients,
        "in_flight": report.in_flight,
        "rate": report.rate,
        "seconds": round(outcome.seconds, 3),
        "orders": outcome.orders,
        "cancels": outcome.cancels,
        "fills": report.fills,
        "refusals": dict(outcome.refusals.most_common()),
        "unknown": outcome.unknown,
        "orders_per_second": round(orders_per_second(outcome)),
        "requests_per_second": round(requests / outcome.seconds) if outcome.seconds else 0,
        "latency": latency_json(outcome.latencies),
        "cpu_us_per_request": {
            name: round(1e6 * seconds / max(1, requests), 2)
            for name, seconds in {**report.cpu_s, "generator": outcome.generator_cpu_s}.items()
        },
        "cores": os.cpu_count(),
        "generator_is_the_limit": report.is_generator_busy,
        "failures": outcome.failures,
    }


def print_report(report: Report) -> None:
    outcome = report.outcome
    requests = outcome.orders + outcome.cancels
    fills = "unknown, as --reply ack does not tell them" if report.fills is None else f"{report.fills:,}"
    click.echo(
        f"{counted(outcome.orders, 'order')} and {counted(outcome.cancels, 'cancel')} in {outcome.seconds:.2f} s on {report.market}: "
        f"{orders_per_second(outcome):,.0f} orders a second; fills: {fills}."
    )
    if outcome.unknown:
        click.echo(f"{counted(outcome.unknown, 'request')} never got a reply: what became of them is unknown.")
    click.echo()
    latency = latency_json(outcome.latencies)
    print_table(
        [Column(name.removesuffix("_us"), right=True) for name in latency],
        [[f"{value / 1000:,.3f} ms" for value in latency.values()]],
        title="Acknowledged after",
    )
    if outcome.refusals:
        click.echo()
        rows = [[reason, f"{count:,}"] for reason, count in outcome.refusals.most_common()]
        print_table([Column("refused because"), Column("requests", right=True)], rows)
    click.echo()
    columns = [Column("process"), Column("CPU of a core", right=True), Column("µs a request", right=True)]
    shown = {**report.cpu_s, "generator": outcome.generator_cpu_s}
    rows = [
        [name, f"{100 * seconds / (outcome.seconds or 1):.0f} %", f"{1e6 * seconds / max(1, requests):.1f}"]
        for name, seconds in shown.items()
    ]
    print_table(columns, rows)
    if report.is_generator_busy:
        click.echo("This generator was busy all the time: more load needs another one beside it.", err=True)


# -- while it runs


def line(outcome: Outcome) -> str:
    """How it stands, in one line."""
    latency = outcome.latencies
    refused = sum(outcome.refusals.values())
    return (
        f"{outcome.seconds:.0f} s: {counted(outcome.orders, 'order')}, {orders_per_second(outcome):,.0f} a second; "
        f"{outcome.cancels:,} cancels; {refused:,} refused; "
        f"p50 {latency.quantile_us(0.5) / 1000:.2f} ms, p99 {latency.quantile_us(0.99) / 1000:.2f} ms"
    )


@contextlib.contextmanager
def display() -> Iterator[tuple[Callable[[Outcome], None], float]]:
    """How it is shown while it runs, and how often: drawn in place on a terminal, a line on standard error elsewhere."""
    if not sys.stderr.isatty():
        yield lambda outcome: click.echo(line(outcome), err=True), LINE_S
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda outcome: live.update(table(outcome), refresh=True), DRAW_S


def table(outcome: Outcome) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, caption=line(outcome), caption_justify="left")
    cells = {
        "orders": f"{outcome.orders:,}",
        "orders/s": f"{orders_per_second(outcome):,.0f}",
        "cancels": f"{outcome.cancels:,}",
        "refused": f"{sum(outcome.refusals.values()):,}",
        **{name: f"{outcome.latencies.quantile_us(share) / 1000:.2f} ms" for name, share in QUANTILES},
        "max": f"{outcome.latencies.largest_us / 1000:.2f} ms",
    }
    for title in cells:
        drawn.add_column(title, justify="right", no_wrap=True)
    drawn.add_row(*cells.values())
    return drawn
