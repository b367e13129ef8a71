"""The engine's process: replay, two engines at once, a store that goes away, comes back old, or never was."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from engine.core import Core
from engine.journal import (
    ENGINE_PRODUCER,
    JOURNAL_KEY,
    OPERATOR_PRODUCER,
    PRODUCERS_KEY,
    ChainBroken,
    Diverged,
    EntryId,
    Producer,
    Store,
    connect,
    read_events,
    read_journal,
    store_time_us,
)
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE, StopRequest
from engine.process.follower import BLOCK_MS, follow
from engine.process.watermarks import WatermarkWriter, read_watermarks, write_watermark
from engine.records import (
    COMMAND,
    BatchBuilder,
    Command,
    CommandKind,
    EngineStop,
    OrderType,
    Side,
    TimeInForce,
    is_sealed,
    parse_batch,
    unpack_parts,
)
from engine.reference import Core as ReferenceCore
from engine.service.engine import EngineService
from engine.service.own_producer import OwnProducer
from engine.service.process import ENGINE, EngineFollower
from engine.service.ticker import Ticker
from engine.venue_file import load_venue
from tests.engine.command_flow import CommandFlow
from tests.worlds.processes import wait_until
from tests.worlds.store import StoreProcess


def append_flow(client: Store, entries: int, seed: int = 1) -> None:
    """Appends batches of a seeded flow without waiting for an engine."""
    flow, producer = CommandFlow(seed), Producer(client, 7)
    for _ in range(entries):
        producer.append(next_batch(flow))


def next_batch(flow: CommandFlow) -> BatchBuilder:
    """The commands of the flow's next entry that is a batch at all."""
    while not is_sealed(batch := flow.next_entry()[1]):
        pass
    _, commands, blobs = parse_batch(batch)
    builder = BatchBuilder()
    builder.commands, builder.blobs = [COMMAND.pack(command) for command in commands], bytearray(blobs)
    return builder


def add_past_the_functions(client: Store, id: str, batch: bytes) -> None:
    """Writes a journal entry that no function of the store would add."""
    stamp = b"1700000000000000"
    client.xadd(JOURNAL_KEY, {"t": stamp, "c": stamp, "b": batch}, id=id)


def work_off(service: EngineService) -> None:
    while service.step(block_ms=1):
        pass


def test_another_engine_replays_to_the_same_state(client: Store, tmp_path: Path) -> None:
    append_flow(client, 60)
    first = EngineService(client, Core(), tmp_path)
    first.recover()
    work_off(first)
    for core in (Core(), ReferenceCore()):
        second = EngineService(client, core, tmp_path)
        assert second.recover() == 61
        assert (second.cursor, second.head) == (first.cursor, first.head)
        assert core.state_hash() == first.core.state_hash()


def test_two_engines_agree_and_either_may_be_first(client: Store, tmp_path: Path) -> None:
    engines = [EngineService(client, Core(), tmp_path), EngineService(client, ReferenceCore(), tmp_path)]
    flow, producer = CommandFlow(3), Producer(client, 7)
    for number in range(80):
        producer.append(next_batch(flow))
        for engine in engines if number % 3 else reversed(engines):
            engine.step(block_ms=1)
    for engine in engines:
        work_off(engine)
    assert engines[0].head == engines[1].head
    assert client.xlen("{jibek}:events") == 81


class Tampered(ReferenceCore):
    """An engine of another build: it gives one event entry that is not the same."""

    def execute(self, time_us: int, batch: bytes) -> bytes:
        return super().execute(time_us + 1, batch)


def test_two_engines_that_disagree_stop(client: Store, tmp_path: Path) -> None:
    append_flow(client, 5)
    first, second = EngineService(client, Core(), tmp_path), EngineService(client, Tampered(), tmp_path)
    work_off(first)
    with pytest.raises(Diverged):
        second.step(block_ms=1)
    with pytest.raises(ChainBroken, match="not those that the journal gives"):
        EngineService(client, Tampered(), tmp_path).recover()


