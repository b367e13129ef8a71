"""`jibek replay` on a running venue: the example, what it refuses to do, and what it leaves behind however it ends."""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jibek.client.rest import fetch
from jibek.client.trading import Credentials, TradingClient
from jibek.commands.replay import replay
from jibek.replay import venue as replay_venue
from jibek.replay.plan import Plan, RowDisposition, make_plan
from jibek.replay.recording import read_order_flow
from jibek.replay.run import ReplayResult, run_plan
from jibek.venue.accounts import PERMISSIONS, KeyAdder
from jibek.venue.address import urls
from jibek.venue.directory import read_directory
from tests.worlds.processes import WAIT_S, wait_until
from tests.worlds.replay import default_market
from tests.worlds.venue import VenueProcess

order_flow = importlib.import_module("examples.make_order_flow").order_flow

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "order-flow.csv"
RECORDING = ROOT.parent / "shared" / "data" / "bitstamp-btcusd-2015-05-01.orders.csv.xz"
MARKET = "BTCUSDT"


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    """A venue of its own for these tests: a replay needs an empty book."""
    venue = VenueProcess(tmp_path_factory.mktemp("replay") / "data")
    try:
        yield venue.start()
    finally:
        venue.end()


def in_process(venue: VenueProcess, file: Path, *options: str) -> Result:
    """`jibek replay` in this process, so that a test can take a part's place."""
    return CliRunner().invoke(replay, [str(file), "--market", MARKET, "--data", str(venue.data), *options])


def depth(venue: VenueProcess) -> tuple[int, int]:
    """Price levels bid and asked."""
    found = fetch(f"{urls('127.0.0.1', venue.options.port)['http']}/depth?symbol={MARKET}&limit=5000")
    return len(found["bids"]), len(found["asks"])


def example_plan() -> Plan:
    return make_plan(read_order_flow(EXAMPLE), default_market(), 8)


# -- the example


def test_the_example_is_what_its_generator_makes() -> None:
    spec = util.spec_from_file_location("make_order_flow", EXAMPLE.with_name("make_order_flow.py"))
    assert spec is not None and spec.loader is not None
    generator = sys.modules[spec.name] = util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert EXAMPLE.read_text().splitlines() == generator.order_flow(seed=1, rows=1500)


def test_the_example_shows_every_kind_of_row() -> None:
    plan = example_plan()
    missing = set(RowDisposition) - plan.dispositions.keys()
    assert missing == {RowDisposition.USED_ID, RowDisposition.PRICE_OUTSIDE_LIMITS, RowDisposition.NOTIONAL_TOO_LARGE}
    assert plan.rounded > 0


def test_the_example_is_replayed_twice_on_one_venue(venue: VenueProcess) -> None:
    first = venue.json("replay", str(EXAMPLE), "--market", MARKET)
    second = venue.json("replay", str(EXAMPLE), "--market", MARKET, "--accounts", "3", "--in-flight", "32")
    plan = example_plan()
    for found in (first, second):
        assert found["passed"] is True
        assert found["difference"] is None
        assert found["became"] == {
            disposition.name.lower(): plan.dispositions[disposition] for disposition in RowDisposition
        }
        assert sum(found["became"].values()) == found["rows"] == len(EXAMPLE.read_text().splitlines()) - 1
        assert (found["orders"], found["cancels"], found["rounded"]) == (plan.orders, plan.cancels, plan.rounded)
        assert found["venue"] == found["book"]
        assert found["venue"]["trades"] > 50
        assert found["resting"] > 0
        assert found["reconciliation"]["passed"] is True
        assert found["times_faster"] > 0
    assert second["venue"] == first["venue"]
    assert not set(first["accounts"]) & set(second["accounts"])
    assert depth(venue) == (0, 0)


