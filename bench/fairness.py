"""Does a quiet client notice what hostile clients do?

    jibek bench fairness [--smoke] [--seconds S] [--flood NAME]… [--json]

A venue of its own, with a book of 5,000 levels a side. A quiet client sends a ping, an order and its cancel in turn, one
request every 10 ms; first alone, then during each flood of `bench.floods`. A flood comes from a process of its own with the
lowest priority, so that generator and venue share the machine as they would not in production, and the venue comes first.
Each flood and each quiet client has an address of its own: what the venue counts by address, and whom it bans, does not
carry over.

Reported are median, p99 and worst latency of the quiet client's pings and orders during each flood, and what became of the
flood: how it was answered, closed, banned. Between floods the benchmark waits until the venue is calm again.

Not included: TLS, a network, floods from many addresses at once.
"""

from __future__ import annotations

import os
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from bench.flooding import FloodProcess
from bench.floods import FLOODS, LEVELS, Flood, Target
from bench.origin import origin
from bench.plain_websocket import ConnectionEnded, PlainWebSocket, address, request_frame
from bench.quiet_client import QuietClient, QuietResult, percentiles
from engine.process import EXIT_MISSED, EXIT_REFUSED
from jibek.client.rest import fetch
from jibek.client.trading import WINDOW_MS_MAX, Credentials
from jibek.console.failure import fail
from jibek.console.options import json_option
from jibek.console.output import Column, print_json, print_table
from jibek.load.flow import Terms, make_terms
from jibek.load.venue import LoadedVenue
from jibek.venue.temporary_venue import temporary_venue

SYMBOL, PRICE = "BTCUSDT", Decimal(89_000)
P99_MS_GOAL, WORST_MS_GOAL = 20.0, 100.0
INTERVAL_MS = 10.0
"""Between two requests of the quiet client."""
IN_FLIGHT = 500
"""Orders on their way while the book is filled."""
BOOK, QUIET, HOSTILE = 0, 1, 2
"""The networks of `address`."""
ALONE = "none"


class Size(NamedTuple):
    """How much is measured."""

    seconds: float
    """During each flood."""
    levels: int


FULL = Size(5.0, LEVELS)
SMOKE = Size(0.3, 50)


class Part(NamedTuple):
    """What the quiet client saw during one flood."""

    name: str
    quiet: QuietResult
    flood: dict[str, Any] | None
    """What the flood did, as `FloodReport.as_dict` gives it; None where there was none."""


class FairnessBench:
    """A venue with a full book, and the keys of all that take part."""

    def __init__(self, data_dir: Path, size: Size) -> None:
        venue = LoadedVenue.open(data_dir)
        http = venue.address.urls["http"]
        port = urlsplit(http).port
        assert port is not None
        market = venue.market(SYMBOL)
        terms = make_terms(fetch(f"{http}/exchangeInfo", symbol=SYMBOL)["symbols"][0], PRICE)
        bids, asks, self._quiet, rich, poor = venue.open_accounts(5, market, terms, hmac=False)
        [hmac] = venue.open_accounts(1, market, terms, hmac=True)
        self.size = size
        self._target = Target(
            port, address(HOSTILE, 0), SYMBOL, f"{terms.price:f}", f"{terms.quantity:f}",
            f"{terms.quantity * 10_000_000:f}", rich, poor, hmac,
        )  # fmt: skip
        self._quiet_price = f"{terms.price - terms.tick:f}"
        self._fill_book(bids, terms, "BUY", -terms.tick)
        self._fill_book(asks, terms, "SELL", terms.tick)

    def measure(self, number: int, name: str, flood: Flood | None) -> Part:
        """Measures during a flood; `number` gives both clients their addresses."""
        quiet = QuietClient(self._target, address(QUIET, number), self._quiet, self._quiet_price)
        try:
            quiet.wait_until_calm()
            if flood is None:
                return Part(name, quiet.run(self.size.seconds, INTERVAL_MS), None)
            process = FloodProcess(flood, self._target._replace(source=address(HOSTILE, number)))
            try:
                process.wait_until_it_floods()
                result = quiet.run(self.size.seconds, INTERVAL_MS)
                return Part(name, result, process.stop())
            finally:
                process.kill()
        finally:
            quiet.close()

    def _fill_book(self, credentials: Credentials, terms: Terms, side: str, step: Decimal) -> None:
        """Places an order on each level of a side."""
        client = PlainWebSocket(self._target.port, address(BOOK, 0))
        answered = refused = 0
        try:
            client.ask("session.logon", credentials.signed({}))
            for level in range(1, self.size.levels + 1):
                client.send(request_frame(level, "order.place", self._resting(terms, side, terms.price + level * step)))
                while answered < level - IN_FLIGHT or (level == self.size.levels and answered < level):
                    for message in client.messages(1.0):
                        answered += 1
                        refused += b'"status":200,' not in message
        finally:
            client.close()
        if refused:
            fail(EXIT_REFUSED, f"The venue refused {refused} of the {answered} orders that fill the book.")

    def _resting(self, terms: Terms, side: str, price: Decimal) -> dict[str, Any]:
        return {
            "symbol": SYMBOL, "side": side, "type": "LIMIT", "timeInForce": "GTC", "price": f"{price:f}",
            "quantity": f"{terms.quantity:f}", "newOrderRespType": "ACK", "timestamp": time.time_ns() // 1_000_000,
            "recvWindow": WINDOW_MS_MAX,
        }  # fmt: skip


