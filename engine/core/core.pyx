# cython: cdivision=True
"""One journal entry after the other, in C; the twin of `engine/reference/core.py`.

Read the reference first: it says what each rule is. This package says how it is done fast. `state.pxd` has the structures;
the other .pxd files are functions over them under the names of the reference, compiled into this one extension. What no
order touches goes through `engine/definitions.py`, as in the reference: `administration.pxi` and `report.pxi`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, _PyBytes_Resize
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cython cimport final
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, realloc
from libc.string cimport memcpy, memset

from engine.book.ladder cimport (
    Node,
    ladder_after,
    ladder_best_ask,
    ladder_best_bid,
    ladder_best_level,
    ladder_crosses,
    ladder_first,
    ladder_init,
    ladder_is_ask,
    ladder_key,
    ladder_price,
    ladder_rest,
    side_is_ask,
    side_number,
)
from engine.book.handle_table cimport table_insert
from engine.book.memory cimport jibek_likely, jibek_unlikely, room_grow
from engine.book.order_ids cimport ids_get, ids_insert
from engine.book.price_tree cimport Level, tree_worse_level
from engine.book.saved_book cimport saved_book_orders, saved_book_size, saved_book_write
from engine.core.accounts cimport (
    find_account_market,
    add_account_market,
    add_account_record,
    drop_all_ended,
    find_client,
    find_client_id,
    find_holding,
    find_market,
    find_order,
    holdings_of,
    is_open,
    list_with_account,
    listed_orders,
    look_up_account_market,
    next_market_of,
    reserve_orders,
)
from engine.core.agenda cimport Worker, add_to_agenda, may_begin, work_agenda
from engine.core.client_ids cimport client_id_hash, client_id_read, client_id_mix
from engine.core.events cimport emit, emit_rejected
from engine.core.money cimport hold_of
from engine.core.orders cimport cancel_all_orders, cancel_order, close_orders, place_order
from engine.core.prefetch cimport prefetch_commands
from engine.core.state cimport (
    BLOCK_COMMANDS,
    CLIENT_HASHES,
    NO_MEMORY,
    NO_RATE,
    OPEN_ORDERS_FEW,
    AccountMarket,
    AccountRecord,
    AgendaItem,
    Entry,
    Exchange,
    Holding,
    MarketRecord,
    OpenOrder,
    OrderInfo,
    OrderTimes,
    exchange_free,
    exchange_init,
    order_credit,
    pack_order,
    with_credit,
)
from engine.records cimport *

import hashlib
import os

from engine import records
from engine.definitions import (
    RULES_VERSION,
    Rejected,
    SavedStateFault,
    StateReader,
    balances_digest,
    check_saved_account,
    check_saved_agenda_item,
    check_saved_asset,
    check_saved_fees,
    check_saved_key,
    check_saved_market,
    check_saved_order,
    check_saved_tier,
    check_saved_venue,
    read_account,
    read_account_limits,
    read_asset,
    read_change,
    read_epoch_start,
    read_fees,
    read_key,
    read_limits,
    read_market,
    read_parts,
    reject_unless,
)
from engine.reasons import Reason
from engine.records import (
    BATCH_HEADER,
    COMMAND,
    DEFAULT_LIMITS,
    DEFAULT_TIER,
    EVENT_HEADER,
    HOUSE_NAME,
    IDS_SKIPPED_MAX,
    KEYS_PER_ACCOUNT_MAX,
    MARKET_DEFINITION,
    SAVED_ACCOUNT,
    SAVED_AGENDA_ITEM,
    SAVED_ASSET,
    SAVED_BALANCE,
    SAVED_FEES,
    SAVED_KEY,
    SAVED_MARKET,
    SAVED_ORDER,
    SAVED_PRODUCER,
    SAVED_VENUE,
    STATE_REPORT,
    TIER_LIMITS,
    TIERS_MAX,
    CommandKind,
    EngineStop,
    SavedAccount as SavedAccountView,
    SavedAgendaItem as SavedAgendaItemView,
    SavedAsset as SavedAssetView,
    SavedBalance as SavedBalanceView,
    SavedFees as SavedFeesView,
    SavedKey as SavedKeyView,
    SavedMarket as SavedMarketView,
    SavedProducer as SavedProducerView,
    SavedVenue as SavedVenueView,
    StateReport as StateReportView,
    pack_parts,
)

assert AMOUNT_MAX == records.AMOUNT_MAX
assert sizeof(Node) == 32 and sizeof(OrderInfo) == 64 and sizeof(AccountMarket) == 64
assert sizeof(AccountRecord) == 64
assert sizeof(Event) == RECORD_EVENT_BYTES and sizeof(SavedOrder) == SAVED_ORDER.size
assert sizeof(BatchHeader) == BATCH_HEADER.size and sizeof(Command) == COMMAND.size
assert sizeof(EventHeader) == EVENT_HEADER.size and sizeof(MarketDefinition) == MARKET_DEFINITION.size
# A client id is read as four words of 64 bits and one of 32.
assert RECORD_CLIENT_ID_BYTES == 4 * sizeof(uint64_t) + sizeof(uint32_t)

# What works on the items of each AgendaKind.
cdef Worker WORKERS[AGENDA_KIND_CLOSE_ORDERS + 1]
WORKERS[0] = NULL
WORKERS[AGENDA_KIND_CLOSE_ORDERS] = close_orders


cdef bint grow_entry(Exchange* exchange) noexcept nogil:
    """Room for twice as many events in the entry in hand; False where memory is out."""
    cdef Entry* entry = &exchange.entry
    cdef uint64_t capacity = 2 * entry.event_capacity + 4
    with gil:
        try:
            _PyBytes_Resize(&entry.data, sizeof(EventHeader) + capacity * sizeof(Event))
        except MemoryError:
            return False
        entry.events = <Event*>(PyBytes_AS_STRING(<object>entry.data) + sizeof(EventHeader))
    entry.event_capacity = capacity
    return True


@final
cdef class Core:
    """The exchange as a function from journal entries to event entries; see `engine.reference.Core`.

    >>> from engine.records import BatchBuilder, Command, CommandKind, EventEntry, EventKind
    >>> core, builder = Core(), BatchBuilder()
    >>> _ = builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"operator", b"first client", b"alice/1000")
    >>> [event] = EventEntry(core.execute(1_000_000, builder.build(producer=1, incarnation=1, number=1)))
    >>> EventKind(event.kind).name, event.account
    ('ACCOUNT_ADDED', 1)
    """

    def __cinit__(self):
        cdef uint64_t seed = int.from_bytes(os.urandom(8), "little")
        if not exchange_init(&self.exchange, seed):
            raise MemoryError("no room for a venue")
        self.exchange.entry.grow = grow_entry
        self.assets = []
        self.asset_names = set()
        self.symbols = []
        self.market_definitions = []
        self.account_names = []
        self.account_name_set = set()
        self.account_keys = {}
        self.key_owners = {}
        self.tiers = {DEFAULT_TIER: DEFAULT_LIMITS}
        self.account_tiers = {}
        self.producers = {}
        self.blobs = bytearray()

    def __init__(self):
        self.exchange.rules_version = RULES_VERSION
        if self.exchange.account_count == 0:
            open_account(self, HOUSE_NAME)

    def __dealloc__(self):
        exchange_free(&self.exchange)
        Py_XDECREF(self.exchange.entry.data)

    def execute(self, int64_t time_us, bytes batch not None):
        """Executes one journal entry and returns its event entry, of at most 8,192 events.

        Args:
            time_us: the store's stamp of the entry, microseconds since 1970 UTC. Time never runs backwards.
            batch: the entry's batch. Bytes that are not a batch give an entry without events and change nothing but
                the time.

        Raises:
            EngineStop: a batch number is missing, or the journal asks for what this version does not know.
            MemoryError: there is no memory for one more order, account or event; the core cannot go on.
        """
        cdef Exchange* exchange = &self.exchange
        cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(batch)
        cdef const BatchHeader* header = <const BatchHeader*>data
        cdef const Command* commands = <const Command*>(data + sizeof(BatchHeader))
        cdef uint64_t length = len(batch)
        cdef uint64_t blob_start
        cdef uint32_t index
        cdef int disposition
        if time_us > exchange.time_us:
            exchange.time_us = time_us
        if length < sizeof(BatchHeader) or header.version != RECORD_VERSION:
            self._begin_entry(0)
            return self._finish_entry(0, 0, 0, DISPOSITION_MALFORMED)
        blob_start = sizeof(BatchHeader) + header.command_count * sizeof(Command)
        if header.command_count > RECORD_BATCH_COMMANDS_MAX or length != blob_start + header.blob_length:
            self._begin_entry(0)
            return self._finish_entry(0, 0, 0, DISPOSITION_MALFORMED)
        # A full batch seldom gives more events than this, and stays below the size from which malloc asks the kernel for
        # fresh pages each time; more make the entry grow.
        self._begin_entry(header.command_count + header.command_count // 4 + 4)
        disposition = admit(self, header.producer, header.incarnation, header.number)
        if disposition == DISPOSITION_EXECUTED:
            self._work_agenda()
            for index in range(header.command_count):
                if index % BLOCK_COMMANDS == 0:
                    prefetch_commands(exchange, commands, index, header.command_count)
                exchange.entry.command_index = index
                exchange.entry.command = commands[index].kind
                self._execute_command(&commands[index], data + blob_start, header.blob_length)
                if jibek_unlikely(exchange.agenda_count):
                    self._work_agenda()
        return self._finish_entry(header.producer, header.incarnation, header.number, disposition)

    def _work_agenda(self):
        if work_agenda(&self.exchange, WORKERS):
            raise MemoryError("no room for one more event")

    cdef int _begin_entry(self, uint64_t capacity) except -1:
        """An entry is a bytes object from the beginning: nothing is copied."""
        cdef Entry* entry = &self.exchange.entry
        Py_XDECREF(entry.data)
        entry.data = NULL
        data = PyBytes_FromStringAndSize(NULL, sizeof(EventHeader) + capacity * sizeof(Event))
        Py_INCREF(data)
        entry.data = <PyObject*>data
        entry.events = <Event*>(PyBytes_AS_STRING(data) + sizeof(EventHeader))
        entry.event_capacity = capacity
        entry.event_count = 0
        entry.command_index = NO_COMMAND
        entry.command = 0
        self.blobs.clear()
        return 0

    cdef bytes _finish_entry(self, uint64_t producer, uint64_t incarnation, uint64_t number, int disposition):
        """The bytes of the entry, as the answer to the batch of that producer."""
        cdef Entry* entry = &self.exchange.entry
        cdef uint64_t events_end = sizeof(EventHeader) + entry.event_count * sizeof(Event)
        cdef uint64_t blob_length = len(self.blobs)
        cdef EventHeader header
        cdef char* blobs
        _PyBytes_Resize(&entry.data, events_end + blob_length)
        memset(&header, 0, sizeof(EventHeader))
        header.version = RECORD_VERSION
        header.disposition = <uint8_t>disposition
        header.event_count = <uint32_t>entry.event_count
        header.producer = <uint32_t>producer
        header.incarnation = incarnation
        header.number = number
        header.time_us = self.exchange.time_us
        header.blob_length = blob_length
        memcpy(PyBytes_AS_STRING(<object>entry.data), &header, sizeof(EventHeader))
        if blob_length:
            blobs = self.blobs
            memcpy(PyBytes_AS_STRING(<object>entry.data) + events_end, blobs, blob_length)
        data = <bytes>entry.data
        Py_XDECREF(entry.data)
        entry.data = NULL
        return data

    cdef int _execute_command(self, const Command* command, const uint8_t* blobs, uint64_t blob_length) except -1:
        """Executes one command. A refusal is one REJECTED event, and changes nothing else (promise P9)."""
        cdef Exchange* exchange = &self.exchange
        cdef uint32_t hash = exchange.client_hashes[exchange.entry.command_index % CLIENT_HASHES]
        cdef int reason
        if jibek_unlikely(not may_begin(exchange, command.kind)):
            reason = REASON_OVERLOADED
        elif command.kind == COMMAND_KIND_ORDER_PLACE and <uint64_t>command.blob_offset + command.blob_length <= blob_length:
            reason = place_order(exchange, command, hash)
        elif command.kind == COMMAND_KIND_ORDER_CANCEL and (command.blob_offset | command.blob_length) == 0:
            reason = cancel_order(exchange, command, hash)
        else:
            reason = self._execute_other(command, blobs, blob_length)
        if jibek_likely(reason == REASON_NONE):
            return 0
        if reason == NO_MEMORY or not emit_rejected(exchange, command, reason):
            raise MemoryError("no room for one more order, account or event")
        return 0

    cdef int _execute_other(self, const Command* command, const uint8_t* blobs, uint64_t blob_length) except? -1:
        """Executes a command that no hot path takes; the reason where it is refused."""
        cdef bytes blob
        try:
            reject_unless(command.kind in KINDS, Reason.UNKNOWN_COMMAND)
            reject_unless(
                <uint64_t>command.blob_offset + command.blob_length <= blob_length, Reason.MALFORMED_COMMAND
            )
            blob = PyBytes_FromStringAndSize(<const char*>blobs + command.blob_offset, command.blob_length)
            return administer(self, command, blob)
        except Rejected as rejected:
            return rejected.reason

    cdef OrderEvent* _emit(self, int kind, bytes blob) except NULL:
        """The next event, all zero but for its kind, the command it answers, and its blob."""
        cdef OrderEvent* event = emit(&self.exchange, kind)
        if event == NULL:
            raise MemoryError("no room for one more event")
        self._attach(event, blob)
        return event

    cdef int _attach(self, OrderEvent* event, bytes blob) except -1:
        """Gives the event a blob."""
        if blob:
            event.blob_offset = <uint32_t>len(self.blobs)
            event.blob_length = <uint32_t>len(blob)
            self.blobs += blob
        return 0

    # -- what the state is

    @property
    def time_us(self):
        """The largest stamp so far."""
        return self.exchange.time_us

    @property
    def accepted_difference_us(self):
        """How far an operator has accepted that the store's clock is ahead of the machine's; negative: behind."""
        return self.exchange.accepted_difference_us

    @property
    def accepted_time_us(self):
        """The time when an operator accepted it last; 0: never."""
        return self.exchange.accepted_time_us

    @property
    def accepted_store_us(self):
        """What the store's clock showed then."""
        return self.exchange.accepted_store_us

    @property
    def rules_version(self):
        """The rules that the last epoch-start named."""
        return self.exchange.rules_version

    @property
    def venue_state(self):
        """MarketState of the whole venue."""
        return self.exchange.venue_state

    @property
    def last_order_id(self):
        """The id of the order that was accepted last; 0 before the first."""
        return self.exchange.last_order_id

    @property
    def next_deadline_us(self):
        """When the next work falls due; None where none does. While the agenda holds work that is now."""
        return self.exchange.time_us if self.exchange.agenda_count else None

    @property
    def open_order_count(self):
        """How many orders rest in all markets."""
        return self.exchange.arena.live

    def balances(self):
        """(account, asset, available, held) in ascending order, leaving out what is zero. Cost: linear."""
        return all_balances(self)

    def account_balances(self, uint32_t number):
        """(asset, available, held) of one account, 0 for the house, as `balances` has them. Cost: O(its assets)."""
        assert number < self.exchange.account_count, "no such account"
        return account_balances(self, number)

    def depth(self, uint32_t market_number, int side, levels=None):
        """Prices and quantities of one side of a market, best first, as (price_ticks, quantity_lots).

        At most `levels` of them; None gives all. Cost: O(levels in the list).
        """
        cdef MarketRecord* market = find_market(&self.exchange, market_number)
        assert market != NULL, "no such market"
        return depth(market, side, levels)

    def open_orders(self, uint32_t account_number, uint32_t market_number=0):
        """The open orders of an account in one market or (0) in all: by market number, then by id, which is by age.

        Each is (order_id, market, side, price_ticks, quantity_lots, remaining_lots, client_id). Cost: O(orders listed for the
        account in the markets), of which some may have ended.
        """
        assert find_client(&self.exchange, account_number) != NULL, "no such account"
        return open_orders_of(self, account_number, market_number)

    def find_order(self, uint32_t account_number, uint32_t market_number, uint64_t order_id, bytes client_id not None):
        """The open order that an ORDER_CANCEL of these fields would cancel, as `open_orders` has it; None where it has none.

        You name it by its id, or if that is 0 by its client id as a record has it; all zero is not a client id. Cost: O(1).
        """
        cdef const char* id = PyBytes_AS_STRING(client_id)
        cdef uint32_t handle, hash
        assert len(client_id) == RECORD_CLIENT_ID_BYTES, f"a client id has {RECORD_CLIENT_ID_BYTES} bytes"
        hash = client_id_hash(client_id_read(id), self.exchange.client_id_seed, account_number)
        handle = find_order(&self.exchange, account_number, market_number, order_id, id, hash)
        return open_order(self, handle) if handle else None

    def book_state(self, uint32_t market_number):
        """The book of a market as `engine.Book.to_bytes` would give it. Cost: O(orders in the book)."""
        cdef MarketRecord* market = find_market(&self.exchange, market_number)
        assert market != NULL, "no such market"
        return book_state(self, market)

    def state_hash(self):
        """SHA-256 of `dump`, 32 bytes."""
        return hashlib.sha256(dump(self)).digest()

    def dump(self):
        """The whole state in canonical form (`engine/reference/report.py`): what `load` of either engine takes.

        Cost: linear in the state.
        """
        return dump(self)

    @staticmethod
    def load(bytes data not None):
        """The engine of which `data` is the dump. Cost: linear.

        Raises:
            SavedStateFault: no engine of this version has written these bytes; the text says what is wrong.
            MemoryError: there is no memory for the state.
        """
        cdef Core core = Core.__new__(Core)
        load(core, data)
        return core

    def check(self):
        """Walks the whole state and asserts every invariant; tests call it after each command. Cost: linear."""
        check(self)


KINDS = frozenset(int(kind) for kind in CommandKind)


cdef int admit(Core core, uint32_t producer, uint64_t incarnation, uint64_t number) except -1:
    """Decides whether a batch is new (promise P8), and remembers it if so.

    Raises:
        EngineStop: a batch is missing. The store refuses gaps, so this one has lost an entry.
    """
    last_incarnation, last_number = core.producers.get(producer, (0, 0))
    if incarnation < last_incarnation:
        return DISPOSITION_STALE
    if incarnation == last_incarnation and number <= last_number:
        return DISPOSITION_DUPLICATE
    expected = last_number + 1 if incarnation == last_incarnation else 1
    if number != expected:
        sender = f"producer {producer}, incarnation {incarnation},"
        raise EngineStop(f"{sender} sent batch {number} instead of {expected}")
    core.producers[producer] = (incarnation, number)
    return DISPOSITION_EXECUTED


include "administration.pxi"
include "report.pxi"
