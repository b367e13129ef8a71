"""The proof that the books are right: everything computed again from the events and compared with what is stored.

`reconcile` asks the engine for a digest of its own balances, which fixes an entry; it takes the ledger's balances back to
that entry, by the events, and walks the chain from its first entry to there. It never looks at the compiled core: what it knows of the
rules is `ledger.postings` and the fields of the events.

Each check says how many items it looked at. A check that looked at none fails, except the one of fees, or if the venue is
unused: by the events no money has ever moved. Then only the chain must not be empty, and the others pass if ledger and engine
have nothing either. The walk
needs memory for balances and open orders, not for the length of the journal; it takes about 10 µs an event.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple
from zlib import crc32

import redis

from engine.journal import (
    BEGINNING,
    ChainBroken,
    ChainReader,
    EntryId,
    Producer,
    PublishedEntry,
    StaleEpoch,
    StoreTimeout,
)
from engine.records import (
    HOUSE_ACCOUNT,
    PPM,
    BatchBuilder,
    Command,
    CommandKind,
    Event,
    EventEntry,
    EventFlag,
    EventKind,
    MalformedRecord,
    OrderEvent,
    PreventedEvent,
    Side,
    StateReport,
    TradeEvent,
)
from ledger.accounts import AccountKind, balance, funds_kind, slot_asset, slot_of, slot_owner
from ledger.checks import (
    Check,
    account_count,
    account_text,
    check_clearing,
    check_double_entry,
    check_negatives,
    fault_of_balances,
    first_of,
)
from ledger.entries import report_in
from ledger.postings import TRANSFER_BYTES, PostingError, net, post, unpack_transfers
from ledger.snapshot import cursor_after, take_snapshot, wait_for_entry
from ledger.store import INDEX_BLOCK_ENTRIES, INDEX_LINE, IndexBlock, LedgerStore

ENTRIES_PER_READ = 64
ENGINE_TIMEOUT_S = 10.0

Progress = Callable[[int, int], None]
"""Called with how many entries were walked and how many there are."""


class Reconciliation(NamedTuple):
    """What `reconcile` found."""

    id: EntryId
    """The entry after which everything was compared."""
    checks: list[Check]
    is_unused: bool = False
    """Whether nothing was credited yet: by the events there are no transfers and no open orders."""

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def reconcile(store: LedgerStore, *, progress: Progress = lambda done, total: None) -> Reconciliation:
    """Computes the ledger again from the events and compares it with what is stored, and with the engine.

    The venue may go on trading meanwhile.

    Raises:
        NotSettled: the ledger does not reach the engine's entry within 10 s.
        LedgerBroken: what is stored are no balances at an entry of the events; the text names what.
    """
    store.checked_cursor()
    id, silence = _ask_engine(store)
    wait_for_entry(store, id)
    snapshot = take_snapshot(store)
    snapshot.carry(store.source, cursor_after(store.source, id))
    walk = Walk(store)
    walk.run(id, progress)
    counters = snapshot.counters
    checks = [
        Check("every entry has its event, and the hash chain is intact", walk.entries, walk.fault),
        Check("transfers computed from the events equal the stored ones", walk.transfers, walk.transfer_fault),
        check_sums(counters, walk.changes),
        check_double_entry(counters),
        check_negatives(counters),
        check_clearing(counters),
        check_holds(counters, walk.orders),
        check_custody(counters, walk.money.deposits - walk.money.withdrawals),
        check_fees(counters, walk.money.fees),
        Check("fees follow from rates and credits", walk.fees.fills, first_of(walk.fees.faults), may_be_empty=True),
        check_index(store, walk.index),
        check_engine(counters, walk, silence),
    ]
    is_unused = walk.is_empty()
    if is_unused:
        checks = [checks[0], *(check._replace(may_be_empty=True) for check in checks[1:])]
    return Reconciliation(id, checks, is_unused)


def _ask_engine(store: LedgerStore) -> tuple[EntryId, str]:
    """The entry of a STATE_REPORT that was executed; without an answer where the ledger is, and why there is none."""
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.STATE_REPORT))
    try:
        id, _ = Producer(store.client).execute(builder, timeout_s=ENGINE_TIMEOUT_S)
    except (StoreTimeout, StaleEpoch, redis.ResponseError) as error:
        return store.cursor().id, f"the engine gave no report: {error}"
    return id, ""


# -- the walk through the events


class OpenOrders:
    """The orders that are open, and what is held for each: the sum of the changes in the events.

    How much an order needs is the engine's affair. What must be so, whatever the rules are: an order that is done has
    nothing held any more. `faults` names those that have.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._holds: dict[int, int] = {}
        """Order id -> smallest units."""
        self._slots: dict[int, int] = {}
        """Order id -> owner and the asset that is held for it."""

    def __len__(self) -> int:
        return len(self._holds)

    def apply(self, event: Event) -> None:
        """Takes in one event.

        Raises:
            KeyError: it is about an order that is not open.
        """
        if event.kind == EventKind.ORDER_ACCEPTED:
            asset = event.quote_asset if event.side == Side.BUY else event.base_asset
            self._slots[event.order_id] = slot_of(event.account, asset)
            self._holds[event.order_id] = event.hold_change
        elif isinstance(event, TradeEvent):
            self._change(event.order_id, event.hold_change, is_done=bool(event.flags & EventFlag.TAKER_FILLED))
            self._change(
                event.maker_order_id, event.maker_hold_change, is_done=bool(event.flags & EventFlag.MAKER_FILLED)
            )
        elif isinstance(event, PreventedEvent):
            self._change(event.order_id, event.hold_change)
            self._change(event.maker_order_id, event.maker_hold_change)
        elif event.kind == EventKind.ORDER_CLOSED:
            self._change(event.order_id, event.hold_change, is_done=True)
        elif event.hold_change and event.kind != EventKind.REJECTED:
            self._change(event.order_id, event.hold_change)

    def by_slot(self) -> Counter[int]:
        """Slot -> what is held for its open orders together."""
        sums: Counter[int] = Counter()
        for order_id, held in self._holds.items():
            sums[self._slots[order_id]] += held
        return sums

    def _change(self, order_id: int, change: int, *, is_done: bool = False) -> None:
        held = self._holds[order_id] + change
        if is_done:
            del self._holds[order_id], self._slots[order_id]
        else:
            self._holds[order_id] = held
        if held < 0 or (held and is_done):
            self.faults.append(f"order {order_id} {'is done and ' if is_done else ''}has {held} held for it")