class LosesConnection:
    """A client whose next pipeline breaks, before or after the store has carried it out."""

    def __init__(self, client: Store, carried_out: bool) -> None:
        self.client = client
        self.carried_out = carried_out

    def __getattr__(self, name: str) -> object:
        return getattr(self.client, name)

    def pipeline(self, transaction: bool) -> object:
        pipeline = self.client.pipeline(transaction=transaction)
        execute = pipeline.execute

        def break_once(*, raise_on_error: bool) -> list[bytes]:
            if self.carried_out:
                execute(raise_on_error)
            raise redis.ConnectionError("the answer was lost")

        pipeline.execute = break_once
        return pipeline


@pytest.mark.parametrize("carried_out", [False, True], ids=["lost on the way", "answer lost"])
def test_what_was_not_confirmed_is_published_again(client: Store, tmp_path: Path, carried_out: bool) -> None:
    append_flow(client, 5)
    service = EngineService(LosesConnection(client, carried_out), Core(), tmp_path)
    with pytest.raises(redis.ConnectionError):
        service.step(block_ms=1)
    assert service.published == (0, 0)
    service.client = client
    service.reconnected()
    work_off(service)
    assert service.published == service.cursor == EntryId(1, 5)
    assert client.xlen("{jibek}:events") == 6
    assert EngineService(client, Core(), tmp_path).recover() == 6


def test_a_store_that_came_back_without_what_was_published(client: Store, tmp_path: Path) -> None:
    append_flow(client, 5)
    service = EngineService(client, Core(), tmp_path)
    work_off(service)
    client.delete("{jibek}:published")
    with pytest.raises(ChainBroken, match="old copy"):
        service.reconnected()


def test_a_store_that_came_back_as_another_one(client: Store, tmp_path: Path) -> None:
    append_flow(client, 5)
    service = EngineService(client, Core(), tmp_path)
    work_off(service)
    service.reconnected()
    service.published_head = bytes(32)
    with pytest.raises(ChainBroken, match="the chain at 1-5 is not the one that was verified there before"):
        service.reconnected()


def test_a_store_that_ends_before_its_watermark_is_refused(client: Store, tmp_path: Path) -> None:
    append_flow(client, 5)
    service = EngineService(client, Core(), tmp_path)
    work_off(service)
    write_watermark(tmp_path, "engine", EntryId(1, 99), bytes(32))
    with pytest.raises(ChainBroken, match="old copy"):
        EngineService(client, Core(), tmp_path).recover()
    write_watermark(tmp_path, "engine", EntryId(1, 3), bytes(32))
    with pytest.raises(ChainBroken, match="1-3"):
        EngineService(client, Core(), tmp_path).recover()


