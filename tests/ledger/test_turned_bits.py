"""One bit is turned in what the ledger has in the store: who finds it, by kind of value.

A row says who must find every bit of the kind. The reports are those that show the value.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest

from engine.journal import ChainBroken, Store
from engine.process import StopRequest
from ledger.reconciliation import reconcile
from ledger.reports import balances_of, checked_snapshot, journal
from ledger.settlement import Settlement, open_ledger
from ledger.store import BALANCES_KEY, CURSOR_KEY, TRANSFERS_KEY, LedgerBroken, LedgerStore
from tests.worlds.ledger import settle_all
from tests.worlds.stepped_venue import BackgroundThread, EngineThread, SteppedVenue
from tests.worlds.store import StoreProcess

ALICE = 1
INDEX = "{jibek}:ledger:index:1:1.0"
KEYS = (BALANCES_KEY, CURSOR_KEY, TRANSFERS_KEY, INDEX)
BITS = 3
BITS_LONG = 100
"""Turned one after the other in each kind of value."""

Turn = Callable[[Store, random.Random], str]
"""Turns one bit and says which."""


def turned(value: bytes, source: random.Random) -> bytes:
    changed = bytearray(value)
    changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


# -- what is turned


def _balance(client: Store, source: random.Random, is_house: bool) -> str:
    field = source.choice([each for each in sorted(client.hkeys(BALANCES_KEY)) if (each[:4] == bytes(4)) == is_house])
    value = turned(client.hget(BALANCES_KEY, field), source)
    client.hset(BALANCES_KEY, field, value)
    return f"{field.hex()} = {value.hex()}"


def balance_of_a_client(client: Store, source: random.Random) -> str:
    return _balance(client, source, is_house=False)


def balance_of_the_house(client: Store, source: random.Random) -> str:
    return _balance(client, source, is_house=True)


def _field(client: Store, source: random.Random, places: range) -> str:
    field = bytearray(source.choice(sorted(client.hkeys(BALANCES_KEY))))
    before = bytes(field)
    field[source.choice(places)] ^= 1 << source.randrange(8)
    value = client.hget(BALANCES_KEY, before)
    client.hdel(BALANCES_KEY, before)
    client.hset(BALANCES_KEY, bytes(field), value)
    return f"{before.hex()} -> {field.hex()}"


def account_of_a_balance(client: Store, source: random.Random) -> str:
    return _field(client, source, range(4))


def asset_of_a_balance(client: Store, source: random.Random) -> str:
    return _field(client, source, range(4, 6))


def _transfers(
    client: Store, change: Callable[[bytes, dict[bytes, bytes]], tuple[bytes, dict[bytes, bytes]]], place: int
) -> str:
    """Writes the stream again, one of its entries changed."""
    entries = client.xrange(TRANSFERS_KEY)
    before = entries[place]
    entries[place] = change(*before)
    client.delete(TRANSFERS_KEY)
    for id, fields in sorted(entries, key=lambda entry: tuple(map(int, entry[0].split(b"-")))):
        client.xadd(TRANSFERS_KEY, fields, id=id)
    return f"{before} -> {entries[place]}"


def transfers_of_an_entry(client: Store, source: random.Random) -> str:
    place = source.randrange(client.xlen(TRANSFERS_KEY))
    return _transfers(client, lambda id, fields: (id, {b"t": turned(fields[b"t"], source)}), place)


def field_of_transfers(client: Store, source: random.Random) -> str:
    place = source.randrange(client.xlen(TRANSFERS_KEY))
    return _transfers(client, lambda id, fields: (id, {turned(b"t", source): fields[b"t"]}), place)


def entry_of_transfers(client: Store, source: random.Random) -> str:
    """The id of an entry becomes one that no other has."""
    ids = {int(id.split(b"-")[1]) for id, _ in client.xrange(TRANSFERS_KEY)}
    place = source.randrange(len(ids))

    def change(id: bytes, fields: dict[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
        sequence = int(id.split(b"-")[1])
        others = [other for bit in range(30) if (other := sequence ^ 1 << bit) not in ids]
        return b"1-%d" % source.choice(others), fields

    return _transfers(client, change, place)


def line_of_an_index(client: Store, source: random.Random) -> str:
    value = turned(client.get(INDEX), source)
    client.set(INDEX, value)
    return value.hex()


def cursor(client: Store, source: random.Random) -> str:
    value = turned(client.get(CURSOR_KEY), source)
    client.set(CURSOR_KEY, value)
    return str(value)


# -- who looks: each raises LedgerBroken or ChainBroken, or returns whether it has found something


class World(NamedTuple):
    venue: SteppedVenue
    server: StoreProcess
    settlement: Settlement

    def store(self) -> LedgerStore:
        return open_ledger(self.server.client())


Finder = Callable[[World], bool]


def start(world: World) -> bool:
    """A settlement that starts."""
    with EngineThread(world.venue, world.server.url):
        settlement = Settlement(world.store(), engine_wait_s=60)
        settlement.prove(wait_s=60)
        assert not settlement.unproved
    return False


def all_balances(world: World) -> bool:
    checked_snapshot(world.store())
    return False


def balances_of_one(world: World) -> bool:
    balances_of(world.store(), ALICE, [1, 2, 3, 4])
    return False


def whole_journal(world: World) -> bool:
    journal(world.store(), limit=10_000)
    return False


def journal_of_one(world: World) -> bool:
    journal(world.store(), owner=ALICE, limit=10_000)
    return False


def reconciliation(world: World) -> bool:
    with EngineThread(world.venue, world.server.url), BackgroundThread(partial(go_on, world.settlement)):
        return not reconcile(world.store()).passed


def go_on(settlement: Settlement, stop: StopRequest) -> None:
    """The settlement that was at work when the bit turned."""
    while not stop:
        settlement.step(block_ms=5)


BALANCES = {all_balances, balances_of_one}
JOURNALS = {whole_journal, journal_of_one}


# fmt: off
CASES = pytest.mark.parametrize(
    ("turn", "must_find"),
    [
        # what is turned         who finds it, whichever bit it is
        (balance_of_a_client,    {start, reconciliation} | BALANCES),
        (balance_of_the_house,   {start, reconciliation} | BALANCES),
        (account_of_a_balance,   {start, reconciliation}),
        (asset_of_a_balance,     {start, reconciliation} | BALANCES),
        (transfers_of_an_entry,  {whole_journal, reconciliation}),
        (field_of_transfers,     {whole_journal, reconciliation}),
        (entry_of_transfers,     {whole_journal, reconciliation}),
        (line_of_an_index,       {journal_of_one, reconciliation}),
        (cursor,                 {start, reconciliation} | BALANCES | JOURNALS),
    ],
)
# fmt: on


@CASES
def test_a_turned_bit_is_found(
    venue: SteppedVenue, client: Store, server: StoreProcess, turn: Turn, must_find: set[Finder]
) -> None:
    turn_bits(venue, client, server, turn, must_find, BITS)


@pytest.mark.long
@CASES
def test_many_turned_bits_are_found(
    venue: SteppedVenue, client: Store, server: StoreProcess, turn: Turn, must_find: set[Finder]
) -> None:
    turn_bits(venue, client, server, turn, must_find, BITS_LONG)


def turn_bits(
    venue: SteppedVenue, client: Store, server: StoreProcess, turn: Turn, must_find: set[Finder], bits: int
) -> None:
    """Turns so many bits, one after the other, and lets each finder look at a ledger with that one bit turned."""
    venue.trade_at_random(seed=1, entries=3, accounts=2)
    settle_all(client)
    kept = {key: client.dump(key) for key in KEYS}
    for seed in range(bits):
        for finder in must_find:
            for key, value in kept.items():
                client.restore(key, 0, value, replace=True)
            world = World(venue, server, settle_all(server.client()))
            what = turn(client, random.Random(seed))
            assert is_found(finder, world), f"{finder.__name__} does not find bit {seed} of {turn.__name__}: {what}"


def is_found(finder: Finder, world: World) -> bool:
    try:
        return finder(world)
    except (LedgerBroken, ChainBroken):
        return True


def test_nobody_finds_anything_in_a_sound_ledger(venue: SteppedVenue, client: Store, server: StoreProcess) -> None:
    venue.trade_at_random(seed=1, entries=3, accounts=2)
    for finder in (start, reconciliation, *BALANCES, *JOURNALS):
        assert not is_found(finder, World(venue, server, settle_all(client))), finder.__name__