class FeeCredits:
    """Whether each fee follows from what was received, the rate, and what rounding up had overpaid before.

    Of each order and fill: fee × 1,000,000 = received × rate + credit after − credit before, where an order begins with a
    credit of 0. So an order's fees together are its exact fee, rounded up once.
    """

    def __init__(self) -> None:
        self.fills = 0
        """How many fills were looked at: each side of a trade is one."""
        self.faults: list[str] = []
        self._credits: dict[int, int] = {}
        """Order id -> its credit, where that is not 0."""

    def apply(self, event: Event) -> None:
        """Takes in one event."""
        if isinstance(event, TradeEvent):
            base_and_quote = event.base_amount, event.quote_amount
            received, maker_received = base_and_quote if event.side == Side.BUY else base_and_quote[::-1]
            self._fill(event, event.order_id, received, event.fee, event.fee_ppm, event.fee_credit)
            maker = event.maker_fee, event.maker_fee_ppm, event.maker_fee_credit
            self._fill(event, event.maker_order_id, maker_received, *maker)
            if event.flags & EventFlag.TAKER_FILLED:
                self._credits.pop(event.order_id, None)
            if event.flags & EventFlag.MAKER_FILLED:
                self._credits.pop(event.maker_order_id, None)
        elif event.kind == EventKind.ORDER_CLOSED:
            self._credits.pop(event.order_id, None)

    def _fill(self, event: TradeEvent, order_id: int, received: int, fee: int, rate_ppm: int, credit: int) -> None:
        self.fills += 1
        before = self._credits.pop(order_id, 0)
        if credit:
            self._credits[order_id] = credit
        if fee * PPM != received * rate_ppm + credit - before or not credit < PPM or not 0 <= fee <= received:
            self.faults.append(
                f"trade {event.trade_id} of market {event.market}: order {order_id} received {received} and paid {fee} at"
                f" {rate_ppm} parts per million, with a credit of {before} before and {credit} after"
            )


class MoneyFlow:
    """What came in, went out and was charged, by asset, as the events say."""

    def __init__(self) -> None:
        self.deposits: Counter[int] = Counter()
        self.withdrawals: Counter[int] = Counter()
        self.fees: Counter[int] = Counter()

    def apply(self, event: Event) -> None:
        """Takes in one event."""
        if isinstance(event, OrderEvent):
            if event.kind == EventKind.DEPOSITED:
                self.deposits[event.asset] += event.amount
            elif event.kind == EventKind.WITHDRAWN:
                self.withdrawals[event.asset] += event.amount
        elif isinstance(event, TradeEvent):
            taker_receives, maker_receives = event.base_asset, event.quote_asset
            if event.side == Side.SELL:
                taker_receives, maker_receives = maker_receives, taker_receives
            self.fees[taker_receives] += event.fee
            self.fees[maker_receives] += event.maker_fee