def test_serving_outlives_the_store(server: StoreProcess, client: Store, tmp_path: Path) -> None:
    own = connect(server.url)
    service, stop = EngineService(own, Core(), tmp_path), StopRequest()
    watermark, log = WatermarkWriter(tmp_path, "engine"), logging.getLogger("engine")
    thread = threading.Thread(target=follow, args=(EngineFollower(service, tmp_path), stop, log, watermark.note))
    thread.start()
    try:
        producer = Producer(client, OPERATOR_PRODUCER)
        producer.execute(BatchBuilder())
        server.kill()
        server.start()
        _, entry = Producer(connect(server.url), OPERATOR_PRODUCER).execute(BatchBuilder(), timeout_s=10)
        assert entry.header.producer == OPERATOR_PRODUCER
    finally:
        stop.set()
        thread.join()
        watermark.close()
    assert read_watermarks(tmp_path) == [("engine", service.published, service.head)]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda batch: batch[:100] + bytes([batch[100] ^ 16]) + batch[101:], "CRC-32.*restore the store"),
        (lambda batch: batch[:-1], "CRC-32.*restore the store"),
        (lambda batch: batch[:20], "CRC-32.*restore the store"),
        (lambda batch: b"", "format version 0.*restore the store"),
        (lambda batch: b"\x01" + batch[1:], "format version 1.*jibek reset"),
        (lambda batch: b"\x09" + batch[1:], "format version 9.*restore the store"),
    ],
    ids=["a bit", "an end", "a header", "nothing", "version 1", "version 9"],
)
def test_a_batch_that_was_changed_is_not_executed(
    client: Store, tmp_path: Path, damage: Callable[[bytes], bytes], what: str
) -> None:
    append_flow(client, 1)
    service = EngineService(client, Core(), tmp_path)
    work_off(service)
    before = service.core.state_hash()
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"me", b"why", b"")
    batch = builder.build(producer=7, incarnation=1, number=2)
    add_past_the_functions(client, "1-2", damage(batch))
    with pytest.raises(EngineStop, match=f"entry 1-2: .*{what}"):
        service.step(block_ms=1)
    assert (service.cursor, service.core.state_hash()) == (EntryId(1, 1), before)
    assert client.xlen("{jibek}:events") == 2


def test_a_gap_in_the_batch_numbers_stops_the_engine_with_a_dump(client: Store, tmp_path: Path) -> None:
    add_past_the_functions(client, "1-1", BatchBuilder().build(producer=9, incarnation=1, number=2))
    service = EngineService(client, Core(), tmp_path)
    with pytest.raises(EngineStop, match="batch 2 instead of 1"):
        service.step(block_ms=1)
    assert "1-1" in (tmp_path / "engine-stopped-at-1-1.txt").read_text()
    assert [event.id for event in read_events(client, EntryId(0, 0))] == [], "nothing of the read was published"


def test_a_disk_without_room_for_the_dump_does_not_hide_why_the_engine_stopped(client: Store, tmp_path: Path) -> None:
    add_past_the_functions(client, "1-1", BatchBuilder().build(producer=9, incarnation=1, number=2))
    service = EngineService(client, Core(), tmp_path / "gone")
    with pytest.raises(EngineStop, match=r"batch 2 instead of 1.*could not be written \(No such file or directory\)"):
        service.step(block_ms=1)


def test_the_process_says_why_it_does_not_start(server: StoreProcess, client: Store, tmp_path: Path) -> None:
    assert ENGINE.main(["--store", "unix:///nowhere", "--data", str(tmp_path)]) == EXIT_UNREACHABLE
    client.config_set("appendfsync", "everysec")
    try:
        assert ENGINE.main(["--store", server.url, "--data", str(tmp_path)]) == EXIT_REFUSED
    finally:
        client.config_set("appendfsync", "always")


# -- ticks


class WaitsFor:
    """As much of a core as the ticker looks at."""

    def __init__(self, next_deadline_us: int | None, *, time_us: int = 0, accepted_difference_us: int = 0) -> None:
        self.next_deadline_us = next_deadline_us
        self.time_us = time_us
        self.accepted_difference_us = accepted_difference_us


def test_a_tick_comes_when_it_is_due_by_the_clock_of_the_store(client: Store) -> None:
    def ticker(left_s: float | None) -> Ticker:
        seconds, microseconds = client.time()
        deadline_us = None if left_s is None else seconds * 1_000_000 + microseconds + int(left_s * 1_000_000)
        return Ticker(client, WaitsFor(deadline_us), OwnProducer(client))

    for left_s in (None, 60.0):
        assert ticker(left_s).wait_ms() == ticker(left_s).tick_if_due() == BLOCK_MS
    soon = ticker(0.1)
    assert soon.wait_ms() is None, "only the store knows how soon"
    wait_ms = soon.tick_if_due()
    assert wait_ms is not None and 0 < wait_ms <= 100
    assert client.hgetall(PRODUCERS_KEY).keys() == {b"1"}, "a producer that has nothing to append does not open"
    assert client.xlen(JOURNAL_KEY) == 1
    due = ticker(0.0)
    assert due.wait_ms() is None
    assert due.tick_if_due() is None
    [entry] = read_journal(client, EntryId(1, 0))
    header, commands, _ = parse_batch(entry.batch)
    assert (header.producer, [command.kind for command in commands]) == (ENGINE_PRODUCER, [CommandKind.TIME_TICK])


