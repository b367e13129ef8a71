"""Settlement: the ledger follows from the events, each entry exactly once, whatever is killed and however many run."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.journal import BEGINNING, EVENTS_KEY, ChainBroken, EntryId, Store, read_events
from engine.process import EXIT_GOOD, EXIT_REFUSED, EXIT_UNREACHABLE, StopRequest
from engine.process.follower import follow
from engine.records import BatchBuilder, Command, CommandKind, Side
from ledger import settlement as settlement_module
from ledger import store as store_module
from ledger.accounts import field_of, pack_counters, slot_of
from ledger.postings import post
from ledger.reports import all_balances
from ledger.settlement import Settlement, open_ledger
from ledger.snapshot import take_snapshot
from ledger.store import BALANCES_KEY, CURSOR_KEY, Cursor, CursorMoved, LedgerBroken, LedgerStore, Writes
from tests.worlds.ledger import (
    LedgerDump,
    StepCountingStore,
    clear_ledger,
    dump_ledger,
    new_settlement,
    settle,
    settle_all,
)
from tests.worlds.processes import ROOT, ServiceProcess, wait_until
from tests.worlds.stepped_venue import EngineThread, SteppedVenue
from tests.worlds.store import StoreProcess


@pytest.fixture(scope="module")
def server(each_store: StoreProcess) -> StoreProcess:
    return each_store


class LateStore(LedgerStore):
    """A ledger's store whose calls arrive as late as they may: when somebody waits for their answers."""

    def __init__(self, client: Store) -> None:
        super().__init__(client)
        self.waiting: deque[tuple[Cursor, Cursor, Writes, dict[int, int]]] = deque()

    def send(self, before: Cursor, after: Cursor, writes: Writes, counters: dict[int, int]) -> None:
        if len(self.waiting) == store_module.CALLS_IN_FLIGHT_MAX:
            self.confirm()
        self.waiting.append((before, after, writes, {slot: counters[slot] for slot in writes.changes}))

    def confirm(self) -> None:
        super().send(*self.waiting.popleft())
        super().confirm()

    def confirm_all(self) -> None:
        while self.waiting:
            self.confirm()

    def disconnect(self) -> None:
        self.waiting.clear()
        super().disconnect()


# -- what is settled


def test_the_ledger_has_the_balances_of_the_engine(venue: SteppedVenue, client: Store) -> None:
    venue.trade_at_random(seed=1, entries=40)
    store = settle_all(client).store
    rows = [row for row in all_balances(take_snapshot(store)) if row.total]
    assert [tuple(row) for row in rows] == list(venue.core.balances())


def test_every_entry_that_moves_money_has_its_transfers(venue: SteppedVenue, client: Store) -> None:
    venue.trade_at_random(seed=2, entries=10)
    settlement = settle_all(client)
    stored = dict(settlement.store.transfers(EntryId(1, 0), settlement.cursor, count=10_000))
    assert len(stored) > 10
    for entry in read_events(client, BEGINNING, count=10_000):
        assert stored.pop(entry.id, b"") == post(entry.data).transfers
    assert not stored


