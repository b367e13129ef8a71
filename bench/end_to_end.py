"""How much of what a bare WebSocket server can do is left when every message is an order that is matched, on disk, settled?

    jibek bench end-to-end [--smoke] [--json]

In each round the same load generator sends the same requests over the same number of connections

    echo                  to `echo_server.py`, which sends each message back unread
    session               to a venue, on sessions that are logged on (Ed25519), with settlement
    session, no ledger    the same while the settlement process is stopped
    hmac, ed25519         to the venue, each request signed on its own
    lone                  to the venue, one order at a time: the latency without other clients

one after the other, so that whatever else the machine does meets all of them. The figures are medians over the rounds.
The requests are pairs of orders that fill each other: at most one trade for two orders; ACK replies. A round of the venue with
settlement ends only for the next one when the ledger has caught up, and the rate up to that moment is reported too.

Not included: TLS, a network, more than one market. Everything runs on one machine, the generator, too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click
import uvloop

from bench.origin import origin
from jibek.client.rest import fetch
from jibek.client.trading import Credentials
from jibek.console.options import json_option
from jibek.console.output import Column, print_json, print_table
from jibek.load.flow import Flow, Terms, make_terms
from jibek.load.run import Load, LoadClient, LoadResult, LoadRun, run_load
from jibek.load.venue import LoadedVenue
from jibek.venue.offsets import wait_until_settled
from jibek.venue.processes import cpu_seconds
from jibek.venue.services import PROCESS_NAMES
from jibek.venue.temporary_venue import temporary_venue

SYMBOL, PRICE = "BTCUSDT", Decimal(89_000)
WAYS = ("session", "hmac", "ed25519")
SETTLE_TIMEOUT_S = 120.0
SETTLE_POLL_S = 0.002


class Size(NamedTuple):
    """How much is measured."""

    rounds: int
    clients: int
    in_flight: int
    seconds: float
    """Of each part of a round."""
    lone_orders: int


FULL = Size(rounds=7, clients=16, in_flight=32, seconds=3.0, lone_orders=500)
SMOKE = Size(rounds=1, clients=2, in_flight=8, seconds=0.3, lone_orders=20)


class Part(NamedTuple):
    """One part of a round."""

    result: LoadResult
    cpu_s: dict[str, float]
    """Of the echo server, or of each process of the venue."""
    settled_s: float = 0.0
    """From the first order until the ledger has all of them; 0 where that was not waited for."""

    @property
    def rate(self) -> float:
        return self.result.answered / self.result.seconds

    @property
    def settled_rate(self) -> float:
        return self.result.answered / self.settled_s

    def cpu_us(self, name: str) -> float:
        """CPU of a process for each message."""
        return 1e6 * self.cpu_s[name] / self.result.answered


# -- what is measured


@contextmanager
def echo_server() -> Iterator[tuple[int, str]]:
    """Process id and URL of a running echo server."""
    command = [sys.executable, str(Path(__file__).with_name("echo_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            port = json.loads(process.stdout.readline())["port"]
            yield process.pid, f"ws://127.0.0.1:{port}/"
        finally:
            process.stdin.close()
            process.wait()


def measure_echo(pid: int, url: str, terms: Terms, size: Size) -> Part:
    """A round of the echo server, with the requests of logged-on sessions."""

    async def run() -> LoadResult:
        load = LoadRun(Load(in_flight=size.in_flight, seconds=size.seconds))
        try:
            for number in range(size.clients):
                await load.add(url, flow(terms, number, None), success=b'"method":')
            await load.run()
            return load.result()
        finally:
            load.close()

    before_s = cpu_seconds([pid])[pid]
    result = uvloop.run(run())
    return Part(result, {"echo": cpu_seconds([pid])[pid] - before_s})


class VenueBench:
    """A venue with accounts for each way to sign."""

    def __init__(self, data_dir: Path, size: Size) -> None:
        self.venue = LoadedVenue.open(data_dir)
        self.size = size
        market = self.venue.market(SYMBOL)
        rules = fetch(f"{self.venue.address.urls['http']}/exchangeInfo", symbol=SYMBOL)["symbols"][0]
        self.terms = make_terms(rules, PRICE)
        self.keys = {
            hmac: self.venue.open_accounts(size.clients, market, self.terms, hmac=hmac) for hmac in (False, True)
        }

    def measure(self, way: str, *, settles: bool = True) -> Part:
        """A round with this kind of signature; without settlement its process is stopped, and goes on after it."""
        load = Load(in_flight=self.size.in_flight, seconds=self.size.seconds)
        return self._measure(way, load, self.size.clients, settles=settles)

    def measure_lone(self) -> Part:
        """One order at a time, from one client."""
        return self._measure("session", Load(in_flight=1, orders=self.size.lone_orders), 1, settles=True)

    def _measure(self, way: str, load: Load, clients: int, *, settles: bool) -> Part:
        settlement = self.venue.address.services["settlement"]
        before_s = self.venue.cpu_seconds()
        if not settles:
            os.kill(settlement, signal.SIGSTOP)
        try:
            began_s = time.perf_counter()
            result = uvloop.run(run_load(self.venue.ws_api, self._clients(way, clients), load, SYMBOL))
        finally:
            os.kill(settlement, signal.SIGCONT)
        assert not result.refusals and not result.failures, (result.refusals, result.failures)
        after_s = {} if settles else self.venue.cpu_seconds()
        wait_until_settled(self.venue.client, timeout_s=SETTLE_TIMEOUT_S, poll_s=SETTLE_POLL_S)
        settled_s = time.perf_counter() - began_s
        after_s = after_s or self.venue.cpu_seconds()
        return Part(result, {name: after_s[name] - before_s[name] for name in PROCESS_NAMES}, settled_s)

    def _clients(self, way: str, count: int) -> list[LoadClient]:
        keys = self.keys[way == "hmac"][:count]
        logs_on = way == "session"
        return [
            LoadClient(flow(self.terms, number, None if logs_on else key), key, logs_on)
            for number, key in enumerate(keys)
        ]


def flow(terms: Terms, number: int, credentials: Credentials | None) -> Flow:
    return Flow(terms, "trade", "ack", f"{time.time_ns():x}-{number}-", number, credentials)


# -- all rounds


def run_rounds(size: Size) -> dict[str, list[Part]]:
    """All parts of all rounds, by name."""
    parts: dict[str, list[Part]] = {name: [] for name in ("echo", *WAYS, "unsettled", "lone")}
    with temporary_venue("bench") as data_dir, echo_server() as (pid, url):
        bench = VenueBench(data_dir, size)
        for number in range(size.rounds):
            click.echo(f"round {number + 1} of {size.rounds}", err=True)
            parts["echo"].append(measure_echo(pid, url, bench.terms, size))
            parts["session"].append(bench.measure("session"))
            parts["unsettled"].append(bench.measure("session", settles=False))
            parts["lone"].append(bench.measure_lone())
            for way in ("hmac", "ed25519"):
                parts[way].append(bench.measure(way))
    return parts


def result(parts: dict[str, list[Part]], size: Size) -> dict[str, Any]:
    """The figures, each the median over the rounds; ratios are those within a round."""

    def middle(values: Iterator[float]) -> float:
        return round(median(values), 3)

    echo = parts["echo"]

    def way(name: str) -> dict[str, Any]:
        found = {
            "orders_per_second": round(median(part.rate for part in parts[name])),
            "ratio": middle(part.rate / echo[i].rate for i, part in enumerate(parts[name])),
            "cpu_per_order_us": middle(part.cpu_us("gateway") for part in parts[name]),
            "cpu_ratio": middle(part.cpu_us("gateway") / echo[i].cpu_us("echo") for i, part in enumerate(parts[name])),
            "p50_us": round(median(part.result.latencies.quantile_us(0.5) for part in parts[name])),
            "p99_us": round(median(part.result.latencies.quantile_us(0.99) for part in parts[name])),
            "cpu_us": {each: middle(part.cpu_us(each) for part in parts[name]) for each in PROCESS_NAMES},
            "generator_cpu_us": middle(generator_cpu_us(part) for part in parts[name]),
        }
        if name != "unsettled":
            found["settled_orders_per_second"] = round(median(part.settled_rate for part in parts[name]))
        return found

    session = way("session")
    return {
        "orders_per_second": session["orders_per_second"],
        "echo_messages_per_second": round(median(part.rate for part in echo)),
        "ratio": session["ratio"],
        "cpu_per_order_us": session["cpu_per_order_us"],
        "echo_cpu_per_message_us": middle(part.cpu_us("echo") for part in echo),
        "cpu_ratio": session["cpu_ratio"],
        "lone_order_p50_us": round(median(part.result.latencies.quantile_us(0.5) for part in parts["lone"])),
        "with_settlement": session,
        "without_settlement": way("unsettled"),
        "hmac": way("hmac"),
        "ed25519": way("ed25519"),
        "echo_generator_cpu_us": middle(generator_cpu_us(part) for part in echo),
        "trades_per_order": 0.5,
        "size": size._asdict(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def generator_cpu_us(part: Part) -> float:
    return 1e6 * part.result.generator_cpu_s / part.result.answered


def print_result(found: dict[str, Any]) -> None:
    echo = found["echo_messages_per_second"]
    rows = [["echo", f"{echo:,}", "1", f"{found['echo_cpu_per_message_us']:.1f}", "1", ""]]
    for title, name in (
        ("session", "with_settlement"),
        ("session, no ledger", "without_settlement"),
        ("hmac", "hmac"),
        ("ed25519", "ed25519"),
    ):
        way = found[name]
        rows.append(
            [
                title,
                f"{way['orders_per_second']:,}",
                f"{way['ratio']:.2f}",
                f"{way['cpu_per_order_us']:.1f}",
                f"{way['cpu_ratio']:.2f}",
                " ".join(f"{each} {way['cpu_us'][each]:.1f}" for each in PROCESS_NAMES),
            ]
        )
    columns = [
        Column("requests"), Column("a second", right=True), Column("of echo", right=True),
        Column("server CPU, µs", right=True), Column("of echo", right=True), Column("µs an order in each process"),
    ]  # fmt: skip
    footer = f"A lone order is acknowledged after {found['lone_order_p50_us'] / 1000:.2f} ms (p50)."
    print_table(columns, rows, footer=footer)


@click.command("end-to-end", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="A small size that shows that it works; its figures mean nothing.")
@json_option
def end_to_end(smoke: bool, as_json: bool) -> None:
    """Measure an order from socket to socket against a bare WebSocket server, in the same run."""
    size = SMOKE if smoke else FULL
    found = result(run_rounds(size), size)
    if as_json:
        print_json({**origin("end-to-end", sys.argv[1:]), **found})
    else:
        print_result(found)


if __name__ == "__main__":
    end_to_end(prog_name="jibek bench end-to-end")