def test_work_that_is_left_over_does_not_wait_until_the_clock_has_reached_the_time_of_the_venue(client: Store) -> None:
    """The agenda's deadline is the venue's own time, which does not move while it is ahead of the clocks."""
    ahead_us = store_time_us(client) + 3_600_000_000
    ticker = Ticker(client, WaitsFor(ahead_us, time_us=ahead_us), OwnProducer(client))
    assert ticker.wait_ms() is None
    assert ticker.tick_if_due() is None
    assert client.xlen(JOURNAL_KEY) == 2, "the tick is appended"
    later = Ticker(client, WaitsFor(ahead_us, time_us=ahead_us - 1), OwnProducer(client))
    assert later.wait_ms() == later.tick_if_due() == BLOCK_MS, "a time to come is waited for"
    accepted = WaitsFor(ahead_us, accepted_difference_us=3_600_000_000)
    assert Ticker(client, accepted, OwnProducer(client)).wait_ms() is None, "the store's clock may be there already"


def test_what_an_entry_could_not_take_is_worked_off_without_anybody_sending_anything(
    server: StoreProcess, client: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.reference.agenda.EVENTS_BEGIN_MAX", 4)
    own = connect(server.url)
    service, stop = EngineService(own, ReferenceCore(), tmp_path), StopRequest()
    operator = Producer(client)
    for command, *parts in an_account_with_orders(30):
        builder = BatchBuilder()
        builder.add(command, *parts)
        operator.append(builder)
    work_off(service)
    assert service.core.open_order_count == 30
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.ORDER_CANCEL_ALL, account=1))
    operator.append(builder)
    last = client.xlen(JOURNAL_KEY) - 1
    thread = threading.Thread(
        target=follow, args=(EngineFollower(service, tmp_path), stop, logging.getLogger("engine"))
    )
    thread.start()
    try:
        wait_until(lambda: service.core.next_deadline_us is None and service.cursor >= (1, last), "the work is done")
    finally:
        stop.set()
        thread.join()
    assert service.core.open_order_count == 0
    ticks = [parse_batch(entry.batch) for entry in read_journal(client, EntryId(1, last))]
    assert 5 <= len(ticks) <= 10, "each took up to four"
    assert [(header.producer, header.number) for header, _, _ in ticks] == [
        (ENGINE_PRODUCER, number) for number in range(1, len(ticks) + 1)
    ]
    assert EngineService(client, ReferenceCore(), tmp_path).recover() == last + 1 + len(ticks)


def an_account_with_orders(count: int) -> Iterator[tuple[Command, *tuple[bytes, ...]]]:
    """The commands that define the default venue and give its first account so many open orders."""
    for batch in load_venue().batches("test"):
        _, commands, blobs = parse_batch(batch.build(producer=1, incarnation=1, number=1))
        for command in commands:
            parts = unpack_parts(blobs[command.blob_offset :][: command.blob_length])
            yield command._replace(blob_offset=0, blob_length=0), *parts
    yield Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"me", b"why", b""
    yield Command(kind=CommandKind.DEPOSIT, account=1, asset=1, amount=10**13), b"me", b"why", b""
    for number in range(count):
        yield (
            Command(
                kind=CommandKind.ORDER_PLACE,
                side=Side.BUY,
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.GTC,
                account=1,
                market=1,
                price_ticks=50_000,
                quantity_lots=1_000 + number,
            ),
        )
