"""What is stored is proved, not believed (P5): whichever bit of a venue's store is turned, no process serves what it says.

Each test takes the store of a small venue, turns single bits of one kind of stored value, and starts what reads it: the engine,
a gateway, and the commands. The form over the bytes of the store's own file is marked `long`.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from engine.journal import (
    EPOCH_KEY,
    EVENTS_KEY,
    INCARNATION_KEY,
    JOURNAL_KEY,
    PRODUCERS_KEY,
    PUBLISHED_KEY,
    ChainBroken,
    EntryId,
    Producer,
    Store,
    StoreSource,
    event_at,
)
from engine.process import StopRequest
from engine.process.duties import Duties
from engine.process.log_lines import shown_key
from engine.process.watermarks import BadWatermark, begin_watermarks, path_of, read_watermarks, write_watermark
from engine.records import (
    EVENT_HEADER,
    KEY_DEFINITION,
    ORDER_EVENT,
    BatchBuilder,
    Command,
    CommandKind,
    EngineStop,
    EventKind,
    KeyDefinition,
    KeyType,
    MalformedRecord,
    Permission,
    Side,
)
from engine.service.process import open_engine
from gateway.arguments import parse_arguments
from gateway.auth.secrets import (
    SECRET_KEY_FILE,
    SECRETS_KEY,
    SecretError,
    check_secrets,
    create_secret_key,
    missing_secrets,
    seal,
)
from gateway.rebuild import prepare
from jibek.venue.directory import read_directory
from jibek.venue.store_match import StoreMismatch, match_store
from ledger.settlement import open_settlement
from tests.worlds.stepped_venue import SteppedVenue
from tests.worlds.store import StoreProcess

FOUND = (
    BadWatermark, ChainBroken, EngineStop, MalformedRecord, SecretError, StoreMismatch, redis.ResponseError,
)  # fmt: skip
LOG = logging.getLogger("changed bits")
UNEXECUTED = 2
GATEWAY = 16
RICH, POOR = 1, 2
KEYS = ("keyOfRich", "keyOfPoor")


class World:
    """A small venue in a store: two accounts of which one has 500 BTC, a key each, a trade, and two orders that no engine
    has executed."""

    def __init__(self, url: str, client: Store, data: Path) -> None:
        self.url = url
        self.client = client
        self.data = data
        begin_watermarks(data)
        venue = SteppedVenue(client, data)
        assert (venue.add_account("rich", BTC=500 * 10**8), venue.add_account("poor", KZT=10**12)) == (RICH, POOR)
        self.secret_key = create_secret_key(data)
        for account, name in zip((RICH, POOR), KEYS, strict=True):
            client.hset(SECRETS_KEY, name, seal(self.secret_key, name, b"secret"))
            definition = KEY_DEFINITION.pack(KeyDefinition(KeyType.HMAC_SHA256, Permission.READ | Permission.TRADE, 0))
            parts = (definition, name.encode(), b"", b"", b"test", b"why", b"")
            added = venue.command(CommandKind.KEY_ADD, *parts, account=account)
            assert added.kind == EventKind.KEY_ADDED
        gateway = Producer(client, GATEWAY)
        orders = [venue.order(RICH, Side.SELL, 50_000, 1_000), venue.order(POOR, Side.BUY, 50_000, 1_000)]
        for order in orders:
            gateway.append(batch_of(order))
            assert venue.step()
        self.last = venue.engine.published
        write_watermark(data, "engine", venue.engine.published, venue.engine.head)
        for order in orders:
            gateway.append(batch_of(order))

    # -- what reads the store

    def engine(self) -> object:
        """Starts an engine, and lets it execute what is left; its state."""
        options = argparse.Namespace(engine="compiled", data=self.data)
        follower = open_engine(self.client, options)
        try:
            # Nothing is published: the store stays as it is for the next one.
            for entry in follower.service.source.journal(follower.service.cursor, count=64):
                follower.service.execute(entry)
            return follower.service.core.state_hash()
        finally:
            follower.close()

    def gateway(self) -> object:
        options = ["--store", self.url, "--data", str(self.data), "--port", "0"]
        prepared = prepare(parse_arguments(options), self.secret_key, StopRequest(), LOG, Duties())
        assert prepared is not None
        return prepared.reader.head

    def directory(self) -> object:
        empty = self.data / "no cache here"
        shutil.rmtree(empty, ignore_errors=True)
        empty.mkdir()
        found = read_directory(self.client, empty)
        return found.head, found.accounts

    def single_events(self) -> object:
        ids = [EntryId(1, number) for number in range(self.last.sequence + 1)]
        source = StoreSource(self.client)
        try:
            return source.events_at(ids), [event_at(self.client, id) for id in ids]
        finally:
            source.close()

    def up(self) -> object:
        """What `jibek up` does before anything else starts."""
        return match_store(self.client, self.data)

    # -- changes

    def change(self, stream: str, index: int, change: Callable[[bytes, dict[bytes, bytes]], Any]) -> None:
        """Writes a stream again, with one entry as `change` gives it: its id and its fields.

        Raises:
            redis.ResponseError: the store does not take such an id there.
        """
        entries = self.client.xrange(stream)
        index %= len(entries)
        pipeline = self.client.pipeline(transaction=False)
        pipeline.delete(stream)
        for place, (id, fields) in enumerate(entries):
            if place == index:
                id, fields = change(id, dict(fields))
            pipeline.xadd(stream, fields, id=id)
        pipeline.execute()

    def turn(self, stream: str, index: int, field: bytes, bit: int) -> None:
        """Turns a bit of a field of an entry."""
        self.change(stream, index, lambda id, fields: (id, {**fields, field: turned(fields[field], bit)}))


def batch_of(command: Command, *parts: bytes) -> BatchBuilder:
    builder = BatchBuilder()
    builder.add(command, *parts)
    return builder


@pytest.fixture
def world(server: StoreProcess, client: Store, tmp_path: Path) -> World:
    return World(server.url, client, tmp_path)


@pytest.fixture
def restored(world: World) -> Callable[[], None]:
    """Brings the store back to what it was."""
    saved = {key: world.client.dump(key) for key in world.client.keys("*")}

    def restore() -> None:
        pipeline = world.client.pipeline(transaction=False)
        pipeline.delete(*saved)
        for key, value in saved.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()

    return restore


def turned(data: bytes, bit: int) -> bytes:
    """
    >>> turned(b"1-20", 1)
    b'3-20'
    """
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


def bits_of(data: bytes, seed: int, count: int = 4) -> list[int]:
    """The first bit, the last one, and some between."""
    last = 8 * len(data) - 1
    return sorted({0, last, *random.Random(seed).sample(range(last + 1), min(count, last + 1))})


def is_found(read: Callable[[], object]) -> bool:
    try:
        read()
    except FOUND:
        return True
    return False


# -- the inputs that are named


def test_an_untouched_store_is_served(world: World) -> None:
    for read in (world.up, world.engine, world.gateway, world.directory, world.single_events):
        assert read() == read()


def test_a_key_that_was_moved_to_another_account_opens_nothing(world: World) -> None:
    """The one bit between account 2 and account 0, 3 or 6 in the event that adds the key; the head is left as it is."""
    place = EVENT_HEADER.size + ORDER_EVENT.offsets["account"]
    [added] = [
        index for index, (_, fields) in enumerate(world.client.xrange(EVENTS_KEY)) if b"keyOfPoor" in fields[b"b"]
    ]

    def to_the_rich(id: bytes, fields: dict[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
        assert fields[b"b"][place] == POOR
        return id, {**fields, b"b": fields[b"b"][:place] + bytes([RICH]) + fields[b"b"][place + 1 :]}

    world.change(EVENTS_KEY, added, to_the_rich)
    for read in (world.engine, world.gateway, world.directory, world.single_events):
        assert is_found(read), read.__name__
    with pytest.raises(ChainBroken, match=f"1-{added}"):
        Producer(world.client).wait_for(EntryId(1, added))


def test_a_deposit_that_was_doubled_is_found_in_events_and_in_the_journal(
    world: World, restored: Callable[[], None]
) -> None:
    amount = (500 * 10**8).to_bytes(8, "little")
    doubled = (1000 * 10**8).to_bytes(8, "little")
    readers = {
        EVENTS_KEY: (world.engine, world.gateway, world.directory, world.single_events),
        JOURNAL_KEY: (world.engine,),
    }
    for stream, reads in readers.items():
        entries = world.client.xrange(stream)
        index = next(index for index, (_, fields) in enumerate(entries) if amount in fields[b"b"])
        world.change(stream, index, lambda id, fields: (id, {**fields, b"b": fields[b"b"].replace(amount, doubled)}))
        for read in reads:
            assert is_found(read), (stream, read.__name__)
        restored()


def test_a_deposit_that_is_in_the_journal_twice_is_found(world: World) -> None:
    entries = world.client.xrange(JOURNAL_KEY)
    amount = (500 * 10**8).to_bytes(8, "little")
    fields = next(fields for _, fields in entries if amount in fields[b"b"])
    world.client.xadd(JOURNAL_KEY, fields, id="1-*")
    assert is_found(world.engine)


def test_an_entry_that_is_gone_or_comes_early_is_found(world: World, restored: Callable[[], None]) -> None:
    for stream in (EVENTS_KEY, JOURNAL_KEY):
        for id in ("1-0", "1-4", str(world.last)):
            world.client.xdel(stream, id)
            assert is_found(world.engine), (stream, id)
            restored()
    end = world.client.xrange(JOURNAL_KEY)[-1][0]
    world.client.xdel(JOURNAL_KEY, end)
    assert is_found(world.engine), "one that no engine has executed"


# -- any bit


@pytest.mark.parametrize("field", [b"h", b"d", b"b"], ids=["head", "digest", "events"])
def test_a_bit_of_an_event_entry(world: World, restored: Callable[[], None], field: bytes) -> None:
    entries = world.client.xrange(EVENTS_KEY)
    for index in (0, len(entries) - 1):
        for bit in bits_of(entries[index][1][field], seed=index, count=2):
            world.turn(EVENTS_KEY, index, field, bit)
            for read in (world.engine, world.gateway, world.directory, world.single_events):
                assert is_found(read), (index, bit, read.__name__)
            restored()


@pytest.mark.parametrize("index", [0, 3, -UNEXECUTED - 1, -UNEXECUTED, -1], ids=["first", "one", "last", "next", "end"])
def test_a_bit_of_a_journal_entry(world: World, restored: Callable[[], None], index: int) -> None:
    """Executed or not: stamp, check and batch."""
    _, fields = world.client.xrange(JOURNAL_KEY)[index]
    for field in (b"t", b"c", b"b"):
        for bit in bits_of(fields[field], seed=index):
            world.turn(JOURNAL_KEY, index, field, bit)
            assert is_found(world.engine), (field, bit)
            restored()


@pytest.mark.parametrize("stream", [JOURNAL_KEY, EVENTS_KEY])
def test_a_bit_of_an_id(world: World, restored: Callable[[], None], stream: str) -> None:
    tried = 0
    for index in (0, 3, -2, -1):
        for bit in range(20):

            def other_id(id: bytes, fields: dict[bytes, bytes], bit: int = bit) -> tuple[str, dict[bytes, bytes]]:
                epoch, sequence = EntryId.parse(id)
                return (
                    f"{epoch ^ (1 << bit % 4)}-{sequence}" if bit < 4 else f"{epoch}-{sequence ^ (1 << bit - 4)}",
                    fields,
                )

            try:
                world.change(stream, index, other_id)
            except redis.ResponseError:
                pass
            else:
                tried += 1
                assert is_found(world.engine), (index, bit)
            restored()
    assert tried > 10


@pytest.mark.parametrize("key", [EPOCH_KEY, PUBLISHED_KEY, INCARNATION_KEY])
def test_a_bit_of_a_key_next_to_the_streams(world: World, restored: Callable[[], None], key: str) -> None:
    value = world.client.get(key)
    for bit in range(8 * len(value)):
        changed = turned(value, bit)
        world.client.set(key, changed)
        # A producer that draws a larger incarnation than it need takes no harm.
        is_harmless = key == INCARNATION_KEY and changed.isdigit() and int(changed) > int(value)
        assert is_found(world.engine) != is_harmless, changed
        restored()


def test_a_bit_of_the_table_of_producers(world: World, restored: Callable[[], None]) -> None:
    for name, value in world.client.hgetall(PRODUCERS_KEY).items():
        for bit in range(0, 8 * len(value), 3):
            world.client.hset(PRODUCERS_KEY, name, turned(value, bit))
            assert is_found(world.engine), (name, turned(value, bit))
            if name == str(GATEWAY).encode():
                assert is_found(lambda: Producer(world.client, GATEWAY)), turned(value, bit)
            restored()
        for bit in range(8 * len(name)):
            world.client.hdel(PRODUCERS_KEY, name)
            world.client.hset(PRODUCERS_KEY, turned(name, bit), value)
            assert is_found(world.engine), turned(name, bit)
            restored()


def test_a_bit_of_a_sealed_secret(world: World, restored: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    sealed = world.client.hget(SECRETS_KEY, "keyOfPoor")
    for bit in bits_of(sealed, seed=1, count=20):
        world.client.hset(SECRETS_KEY, "keyOfPoor", turned(sealed, bit))
        assert check_secrets(world.client, world.secret_key) == [shown_key("keyOfPoor")]
        restored()
    world.client.hset(SECRETS_KEY, "keyOfRich", sealed)
    assert missing_secrets(world.client, KEYS) == []
    assert check_secrets(world.client, world.secret_key) == [shown_key("keyOfRich")], "moved to another key"
    world.client.hdel(SECRETS_KEY, "keyOfRich")
    caplog.clear()
    world.gateway()
    assert [record.message for record in caplog.records] == [
        f"API key {shown_key('keyOfRich')} has no secret in the store, and opens nothing: revoke the key"
    ]


def test_a_bit_of_the_secret_key(world: World) -> None:
    for bit in bits_of(world.secret_key, seed=2):
        right, world.secret_key = world.secret_key, turned(world.secret_key, bit)
        with pytest.raises(SecretError, match="opens none of them"):
            world.gateway()
        path = world.data / SECRET_KEY_FILE
        path.write_bytes(world.secret_key)
        assert is_found(world.up)
        world.secret_key = right


def test_a_bit_of_a_watermark(world: World) -> None:
    path = path_of(world.data, "engine")
    right, text = read_watermarks(world.data), path.read_bytes()
    for bit in range(0, 8 * len(text), 5):
        path.write_bytes(turned(text, bit))
        # `a` and `A` are the same digit.
        assert is_found(world.up) or read_watermarks(world.data) == right, turned(text, bit)


def test_all_who_read_the_events_compare_the_heads_that_watermarks_name(world: World) -> None:
    right = open_settlement(world.client, argparse.Namespace(data=world.data))
    write_watermark(world.data, "settlement", EntryId(1, 3), bytes(32))
    wrong = open_settlement(world.client, argparse.Namespace(data=world.data))
    for read in (world.engine, world.gateway, world.up, lambda: wrong.step(None)):
        assert is_found(read)
    assert right.step(None) > 3
    for settlement in (right, wrong):
        settlement.close()


# -- any bit of the store's file


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_a_bit_of_the_file_of_the_store(tmp_path: Path, seed: int) -> None:
    """Wherever in the file it is: the store refuses the file, or its content is what it was, or a process refuses it. What
    counts is what the store holds afterwards, so that a bit of a value that was overwritten later proves nothing.

    Marks of used signatures are not looked at: see docs/reliability.md."""
    store = StoreProcess()
    try:
        world = World(store.url, store.client(), tmp_path)
        right = content(world.client)
        store.kill()
        [file] = (store.folder / "appendonlydir").glob("*.incr.aof")
        whole = file.read_bytes()
        counts = {"refused by the store": 0, "without effect": 0, "found": 0}
        for bit in random.Random(seed).sample(range(8 * len(whole)), 150):
            file.write_bytes(turned(whole, bit))
            try:
                store.start()
            except AssertionError:
                counts["refused by the store"] += 1
                continue
            world.client = store.client()
            # A key that no process reads may come to be.
            now = content(world.client)
            changed = [key for key in right if now.get(key) != right[key]]
            if not changed:
                counts["without effect"] += 1
            else:
                found = [read for read in (world.up, world.engine, world.gateway) if is_found(read)]
                dead = check_secrets(world.client, world.secret_key) + missing_secrets(world.client, KEYS)
                assert found or dead, f"seed {seed}, bit {bit}: {changed}"
                counts["found"] += 1
            store.kill()
        print(counts)
        assert counts["found"] > 30
    finally:
        store.remove()


def content(client: Store) -> dict[bytes, object]:
    """What the store holds, by key. Of the entries of streams the values: readers take them by their place, not by their name."""
    read: dict[bytes, Callable[[bytes], object]] = {
        b"stream": lambda key: [(id, list(fields.values())) for id, fields in client.xrange(key)],
        b"hash": client.hgetall,
        b"string": client.get,
    }
    return {key: read[client.type(key)](key) for key in client.keys("*")}