def test_small_entries_share_a_call_and_large_ones_are_split(
    venue: SteppedVenue, client: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger does not depend on the size of a call."""
    venue.trade_at_random(seed=3, entries=25)
    settle_all(client)
    expected = dump_ledger(client)
    for size in (2, 3, 7, 50):
        clear_ledger(client)
        limit_writes(monkeypatch, size)
        settle_all(client)
        assert dump_ledger(client) == expected


def test_an_entry_of_256_trades_between_512_accounts_goes_in_parts(venue: SteppedVenue, client: Store) -> None:
    for side, asset in ((Side.SELL, "BTC"), (Side.BUY, "KZT")):
        run_batch(venue, [(Command(kind=CommandKind.ACCOUNT_ADD), f"{side.name.lower()}-{i}") for i in range(256)])
        first = 1 if side == Side.SELL else 257
        numbers = range(first, first + 256)
        money = {"kind": CommandKind.DEPOSIT, "asset": venue.assets[asset], "amount": 10**12}
        run_batch(venue, [(Command(account=number, **money), None) for number in numbers])  # type: ignore[arg-type]
        run_batch(venue, [(venue.order(number, side, 50_000, 1_000), "") for number in numbers])

    settlement = new_settlement(open_ledger(client))
    calls = record_calls(settlement.store)
    while settlement.step(block_ms=None):
        pass
    last = settlement.cursor
    parts = [
        after for before, after, _ in calls if last in (after.id, EntryId(before.id.epoch, before.id.sequence + 1))
    ]
    assert len([cursor for cursor in parts if cursor.part]) >= 3, "the last entry is too large for one call"
    assert all(len(writes) <= store_module.WRITES_PER_CALL_MAX for _, _, writes in calls)
    rows = [row for row in all_balances(take_snapshot(settlement.store)) if row.total]
    assert [tuple(row) for row in rows] == list(venue.core.balances())


def test_a_second_run_changes_nothing(venue: SteppedVenue, client: Store) -> None:
    venue.trade_at_random(seed=4, entries=10)
    settle_all(client)
    expected = dump_ledger(client)
    settle_all(client)
    assert dump_ledger(client) == expected


# -- what is refused


def test_a_changed_event_stops_the_settlement(venue: SteppedVenue, client: Store) -> None:
    venue.trade_at_random(seed=6, entries=3)
    [(id, fields)] = client.xrevrange(EVENTS_KEY, count=1)
    client.xdel(EVENTS_KEY, id)
    client.xadd("{x}copy", {**fields, b"b": fields[b"b"][:-1] + b"\xff"}, id=id)
    client.rename(EVENTS_KEY, "{x}events")
    for entry in client.xrange("{x}events") + client.xrange("{x}copy"):
        client.xadd(EVENTS_KEY, entry[1], id=entry[0])
    with pytest.raises(ChainBroken, match=str(EntryId.parse(id))):
        settle_all(client)


def test_a_balance_below_zero_stops_the_settlement(venue: SteppedVenue, client: Store) -> None:
    account = venue.add_account("alice", BTC=10)
    settlement = settle_all(client)
    settlement.counters = dict.fromkeys(settlement.counters, 0)
    venue.withdraw(account, "BTC", 10)
    with pytest.raises(LedgerBroken, match="would owe more than it has after entry 1-"):
        settlement.step(block_ms=100)


def test_an_entry_begun_in_other_parts_stops_the_settlement(venue: SteppedVenue, client: Store) -> None:
    venue.trade_at_random(seed=7, entries=1)
    settlement = settle_all(client)
    client.set(CURSOR_KEY, settlement.ledger_cursor._replace(part=1, parts=7).pack())
    venue.trade_at_random(seed=8, entries=1)
    with pytest.raises(LedgerBroken, match="part 1 of 7"):
        settle_all(client)


# -- killed between any two steps


class SteppedStore(StepCountingStore):
    """A ledger's store that counts a step before and after everything it does, and ends its process at one of them."""


def _stepped(name: str) -> Callable[..., Any]:
    method = getattr(LedgerStore, name)

    def with_steps(self: SteppedStore, *arguments: Any) -> Any:
        self.step()
        result = method(self, *arguments)
        self.step()
        return result

    return with_steps


for _name in ("cursor", "load", "send", "confirm"):
    setattr(SteppedStore, _name, _stepped(_name))


def start_child(work: Callable[[], object]) -> int:
    """Does the work in a process of its own, a copy of this one; its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def settle_in_child(server: StoreProcess, kill_at: int) -> bool:
    """Settles everything in a process of its own, which is killed at a step; True if it finished."""

    def work() -> None:
        settle(new_settlement(SteppedStore(server.client(), kill_at)))

    _, status = os.waitpid(start_child(work), 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or status == 0, f"the settlement failed at step {kill_at}"
    return not killed


@pytest.fixture
def settled(venue: SteppedVenue, client: Store, monkeypatch: pytest.MonkeyPatch) -> LedgerDump:
    """A venue that has traded, whose entries need one call, several, and parts of one; how its ledger must be."""
    venue.trade_at_random(seed=9, entries=6)
    settle_all(client)
    expected = dump_ledger(client)
    clear_ledger(client)
    limit_writes(monkeypatch, 20)
    monkeypatch.setattr(settlement_module, "ENTRIES_PER_READ", 16)
    return expected


def test_killed_at_any_step_the_next_one_finishes(settled: LedgerDump, server: StoreProcess, client: Store) -> None:
    steps = 0
    while not settle_in_child(server, kill_at=steps):
        assert settle_in_child(server, kill_at=-1)
        assert dump_ledger(client) == settled, f"killed at step {steps}"
        clear_ledger(client)
        steps += 1
    assert steps > 50
    assert dump_ledger(client) == settled


@pytest.mark.parametrize("steps", [10, 11, 16])
def test_killed_again_and_again_it_still_gets_there(
    settled: LedgerDump, server: StoreProcess, client: Store, steps: int
) -> None:
    kills = 0
    while not settle_in_child(server, kill_at=steps):
        kills += 1
        assert kills < 1_000, "no progress between kills"
    assert kills > 1
    assert dump_ledger(client) == settled


# -- two at once


@pytest.mark.parametrize("seed", range(20))
def test_two_that_take_turns_give_the_result_of_one(
    settled: LedgerDump, client: Store, server: StoreProcess, seed: int
) -> None:
    """Some interleaving of two settlements, drawn by the seed, each with calls in flight while the other goes on."""
    source = random.Random(seed)
    both = [new_settlement(source.choice((LedgerStore, LateStore))(server.client())) for _ in range(2)]
    refusals = 0
    going_on = set(both)
    while going_on:
        one = source.choice(both)
        try:
            if source.random() < 0.3:
                one.store.confirm_all()
            if one.step(block_ms=None) == 0 and not one.unproved:
                going_on.discard(one)
        except CursorMoved:
            refusals += 1
            one.resume()
    assert dump_ledger(client) == settled
    assert refusals > 0


def test_three_processes_at_once_give_the_result_of_one(
    settled: LedgerDump, client: Store, server: StoreProcess
) -> None:
    last = read_events(client, BEGINNING, count=10_000)[-1].id

    def work() -> None:
        settlement = new_settlement(LedgerStore(server.client()))
        stop = StopRequest()
        _stop_at(settlement, last, stop)
        follow(settlement, stop, logging.getLogger("settlement"))

    children = [start_child(work) for _ in range(3)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert dump_ledger(client) == settled


def _stop_at(settlement: Settlement, last: EntryId, stop: StopRequest) -> None:
    """Has the settlement stop once the ledger is at `last`, by its own work or another's."""
    step = settlement.step

    def step_and_look(block_ms: int | None) -> int:
        count = step(None)
        if count == 0 and not settlement.unproved and settlement.store.cursor().id == last:
            stop.set()
        return count

    settlement.step = step_and_look  # type: ignore[method-assign]


def test_a_settlement_resumes_as_often_as_it_must(venue: SteppedVenue, client: Store) -> None:
    """It resumes after each lost connection, and whenever another settlement was first."""
    settlement = new_settlement(open_ledger(client))
    for _ in range(120):
        venue.add_account(f"client-{settlement.cursor.sequence}", KZT=100)
        assert settlement.step(block_ms=None)
        settlement.store.confirm_all()
        settlement.resume()


# -- the process


@pytest.fixture
def start_settlement(
    venue: SteppedVenue, server: StoreProcess, tmp_path: Path
) -> Iterator[Callable[[], ServiceProcess]]:
    """Starts a settlement of its own process on the store, and has the engine answer it; it ends with the test."""
    started: list[ServiceProcess] = []

    def start() -> ServiceProcess:
        places = ("--store", server.url, "--data", str(tmp_path))
        with EngineThread(venue, server.url):
            started.append(ServiceProcess(tmp_path, f"settlement{len(started)}", "ledger.settlement", *places))
        assert "unproved" not in started[-1].ready
        return started[-1]

    yield start
    for process in started:
        process.kill()


def test_the_process_survives_kills_company_and_a_store_that_dies(
    venue: SteppedVenue, client: Store, server: StoreProcess, start_settlement: Callable[[], ServiceProcess]
) -> None:
    """Two real processes settle while the venue trades; one is killed each time, and once the store is."""
    processes = [start_settlement(), start_settlement()]
    assert all(process.ready["ready"] for process in processes)
    for round in range(4):
        venue.trade_at_random(seed=100 + round, entries=8)
        if round == 2:
            server.kill()
            server.start()
        victim = round % 2
        code = processes[victim].end(signal.SIGKILL)
        assert code == -signal.SIGKILL, processes[victim].log.read_text()
        processes[victim] = start_settlement()
    last = read_events(client, BEGINNING, count=10_000)[-1].id
    wait_until(lambda: LedgerStore(client).cursor().id == last, "the ledger reaches the last entry")
    for process in processes:
        assert process.stop() == EXIT_GOOD, process.log.read_text()
    found = dump_ledger(client)
    clear_ledger(client)
    settle_all(client)
    assert dump_ledger(client) == found


def test_the_process_ends_with_one_clear_line_when_a_promise_is_broken(
    venue: SteppedVenue, client: Store, server: StoreProcess, tmp_path: Path
) -> None:
    venue.trade_at_random(seed=10, entries=2)
    settle_all(client)
    client.set(CURSOR_KEY, "nonsense")
    done = run_settlement(server.url, tmp_path)
    assert done.returncode == EXIT_REFUSED
    assert "the cursor b'nonsense' cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_process_ends_before_it_is_ready_if_a_balance_is_wrong(
    venue: SteppedVenue, client: Store, server: StoreProcess, tmp_path: Path
) -> None:
    account = venue.add_account("alice", BTC=500_000_000)
    settle_all(client)
    field = field_of(slot_of(account, 3))
    client.hset(BALANCES_KEY, field, pack_counters(slot_of(account, 3), 500_000_004 << 128))
    before = dump_ledger(client)
    with EngineThread(venue, server.url):
        done = run_settlement(server.url, tmp_path)
    assert (done.returncode, done.stdout) == (EXIT_REFUSED, "")
    assert done.stderr.splitlines()[-1].endswith(
        "the stored balances are not those of the events: account 1 (alice), BTC: client is stored as 5.00000004, "
        "and is 5.00000000 by the events. `jibek ledger rebuild` computes the ledger again from the events"
    )
    assert dump_ledger(client) == before


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run_settlement("redis://127.0.0.1:1/0", tmp_path)
    assert done.returncode == EXIT_UNREACHABLE
    assert "the store cannot be reached" in done.stderr and "127.0.0.1:1" in done.stderr


