# cython: cdivision=True
"""`ledger.postings.post`, compiled: the same transfers and the same changes, byte for byte.

That one is the specification and what audits use. This is what settlement uses: the transfers are written where they are
stored, and netted in C, so that a Python number is made for each touched slot and not for each transfer. An entry with an
event that contradicts itself is left to the specification, which says what is wrong. `tests/ledger/test_fast_postings.py` compares the
two; whatever changes in one changes in the other in the same commit.

Nothing here is rounded or can run over: an amount is at most AMOUNT_MAX, an entry has at most a few thousand transfers, and a
counter of a change has 128 bits.

Cost: about 0.15 µs a transfer.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from engine.records cimport *

from engine.records import EVENT_BYTES, EventEntry
from ledger.accounts import CREDIT_SHIFT, DEBIT_SHIFT, AccountKind
from ledger.postings import TRANSFER_BYTES, Posted, TransferCode
from ledger.postings import post as specified_post

cdef extern from *:
    """
    typedef unsigned __int128 jibek_counter;
    """
    # 128 bits in C; the name only has to be a number's.
    ctypedef unsigned long long jibek_counter

cdef enum:
    CLIENT = 1
    HOLD = 2
    FEE = 3
    CUSTODY = 4
    CLEARING = 5
    CODE_HOLD = 1
    CODE_RELEASE = 2
    CODE_IMPROVEMENT = 3
    CODE_PAYMENT = 10
    CODE_DELIVERY = 11
    CODE_BUYER_FEE = 12
    CODE_SELLER_FEE = 13
    CODE_DEPOSIT_IN = 20
    CODE_DEPOSIT = 21
    CODE_WITHDRAWAL = 22
    CODE_WITHDRAWAL_OUT = 23
    # No event moves more often, or touches more slots.
    TRANSFERS_PER_EVENT_MAX = 5
    SLOTS_PER_EVENT_MAX = 6
    COUNTERS = 8
    COUNTER_BYTES = 16

assert [int(kind) for kind in AccountKind] == [CLIENT, HOLD, FEE, CUSTODY, CLEARING]
assert [int(code) for code in TransferCode] == [
    CODE_HOLD, CODE_RELEASE, CODE_IMPROVEMENT, CODE_PAYMENT, CODE_DELIVERY, CODE_BUYER_FEE, CODE_SELLER_FEE,
    CODE_DEPOSIT_IN, CODE_DEPOSIT, CODE_WITHDRAWAL, CODE_WITHDRAWAL_OUT,
]
assert all(CREDIT_SHIFT[kind] == DEBIT_SHIFT[kind] + 8 * COUNTER_BYTES for kind in AccountKind)

# Which of a slot's counters takes the debits of a kind; the credits are in the next one.
cdef int DEBIT_COUNTER[6]
DEBIT_COUNTER[0] = 0
for _kind in AccountKind:
    DEBIT_COUNTER[<int>_kind] = DEBIT_SHIFT[_kind] // (8 * COUNTER_BYTES)


cdef struct Transfer:
    uint64_t debit
    uint64_t credit
    int64_t amount
    uint32_t event_index
    uint16_t asset
    uint16_t code


assert sizeof(Transfer) == TRANSFER_BYTES and sizeof(Event) == EVENT_BYTES
assert sizeof(jibek_counter) == COUNTER_BYTES


cdef struct Slot:
    uint64_t number
    jibek_counter[COUNTERS] counters


cdef struct Entry:
    Transfer *transfers
    Py_ssize_t transfer_count
    Slot *slots
    Py_ssize_t slot_count
    # Open addressing: where a slot is among the slots, from 1; 0 is free.
    int32_t *places
    uint64_t places_mask


def post(bytes data not None):
    """What an event entry moves, as `ledger.postings.post` gives it.

    Raises:
        PostingError, MalformedRecord: as `ledger.postings.post`.
    """
    cdef Py_ssize_t count = EventEntry(data).header.event_count
    cdef Entry entry
    memset(&entry, 0, sizeof(Entry))
    if count == 0:
        return Posted(b"", {})
    try:
        _reserve(&entry, count)
        if not _post_events(<const Event *>(PyBytes_AS_STRING(data) + sizeof(EventHeader)), count, &entry):
            return specified_post(data)
        return Posted(
            PyBytes_FromStringAndSize(<char *>entry.transfers, entry.transfer_count * sizeof(Transfer)),
            _changes(&entry),
        )
    finally:
        free(entry.transfers)
        free(entry.slots)
        free(entry.places)


cdef int _reserve(Entry *entry, Py_ssize_t events) except -1:
    """Room for what so many events can move at most."""
    cdef Py_ssize_t places = 16
    while places < 2 * SLOTS_PER_EVENT_MAX * events:
        places *= 2
    entry.places_mask = <uint64_t>places - 1
    entry.transfers = <Transfer *>malloc(TRANSFERS_PER_EVENT_MAX * events * sizeof(Transfer))
    entry.slots = <Slot *>malloc(SLOTS_PER_EVENT_MAX * events * sizeof(Slot))
    entry.places = <int32_t *>malloc(places * sizeof(int32_t))
    if entry.transfers == NULL or entry.slots == NULL or entry.places == NULL:
        raise MemoryError
    memset(entry.places, 0, places * sizeof(int32_t))
    return 0


cdef dict _changes(Entry *entry):
    """Slot -> what is added to its counters."""
    cdef dict changes = {}
    cdef Py_ssize_t index
    cdef Slot *slot
    for index in range(entry.slot_count):
        slot = entry.slots + index
        # The counters stand as the number's digits, the least first.
        changes[slot.number] = int.from_bytes(
            PyBytes_FromStringAndSize(<char *>slot.counters, COUNTERS * COUNTER_BYTES), "little"
        )
    return changes


cdef bint _post_events(const Event *events, Py_ssize_t count, Entry *entry) noexcept nogil:
    """Writes the transfers of all events; False where one contradicts itself."""
    cdef Py_ssize_t position
    cdef uint32_t index
    cdef const OrderEvent *event
    cdef int kind
    cdef bint is_sound
    for position in range(count):
        index = <uint32_t>position
        event = &events[position].order
        kind = event.kind
        if kind == EVENT_KIND_TRADE:
            is_sound = _post_trade(entry, index, &events[position].trade)
        elif kind == EVENT_KIND_DEPOSITED or kind == EVENT_KIND_WITHDRAWN:
            is_sound = _post_payment(entry, index, event)
        elif kind == EVENT_KIND_TRADE_PREVENTED:
            is_sound = _post_prevented(entry, index, &events[position].prevented)
        elif kind == EVENT_KIND_REJECTED or event.hold_change == 0:
            is_sound = True
        else:
            is_sound = _post_hold(entry, index, event, event.account, event.side == SIDE_BUY, event.hold_change)
        if not is_sound:
            return False
    return True


cdef bint _post_payment(Entry *entry, uint32_t index, const OrderEvent *event) noexcept nogil:
    """A deposit or a withdrawal."""
    cdef uint64_t custody = _account(0, event.asset, CUSTODY), clearing = _account(0, event.asset, CLEARING)
    cdef uint64_t funds = _funds(event.account, event.asset)
    if not _is_amount(event.amount):
        return False
    if event.kind == EVENT_KIND_DEPOSITED:
        _move(entry, index, event.asset, CODE_DEPOSIT_IN, custody, clearing, event.amount)
        _move(entry, index, event.asset, CODE_DEPOSIT, clearing, funds, event.amount)
    else:
        _move(entry, index, event.asset, CODE_WITHDRAWAL, funds, clearing, event.amount)
        _move(entry, index, event.asset, CODE_WITHDRAWAL_OUT, clearing, custody, event.amount)
    return True


cdef bint _post_prevented(Entry *entry, uint32_t index, const PreventedEvent *event) noexcept nogil:
    """What the holds of two orders lose that did not trade."""
    cdef const OrderEvent *order = <const OrderEvent *>event
    cdef bint taker_buys = event.side == SIDE_BUY
    return _post_hold(entry, index, order, event.account, taker_buys, event.hold_change) and _post_hold(
        entry, index, order, event.maker_account, not taker_buys, event.maker_hold_change
    )


cdef bint _post_hold(
    Entry *entry, uint32_t index, const OrderEvent *event, uint32_t account, bint buys, int64_t change
) noexcept nogil:
    """What an order sets aside, mostly when it is accepted, and what it gives back, mostly when it is closed."""
    cdef uint16_t asset = event.quote_asset if buys else event.base_asset
    cdef uint64_t funds = _funds(account, asset), hold = _account(account, asset, HOLD)
    if change == 0:
        return True
    if _is_amount(change):
        _move(entry, index, asset, CODE_HOLD, funds, hold, change)
    elif change < 0 and _is_amount(-change):
        _move(entry, index, asset, CODE_RELEASE, hold, funds, -change)
    else:
        return False
    return True


cdef bint _post_trade(Entry *entry, uint32_t index, const TradeEvent *event) noexcept nogil:
    """A fill: quote asset from the buyer to the seller, base asset from the seller to the buyer, a fee from each."""
    cdef bint taker_buys = event.side == SIDE_BUY
    cdef uint32_t buyer = event.account if taker_buys else event.maker_account
    cdef uint32_t seller = event.maker_account if taker_buys else event.account
    cdef int64_t buyer_hold = event.hold_change if taker_buys else event.maker_hold_change
    cdef int64_t seller_hold = event.maker_hold_change if taker_buys else event.hold_change
    cdef int64_t buyer_fee = event.fee if taker_buys else event.maker_fee
    cdef int64_t seller_fee = event.maker_fee if taker_buys else event.fee
    cdef uint16_t base = event.base_asset, quote = event.quote_asset
    cdef uint64_t buyer_quote = _funds(buyer, quote), buyer_base = _funds(buyer, base)
    cdef uint64_t seller_quote = _funds(seller, quote), seller_base = _funds(seller, base), held
    if not (_is_amount(event.base_amount) and _is_amount(event.quote_amount)):
        return False
    if not (0 <= buyer_fee <= AMOUNT_MAX and 0 <= seller_fee <= AMOUNT_MAX):
        return False

    if buyer_hold == 0:
        _move(entry, index, quote, CODE_PAYMENT, buyer_quote, seller_quote, event.quote_amount)
    elif -AMOUNT_MAX <= buyer_hold <= -event.quote_amount:
        held = _account(buyer, quote, HOLD)
        _move(entry, index, quote, CODE_PAYMENT, held, seller_quote, event.quote_amount)
        if -buyer_hold > event.quote_amount:
            _move(entry, index, quote, CODE_IMPROVEMENT, held, buyer_quote, -buyer_hold - event.quote_amount)
    else:
        return False

    if seller_hold == 0:
        _move(entry, index, base, CODE_DELIVERY, seller_base, buyer_base, event.base_amount)
    elif seller_hold == -event.base_amount:
        _move(entry, index, base, CODE_DELIVERY, _account(seller, base, HOLD), buyer_base, event.base_amount)
    else:
        return False

    if buyer_fee:
        _move(entry, index, base, CODE_BUYER_FEE, buyer_base, _account(0, base, FEE), buyer_fee)
    if seller_fee:
        _move(entry, index, quote, CODE_SELLER_FEE, seller_quote, _account(0, quote, FEE), seller_fee)
    return True


cdef bint _is_amount(int64_t number) noexcept nogil:
    return 0 < number <= AMOUNT_MAX


cdef void _move(
    Entry *entry, uint32_t index, uint16_t asset, uint16_t code, uint64_t debit, uint64_t credit, int64_t amount
) noexcept nogil:
    """One transfer, in the list and in the counters of both accounts."""
    cdef Transfer *transfer = entry.transfers + entry.transfer_count
    entry.transfer_count += 1
    transfer.debit, transfer.credit, transfer.amount = debit, credit, amount
    transfer.event_index, transfer.asset, transfer.code = index, asset, code
    _slot(entry, debit >> 16).counters[DEBIT_COUNTER[debit & 0xFFFF]] += <uint64_t>amount
    _slot(entry, credit >> 16).counters[DEBIT_COUNTER[credit & 0xFFFF] + 1] += <uint64_t>amount


cdef Slot *_slot(Entry *entry, uint64_t number) noexcept nogil:
    """The slot of this number; a new one where it was not touched before."""
    cdef uint64_t place = (number * <uint64_t>0x9E3779B97F4A7C15 >> 20) & entry.places_mask
    cdef Slot *slot
    while entry.places[place]:
        slot = entry.slots + entry.places[place] - 1
        if slot.number == number:
            return slot
        place = place + 1 & entry.places_mask
    slot = entry.slots + entry.slot_count
    entry.slot_count += 1
    entry.places[place] = <int32_t>entry.slot_count
    memset(slot, 0, sizeof(Slot))
    slot.number = number
    return slot


# -- account numbers, as `ledger.accounts.Account.number` gives them


cdef uint64_t _account(uint32_t owner, uint16_t asset, uint16_t kind) noexcept nogil:
    return <uint64_t>owner << 32 | <uint64_t>asset << 16 | kind


cdef uint64_t _funds(uint32_t owner, uint16_t asset) noexcept nogil:
    return _account(owner, asset, CLIENT if owner else FEE)
