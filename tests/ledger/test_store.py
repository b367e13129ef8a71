"""The ledger in the store: a call is refused unless everything about it is right, and is then executed as a whole."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import EntryId, Store, StoreRefused, library_code
from ledger import store as store_module
from ledger.accounts import slot_of
from ledger.settlement import open_ledger
from ledger.store import (
    BALANCES_KEY,
    CURSOR_KEY,
    TRANSFERS_KEY,
    WRITES_PER_CALL_MAX,
    Cursor,
    CursorMoved,
    IndexBlock,
    LedgerBroken,
    LedgerStore,
    Writes,
    settle_call,
)
from tests.worlds.ledger import dump_ledger

FIRST = Cursor(EntryId(1, 1), b"\x01" * 32)
SECOND = Cursor(EntryId(1, 2), b"\x02" * 32)


def test_functions_that_another_process_loads_first_are_compared(
    client: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    look = client.function_list

    def look_too_early(**options: Any) -> Any:
        looks.append(options)
        return look(**options) if len(looks) > 1 else []

    open_ledger(client)
    monkeypatch.setattr(client, "function_list", look_too_early)
    LedgerStore(client).prepare()
    assert len(looks) == 2

    client.function_load("#!lua name=jibek_ledger\nredis.register_function('x', function() end)", replace=True)
    with pytest.raises(StoreRefused, match="not those of this version"):
        LedgerStore(client).prepare()


@pytest.fixture
def store(client: Store) -> LedgerStore:
    return open_ledger(client)


def writes(id: EntryId = FIRST.id, slots: int = 3) -> Writes:
    changes = {slot_of(owner, 1): 5 << 128 for owner in range(slots)}
    return Writes.of_entry(id, b"t" * 32, changes)


def settle(store: LedgerStore, before: Cursor, after: Cursor, what: Writes) -> None:
    store.send(before, after, what, what.changes)
    store.confirm_all()


@pytest.mark.parametrize(
    "cursor", [Cursor(), FIRST, FIRST._replace(part=1, parts=3), Cursor(EntryId(2, 0), b"\xff" * 32)]
)
def test_a_cursor_survives_its_text(cursor: Cursor) -> None:
    assert Cursor.parse(cursor.pack()) == cursor


@pytest.mark.parametrize("text", [b"nonsense", b"1-1 0 0", b"1-1 0 0 zz", b"1-1 a 0 00"])
def test_a_text_that_is_no_cursor_is_refused(text: bytes) -> None:
    with pytest.raises(LedgerBroken):
        Cursor.parse(text)


def test_a_call_writes_everything_and_moves_the_cursor(store: LedgerStore, client: Store) -> None:
    settle(store, Cursor(), FIRST, writes())
    assert store.cursor() == FIRST
    assert store.load([slot_of(2, 1), slot_of(9, 9)]) == (FIRST, {slot_of(2, 1): 5 << 128, slot_of(9, 9): 0})
    assert dict(store.scan()) == writes().changes
    assert store.transfers(FIRST.id, FIRST.id, count=10) == [(FIRST.id, b"t" * 32)]
    assert store.last_entries_of(1, count=5) == [FIRST.id]


def test_a_call_from_another_place_is_refused_by_name_and_writes_nothing(store: LedgerStore, client: Store) -> None:
    settle(store, Cursor(), FIRST, writes())
    before = dump_ledger(client)
    for wrong in (Cursor(), SECOND, FIRST._replace(part=1, parts=2), FIRST._replace(head=bytes(32))):
        with pytest.raises(CursorMoved, match="CURSORMOVED the ledger stands at 1-1 0 0 "):
            settle(store, wrong, SECOND, writes(SECOND.id))
        assert dump_ledger(client) == before


def test_a_refused_call_leaves_no_answers_behind(store: LedgerStore) -> None:
    third = Cursor(EntryId(1, 3), b"\x03" * 32)
    store.send(SECOND, third, writes(), writes().changes)
    store.send(third, Cursor(EntryId(1, 4), bytes(32)), writes(), writes().changes)
    with pytest.raises(CursorMoved):
        store.confirm()
    assert not store._in_flight
    settle(store, Cursor(), FIRST, writes())
    assert store.cursor() == FIRST


def test_calls_are_sent_ahead_of_their_answers_up_to_a_bound(store: LedgerStore) -> None:
    cursor = Cursor()
    in_flight = []
    for sequence in range(1, 30):
        after = Cursor(EntryId(1, sequence), bytes(32))
        store.send(cursor, after, writes(after.id), writes().changes)
        cursor = after
        in_flight.append(len(store._in_flight))
    assert in_flight == [min(sent, store_module.CALLS_IN_FLIGHT_MAX) for sent in range(1, 30)]
    store.confirm_all()
    assert store.cursor() == cursor


@pytest.mark.parametrize("key", [CURSOR_KEY, BALANCES_KEY, TRANSFERS_KEY, "{jibek}:ledger:index:2:1.0"])
def test_a_key_of_another_type_is_refused_before_the_first_write(store: LedgerStore, client: Store, key: str) -> None:
    client.lpush(key, "something else")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        settle(store, Cursor(), FIRST, writes())
    assert client.keys("{jibek}:ledger:*") == [key.encode()]


def test_transfers_that_are_there_already_are_refused_before_the_first_write(store: LedgerStore, client: Store) -> None:
    client.xadd(TRANSFERS_KEY, {"t": "x"}, id="1-1")
    with pytest.raises(redis.ResponseError, match="equal or smaller"):
        settle(store, Cursor(), FIRST, writes())
    assert client.keys("{jibek}:ledger:*") == [TRANSFERS_KEY.encode()]


def _without_last(call: list[Any]) -> list[Any]:
    return call[:-1]


def _with_one_more(call: list[Any]) -> list[Any]:
    return [*call, b"x"]


def _without_keys(call: list[Any]) -> list[Any]:
    return [*call[:2], 0, *call[3 + call[2] :]]


def _with_wrong_count(call: list[Any]) -> list[Any]:
    position = 3 + call[2] + 3
    return [*call[:position], "many", *call[position + 1 :]]


@pytest.mark.parametrize("spoil", [_without_last, _with_one_more, _without_keys, _with_wrong_count])
def test_a_call_with_wrong_arguments_is_refused(store: LedgerStore, client: Store, spoil: Any) -> None:
    call = list(settle_call(Cursor(), FIRST, writes(), writes().changes))
    with pytest.raises(redis.ResponseError, match="ARGUMENTS"):
        client.execute_command(*spoil(call))
    assert client.keys("{jibek}:ledger:*") == []


def test_a_call_writes_no_more_than_the_journal_can_wait_for(
    store: LedgerStore, client: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = writes(slots=(WRITES_PER_CALL_MAX - 1) // 2)
    assert len(most) == WRITES_PER_CALL_MAX - 1
    settle(store, Cursor(), FIRST, most)

    monkeypatch.setattr(store_module, "WRITES_PER_CALL_MAX", WRITES_PER_CALL_MAX * 2)
    with pytest.raises(redis.ResponseError, match="TOOMANY"):
        settle(store, FIRST, SECOND, writes(SECOND.id, slots=WRITES_PER_CALL_MAX // 2))
    assert store.cursor() == FIRST


def test_a_full_store_still_settles(store: LedgerStore, client: Store) -> None:
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("anything", "x" * 100)
        settle(store, Cursor(), FIRST, writes())
    finally:
        client.config_set("maxmemory", "1gb")
    assert store.cursor() == FIRST


slots = st.dictionaries(st.integers(0, 2**20), st.integers(1, 2**64), min_size=1, max_size=1500)


@given(slots)
def test_parts_are_the_whole_in_calls_that_fit(changes: dict[int, int]) -> None:
    whole = Writes.of_entry(FIRST.id, b"t" * 32, changes)
    parts = whole.split()
    together = Writes()
    for part in parts:
        assert 0 < len(part) <= WRITES_PER_CALL_MAX
        together.add(part)
    assert sum(map(len, parts)) == len(whole)
    assert (together.changes, together.index) == (whole.changes, whole.index)
    assert [part.transfers for part in parts] == [[]] * (len(parts) - 1) + [whole.transfers]
    assert [list(part.changes) for part in parts] == [list(part.changes) for part in whole.split()]


@given(st.lists(slots, min_size=2, max_size=4))
def test_writes_of_several_entries_are_netted(entries: list[dict[int, int]]) -> None:
    together = Writes()
    for sequence, changes in enumerate(entries, start=1):
        together.add(Writes.of_entry(EntryId(1, sequence), b"t" * 32, dict(changes)))
    sums: Counter[int] = Counter()
    for changes in entries:
        sums.update(changes)
    assert together.changes == sums
    lines = sum(len({slot >> 16 for slot in changes}) for changes in entries)
    assert sum(len(line) for line in together.index.values()) == 16 * lines


def test_an_index_goes_on_in_another_string(store: LedgerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "INDEX_BLOCK_ENTRIES", 4)
    cursor = Cursor()
    ids = [EntryId(1, sequence) for sequence in range(1, 15)] + [EntryId(2, sequence) for sequence in range(10)]
    for id in ids:
        after = Cursor(id, bytes(32))
        settle(store, cursor, after, writes(id))
        cursor = after
    assert store.last_entries_of(1, count=100) == ids
    assert store.last_entries_of(1, count=13) == ids[-13:]
    assert store.last_entries_of(99, count=13) == []
    assert [len(lines) // 16 for lines in store.index_blocks([IndexBlock(1, 1, 0), IndexBlock(1, 2, 2)])] == [3, 2]


def test_the_functions_do_no_arithmetic_on_money() -> None:
    code = re.sub(r"--.*", "", library_code("ledger", "store.lua"))
    assert re.findall(r"tonumber\((.*?)\)", code) == ["args[3]", "args[4]"], "only counts become numbers"
    for line in code.splitlines():
        assert "INCR" not in line
        assert not re.search(r"args\[[^\]]*\]\s*[-+*/]|[-+*/]\s*args\[", line), line
