"""A ledger that is thrown away and computed again from the events, at any moment and whatever is killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.journal import Store
from ledger import store as store_module
from ledger.rebuild import REQUEST_FILE, RebuildRequest, ask_for_rebuild, is_asked_for
from ledger.settlement import Settlement, open_ledger
from ledger.store import (
    BALANCES_KEY,
    CURSOR_KEY,
    DROPPING,
    DROPPING_TEXT,
    Cursor,
    CursorMoved,
    LedgerBroken,
    LedgerStore,
)
from tests.ledger.test_settlement import start_child
from tests.worlds.ledger import LedgerDump, StepCountingStore, dump_ledger, new_settlement, settle, settle_all
from tests.worlds.stepped_venue import SteppedVenue
from tests.worlds.store import StoreProcess


@pytest.fixture
def sound(venue: SteppedVenue, client: Store) -> LedgerDump:
    """A venue that has traded, with its ledger; how that must be."""
    venue.trade_at_random(seed=1, entries=3, accounts=2)
    settle_all(client)
    return dump_ledger(client)


def ask(data: Path) -> None:
    ask_for_rebuild(data, who="aigerim", why="the disk\nwas odd", system_user="root/0")


def start(server: StoreProcess, data: Path) -> Settlement:
    return Settlement(open_ledger(server.client()), data=data, engine_wait_s=0)


def spoil_a_balance(client: Store) -> None:
    field = next(iter(client.hkeys(BALANCES_KEY)))
    client.hset(BALANCES_KEY, field, b"\xff" * len(client.hget(BALANCES_KEY, field)))


def spoil_the_cursor(client: Store) -> None:
    client.set(CURSOR_KEY, "nonsense")


def lose_the_cursor(client: Store) -> None:
    client.delete(CURSOR_KEY)


def lose_the_balances(client: Store) -> None:
    client.delete(BALANCES_KEY)


@pytest.mark.parametrize("spoil", [spoil_a_balance, spoil_the_cursor, lose_the_cursor, lose_the_balances])
def test_a_ledger_that_keeps_settlement_from_starting_is_computed_again(
    sound: LedgerDump, client: Store, server: StoreProcess, tmp_path: Path, spoil: Callable[[Store], None]
) -> None:
    spoil(client)
    with pytest.raises(LedgerBroken):
        start(server, tmp_path).prove(wait_s=60)
    ask(tmp_path)
    settlement = start(server, tmp_path)
    settle(settlement)
    assert dump_ledger(client) == sound
    assert not is_asked_for(tmp_path)


def test_a_running_settlement_obeys(
    sound: LedgerDump, venue: SteppedVenue, client: Store, server: StoreProcess, tmp_path: Path
) -> None:
    settlement = start(server, tmp_path)
    settle(settlement)
    spoil_a_balance(client)
    ask(tmp_path)
    settlement._rebuild._look_at_s = 0.0
    settle(settlement)
    assert dump_ledger(client) == sound


def test_another_settlement_that_was_at_work_loses_nothing(
    sound: LedgerDump, venue: SteppedVenue, client: Store, server: StoreProcess, tmp_path: Path
) -> None:
    """Its next call is refused; it then goes on with the new ledger."""
    other = start(server, tmp_path / "elsewhere")
    settle(other)
    ask(tmp_path)
    settlement = start(server, tmp_path)
    venue.add_account("carol", BTC=7)
    with pytest.raises(CursorMoved):
        while True:
            other.step(block_ms=None)
    other.resume()
    settle(other)
    settlement.resume()
    settle(settlement)
    found = dump_ledger(client)
    settlement.store.begin_drop()
    settlement.store.drop()
    settle_all(client)
    assert dump_ledger(client) == found


class KilledStore(StepCountingStore):
    """Ends its process before or after one of the steps that take a ledger out of the store."""

    def _unlink(self, keys: list[str | bytes]) -> None:
        self.step()
        super()._unlink(keys)
        self.step()

    def _compare_and_set(self, before: bytes, after: bytes) -> None:
        self.step()
        super()._compare_and_set(before, after)
        self.step()


def test_killed_at_any_step_of_a_rebuild_the_next_one_finishes(
    sound: LedgerDump, client: Store, server: StoreProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "KEYS_PER_DROP", 3)
    killed, steps = True, 0
    while killed:
        ask(tmp_path)
        store = KilledStore(server.client(), steps)
        child = start_child(lambda: settle(Settlement(store, data=tmp_path, engine_wait_s=0)))  # noqa: B023
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        settle(start(server, tmp_path))
        assert dump_ledger(client) == sound, f"killed at step {steps}"
        assert not is_asked_for(tmp_path)
        steps += 1
    assert steps > 6


def test_nothing_is_settled_while_a_ledger_is_taken_out(sound: LedgerDump, client: Store) -> None:
    store = open_ledger(client)
    store.begin_drop()
    assert client.get(CURSOR_KEY) == DROPPING_TEXT
    assert store.cursor() == DROPPING and Cursor.parse(DROPPING.pack()) == DROPPING
    store.drop()
    assert client.keys("{jibek}:ledger:*") == [CURSOR_KEY.encode()]
    with pytest.raises(CursorMoved):
        store.drop()
    settle(new_settlement(store))
    assert dump_ledger(client) == sound


def test_a_settlement_that_starts_while_another_takes_the_ledger_out_begins_at_the_first_entry(
    sound: LedgerDump, client: Store, server: StoreProcess
) -> None:
    class OvertakenStore(LedgerStore):
        """Another settlement begins to take the ledger out while this one reads it."""

        def scan(self) -> Iterator[tuple[int, int]]:
            for item in super().scan():
                open_ledger(client).begin_drop()
                yield item

    settle(new_settlement(OvertakenStore(server.client())))
    assert dump_ledger(client) == sound


def test_a_full_store_can_be_rebuilt(sound: LedgerDump, client: Store, server: StoreProcess, tmp_path: Path) -> None:
    spoil_a_balance(client)
    ask(tmp_path)
    client.config_set("maxmemory", 1)
    try:
        settle(start(server, tmp_path))
    finally:
        client.config_set("maxmemory", "1gb")
    assert dump_ledger(client) == sound


def test_the_request_names_who_and_why_in_one_line(tmp_path: Path) -> None:
    ask(tmp_path)
    request = RebuildRequest(tmp_path)
    assert (tmp_path / REQUEST_FILE).stat().st_mode & 0o777 == 0o600
    assert request.is_asked()
    assert request.text() == '{"who": "aigerim", "system_user": "root/0", "why": "the disk\\nwas odd"}'
    (tmp_path / REQUEST_FILE).write_text("[")
    assert request.text() == "nobody said why"
    request.forget()
    request.forget()
    assert not is_asked_for(tmp_path)


def test_what_is_no_file_asks_for_nothing_and_nesting_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / REQUEST_FILE
    path.mkdir()
    assert not RebuildRequest(tmp_path).is_asked()
    path.rmdir()
    path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("{}")
    assert not is_asked_for(tmp_path)
    path.unlink()
    path.write_text("[" * 100_000)
    request = RebuildRequest(tmp_path)
    assert request.is_asked()
    assert request.text() == "nobody said why"