def test_the_report_in_words(venue: VenueProcess) -> None:
    result = venue.jibek("replay", str(EXAMPLE), "--market", MARKET)
    assert (result.returncode, result.stderr) == (0, "")
    plan = example_plan()
    for text in (
        f"{EXAMPLE}: {plan.rows:,} rows, recorded in 0:",
        f"{plan.dispositions[RowDisposition.UNKNOWN_ORDER]}  about orders that the recording had not created, not sent",
        "1  orders dropped: less than a lot",
        f"{plan.rounded}  of the orders had a volume that was rounded down to the lot",
        "times as fast as recorded",
        "volume in BTC",
        "pass",
        "trades as engine.Book; every check passed.",
    ):
        assert text in result.stdout


def test_a_venue_of_its_own_is_started_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(folder))
    result = CliRunner().invoke(replay, [str(EXAMPLE), "--market", MARKET, "--up", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passed"] is True
    assert not folder.exists()


# -- the comparison


def drop_a_trade(result: ReplayResult) -> None:
    result.fills = [fill for fill in result.fills if fill.trade_id != result.fills[20].trade_id]


def drop_a_side(result: ReplayResult) -> None:
    del result.fills[20]


def change_a_quantity(result: ReplayResult) -> None:
    trade_id = result.fills[20].trade_id
    for index, fill in enumerate(result.fills):
        if fill.trade_id == trade_id:
            result.fills[index] = fill._replace(quantity_lots=fill.quantity_lots + 1)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (drop_a_trade, "The venue and engine.Book differ: command "),
        (drop_a_side, "not once to a taker and once to a maker"),
        (change_a_quantity, "; engine.Book made trade "),
    ],
)
def test_a_tampered_list_of_trades_fails(
    venue: VenueProcess, monkeypatch: pytest.MonkeyPatch, tamper: Any, said: str
) -> None:
    async def tampered(*arguments: Any) -> ReplayResult:
        result = await run_plan(*arguments)
        tamper(result)
        return result

    monkeypatch.setattr(replay_venue, "run_plan", tampered)
    result = in_process(venue, EXAMPLE)
    assert result.exit_code == 1
    assert said in result.output
    assert "every check passed" not in result.output
    assert depth(venue) == (0, 0)


