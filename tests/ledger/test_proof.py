"""The stored balances are compared with the engine's before anything is added to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.journal import BEGINNING, JOURNAL_KEY, Store, read_events
from engine.records import BatchBuilder, Command, CommandKind
from ledger import settlement as settlement_module
from ledger import store as store_module
from ledger.accounts import CREDIT_SHIFT, DEBIT_SHIFT, AccountKind, field_of, pack_counters, slot_of, unpack_counters
from ledger.postings import post
from ledger.settlement import Settlement, open_ledger
from ledger.store import BALANCES_KEY, CURSOR_KEY, Cursor, LedgerBroken
from tests.worlds.ledger import clear_ledger, dump_ledger, new_settlement, settle, settle_all
from tests.worlds.stepped_venue import EngineThread, SteppedVenue
from tests.worlds.store import StoreProcess

BTC = 3


@pytest.fixture
def traded(venue: SteppedVenue, client: Store) -> SteppedVenue:
    """A venue whose ledger is some entries behind."""
    venue.trade_at_random(seed=1, entries=3, accounts=2)
    settle_all(client)
    venue.trade_at_random(seed=2, entries=3, accounts=2)
    return venue


def start(server: StoreProcess, **options: Any) -> Settlement:
    return Settlement(open_ledger(server.client()), **options)


def add(client: Store, slot: int, change: int) -> None:
    """Adds to the stored counters of a slot."""
    field = field_of(slot)
    client.hset(BALANCES_KEY, field, pack_counters(slot, unpack_counters(client.hget(BALANCES_KEY, field)) + change))


def test_the_engine_proves_the_balances(traded: SteppedVenue, client: Store, server: StoreProcess) -> None:
    with EngineThread(traded, server.url):
        settlement = start(server)
        assert "not yet compared with the engine's" in settlement.unproved
        settlement.prove(wait_s=60)
    assert settlement.unproved == ""
    assert settlement.facts() == {}
    settle(settlement)
    found = dump_ledger(client)
    assert found == dump_ledger_of_a_new_one(client)


def dump_ledger_of_a_new_one(client: Store) -> dict[str, object]:
    clear_ledger(client)
    settle_all(client)
    return dump_ledger(client)


def test_nothing_is_written_before_the_balances_are_proved(
    traded: SteppedVenue, client: Store, server: StoreProcess
) -> None:
    before = dump_ledger(client)
    settlement = start(server)
    for _ in range(5):
        settlement.step(block_ms=None)
    assert settlement.unproved == (
        "the stored balances are not yet compared with the engine's: the engine has given no report yet"
    )
    assert settlement.facts() == {"unproved": settlement.unproved}
    assert dump_ledger(client) == before

    while traded.step():
        pass
    settle(settlement)
    assert settlement.unproved == ""
    assert settlement.cursor == read_events(client, BEGINNING, count=10_000)[-1].id


def test_the_report_is_asked_for_once(traded: SteppedVenue, client: Store, server: StoreProcess) -> None:
    settlement = start(server)
    entries = client.xlen(JOURNAL_KEY)
    for _ in range(5):
        settlement.step(block_ms=None)
    assert client.xlen(JOURNAL_KEY) == entries + 1


def test_a_ledger_that_has_not_begun_has_nothing_to_prove(
    venue: SteppedVenue, client: Store, server: StoreProcess
) -> None:
    entries = client.xlen(JOURNAL_KEY)
    settlement = start(server)
    settle(settlement)
    assert settlement.cursor > BEGINNING
    assert client.xlen(JOURNAL_KEY) == entries, "the engine was not even asked"


def test_a_silent_engine_is_replaced_by_the_events(traded: SteppedVenue, client: Store, server: StoreProcess) -> None:
    settlement = start(server, engine_wait_s=1e-9)
    texts = set()
    while settlement.unproved:
        texts.add(settlement.unproved)
        settlement.step(block_ms=None)
    settle(settlement)
    assert settlement.cursor == read_events(client, BEGINNING, count=10_000)[-1].id
    assert texts <= {
        "the stored balances are not yet compared with the engine's: the engine has given no report yet",
        "the engine gives no report: the stored balances are compared with those that follow from the events",
    }


def test_a_full_store_is_named(traded: SteppedVenue, client: Store, server: StoreProcess) -> None:
    settlement = start(server)
    client.config_set("maxmemory", 1)
    try:
        settlement.step(block_ms=None)
        assert settlement.unproved == "the stored balances are not yet compared with the engine's: the store is full"
    finally:
        client.config_set("maxmemory", "1gb")


@pytest.mark.parametrize(
    ("slot", "change", "says"),
    [
        (slot_of(1, BTC), 5 << CREDIT_SHIFT[AccountKind.CLIENT], "account 1 (trader-1-0), BTC: client is stored as "),
        (slot_of(2, BTC), 5 << DEBIT_SHIFT[AccountKind.HOLD], "account 2 (trader-1-1), BTC: hold is stored as "),
        (slot_of(0, BTC), 1 << CREDIT_SHIFT[AccountKind.FEE], "account 0 (house), BTC: fee is stored as "),
        (slot_of(0, BTC), 1 << DEBIT_SHIFT[AccountKind.CUSTODY], "account 0 (house), BTC: custody is stored as "),
        (slot_of(0, BTC), 1 << CREDIT_SHIFT[AccountKind.CLEARING], "account 0 (house), BTC: clearing is stored as "),
        (slot_of(9, BTC), 1 << CREDIT_SHIFT[AccountKind.CLIENT], "account 9 (#9), BTC: client is stored as 0.00000001,"),
        (slot_of(1, 77), 1 << CREDIT_SHIFT[AccountKind.CLIENT], "account 1 (trader-1-0), asset 77: client is stored as 1,"),
        (slot_of(1, BTC), 1 << CREDIT_SHIFT[AccountKind.CLIENT] + 127, "account 1 (trader-1-0), BTC: client is stored as "),
    ],
    ids=["funds", "hold", "fees", "custody", "clearing", "no account", "no asset", "no sum of money"],
)  # fmt: skip
@pytest.mark.parametrize("engine_wait_s", [60, 0], ids=["by the engine", "by the events"])
def test_a_wrong_balance_is_named_and_nothing_is_written(
    traded: SteppedVenue, client: Store, server: StoreProcess, slot: int, change: int, says: str, engine_wait_s: float
) -> None:
    add(client, slot, change)
    before = dump_ledger(client)
    with EngineThread(traded, server.url):
        settlement = start(server, engine_wait_s=engine_wait_s)
        with pytest.raises(LedgerBroken) as broken:
            settlement.prove(wait_s=60)
    assert str(broken.value).startswith(f"the stored balances are not those of the events: {says}"), broken.value
    assert "`jibek ledger rebuild` computes the ledger again" in str(broken.value)
    assert dump_ledger(client) == before


def test_what_was_moved_between_two_accounts_is_found(
    traded: SteppedVenue, client: Store, server: StoreProcess
) -> None:
    add(client, slot_of(1, BTC), 5 << DEBIT_SHIFT[AccountKind.CLIENT])
    add(client, slot_of(2, BTC), 5 << CREDIT_SHIFT[AccountKind.CLIENT])
    with EngineThread(traded, server.url), pytest.raises(LedgerBroken, match=r"account 1 .*, and 1 more"):
        start(server).prove(wait_s=60)


def test_a_report_among_other_commands_is_compared_at_its_place(
    traded: SteppedVenue, client: Store, server: StoreProcess
) -> None:
    """An entry may move money before the report and after it."""
    settlement = start(server)
    money = Command(kind=CommandKind.DEPOSIT, account=1, asset=BTC, amount=7)
    builder = BatchBuilder()
    for command in (money, Command(kind=CommandKind.STATE_REPORT), money):
        builder.add(command, *((b"test", b"", b"") if command is money else ()))
    traded.execute(builder)
    settle(settlement)
    assert settlement.unproved == ""


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_ledger_within_an_entry_is_proved(
    venue: SteppedVenue, client: Store, server: StoreProcess, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """A settlement that was killed between two parts left balances that are those of no entry."""
    for module in (store_module, settlement_module):
        monkeypatch.setattr(module, "WRITES_PER_CALL_MAX", 5)
    venue.trade_at_random(seed=3, entries=2, accounts=3)
    stop_at_part(new_settlement(open_ledger(client)), part)
    assert Cursor.parse(client.get(CURSOR_KEY)).part == part
    with EngineThread(venue, server.url):
        settlement = start(server)
        settlement.prove(wait_s=60)
    assert settlement.unproved == "" and settlement.ledger_cursor.part == part
    settle(settlement)
    assert dump_ledger(client) == dump_ledger_of_a_new_one(client)


class Stopped(Exception):
    pass


def stop_at_part(settlement: Settlement, part: int) -> None:
    """Settles until that part of the first entry with so many is in."""
    send = settlement.store.send

    def send_and_stop(before: Cursor, after: Cursor, *call: Any) -> None:
        send(before, after, *call)
        if after.part == part:
            raise Stopped

    settlement.store.send = send_and_stop  # type: ignore[assignment,method-assign]
    with pytest.raises(Stopped):
        settle(settlement)
    settlement.store.confirm_all()


@pytest.mark.parametrize("text", ["", "1-3 0 0 " + "ab" * 32, "1-99999 0 0 " + "00" * 32])
def test_a_cursor_that_is_not_in_the_chain_is_refused(
    traded: SteppedVenue, client: Store, server: StoreProcess, text: str
) -> None:
    client.set(CURSOR_KEY, text)
    with pytest.raises(LedgerBroken, match=r"no cursor says up to which entry|that the events do not have there"):
        start(server)


def move_back(settlement: Settlement, client: Store) -> None:
    """Calls of this settlement that were in flight were lost."""
    events = read_events(client, BEGINNING, count=10_000)
    earlier = events[len(events) // 2]
    client.set(CURSOR_KEY, Cursor(earlier.id, earlier.head).pack())


def leave(settlement: Settlement, client: Store) -> None:
    """Nothing happens."""


def move_on(settlement: Settlement, client: Store) -> None:
    """Another settlement goes on while this one waits."""
    settle_all(client)


@pytest.mark.parametrize("what", [move_back, leave, move_on])
def test_no_balance_is_read_again_after_an_interruption(
    venue: SteppedVenue, client: Store, server: StoreProcess, what: Callable[[Settlement, Store], None]
) -> None:
    """Wherever the cursor is found, what lies between follows from the events."""
    venue.trade_at_random(seed=4, entries=3, accounts=2)
    settlement = start(server)
    settle(settlement)
    venue.trade_at_random(seed=5, entries=3, accounts=2)
    what(settlement, client)
    client.delete(BALANCES_KEY)
    settlement.resume()
    computed: dict[int, int] = {}
    for entry in read_events(client, BEGINNING, count=10_000):
        if entry.id <= settlement.cursor:
            for slot, change in post(entry.data).changes.items():
                computed[slot] = computed.get(slot, 0) + change
    assert {slot: value for slot, value in settlement.counters.items() if value} == computed