def run_settlement(store: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Runs a settlement that cannot start, until it ends."""
    command = [sys.executable, "-m", "ledger.settlement", "--store", store, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


# -- helpers


def limit_writes(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Has calls hold at most `size` writes, so that small entries need parts too."""
    monkeypatch.setattr(store_module, "WRITES_PER_CALL_MAX", size)
    monkeypatch.setattr(settlement_module, "WRITES_PER_CALL_MAX", size)


def run_batch(venue: SteppedVenue, commands: list[tuple[Command, str | None]]) -> None:
    """Executes the commands in one entry; a name becomes the blob of an operator's command, "" means no blob."""
    builder = BatchBuilder()
    for command, name in commands:
        parts = [] if name == "" else [b"test", b"", b""] if name is None else [name.encode(), b"test", b"", b""]
        builder.add(command, *parts)
    assert {event.reason for event in venue.execute(builder)} == {0}


def record_calls(store: LedgerStore) -> list[tuple[Cursor, Cursor, Writes]]:
    """The calls that are sent from now on."""
    calls = []
    send = store.send

    def send_and_record(before: Cursor, after: Cursor, writes: Writes, counters: dict[int, int]) -> None:
        calls.append((before, after, writes))
        send(before, after, writes, counters)

    store.send = send_and_record  # type: ignore[method-assign]
    return calls