def test_a_refused_order_is_the_first_difference(venue: VenueProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accounts get too little money, so the venue refuses what the book takes."""

    def with_little_money(*arguments: Any) -> Plan:
        plan = make_plan(*arguments)
        for funds in plan.funds:
            funds.base, funds.quote = funds.base // 50, funds.quote // 50
        return plan

    monkeypatch.setattr(replay_venue, "make_plan", with_little_money)
    result = in_process(venue, EXAMPLE)
    assert result.exit_code == 1
    assert "times the answer was: Account has insufficient balance for requested action. (-2010)" in result.output
    assert "the venue refused it (Account has insufficient balance for requested action. (-2010))" in result.output
    assert depth(venue) == (0, 0)


# -- what it does not begin


HEADING = "id,timestamp,price,volume,action,direction\n"

TOO_MUCH = "".join(f"{id},1,10000000,9900000000,created,bid\n" for id in range(1, 60))

# what the file holds                            what is said
NO_RECORDINGS = {
    "malformed":    ("1,1,236.47,1,created\n",     "flow.csv: line 2: it has 5 fields, the heading has 6"),
    "tiny orders":  ("1,1,236.47,1,created,bid\n", "flow.csv holds no order that BTCUSDT takes, in 1 rows"),
    "no rows":      ("",                           "flow.csv holds no order that BTCUSDT takes, in 0 rows"),
    "too much":     (TOO_MUCH,                     "worth 58410000000.00000000 USDT, more than the venue can hold"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "said"), NO_RECORDINGS.values(), ids=NO_RECORDINGS)
def test_a_file_that_cannot_be_replayed_is_named(venue: VenueProcess, tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "flow.csv"
    path.write_text(HEADING + rows)
    accounts = len(venue.json("account", "list"))
    result = in_process(venue, path)
    assert result.exit_code == 1
    assert said in result.output
    assert len(venue.json("account", "list")) == accounts


def test_wrong_usage_is_named(venue: VenueProcess, tmp_path: Path) -> None:
    result = in_process(venue, EXAMPLE, "--up")
    assert (result.exit_code, "give either --up or --data" in result.output) == (2, True)
    result = CliRunner().invoke(replay, [str(EXAMPLE), "--market", "NOPE", "--data", str(venue.data)])
    assert (result.exit_code, "No market is named NOPE" in result.output) == (1, True)
    result = CliRunner().invoke(replay, [str(EXAMPLE), "--market", MARKET, "--data", str(tmp_path)])
    assert (result.exit_code, "No venue runs" in result.output) == (3, True)


def test_a_halted_market_is_named(venue: VenueProcess) -> None:
    venue.json("market", "halt", MARKET)
    try:
        result = in_process(venue, EXAMPLE)
    finally:
        venue.json("market", "resume", MARKET)
    assert (result.exit_code, f"{MARKET} is halted" in result.output) == (1, True)


def test_a_book_that_is_not_empty_makes_a_comparison_impossible(venue: VenueProcess) -> None:
    venue.json("account", "create", "early-bird", "--deposit", "USDT=1000", "--why", "test")
    client = venue.store()
    record = read_directory(client, venue.data).account_by_name["early-bird"]
    made = KeyAdder(client, record, PERMISSIONS["trade"], "test", "").hmac(venue.data)
    credentials = Credentials.hmac(made["key"], made["secret"])

    async def call(method: str, **params: str) -> None:
        async with TradingClient(urls("127.0.0.1", venue.options.port)["ws_api"], credentials) as trader:
            await trader.call(method, symbol=MARKET, **params)

    asyncio.run(call("order.place", side="BUY", type="LIMIT", timeInForce="GTC", price="100", quantity="1"))
    try:
        accounts = len(venue.json("account", "list"))
        result = in_process(venue, EXAMPLE)
        assert result.exit_code == 1
        assert f"The book of {MARKET} is not empty: it has 1 price levels bid and 0 asked" in result.output
        assert len(venue.json("account", "list")) == accounts
    finally:
        asyncio.run(call("openOrders.cancelAll"))


# -- however it ends


def begin_slowly(venue: VenueProcess, folder: Path) -> subprocess.Popen[str]:
    """A replay that waits for each reply, has begun to fill the book, and is far from its end on any machine."""
    flow = folder / "long-flow.csv"
    flow.write_text("\n".join(order_flow(seed=1, rows=30_000)) + "\n")
    command = [sys.executable, "-m", "jibek", "replay", str(flow), "--market", MARKET, "--in-flight", "1"]
    process = subprocess.Popen(
        [*command, "--data", str(venue.data)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: sum(depth(venue)) > 10, "the book fills")
    return process


def test_an_interrupted_replay_leaves_an_empty_book(venue: VenueProcess, tmp_path: Path) -> None:
    process = begin_slowly(venue, tmp_path)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, output) == (1, "")
    assert "Aborted!" in errors
    assert depth(venue) == (0, 0)


def test_a_replay_whose_gateway_dies_leaves_an_empty_book(venue: VenueProcess, tmp_path: Path) -> None:
    process = begin_slowly(venue, tmp_path)
    old_pid = venue.kill("gateway")
    output, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, output) == (3, "")
    assert "The venue went away during the replay" in errors
    venue.wait_until_back("gateway", old_pid)
    assert depth(venue) == (0, 0)


# -- the real thing


@pytest.mark.skipif(not RECORDING.exists(), reason=f"the recording is not here: {RECORDING}")
def test_five_hours_of_a_real_exchange(venue: VenueProcess) -> None:
    found = venue.json("replay", str(RECORDING), "--market", MARKET)
    assert found["rows"] == 50_414
    assert found["became"]["unknown_order"] == 191
    assert (found["orders"], found["cancels"], found["rounded"]) == (24_894, 24_174, 14_790)
    assert found["venue"] == found["book"]
    assert found["venue"]["trades"] == 558
    assert found["passed"] is True