def run_parts(size: Size, names: tuple[str, ...]) -> list[Part]:
    """The quiet client alone, and then during each of these floods."""
    parts = []
    with temporary_venue("fairness") as data_dir:
        bench = FairnessBench(data_dir, size)
        for number, name in enumerate((ALONE, *names)):
            click.echo(f"{number} of {len(names)}: {name}", err=True)
            try:
                parts.append(bench.measure(number, name, FLOODS.get(name)))
            except (ConnectionEnded, OSError, RuntimeError) as error:
                # What the venue does not survive is a result, too.
                parts.append(Part(name, QuietResult(failure=f"{error}"), None))
    return parts


# -- what is reported


def part_result(part: Part, size: Size) -> dict[str, Any]:
    quiet = part.quiet
    pings, orders = percentiles(quiet.pings_s), percentiles(quiet.orders_s)
    met = not quiet.failure and all(each.meet(P99_MS_GOAL, WORST_MS_GOAL) for each in (pings, orders))
    return {
        "name": part.name,
        "says": FLOODS[part.name].says if part.name in FLOODS else "no flood",
        "met": None if is_smoke(size) and not quiet.failure else met,
        "pings": pings._asdict(),
        "orders": orders._asdict(),
        "unanswered": quiet.unanswered,
        "refusals": quiet.refusals,
        "failure": quiet.failure,
        "sent_late_ms": round(1000 * quiet.late_s, 3),
        "flood": part.flood,
    }


def result(parts: list[Part], size: Size) -> dict[str, Any]:
    """The figures; `met` says whether every flood left the quiet client within the goals, and is None where that is not
    judged."""
    alone, *floods = (part_result(part, size) for part in parts)
    judged = [each["met"] for each in floods if each["met"] is not None]
    worst = [each[kind]["worst_ms"] for each in floods for kind in ("pings", "orders")]
    return {
        "goals": {"p99_ms": P99_MS_GOAL, "worst_ms": WORST_MS_GOAL},
        "met": all(judged) if judged else None,
        "worst_ms": None if None in worst else max(worst),
        "alone": alone,
        "floods": floods,
        "interval_ms": INTERVAL_MS,
        "size": size._asdict(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def is_smoke(size: Size) -> bool:
    """Whether the size is too small to judge what comes of it."""
    return size.levels == SMOKE.levels


def print_result(found: dict[str, Any]) -> None:
    goals = {True: "", False: "missed", None: "smoke: not judged"}
    rows = [[*_cells(each), _fate(each), goals[each["met"]]] for each in (found["alone"], *found["floods"])]
    columns = [
        Column("flood"),
        *(Column(f"{kind} {name}", right=True) for kind in ("pings", "orders") for name in ("p50", "p99", "worst")),
        Column("what became of the flood"), Column("goal"),
    ]  # fmt: skip
    footer = f"Milliseconds. Goals during each flood: p99 at most {P99_MS_GOAL:g}, never above {WORST_MS_GOAL:g}."
    print_table(columns, rows, footer=footer)


def _cells(part: dict[str, Any]) -> list[str]:
    figures = (part[kind][name] for kind in ("pings", "orders") for name in ("median_ms", "p99_ms", "worst_ms"))
    return [part["says"], *("" if each is None else f"{each:.1f}" for each in figures)]


def _fate(part: dict[str, Any]) -> str:
    """How a flood was answered and closed, in a few words."""
    if part["failure"]:
        return str(part["failure"])
    if part["flood"] is None:
        return ""
    answers, closed = dict(part["flood"]["answers"]), part["flood"]["closed"]
    said = ["banned"] if part["flood"]["banned"] else []
    opened = answers.pop("101", 0)
    said += [f"opened {opened:,}"] if opened else []
    said += [
        f"{'answered' if status == '200' else 'refused'} with {status} {_times(count)}"
        for status, count in answers.items()
    ]
    said += [f"{CLOSED.get(how, f'closed with {how}')} {_times(count)}" for how, count in closed.items()]
    return ", ".join(said if answers or closed else [*said, "kept open, unanswered"])


CLOSED = {"turned away": "turned away", "reset": "reset", "end": "closed without a code"}
"""How a flood's connection ended, if not by a close frame with a code."""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


@click.command("fairness", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="A small size that shows that it works; its figures mean nothing.")
@click.option("--seconds", type=click.FloatRange(0.1, 600.0), help=f"During each flood.  [default: {FULL.seconds:g}]")
@click.option(
    "--flood", "names", type=click.Choice(list(FLOODS)), multiple=True, help="Only this one; may be repeated."
)
@json_option
def fairness(smoke: bool, seconds: float | None, names: tuple[str, ...], as_json: bool) -> None:
    """Measure what a quiet client notices of hostile clients.

    The exit code is 4 if a flood pushes its latency beyond the goals. With --smoke the goals are not judged.
    """
    size = SMOKE if smoke else FULL
    size = size if seconds is None else size._replace(seconds=seconds)
    found = result(run_parts(size, names or tuple(FLOODS)), size)
    if as_json:
        print_json({**origin("fairness", sys.argv[1:]), **found})
    else:
        print_result(found)
    if found["met"] is False:
        sys.exit(EXIT_MISSED)


if __name__ == "__main__":
    fairness(prog_name="jibek bench fairness")