class Walk:
    """One pass over the chain, comparing each entry's transfers and adding up everything else."""

    def __init__(self, store: LedgerStore) -> None:
        self.store = store
        self.entries = 0
        self.fault = ""
        """Why the walk ended too early."""
        self.transfers = 0
        self.transfer_fault = ""
        self.changes: Counter[int] = Counter()
        """Slot -> the sum of its stored transfers."""
        self.orders = OpenOrders()
        self.money = MoneyFlow()
        self.fees = FeeCredits()
        self.report: StateReport | None = None
        """What the engine says of itself in the last entry."""
        self.orders_reported = 0
        """How many orders were open then."""
        self.after_report: dict[int, int] = {}
        """Slot -> what the last entry moved after the report."""
        self.index: dict[IndexBlock, tuple[int, int]] = {}
        """Block of an owner's index -> how many lines it must have, and their checksum."""

    def run(self, last: EntryId, progress: Progress) -> None:
        """Walks from the first entry to `last`; what breaks the chain ends up in `fault`."""
        total = self.store.source.count_between(BEGINNING, last)
        reader = ChainReader(self.store.source)
        try:
            while reader.cursor < last:
                page = [published for _, published in reader.read(count=ENTRIES_PER_READ) if published.id <= last]
                if not page:
                    raise ChainBroken(f"the events end at {reader.cursor}, before {last}")
                self._take_page(page)
                progress(self.entries, max(total, self.entries))
            self._check_last(last)
        except (ChainBroken, MalformedRecord) as error:
            self.fault = str(error)
        except (PostingError, KeyError, struct.error) as error:
            self.fault = f"an entry after the first {self.entries} contradicts the ones before it: {error!r}"

    def is_empty(self) -> bool:
        """Whether the whole chain moved no money and left no order open."""
        return not (self.fault or self.transfers or self.index or self.orders)

    def _take_page(self, page: list[PublishedEntry]) -> None:
        stored = dict(self.store.transfers(page[0].id, page[-1].id, count=len(page)))
        for published in page:
            self._compare(published, stored.pop(published.id, None))
            self._add_up(published)
            self.entries += 1
        if stored and not self.transfer_fault:
            self.transfer_fault = f"the ledger has transfers for {min(stored)}, which moved nothing, or is no entry"

    def _check_last(self, last: EntryId) -> None:
        """Whether the ledger has transfers of entries that it has not come to, or of ones before the first."""
        newest = self.store.last_transfers(count=1)
        settled = self.store.cursor().id
        if newest and newest[0][0] > max(last, settled) and not self.transfer_fault:
            self.transfer_fault = f"the ledger has transfers for {newest[0][0]}, and has settled only up to {settled}"

    def _compare(self, published: PublishedEntry, stored: bytes | None) -> None:
        """Compares an entry's transfers byte for byte, and adds the stored ones to the sums."""
        expected = post(published.data)
        if stored != (expected.transfers or None) and not self.transfer_fault:
            self.transfer_fault = f"the stored transfers of {published.id} are not those that follow from its events"
        self.transfers += len(expected.transfers) // TRANSFER_BYTES
        for slot, change in _net_of_stored(stored or b"", expected.changes).items():
            self.changes[slot] += change
        line = INDEX_LINE.pack(*published.id)
        for owner in {slot_owner(slot) for slot in expected.changes}:
            block = IndexBlock(owner, published.id.epoch, published.id.sequence // INDEX_BLOCK_ENTRIES)
            count, checksum = self.index.get(block, (0, 0))
            self.index[block] = count + 1, crc32(line, checksum)

    def _add_up(self, published: PublishedEntry) -> None:
        self.report = None
        found = report_in(published)
        for position, event in enumerate(EventEntry(published.data)):
            if found is not None and position == found[0]:
                self._take_report(published, *found)
            self.orders.apply(event)
            self.money.apply(event)
            self.fees.apply(event)

    def _take_report(self, published: PublishedEntry, position: int, report: StateReport) -> None:
        """Notes the engine's report, and the state that it is about: the one at its place among the events."""
        self.report, self.orders_reported = report, len(self.orders)
        transfers = unpack_transfers(post(published.data).transfers)
        self.after_report = net(transfer for transfer in transfers if transfer.event_index > position)


def _net_of_stored(stored: bytes, expected: dict[int, int]) -> dict[int, int]:
    """What stored transfers add to the counters; `expected` if they name accounts that cannot be, or are cut off."""
    try:
        return net(unpack_transfers(stored))
    except (IndexError, struct.error):
        return expected


# -- the checks, each over the counters of all slots at one entry


def check_sums(counters: dict[int, int], changes: Counter[int]) -> Check:
    """Each stored balance is the sum of the stored transfers."""
    slots = counters.keys() | changes.keys()
    wrong = [slot for slot in slots if counters.get(slot, 0) != changes[slot]]
    return Check("stored balances equal the sum of the stored transfers", account_count(slots), _of_slots(wrong))


def check_holds(counters: dict[int, int], orders: OpenOrders) -> Check:
    """What is held equals the holds of the open orders, and an order that is done holds nothing."""
    expected = orders.by_slot()
    faults = orders.faults + [
        f"{account_text(slot, AccountKind.HOLD)} holds {held}, its open orders hold {expected[slot]}"
        for slot in sorted(counters.keys() | expected.keys())
        if (held := balance(counters.get(slot, 0), AccountKind.HOLD)) != expected[slot]
    ]
    return Check(
        "held balances equal the holds of the open orders", len(counters.keys() | expected.keys()), first_of(faults)
    )


def check_custody(counters: dict[int, int], brought_in: Counter[int]) -> Check:
    """Custody is what came in less what went out, and it is what clients, holds and fees own together."""
    custody: Counter[int] = Counter()
    owned: Counter[int] = Counter()
    for slot, value in counters.items():
        asset, owner = slot_asset(slot), slot_owner(slot)
        owned[asset] += balance(value, funds_kind(owner)) + balance(value, AccountKind.HOLD)
        if owner == HOUSE_ACCOUNT:
            custody[asset] += balance(value, AccountKind.CUSTODY)
    faults = [
        f"asset {asset}: custody {custody[asset]}, brought in {brought_in[asset]}, owned {owned[asset]}"
        for asset in sorted(custody.keys() | brought_in.keys() | owned.keys())
        if not custody[asset] == brought_in[asset] == owned[asset]
    ]
    name = "custody is deposits less withdrawals, and what clients, holds and fees own"
    return Check(name, len(custody), first_of(faults))


def check_fees(counters: dict[int, int], fees: Counter[int]) -> Check:
    """The house has the fees of all trades, and nothing else."""
    house = {slot_asset(slot): value for slot, value in counters.items() if slot_owner(slot) == HOUSE_ACCOUNT}
    faults = [
        f"asset {asset}: the fee account has {has}, the trades say {fees[asset]}"
        for asset in sorted(house.keys() | fees.keys())
        if (has := balance(house.get(asset, 0), AccountKind.FEE)) != fees[asset]
    ]
    return Check("fee accounts equal the fees in the trades", len(house), first_of(faults))


def check_index(store: LedgerStore, index: dict[IndexBlock, tuple[int, int]]) -> Check:
    """Each owner's index lists the entries that touched it, in their order."""
    faults = []
    for block, lines in zip(index, store.index_blocks(index), strict=True):
        count, checksum = index[block]
        if crc32(lines[: count * INDEX_LINE.size]) != checksum or len(lines) < count * INDEX_LINE.size:
            faults.append(f"the index of account {block.owner} is not the list of the entries that touched it")
    lines_expected = sum(count for count, _ in index.values())
    return Check("index lines equal the entries that touched each account", lines_expected, first_of(faults))


def check_engine(counters: dict[int, int], walk: Walk, silence: str) -> Check:
    """The engine has the same balances and as many open orders at the same place."""
    name = "the engine's own balances and open orders are the ledger's"
    report = walk.report
    if silence or report is None:
        return Check(name, 0, silence or "the engine gave no report")
    reported = dict(counters)
    for slot, change in walk.after_report.items():
        reported[slot] = reported.get(slot, 0) - change
    faults = [fault] if (fault := fault_of_balances(reported, report)) else []
    if walk.orders_reported != report.open_orders:
        faults.append(f"the engine has {report.open_orders} open orders, the events say {walk.orders_reported}")
    return Check(name, len(counters) + walk.orders_reported, first_of(faults))


def _of_slots(slots: list[int]) -> str:
    return first_of([f"account {slot_owner(slot)}, asset {slot_asset(slot)}" for slot in sorted(slots)])
