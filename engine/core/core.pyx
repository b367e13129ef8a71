# cython: cdivision=True
# Divisors are never zero and operands never negative, so C's division is exact here and needs no checks.
"""The compiled exchange core: the state machine of `engine/reference/core.py`, byte for byte, in C structs.

Read the reference first: it says what each rule is. This module says how it is done fast. Orders, matching, balances and
holds live in C arrays and never touch a Python object; what no order touches (names, keys, own fees, windows) stays in
Python dicts and goes through `engine/definitions.py`, as in the reference.

    MarketRecord   definition, ladder (prices and their queues)
    Arena          the orders of all markets by handle; beside each node an OrderInfo
    OrderIds       order id -> handle, over the whole venue, whose order ids are dense
    HandleTable    (account, client id) -> handle
    AccountRecord  holdings by asset
    AccountMarket  an account's open orders in one market, oldest first, as a list that keeps orders that have gone until it
                   is full: an order that ends touches no other order of its account

Cost of placing or cancelling an order: O(1), and O(1) a fill; of cancelling all: O(1) an order. Memory: 110 to 190 bytes a
resting order with both indexes. Nothing is allocated once the arrays have grown to the size of the venue.

Amounts are below 2^62, and so is every product that is kept; a product that would pass that is seen, not wrapped.
"""

from cython cimport final
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, _PyBytes_Resize
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from engine.core.client_ids cimport (
    ClientIdWords,
    client_id_hash,
    client_id_is_none,
    client_id_is_padded,
    client_id_read,
    client_id_spread,
    client_ids_differ,
)
from engine.book.compaction cimport Compaction, compaction_begin, compaction_end, compaction_move
from engine.book.handle_table cimport (
    TableSearch,
    table_free,
    table_guess,
    table_init,
    table_insert,
    table_next,
    table_prefetch,
    table_remove,
    table_renumber,
    table_reserve,
    table_search,
    table_shrink,
)
from engine.book.ladder cimport (
    NO_ASK,
    Node,
    arena_free,
    arena_init,
    arena_is_sparse,
    ladder_after,
    ladder_best_ask,
    ladder_best_bid,
    ladder_best_level,
    ladder_cached,
    ladder_crosses,
    ladder_first,
    ladder_free,
    ladder_init,
    ladder_is_ask,
    ladder_key,
    ladder_price,
    ladder_remove,
    ladder_rest,
)
from engine.book.memory cimport jibek_likely, jibek_prefetch, jibek_unlikely, room_free, room_grow
from engine.book.order_ids cimport (
    ids_free,
    ids_get,
    ids_guess,
    ids_init,
    ids_insert,
    ids_prefetch,
    ids_remove,
    ids_reserve,
    ids_shrink,
)
from engine.book.price_tree cimport Leaf, Level, PriceTree, leaf_level, tree_worse_level
from engine.records cimport *
from engine.book.saved_book cimport saved_book_orders, saved_book_size, saved_book_write

import hashlib
import os
import struct

from engine.definitions import (
    RULES_VERSION,
    Refused,
    read_account,
    read_asset,
    read_epoch_start,
    read_fees,
    read_key,
    read_market,
    read_parts,
    refuse_unless,
)
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    BATCH_COMMANDS_MAX,
    KEYS_PER_ACCOUNT_MAX,
    MARKET_DEFINITION,
    STATE_REPORT,
    VERSION,
    EngineStop,
    StateReport as StateReportView,
    pack_parts,
)

cdef extern from *:
    """
    typedef __int128 jibek_int128;
    """
    ctypedef long long int128 "jibek_int128"

cdef extern from *:
    """
    #define JIBEK_AMOUNT_MAX (((int64_t)1 << 62) - 1)
    #define JIBEK_TRAITS 0x000000ffffffff00ull

    /* a × b for numbers from 0 to 2^62; anything above 2^62 - 1 is given as 2^62. */
    static inline int64_t jibek_multiply(int64_t a, int64_t b) {
        int64_t product;
        if (__builtin_expect(__builtin_mul_overflow(a, b, &product) || product > JIBEK_AMOUNT_MAX, 0))
            return JIBEK_AMOUNT_MAX + 1;
        return product;
    }
    """
    const int64_t LARGEST "JIBEK_AMOUNT_MAX"
    # The bytes of the first word of a command or an event that say side, type, time in force and self-trade mode.
    const uint64_t TRAITS "JIBEK_TRAITS"
    int64_t jibek_multiply(int64_t a, int64_t b) noexcept nogil

assert LARGEST == AMOUNT_MAX
assert sizeof(Node) == 32 and sizeof(OrderInfo) == 64 and sizeof(AccountMarket) == 64
assert sizeof(AccountRecord) == 64

cdef uint32_t COMMANDS_MAX = BATCH_COMMANDS_MAX
cdef uint16_t RECORD_VERSION = VERSION


cdef inline int64_t value_of(const MarketRecord* market, int64_t price_ticks, int64_t lots) noexcept nogil:
    """Price × quantity in smallest units of the quote asset; anything above 2^62 - 1 is given as 2^62."""
    return jibek_multiply(jibek_multiply(price_ticks, lots), market.notional_unit)


cdef inline int64_t hold_of(const MarketRecord* market, bint sells, int64_t price_ticks, int64_t lots) noexcept nogil:
    """What is held for `lots` of an order with a price: quote units for a buy, base units for a sell."""
    return lots * market.definition.lot_units if sells else value_of(market, price_ticks, lots)


cdef inline int64_t fee_of(int64_t received, int64_t fee_ppm) noexcept nogil:
    """min(received, received × fee_ppm / 1,000,000 rounded up)."""
    cdef int64_t fee
    if jibek_likely(received < <int64_t>1 << 46):
        # Fees are below 2^17 parts, so the product stays below 2^63, and a 64-bit division is many times faster.
        fee = <int64_t>((<uint64_t>received * <uint64_t>fee_ppm + 999_999) // 1_000_000)
    else:
        fee = <int64_t>((<int128>received * fee_ppm + 999_999) // 1_000_000)
    return fee if fee < received else received


@final
cdef class Core:
    """The exchange as a function from journal entries to event entries; see `engine.reference.Core`.

    >>> from engine.records import BatchBuilder, Command, CommandKind, EventEntry, EventKind
    >>> core, builder = Core(), BatchBuilder()
    >>> _ = builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"operator", b"first client")
    >>> [event] = EventEntry(core.execute(1_000_000, builder.build(producer=1, incarnation=1, number=1)))
    >>> EventKind(event.kind).name, event.account
    ('ACCOUNT_ADDED', 1)
    """

    def __cinit__(self):
        self.markets = NULL
        self.accounts = NULL
        self.infos = NULL
        self.entry = NULL
        arena_init(&self.arena)
        ids_init(&self.ids)
        table_init(&self.client_ids)
        table_init(&self.account_market_handles)
        self.client_id_seed = int.from_bytes(os.urandom(8), "little")

    def __init__(self):
        self.time_us = 0
        self.rules_version = RULES_VERSION
        self.venue_state = MARKET_STATE_TRADING
        self.assets = []
        self.asset_names = set()
        self.symbols = []
        self.market_definitions = []
        self.account_names = []
        self.account_name_set = set()
        self.account_fees = {}
        self.account_keys = {}
        self.key_owners = {}
        self.windows = {}
        self.blobs = bytearray()
        if not room_grow(&self.account_market_room, 0, RECORDS_MIN * sizeof(AccountMarket)):
            raise MemoryError("no room for a venue")
        # Handle 0 is nobody: it stands for every account in no market.
        self.account_markets = <AccountMarket*>self.account_market_room.memory
        memset(self.account_markets, 0, sizeof(AccountMarket))
        self.account_market_count = 1
        self._add_account(b"house")

    def __dealloc__(self):
        cdef uint32_t index
        for index in range(self.market_count):
            ladder_free(&self.arena, &self.markets[index].ladder)
            free(self.markets[index])
        free(self.markets)
        for index in range(self.account_market_count):
            free(self.account_markets[index].many)
        room_free(&self.account_market_room)
        table_free(&self.account_market_handles)
        for index in range(self.account_count):
            if self.accounts[index].holding_count > HOLDINGS_FEW:
                free(self.accounts[index].holdings.many)
        room_free(&self.account_room)
        arena_free(&self.arena)
        room_free(&self.info_room)
        ids_free(&self.ids)
        table_free(&self.client_ids)
        Py_XDECREF(self.entry)

    @property
    def open_order_count(self):
        """How many orders rest in all markets."""
        return self.arena.live

    def execute(self, int64_t time_us, bytes batch not None):
        """Carries out one journal entry and returns its event entry.

        Args:
            time_us: the store's stamp of the entry, microseconds since 1970 UTC. Time never runs backwards.
            batch: the entry's batch. Bytes that are no batch give an entry without events and change nothing else.

        Raises:
            EngineStop: a batch number is missing, or the journal asks for rules that this version does not know.
        """
        cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(batch)
        cdef const BatchHeader* header = <const BatchHeader*>data
        cdef const Command* commands = <const Command*>(data + sizeof(BatchHeader))
        cdef uint64_t length = len(batch)
        cdef uint64_t blob_start
        cdef uint32_t index
        cdef int disposition
        if time_us > self.time_us:
            self.time_us = time_us
        if length < sizeof(BatchHeader):
            self._begin_entry(0)
            return self._finish_entry(0, 0, 0, DISPOSITION_MALFORMED)
        blob_start = sizeof(BatchHeader) + header.command_count * sizeof(Command)
        if (
            header.version != RECORD_VERSION
            or header.command_count > COMMANDS_MAX
            or header.reserved != 0
            or length != blob_start + header.blob_length
        ):
            self._begin_entry(0)
            return self._finish_entry(0, 0, 0, DISPOSITION_MALFORMED)
        # A full batch seldom gives more events than this, and stays below the size from which malloc asks the kernel for
        # fresh pages each time; more make the entry grow.
        self._begin_entry(header.command_count + header.command_count // 4 + 4)
        disposition = self._admit(header.producer, header.incarnation, header.number)
        if disposition == DISPOSITION_EXECUTED:
            for index in range(header.command_count):
                if index % BLOCK_COMMANDS == 0:
                    self._prefetch(commands, index, header.command_count)
                self.command_index = index
                self.command_kind = commands[index].kind
                self._carry_out(&commands[index], data + blob_start, header.blob_length)
        return self._finish_entry(header.producer, header.incarnation, header.number, disposition)

    def _admit(self, uint32_t gateway, uint64_t boot, uint64_t number):
        """Decides whether a batch is new (promise P8), and remembers it if so."""
        last_boot, last_number = self.windows.get(gateway, (0, 0))
        if boot < last_boot:
            return DISPOSITION_STALE
        if boot == last_boot and number <= last_number:
            return DISPOSITION_DUPLICATE
        expected = last_number + 1 if boot == last_boot else 1
        if number != expected:
            raise EngineStop(f"gateway {gateway} boot {boot} sent batch {number} instead of {expected}")
        self.windows[gateway] = (boot, number)
        return DISPOSITION_EXECUTED

    cdef int _reserve_events(self, uint64_t capacity) except -1:
        """Makes room for that many events in the entry, which is a bytes object from the beginning: nothing is copied."""
        _PyBytes_Resize(&self.entry, sizeof(EventHeader) + capacity * sizeof(Event))
        self.events = <Event*>(PyBytes_AS_STRING(<object>self.entry) + sizeof(EventHeader))
        self.event_capacity = capacity
        return 0

    cdef int _begin_entry(self, uint64_t capacity) except -1:
        Py_XDECREF(self.entry)
        self.entry = NULL
        entry = PyBytes_FromStringAndSize(NULL, sizeof(EventHeader) + capacity * sizeof(Event))
        Py_INCREF(entry)
        self.entry = <PyObject*>entry
        self.events = <Event*>(PyBytes_AS_STRING(entry) + sizeof(EventHeader))
        self.event_capacity = capacity
        self.event_count = 0
        self.blobs.clear()
        return 0

    cdef bytes _finish_entry(self, uint32_t gateway, uint64_t boot, uint64_t number, int disposition):
        cdef uint64_t events_end = sizeof(EventHeader) + self.event_count * sizeof(Event)
        cdef uint64_t blob_length = len(self.blobs)
        cdef EventHeader header
        cdef char* blobs
        _PyBytes_Resize(&self.entry, events_end + blob_length)
        memset(&header, 0, sizeof(EventHeader))
        header.version = RECORD_VERSION
        header.disposition = <uint8_t>disposition
        header.event_count = <uint32_t>self.event_count
        header.producer = gateway
        header.incarnation = boot
        header.number = number
        header.time_us = self.time_us
        header.blob_length = blob_length
        memcpy(PyBytes_AS_STRING(<object>self.entry), &header, sizeof(EventHeader))
        if blob_length:
            blobs = self.blobs
            memcpy(PyBytes_AS_STRING(<object>self.entry) + events_end, blobs, blob_length)
        entry = <bytes>self.entry
        Py_XDECREF(self.entry)
        self.entry = NULL
        return entry

    cdef void _prefetch(self, const Command* commands, uint32_t index, uint32_t count) noexcept:
        """Asks for the memory that the three blocks of commands from `index` on will touch, each a step further than the next.

        So what one step needs has come when the next one looks at it, and an operation waits for none of it. The blocks are
        short, because what is asked for too early is out of the cache again. A guess that turns out wrong does no harm,
        and order id 0, account 0 and handle 0 lead to something like any other.
        """
        if index == 0:
            self._prefetch_places(commands, 0, count)
            self._prefetch_places(commands, BLOCK_COMMANDS, count)
            self._prefetch_records(commands, 0, count)
        self._prefetch_places(commands, index + 2 * BLOCK_COMMANDS, count)
        self._prefetch_records(commands, index + BLOCK_COMMANDS, count)
        self._prefetch_neighbours(commands, index, count)

    cdef void _prefetch_places(self, const Command* commands, uint32_t index, uint32_t count) noexcept:
        """Where orders, accounts and client ids are found; hashes the client ids."""
        cdef uint32_t end = index + BLOCK_COMMANDS if index + BLOCK_COMMANDS < count else count
        cdef uint32_t hash, line
        cdef MarketRecord* market
        while index < end:
            ids_prefetch(&self.ids, commands[index].order_id)
            jibek_prefetch(&self.accounts[self._known(commands[index].account)])
            # A command without a client id has a hash like the others: asking whether it has one costs more.
            hash = client_id_hash(
                client_id_read(commands[index].client_id), self.client_id_seed, commands[index].account
            )
            self.client_hashes[index % CLIENT_HASHES] = hash
            table_prefetch(&self.client_ids, client_id_spread(hash))
            if self.market_count > MARKETS_IN_CACHE:
                table_prefetch(
                    &self.account_market_handles, account_market_hash(commands[index].account, commands[index].market)
                )
                market = self._market(commands[index].market)
                if market != NULL:
                    for line in range(0, sizeof(MarketRecord), 64):
                        jibek_prefetch(<char*>market + line)
            index += 1

    cdef void _prefetch_records(self, const Command* commands, uint32_t index, uint32_t count) noexcept:
        """The orders that are named, the accounts' balances and what they have to do with the market."""
        cdef uint32_t end = index + BLOCK_COMMANDS if index + BLOCK_COMMANDS < count else count
        cdef uint32_t handle
        cdef MarketRecord* market
        cdef int64_t key
        while index < end:
            handle = ids_guess(&self.ids, commands[index].order_id)
            jibek_prefetch(&self.arena.nodes[handle])
            jibek_prefetch(&self.infos[handle])
            jibek_prefetch(&self.account_markets[self._known_market(commands[index].account, commands[index].market)])
            if self.market_count > MARKETS_IN_CACHE:
                market = self._market(commands[index].market)
                if market != NULL:
                    key = ladder_key(commands[index].side != SIDE_BUY, commands[index].price_ticks)
                    jibek_prefetch(ladder_cached(&market.ladder, key))
            index += 1

    cdef void _prefetch_neighbours(self, const Command* commands, uint32_t index, uint32_t count) noexcept:
        """The orders beside those that are named, their levels, and those that would trade."""
        cdef uint32_t end = index + BLOCK_COMMANDS if index + BLOCK_COMMANDS < count else count
        cdef MarketRecord* market = self._market(commands[index].market) if index < count else NULL
        cdef uint32_t handle
        cdef AccountMarket* own
        cdef int64_t key
        cdef Leaf* leaf
        cdef Node* node
        if self.arena.live == 0 or market == NULL:
            return
        if self.market_count <= MARKETS_IN_CACHE:
            self._prefetch_makers(market)
        while index < end:
            handle = ids_guess(&self.ids, commands[index].order_id)
            node = &self.arena.nodes[handle]
            jibek_prefetch(node.level)
            jibek_prefetch(&self.arena.nodes[node.next])
            jibek_prefetch(&self.arena.nodes[node.previous])
            table_prefetch(&self.client_ids, client_id_spread(self.infos[handle].client_hash))
            own = &self.account_markets[self._known_market(commands[index].account, commands[index].market)]
            jibek_prefetch(&own.many[own.listed_count])
            if self.market_count > MARKETS_IN_CACHE:
                market = self._market(commands[index].market)
                if market != NULL:
                    key = ladder_key(commands[index].side != SIDE_BUY, commands[index].price_ticks)
                    leaf = ladder_cached(&market.ladder, key)[0]
                    jibek_prefetch(leaf)
                    jibek_prefetch(leaf_level(leaf, key))
            index += 1

    cdef void _prefetch_makers(self, MarketRecord* market) noexcept:
        """What belongs to those who are first in line, and the orders behind theirs."""
        cdef uint32_t handle
        cdef AccountRecord* account
        for sells in range(2):
            handle = ladder_first(&market.ladder, sells)
            account = &self.accounts[self.infos[handle].account if handle else 0]
            jibek_prefetch(&self.account_markets[account.recent])
            handle = self.arena.nodes[handle].next
            jibek_prefetch(&self.arena.nodes[handle])
            jibek_prefetch(&self.infos[handle])

    cdef uint32_t _known(self, uint32_t account) noexcept:
        """The number of an account; 0, the house, where there is none of it. Without a branch."""
        return account if account < self.account_count else 0

    cdef uint32_t _known_market(self, uint32_t account, uint32_t market) noexcept:
        """The handle of what an account most likely has to do with a market, without looking there."""
        if self.market_count > MARKETS_IN_CACHE:
            return table_guess(&self.account_market_handles, account_market_hash(account, market))
        return self.accounts[self._known(account)].recent

    cdef int _carry_out(self, const Command* command, const uint8_t* blobs, uint64_t blob_length) except -1:
        """Executes one command. A refusal is one REJECTED event."""
        cdef int reason
        if command.kind == COMMAND_KIND_ORDER_PLACE and <uint64_t>command.blob_offset + command.blob_length <= blob_length:
            reason = self._place(command)
        elif command.kind == COMMAND_KIND_ORDER_CANCEL and (command.blob_offset | command.blob_length) == 0:
            reason = self._cancel(command)
        else:
            reason = self._carry_out_other(command, blobs, blob_length)
        if jibek_unlikely(reason != REASON_NONE):
            self._emit_rejected(command, reason)
        return 0

    cdef int _carry_out_other(self, const Command* command, const uint8_t* blobs, uint64_t blob_length) except -1:
        """Executes a command that no hot path takes; returns the reason where it is refused."""
        cdef bytes blob
        try:
            refuse_unless(command.kind in _KNOWN_KINDS, Reason.UNKNOWN_COMMAND)
            refuse_unless(
                <uint64_t>command.blob_offset + command.blob_length <= blob_length, Reason.MALFORMED_COMMAND
            )
            blob = PyBytes_FromStringAndSize(<const char*>blobs + command.blob_offset, command.blob_length)
            return self._administer(command, blob)
        except Refused as refusal:
            return refusal.reason

    # -- the venue, accounts, keys, money: commands that no hot path takes

    cdef int _administer(self, const Command* command, bytes blob) except -1:
        cdef int kind = command.kind
        if kind == COMMAND_KIND_ORDER_CANCEL:
            if blob:
                (cancel_id,) = read_parts(blob, 1)
                refuse_unless(len(cancel_id) <= 36, Reason.INVALID_CLIENT_ID)
            reason = self._cancel(command)
            refuse_unless(reason == REASON_NONE, Reason(reason))
            self._attach(&self.events[self.event_count - 1], blob)
        elif kind == COMMAND_KIND_ORDER_CANCEL_ALL:
            self._cancel_all(command.account, command.market)
        elif kind == COMMAND_KIND_TIME_TICK:
            # The stamp of its entry has done all the work: a surplus tick does nothing.
            pass
        elif kind == COMMAND_KIND_EPOCH_START:
            self.rules_version = read_epoch_start(blob).rules_version
            self._attach(self._emit(EVENT_KIND_EPOCH_STARTED), blob)
        elif kind == COMMAND_KIND_ASSET_ADD:
            self._asset_add(blob)
        elif kind == COMMAND_KIND_MARKET_ADD:
            self._market_add(blob)
        elif kind == COMMAND_KIND_FEES_SET:
            self._fees_set(command.account, command.market, blob)
        elif kind == COMMAND_KIND_MARKET_STATE_SET:
            self._market_state_set(command.market, command.state, blob)
        elif kind == COMMAND_KIND_ACCOUNT_ADD:
            self._account_add(blob)
        elif kind == COMMAND_KIND_ACCOUNT_FREEZE:
            self._account_freeze(command.account, blob)
        elif kind == COMMAND_KIND_ACCOUNT_UNFREEZE:
            self._account_unfreeze(command.account, blob)
        elif kind == COMMAND_KIND_KEY_ADD:
            self._key_add(command.account, blob)
        elif kind == COMMAND_KIND_KEY_REVOKE:
            self._key_revoke(command.account, blob)
        elif kind == COMMAND_KIND_DEPOSIT:
            self._deposit(command.account, command.asset, command.amount, blob)
        elif kind == COMMAND_KIND_WITHDRAW:
            self._withdraw(command.account, command.asset, command.amount, blob)
        elif kind == COMMAND_KIND_STATE_REPORT:
            self._state_report()
        return 0

    def _asset_add(self, bytes blob):
        scale, name = read_asset(blob)
        refuse_unless(name not in self.asset_names, Reason.ASSET_EXISTS)
        number = len(self.assets) + 1
        refuse_unless(number < 1 << 16, Reason.TOO_MANY_DEFINITIONS)
        self.assets.append([name, scale, 0])
        self.asset_names.add(name)
        cdef Event* event = self._emit(EVENT_KIND_ASSET_ADDED)
        event.asset = number
        self._attach(event, blob)

    def _market_add(self, bytes blob):
        scales = {number: scale for number, (_, scale, _) in enumerate(self.assets, start=1)}
        definition, symbol, unit = read_market(blob, scales)
        refuse_unless(symbol not in self.symbols, Reason.MARKET_EXISTS)
        cdef uint32_t number = self.market_count + 1
        refuse_unless(number < 1 << 16, Reason.TOO_MANY_DEFINITIONS)
        cdef bytes packed = MARKET_DEFINITION.pack(definition)
        cdef MarketRecord** markets = <MarketRecord**>realloc(self.markets, number * sizeof(MarketRecord*))
        if markets == NULL:
            raise MemoryError("no room for one more market")
        self.markets = markets
        cdef MarketRecord* market = <MarketRecord*>calloc(1, sizeof(MarketRecord))
        if market == NULL:
            raise MemoryError("no room for one more market")
        memcpy(&market.definition, PyBytes_AS_STRING(packed), sizeof(MarketDefinition))
        market.event_assets = <uint64_t>market.definition.base_asset << 16 | <uint64_t>market.definition.quote_asset << 32
        market.number = number
        market.state = MARKET_STATE_TRADING
        market.notional_unit = unit
        ladder_init(&market.ladder)
        self.markets[self.market_count] = market
        self.market_count = number
        self.symbols.append(symbol)
        self.market_definitions.append(packed)
        cdef Event* event = self._emit(EVENT_KIND_MARKET_ADDED)
        event.market = number
        event.base_asset = <uint16_t>market.definition.base_asset
        event.quote_asset = <uint16_t>market.definition.quote_asset
        self._attach(event, blob)

    def _fees_set(self, uint32_t account, uint32_t market, bytes blob):
        fees = read_fees(blob)
        for_all_markets = account != 0 and market == 0
        refuse_unless(for_all_markets or 0 < market <= self.market_count, Reason.UNKNOWN_MARKET)
        if account == 0:
            self.markets[market - 1].definition.maker_fee_ppm = fees.maker_fee_ppm
            self.markets[market - 1].definition.taker_fee_ppm = fees.taker_fee_ppm
        else:
            refuse_unless(account < self.account_count, Reason.UNKNOWN_ACCOUNT)
            self.account_fees.setdefault(account, {})[market] = (fees.maker_fee_ppm, fees.taker_fee_ppm)
            self.accounts[account].has_own_fees = True
        cdef Event* event = self._emit(EVENT_KIND_FEES_CHANGED)
        event.account = account
        event.market = market
        self._attach(event, blob)

    def _market_state_set(self, uint32_t market, uint32_t state, bytes blob):
        read_parts(blob, 2)
        refuse_unless(state in (MARKET_STATE_TRADING, MARKET_STATE_HALTED), Reason.INVALID_STATE)
        refuse_unless(market <= self.market_count, Reason.UNKNOWN_MARKET)
        if market == 0:
            self.venue_state = state
        else:
            self.markets[market - 1].state = state
        cdef Event* event = self._emit(EVENT_KIND_MARKET_STATE_CHANGED)
        event.market = market
        event.state = <uint8_t>state
        self._attach(event, blob)

    def _account_add(self, bytes blob):
        name = read_account(blob)
        refuse_unless(name not in self.account_name_set, Reason.ACCOUNT_EXISTS)
        self._add_account(name)
        cdef Event* event = self._emit(EVENT_KIND_ACCOUNT_ADDED)
        event.account = self.account_count - 1
        self._attach(event, blob)

    def _add_account(self, bytes name):
        cdef uint64_t used = self.account_count * sizeof(AccountRecord)
        if used + sizeof(AccountRecord) > self.account_room.size:
            if not room_grow(&self.account_room, used, 2 * used if used else RECORDS_MIN * sizeof(AccountRecord)):
                raise MemoryError("no room for one more account")
            self.accounts = <AccountRecord*>self.account_room.memory
        memset(&self.accounts[self.account_count], 0, sizeof(AccountRecord))
        self.account_count += 1
        self.account_names.append(name)
        self.account_name_set.add(name)

    def _client_exists(self, uint32_t account):
        refuse_unless(0 < account < self.account_count, Reason.UNKNOWN_ACCOUNT)

    def _account_freeze(self, uint32_t account, bytes blob):
        read_parts(blob, 2)
        self._client_exists(account)
        refuse_unless(not self.accounts[account].frozen, Reason.ACCOUNT_FROZEN)
        self.accounts[account].frozen = True
        cdef Event* event = self._emit(EVENT_KIND_ACCOUNT_FROZEN)
        event.account = account
        self._attach(event, blob)
        self._close_all(account, 0, REASON_CANCELLED_BY_FREEZE)

    def _account_unfreeze(self, uint32_t account, bytes blob):
        read_parts(blob, 2)
        self._client_exists(account)
        refuse_unless(self.accounts[account].frozen, Reason.ACCOUNT_NOT_FROZEN)
        self.accounts[account].frozen = False
        cdef Event* event = self._emit(EVENT_KIND_ACCOUNT_UNFROZEN)
        event.account = account
        self._attach(event, blob)

    def _key_add(self, uint32_t account, bytes blob):
        definition, key_id, public_key = read_key(blob)
        self._client_exists(account)
        refuse_unless(key_id not in self.key_owners, Reason.KEY_EXISTS)
        keys = self.account_keys.setdefault(account, {})
        refuse_unless(len(keys) < KEYS_PER_ACCOUNT_MAX, Reason.TOO_MANY_KEYS)
        keys[key_id] = (definition.key_type, definition.permissions, public_key)
        self.key_owners[key_id] = account
        cdef Event* event = self._emit(EVENT_KIND_KEY_ADDED)
        event.account = account
        self._attach(event, blob)

    def _key_revoke(self, uint32_t account, bytes blob):
        key_id, _, _ = read_parts(blob, 3)
        self._client_exists(account)
        keys = self.account_keys.get(account, {})
        refuse_unless(key_id in keys, Reason.UNKNOWN_KEY)
        del keys[key_id]
        del self.key_owners[key_id]
        cdef Event* event = self._emit(EVENT_KIND_KEY_REVOKED)
        event.account = account
        self._attach(event, blob)

    def _deposit(self, uint32_t account, uint32_t asset, int64_t amount, bytes blob):
        read_parts(blob, 2)
        self._client_exists(account)
        refuse_unless(0 < asset <= len(self.assets), Reason.UNKNOWN_ASSET)
        record = self.assets[asset - 1]
        refuse_unless(amount > 0 and record[2] + amount <= AMOUNT_MAX, Reason.INVALID_AMOUNT)
        record[2] += amount
        self._find_holding(&self.accounts[account], asset).available += amount
        self._emit_transfer(EVENT_KIND_DEPOSITED, account, asset, amount, blob)

    def _withdraw(self, uint32_t account, uint32_t asset, int64_t amount, bytes blob):
        read_parts(blob, 2)
        self._client_exists(account)
        refuse_unless(not self.accounts[account].frozen, Reason.ACCOUNT_FROZEN)
        refuse_unless(0 < asset <= len(self.assets), Reason.UNKNOWN_ASSET)
        refuse_unless(amount > 0, Reason.INVALID_AMOUNT)
        cdef Holding* holding = self._find_holding(&self.accounts[account], asset)
        refuse_unless(holding.available >= amount, Reason.INSUFFICIENT_FUNDS)
        holding.available -= amount
        self.assets[asset - 1][2] -= amount
        self._emit_transfer(EVENT_KIND_WITHDRAWN, account, asset, amount, blob)

    def _emit_transfer(self, int kind, uint32_t account, uint32_t asset, int64_t amount, bytes blob):
        cdef Event* event = self._emit(kind)
        event.account = account
        event.asset = <uint16_t>asset
        event.amount = amount
        self._attach(event, blob)

    # -- events

    cdef Event* _next_event(self) except NULL:
        """Where the next event goes; the caller fills it."""
        if jibek_unlikely(self.event_count == self.event_capacity):
            self._reserve_events(2 * self.event_capacity + 4)
        self.event_count += 1
        return &self.events[self.event_count - 1]

    cdef Event* _emit(self, int kind) except NULL:
        """The next event, all zero but for its kind and the command it answers."""
        cdef Event* event = self._next_event()
        memset(event, 0, sizeof(Event))
        event.kind = <uint8_t>kind
        event.command_index = self.command_index
        event.command = self.command_kind
        return event

    cdef int _attach(self, Event* event, bytes blob) except -1:
        """Gives the event a blob."""
        if blob:
            event.blob_offset = <uint32_t>len(self.blobs)
            event.blob_length = <uint32_t>len(blob)
            self.blobs += blob
        return 0

    cdef int _emit_rejected(self, const Command* command, int reason) except -1:
        cdef Event* event = self._emit(EVENT_KIND_REJECTED)
        event.reason = <uint16_t>reason
        event.side = command.side
        event.order_type = command.order_type
        event.time_in_force = command.time_in_force
        event.self_trade_mode = command.self_trade_mode
        event.market = command.market
        event.account = command.account
        event.asset = command.asset
        event.order_id = command.order_id
        event.price_ticks = command.price_ticks
        event.quantity_lots = command.quantity_lots
        event.amount = command.amount
        memcpy(event.client_id, command.client_id, 36)
        return 0

    # -- accounts and markets by number

    cdef AccountRecord* _account(self, uint32_t number) noexcept:
        """A client's account; NULL where there is none of that number."""
        return &self.accounts[number] if 0 < number < self.account_count else NULL

    cdef MarketRecord* _market(self, uint32_t number) noexcept:
        return self.markets[number - 1] if 0 < number <= self.market_count else NULL

    cdef Holding* _find_holding(self, AccountRecord* account, uint32_t asset) except NULL:
        """What the account has of an asset, made where it is missing. Making one moves the others."""
        cdef Holding* holdings = holdings_of(account)
        cdef uint16_t count = account.holding_count
        cdef uint16_t step = count
        cdef uint16_t index = 0
        # Halves what is left to search while it is long, and walks the rest.
        while step > SEARCH_WALK_MAX:
            if holdings[index + step // 2 - 1].asset < asset:
                index += step // 2
            step -= step // 2
        while step and holdings[index].asset < asset:
            index += 1
            step -= 1
        if index < count and holdings[index].asset == asset:
            return &holdings[index]
        # From few on there is room for the next power of two.
        if count >= HOLDINGS_FEW and count & (count - 1) == 0:
            holdings = <Holding*>realloc(NULL if count == HOLDINGS_FEW else holdings, 2 * count * sizeof(Holding))
            if holdings == NULL:
                raise MemoryError("no room for one more balance")
            if count == HOLDINGS_FEW:
                memcpy(holdings, &account.holdings.few[0], count * sizeof(Holding))
            account.holdings.many = holdings
        memmove(&holdings[index + 1], &holdings[index], (count - index) * sizeof(Holding))
        memset(&holdings[index], 0, sizeof(Holding))
        holdings[index].asset = asset
        account.holding_count += 1
        return &holdings[index]

    cdef AccountMarket* _find_market(self, uint32_t account, uint32_t market) except NULL:
        """What an account has to do with a market, made where it is missing. Making it may move all others."""
        cdef uint64_t hash = account_market_hash(account, market)
        cdef TableSearch search = table_search(&self.account_market_handles, hash)
        cdef uint32_t handle = table_next(&self.account_market_handles, hash, &search)
        cdef AccountMarket* own
        while handle:
            own = &self.account_markets[handle]
            if own.account == account and own.market == market:
                self.accounts[account].recent = handle
                self.accounts[account].recent_market = market
                return own
            handle = table_next(&self.account_market_handles, hash, &search)
        return self._add_market(account, market)

    cdef AccountMarket* _add_market(self, uint32_t account, uint32_t market) except NULL:
        cdef uint32_t handle = self.account_market_count
        cdef uint64_t used = handle * sizeof(AccountMarket)
        cdef AccountMarket* own
        if used + sizeof(AccountMarket) > self.account_market_room.size:
            if not room_grow(&self.account_market_room, used, 2 * used):
                raise MemoryError("no room for one more market of an account")
            self.account_markets = <AccountMarket*>self.account_market_room.memory
        if not table_reserve(&self.account_market_handles, account_market_hash_of, self.account_markets):
            raise MemoryError("no room for one more market of an account")
        own = &self.account_markets[handle]
        memset(own, 0, sizeof(AccountMarket))
        own.account = account
        own.market = market
        own.capacity = OPEN_ORDERS_FEW
        own.next = self.accounts[account].markets
        self.accounts[account].markets = handle
        self.accounts[account].recent = handle
        self.accounts[account].recent_market = market
        self.account_market_count += 1
        table_insert(&self.account_market_handles, account_market_hash(account, market), handle)
        return own

    cdef list _markets_of(self, uint32_t account, uint32_t market):
        """The handles of what an account has to do with one market or (0) with all, by market number."""
        cdef uint32_t handle = self.accounts[account].markets
        found = []
        while handle:
            if self.account_markets[handle].open_count and market in (0, self.account_markets[handle].market):
                found.append((self.account_markets[handle].market, handle))
            handle = self.account_markets[handle].next
        return [handle for _, handle in sorted(found)]

    # -- placing an order

    cdef int _place(self, const Command* command) except -1:
        """Accepts, matches, and rests or ends an order; returns the reason where it is refused instead."""
        # What is held: the value of a buy, the base units of a sell, nothing for a MARKET order.
        cdef int64_t hold = 0
        cdef int reason = self._check_place(command, &hold)
        cdef bint sells = command.side != SIDE_BUY
        cdef int64_t key = ladder_key(sells, command.price_ticks)
        cdef uint32_t hash = 0
        cdef bint may_rest
        cdef MarketRecord* market
        cdef AccountRecord* account
        cdef AccountMarket* own
        cdef Holding* holding
        if jibek_unlikely(reason != REASON_NONE):
            return reason
        market = self.markets[command.market - 1]
        account = &self.accounts[command.account]
        if command.client_id[0]:
            hash = self.client_hashes[self.command_index % CLIENT_HASHES]
            if jibek_unlikely(self._find_client_id(command.account, command.client_id, hash)):
                return REASON_DUPLICATE_CLIENT_ID
        own = account_market(self, command.account, market.number)
        may_rest = command.order_type == ORDER_TYPE_LIMIT_MAKER or command.time_in_force == TIME_IN_FORCE_GTC
        if may_rest and jibek_unlikely(own.open_count >= market.definition.open_orders_max):
            return REASON_TOO_MANY_OPEN_ORDERS
        if command.order_type == ORDER_TYPE_LIMIT_MAKER and ladder_crosses(&market.ladder, sells, key):
            return REASON_WOULD_TAKE
        holding = paying_holding(self, market, account, own, sells)
        if jibek_unlikely(command.order_type == ORDER_TYPE_MARKET):
            # The key that crosses every order and no empty side.
            key = LARGEST
            if not self._has_funds_at_market(command, market, holding.available):
                return REASON_INSUFFICIENT_FUNDS
        elif jibek_unlikely(holding.available < hold):
            return REASON_INSUFFICIENT_FUNDS
        holding.available -= hold
        holding.held += hold
        self.last_order_id += 1
        emit_order(
            self,
            market,
            # A command begins with kind, side, type, time in force and self-trade mode, as an event does.
            (<const uint64_t*>command)[0] & TRAITS | EVENT_KIND_ORDER_ACCEPTED,
            command.account,
            self.last_order_id,
            command.price_ticks,
            command.quantity_lots,
            command.amount,
            command.quantity_lots,
            0,
            0,
            hold,
            command.client_id,
        )
        if may_rest and not ladder_crosses(&market.ladder, sells, key):
            return self._rest(market, own, command, key, command.quantity_lots, 0, hash)
        return self._take(market, own, command, key, hash)

    cdef int _take(
        self, MarketRecord* market, AccountMarket* own, const Command* command, int64_t key, uint32_t hash
    ) except -1:
        """Matches the order that was accepted last, and rests or ends what is left of it."""
        cdef Taker taker
        taker.traits = (<const uint64_t*>command)[0] & TRAITS
        taker.order_id = self.last_order_id
        taker.price_ticks = command.price_ticks
        taker.quantity_lots = command.quantity_lots
        taker.quote_amount = command.amount
        taker.left_lots = command.quantity_lots
        taker.cumulative_lots = 0
        taker.cumulative_quote = 0
        taker.key = key
        taker.client_id = &command.client_id[0]
        taker.account = command.account
        taker.sells = command.side != SIDE_BUY
        taker.has_price = command.order_type != ORDER_TYPE_MARKET
        if command.time_in_force == TIME_IN_FORCE_FOK and not fills_whole(market, &taker):
            return self._close(market, own, &taker, REASON_FILL_OR_KILL_EXPIRED)
        if self._match(market, own, &taker):
            self.events[self.event_count - 1].flags |= TRADE_FLAG_TAKER_FILLED
            return REASON_NONE
        if command.order_type == ORDER_TYPE_MARKET:
            return self._close(market, own, &taker, REASON_MARKET_REST_EXPIRED)
        if command.time_in_force == TIME_IN_FORCE_GTC:
            return self._rest(market, own, command, key, taker.left_lots, taker.cumulative_quote, hash)
        return self._close(market, own, &taker, REASON_IMMEDIATE_REST_EXPIRED)

    cdef int _check_place(self, const Command* command, int64_t* hold) noexcept:
        """What can be judged before the account's orders and funds are looked at, in the reference's order.

        Also tells what an order with a price holds.
        """
        cdef MarketRecord* market = self._market(command.market)
        cdef AccountRecord* account = self._account(command.account)
        # Or-ed, so that one question does for what no order uses.
        if jibek_unlikely(
            (
                command.flags | command.asset | command.order_id | <uint64_t>command.trigger_ticks
                | <uint64_t>command.display_lots | <uint64_t>command.expiry_us | command.group
                | command.blob_length | command.state
            ) != 0
        ):
            return REASON_MALFORMED_COMMAND
        if jibek_unlikely(not client_id_is_padded(client_id_read(command.client_id))):
            return REASON_INVALID_CLIENT_ID
        if jibek_unlikely(market == NULL):
            return REASON_UNKNOWN_MARKET
        if jibek_unlikely(account == NULL):
            return REASON_UNKNOWN_ACCOUNT
        if jibek_unlikely(account.frozen):
            return REASON_ACCOUNT_FROZEN
        if jibek_unlikely(self.venue_state != MARKET_STATE_TRADING):
            return REASON_VENUE_HALTED
        if jibek_unlikely(market.state != MARKET_STATE_TRADING):
            return REASON_MARKET_HALTED
        if jibek_unlikely(command.side - SIDE_BUY > <unsigned int>(SIDE_SELL - SIDE_BUY)):
            return REASON_INVALID_SIDE
        if jibek_likely(command.order_type == ORDER_TYPE_LIMIT):
            if not TIME_IN_FORCE_GTC <= command.time_in_force <= TIME_IN_FORCE_FOK:
                return REASON_INVALID_TIME_IN_FORCE
        elif command.order_type == ORDER_TYPE_MARKET or command.order_type == ORDER_TYPE_LIMIT_MAKER:
            if command.time_in_force != TIME_IN_FORCE_NONE:
                return REASON_INVALID_TIME_IN_FORCE
        else:
            return REASON_INVALID_ORDER_TYPE
        if jibek_unlikely(command.self_trade_mode != SELF_TRADE_MODE_NONE):
            return REASON_INVALID_SELF_TRADE_MODE
        if command.order_type == ORDER_TYPE_MARKET:
            return check_market(market, command)
        return check_limit(market, command, hold)

    cdef bint _has_funds_at_market(self, const Command* command, MarketRecord* market, int64_t available) noexcept:
        """Whether `available` covers what the fills of a MARKET order can cost."""
        if command.side == SIDE_BUY:
            if command.amount:
                return available >= command.amount
            return self._can_buy(market, command.quantity_lots, available)
        if command.amount:
            return self._can_sell_for(market, command.amount, available)
        return available >= command.quantity_lots * market.definition.lot_units

    cdef bint _can_buy(self, MarketRecord* market, int64_t lots, int64_t available) noexcept:
        """Whether `available` covers what buying up to `lots` at the market costs now."""
        cdef uint32_t handle = ladder_first(&market.ladder, True)
        cdef Node* node
        cdef int64_t filled
        while handle and lots:
            node = &self.arena.nodes[handle]
            filled = node.left_lots if node.left_lots < lots else lots
            available -= value_of(market, ladder_price(node), filled)
            if available < 0:
                return False
            lots -= filled
            handle = ladder_after(node)
        return True

    cdef bint _can_sell_for(self, MarketRecord* market, int64_t quote_amount, int64_t available) noexcept:
        """Whether `available` covers the lots that a sell at the market for up to `quote_amount` gives away now."""
        cdef uint32_t handle = ladder_first(&market.ladder, False)
        cdef Node* node
        cdef int64_t affordable, filled
        while handle:
            node = &self.arena.nodes[handle]
            affordable = quote_amount // value_of(market, ladder_price(node), 1)
            filled = node.left_lots if node.left_lots < affordable else affordable
            available -= filled * market.definition.lot_units
            if available < 0:
                return False
            quote_amount -= value_of(market, ladder_price(node), filled)
            if filled < node.left_lots:
                return True
            handle = ladder_after(node)
        return True

    # -- matching

    cdef bint _match(self, MarketRecord* market, AccountMarket* own, Taker* taker) except -1:
        """Fills `taker` against the book as far as it goes; True where nothing is left for it to do."""
        cdef PriceTree* makers = &market.ladder.sides[not taker.sells]
        cdef int64_t budget = taker.quote_amount
        cdef int64_t lots, price_ticks, affordable, value
        cdef uint32_t handle
        while makers.best_key + taker.key >= 0:
            price_ticks = ladder_key(not taker.sells, makers.best_key)
            handle = makers.best_level.head
            lots = self.arena.nodes[handle].left_lots
            if jibek_unlikely(taker.quote_amount):
                affordable = budget // value_of(market, price_ticks, 1)
                if affordable < lots:
                    lots = affordable
                if lots == 0:
                    # What is left of the amount does not buy one lot: done, if it bought anything at all.
                    return taker.cumulative_lots > 0
                value = value_of(market, price_ticks, lots)
                budget -= value
                self._trade(market, own, taker, handle, lots, value)
                continue
            if taker.left_lots < lots:
                lots = taker.left_lots
            taker.left_lots -= lots
            self._trade(market, own, taker, handle, lots, value_of(market, price_ticks, lots))
            if taker.left_lots == 0:
                return True
        return taker.quote_amount > 0 and budget == 0

    cdef int _trade(
        self, MarketRecord* market, AccountMarket* own, Taker* taker, uint32_t handle, int64_t lots, int64_t value
    ) except -1:
        """One fill at the maker's price: quantities, money, fees, event."""
        cdef Node* node = &self.arena.nodes[handle]
        cdef OrderInfo* maker = &self.infos[handle]
        cdef AccountMarket* maker_own = account_market(self, maker.account, market.number)
        cdef int64_t base = lots * market.definition.lot_units
        cdef int64_t taker_released = 0
        cdef int64_t maker_released = value if taker.sells else base
        cdef Event* event
        if taker.has_price:
            taker_released = hold_of(market, taker.sells, taker.price_ticks, lots)
        taker.cumulative_lots += lots
        taker.cumulative_quote += value
        maker.cumulative_quote += value
        market.trades += 1
        event = emit_head(self, market, taker.traits | EVENT_KIND_TRADE, taker.account, maker.account)
        event.order_id = taker.order_id
        event.maker_order_id = node.order_id
        event.trade_id = market.trades
        event.price_ticks = ladder_price(node)
        event.quantity_lots = lots
        event.base_amount = base
        event.quote_amount = value
        event.cumulative_lots = taker.cumulative_lots
        event.cumulative_quote = taker.cumulative_quote
        event.left_lots = taker.left_lots
        event.maker_left_lots = node.left_lots - lots
        event.maker_cumulative_lots = maker.quantity_lots - event.maker_left_lots
        event.maker_cumulative_quote = maker.cumulative_quote
        event.hold_change = -taker_released
        event.maker_hold_change = -maker_released
        memcpy(event.client_id, taker.client_id, 36)
        memcpy(event.maker_client_id, maker.client_id, 36)
        event.fee = self._settle_side(market, own, taker.account, not taker.sells, base, value, taker_released, False)
        event.maker_fee = self._settle_side(
            market, maker_own, maker.account, taker.sells, base, value, maker_released, True
        )
        if lots == node.left_lots:
            event.flags = TRADE_FLAG_MAKER_FILLED
            self._forget(market, maker_own, handle)
        else:
            node.left_lots -= lots
            node.level.quantity_lots -= lots
        return 0

    cdef int64_t _settle_side(
        self,
        MarketRecord* market,
        AccountMarket* own,
        uint32_t account_number,
        bint buys,
        int64_t base,
        int64_t value,
        int64_t released,
        bint is_maker,
    ) except -1:
        """Moves one side's money for one fill and returns its fee, taken from what it receives."""
        cdef AccountRecord* account = &self.accounts[account_number]
        cdef int64_t paid = value if buys else base
        cdef int64_t received = base if buys else value
        cdef int64_t fee = fee_of(received, self._fee_ppm(market, account_number, is_maker))
        cdef Holding* holding = paying_holding(self, market, account, own, not buys)
        holding.held -= released
        holding.available += released - paid
        # What a side receives is what the other side pays with. Asked for now, because making it moves the others.
        paying_holding(self, market, account, own, buys).available += received - fee
        if jibek_likely(fee):
            if buys:
                holding = known_holding(self, &self.accounts[0], &market.house_base, market.definition.base_asset)
            else:
                holding = known_holding(self, &self.accounts[0], &market.house_quote, market.definition.quote_asset)
            holding.available += fee
        return fee

    cdef int64_t _fee_ppm(self, MarketRecord* market, uint32_t account, bint is_maker) except -1:
        """An order's fee: the account's own for the market, for all markets, or the market's."""
        if jibek_unlikely(self.accounts[account].has_own_fees):
            own = self.account_fees[account]
            fees = own.get(market.number) or own.get(0)
            if fees is not None:
                return fees[0] if is_maker else fees[1]
        return market.definition.maker_fee_ppm if is_maker else market.definition.taker_fee_ppm

    # -- orders that rest

    cdef int _reserve_orders(self) except -1:
        """Makes room for more orders in every index."""
        if self.info_capacity < self.arena.used:
            if not room_grow(
                &self.info_room, self.info_capacity * sizeof(OrderInfo), self.arena.capacity * sizeof(OrderInfo)
            ):
                raise MemoryError("no room for one more order")
            self.infos = <OrderInfo*>self.info_room.memory
            self.info_capacity = self.info_room.size // sizeof(OrderInfo)
        if not ids_reserve(&self.ids, self.arena.nodes):
            raise MemoryError("no room for one more order id")
        if not table_reserve(&self.client_ids, spread_of, self.infos):
            raise MemoryError("no room for one more client id")
        self._set_room()
        return 0

    cdef void _set_room(self) noexcept:
        """How many orders all indexes have room for, whichever handles they get."""
        self.room = self.info_capacity - 1 if self.info_capacity else 0
        self.room = self.room if self.room < self.ids.count_max else self.ids.count_max
        self.room = self.room if self.room < self.client_ids.count_max else self.client_ids.count_max

    cdef int _rest(
        self,
        MarketRecord* market,
        AccountMarket* own,
        const Command* command,
        int64_t key,
        int64_t left_lots,
        int64_t cumulative_quote,
        uint32_t hash,
    ) except -1:
        """Puts what is left of the order that was accepted last into the book and into every index."""
        cdef uint32_t handle = ladder_rest(&self.arena, &market.ladder, key, left_lots, self.last_order_id)
        cdef OrderInfo* info
        cdef OpenOrder* listed
        if jibek_unlikely(handle == 0):
            raise MemoryError("no room for one more order")
        if jibek_unlikely(self.arena.live > self.room):
            self._reserve_orders()
        if jibek_unlikely(not ids_insert(&self.ids, self.arena.nodes, self.last_order_id, handle)):
            raise MemoryError("no room for one more order id")
        info = &self.infos[handle]
        info.quantity_lots = command.quantity_lots
        info.cumulative_quote = cumulative_quote
        info.client_hash = hash
        info.account = command.account
        memcpy(info.client_id, command.client_id, 36)
        info.market = <uint16_t>market.number
        info.order_type = command.order_type
        info.modes = command.time_in_force | command.self_trade_mode << 4
        if jibek_unlikely(own.listed_count == own.capacity):
            self._tidy(own)
        listed = &listed_orders(own)[own.listed_count]
        listed.handle = handle
        listed.id_low = <uint32_t>self.last_order_id
        own.listed_count += 1
        own.open_count += 1
        if hash:
            table_insert(&self.client_ids, client_id_spread(hash), handle)
        return REASON_NONE

    cdef int _forget(self, MarketRecord* market, AccountMarket* own, uint32_t handle) except -1:
        """Takes a resting order out of the book and out of every index; the account's list drops it when it is tidied."""
        cdef uint32_t hash = self.infos[handle].client_hash
        own.open_count -= 1
        if own.open_count == 0:
            own.listed_count = 0
        if hash:
            table_remove(&self.client_ids, client_id_spread(hash), handle)
        ids_remove(&self.ids, self.arena.nodes, handle)
        ladder_remove(&self.arena, &market.ladder, handle)
        if jibek_unlikely(
            self.ids.count < self.ids.count_min
            or self.client_ids.count < self.client_ids.count_min
            or arena_is_sparse(&self.arena)
        ):
            self._shrink()
        return 0

    cdef void _shrink(self) noexcept:
        """Gives back memory that orders which have gone leave unused."""
        ids_shrink(&self.ids, self.arena.nodes)
        table_shrink(&self.client_ids, spread_of, self.infos)
        if arena_is_sparse(&self.arena):
            self._make_anew()
        self._set_room()

    cdef void _make_anew(self) noexcept:
        """Moves the few orders that are left to new memory; where there is none they stay where they are."""
        cdef Compaction compaction
        cdef Room infos
        cdef OpenOrder* orders
        cdef uint32_t index, place
        memset(&infos, 0, sizeof(Room))
        if not room_grow(&infos, 0, 2 * (self.arena.live + RECORDS_MIN) * sizeof(OrderInfo)):
            return
        for index in range(1, self.account_market_count):
            self._drop_ended(&self.account_markets[index])
        if compaction_begin(&self.arena, &compaction):
            for index in range(self.market_count):
                compaction_move(&self.arena, &self.markets[index].ladder, &compaction)
            for index in range(compaction.handle_count):
                if compaction.handles[index]:
                    (<OrderInfo*>infos.memory)[compaction.handles[index]] = self.infos[index]
            table_renumber(&self.client_ids, compaction.handles)
            for index in range(1, self.account_market_count):
                orders = listed_orders(&self.account_markets[index])
                for place in range(self.account_markets[index].listed_count):
                    orders[place].handle = compaction.handles[orders[place].handle]
            compaction_end(&compaction, &self.ids)
            infos, self.info_room = self.info_room, infos
            self.infos = <OrderInfo*>self.info_room.memory
            self.info_capacity = self.info_room.size // sizeof(OrderInfo)
        room_free(&infos)

    cdef uint32_t _find_client_id(self, uint32_t account, const char* client_id, uint32_t hash) noexcept:
        """The handle of the account's open order with this client id; 0 where there is none."""
        cdef uint64_t spread = client_id_spread(hash)
        cdef TableSearch search = table_search(&self.client_ids, spread)
        cdef uint32_t handle = table_next(&self.client_ids, spread, &search)
        cdef OrderInfo* info
        while jibek_unlikely(handle):
            info = &self.infos[handle]
            if info.client_hash == hash and info.account == account:
                if not client_ids_differ(client_id_read(client_id), client_id_read(info.client_id)):
                    return handle
            handle = table_next(&self.client_ids, spread, &search)
        return 0

    cdef bint _may_be_open(self, const OpenOrder* order) noexcept:
        """Whether an order that was listed is still open, but for one in four billion that has its node and the end of its id."""
        cdef bint has_node = order.handle < self.arena.used
        cdef Node* node = &self.arena.nodes[order.handle if has_node else 0]
        return has_node & (node.left_lots != 0) & (<uint32_t>node.order_id == order.id_low)

    cdef bint _is_open(self, const AccountMarket* own, const OpenOrder* order) noexcept:
        """Whether an order that was listed is still open: its node may have gone to another order, of any account."""
        return (
            self.arena.live != 0
            and self._may_be_open(order)
            and self.infos[order.handle].account == own.account
            and self.infos[order.handle].market == own.market
        )

    cdef int _tidy(self, AccountMarket* own) except -1:
        """Makes room in an account's list of open orders: doubles it where many of them are open, else drops the others."""
        cdef uint32_t capacity = own.capacity
        if own.many == NULL:
            if own.open_count == OPEN_ORDERS_FEW:
                return self._resize(own, OPEN_ORDERS_MANY)
        # A short list has room for three times as many, so that it is tidied seldom.
        elif own.open_count > capacity // (4 if capacity < SHORT_LIST_MAX else 2):
            return self._resize(own, 2 * capacity)
        self._drop_ended(own)
        if own.open_count < capacity // 16:
            return self._resize(own, capacity // 2)
        return 0

    cdef void _drop_ended(self, AccountMarket* own) noexcept:
        """Takes the orders that have gone out of an account's list. Cost: a look at each order in the list."""
        cdef OpenOrder* orders = listed_orders(own)
        cdef uint32_t kept = 0
        cdef uint32_t index
        # Which of them have gone cannot be guessed, so each is moved, and counts or does not.
        for index in range(own.listed_count):
            orders[kept] = orders[index]
            kept += self._may_be_open(&orders[index])
        own.listed_count = kept

    cdef int _resize(self, AccountMarket* own, uint32_t capacity) except -1:
        """Gives an account's list room for so many orders, elsewhere than in its record."""
        cdef OpenOrder* orders = <OpenOrder*>realloc(own.many, capacity * sizeof(OpenOrder))
        if orders == NULL:
            raise MemoryError("no room for one more open order")
        if own.many == NULL:
            memcpy(orders, &own.few[0], sizeof(own.few))
        own.many = orders
        own.capacity = capacity
        return 0

    # -- ending an order

    cdef int _close(self, MarketRecord* market, AccountMarket* own, const Taker* taker, int reason) except -1:
        """Ends a taker with something left, and releases what it still holds."""
        cdef int64_t released = 0
        if taker.has_price:
            released = hold_of(market, taker.sells, taker.price_ticks, taker.left_lots)
            release(self, market, &self.accounts[taker.account], own, taker.sells, released)
        return emit_order(
            self,
            market,
            taker.traits | EVENT_KIND_ORDER_CLOSED | <uint64_t>reason << 48,
            taker.account,
            taker.order_id,
            taker.price_ticks,
            taker.quantity_lots,
            taker.quote_amount,
            taker.left_lots,
            taker.cumulative_lots,
            taker.cumulative_quote,
            -released,
            taker.client_id,
        )

    cdef int _close_resting(self, MarketRecord* market, uint32_t handle, int reason) except -1:
        """Ends an order that rests, and releases what it still holds."""
        cdef OrderInfo* info = &self.infos[handle]
        cdef Node* node = &self.arena.nodes[handle]
        cdef AccountRecord* account = &self.accounts[info.account]
        cdef AccountMarket* own = account_market(self, info.account, market.number)
        cdef bint sells = ladder_is_ask(node)
        cdef int64_t price_ticks = ladder_price(node)
        cdef int64_t released = hold_of(market, sells, price_ticks, node.left_lots)
        release(self, market, account, own, sells, released)
        emit_order(
            self,
            market,
            <uint64_t>(SIDE_BUY + sells) << 8
            | <uint64_t>info.order_type << 16
            | <uint64_t>(info.modes & 15) << 24
            | <uint64_t>(info.modes >> 4) << 32
            | EVENT_KIND_ORDER_CLOSED
            | <uint64_t>reason << 48,
            info.account,
            node.order_id,
            price_ticks,
            info.quantity_lots,
            0,
            node.left_lots,
            info.quantity_lots - node.left_lots,
            info.cumulative_quote,
            -released,
            info.client_id,
        )
        return self._forget(market, own, handle)

    cdef int _cancel(self, const Command* command) except -1:
        """Cancels an open order named by its id or its client id; returns the reason where it is refused."""
        cdef MarketRecord* market = self._market(command.market)
        cdef uint32_t handle = 0
        cdef ClientIdWords id
        cdef OrderInfo* info
        if jibek_unlikely(market == NULL):
            return REASON_UNKNOWN_MARKET
        if jibek_unlikely(self._account(command.account) == NULL):
            return REASON_UNKNOWN_ACCOUNT
        if jibek_likely(command.order_id):
            handle = ids_get(&self.ids, self.arena.nodes, command.order_id)
        elif command.client_id[0]:
            handle = self._find_client_id(
                command.account, command.client_id, self.client_hashes[self.command_index % CLIENT_HASHES]
            )
        if jibek_unlikely(handle == 0):
            return REASON_UNKNOWN_ORDER
        info = &self.infos[handle]
        if jibek_unlikely(info.account != command.account or info.market != command.market):
            return REASON_UNKNOWN_ORDER
        id = client_id_read(command.client_id)
        if jibek_unlikely(not client_id_is_none(id)) and client_ids_differ(id, client_id_read(info.client_id)):
            return REASON_UNKNOWN_ORDER
        self._close_resting(market, handle, REASON_CANCELLED_BY_OWNER)
        return REASON_NONE

    def _cancel_all(self, uint32_t account, uint32_t market):
        refuse_unless(market <= self.market_count, Reason.UNKNOWN_MARKET)
        self._client_exists(account)
        closed = self._close_all(account, market, REASON_CANCELLED_BY_OWNER)
        refuse_unless(closed, Reason.NO_OPEN_ORDERS)

    cdef uint64_t _close_all(self, uint32_t account_number, uint32_t market, int reason) except? 0:
        """Ends the account's open orders, in one market or (0) in all: by market number, then by id. Returns how many."""
        cdef uint64_t before = self.event_count
        cdef AccountMarket* own
        cdef uint32_t handle, place, listed_count
        for handle in self._markets_of(account_number, market):
            own = &self.account_markets[handle]
            place = 0
            while own.open_count:
                listed_count = own.listed_count
                if self._is_open(own, &listed_orders(own)[place]):
                    self._close_resting(self.markets[own.market - 1], listed_orders(own)[place].handle, reason)
                place += 1
                # Where few orders are left they move to new memory, and the list is rid of those that have gone.
                if own.listed_count != listed_count:
                    place = 0
        return self.event_count - before

    # -- what the state is

    def _state_report(self):
        balances = list(self.balances())
        digest = hashlib.sha256(b"".join(struct.pack("<IIqq", *balance) for balance in balances)).digest()
        report = StateReportView(self.state_hash(), digest, self.account_count, self.open_order_count, len(balances))
        self._attach(self._emit(EVENT_KIND_STATE_REPORTED), pack_parts(STATE_REPORT.pack(report)))

    def balances(self):
        """(account, asset, available, held) in ascending order, leaving out what is zero. Cost: linear."""
        cdef uint32_t number
        result = []
        for number in range(self.account_count):
            result += [(number, *balance) for balance in self.account_balances(number)]
        return result

    def account_balances(self, uint32_t number):
        """(asset, available, held) of one account, 0 for the house, as `balances` has them. Cost: O(its assets)."""
        cdef uint16_t index
        cdef Holding* holding
        assert number < self.account_count, "no such account"
        result = []
        for index in range(self.accounts[number].holding_count):
            holding = &holdings_of(&self.accounts[number])[index]
            if holding.available or holding.held:
                result.append((holding.asset, holding.available, holding.held))
        return result

    def depth(self, uint32_t market_number, int side, levels=None):
        """Prices and quantities of one side of a market, best first, as (price_ticks, quantity_lots).

        At most `levels` of them; None gives all. Cost: O(levels in the list).
        """
        cdef MarketRecord* market = self._market(market_number)
        cdef Level* level
        assert market != NULL, "no such market"
        level = ladder_best_level(&market.ladder, side == SIDE_SELL)
        result = []
        while level != NULL and (levels is None or len(result) < levels):
            result.append((ladder_key(level.key < 0, level.key), level.quantity_lots))
            level = tree_worse_level(level)
        return result

    def open_orders(self, uint32_t account_number, uint32_t market_number=0):
        """The open orders of an account in one market or (0) in all: by market number, then by id, which is by age.

        Each is (order_id, market, side, price_ticks, quantity_lots, left_lots, client_id). Cost: O(orders listed for the
        account in the markets), of which some may have ended.
        """
        cdef AccountMarket* own
        cdef uint32_t handle, place
        assert self._account(account_number) != NULL, "no such account"
        result = []
        for handle in self._markets_of(account_number, market_number):
            own = &self.account_markets[handle]
            for place in range(own.listed_count):
                if self._is_open(own, &listed_orders(own)[place]):
                    result.append(self._open_order(listed_orders(own)[place].handle))
        return result

    def find_order(self, uint32_t account_number, uint32_t market_number, uint64_t order_id, bytes client_id not None):
        """The open order that an ORDER_CANCEL of these fields would cancel, as `open_orders` has it; None where it has none.

        It is named by its id, or where that is 0 by its client id, 36 bytes; all zero is no client id. Cost: O(1).
        """
        cdef uint32_t handle = 0
        cdef const char* own_id = PyBytes_AS_STRING(client_id)
        cdef ClientIdWords id
        assert len(client_id) == 36, "a client id has 36 bytes"
        id = client_id_read(own_id)
        if order_id:
            handle = ids_get(&self.ids, self.arena.nodes, order_id)
        elif own_id[0]:
            handle = self._find_client_id(
                account_number, own_id, client_id_hash(id, self.client_id_seed, account_number)
            )
        if handle == 0 or self.infos[handle].account != account_number or self.infos[handle].market != market_number:
            return None
        if not client_id_is_none(id) and client_ids_differ(id, client_id_read(self.infos[handle].client_id)):
            return None
        return self._open_order(handle)

    cdef _open_order(self, uint32_t handle):
        """A resting order as `open_orders` tells of it."""
        cdef Node* node = &self.arena.nodes[handle]
        cdef OrderInfo* info = &self.infos[handle]
        return (
            node.order_id,
            info.market,
            SIDE_SELL if ladder_is_ask(node) else SIDE_BUY,
            ladder_price(node),
            info.quantity_lots,
            node.left_lots,
            PyBytes_FromStringAndSize(info.client_id, 36),
        )

    def book_state(self, uint32_t market_number):
        """The book of a market as `engine.Book.to_bytes` would give it. Cost: O(orders in the book)."""
        cdef MarketRecord* market = self._market(market_number)
        assert market != NULL, "no such market"
        data = PyBytes_FromStringAndSize(NULL, saved_book_size(saved_book_orders(&market.ladder, self.arena.nodes)))
        saved_book_write(&market.ladder, self.arena.nodes, data)
        return data

    def state_hash(self):
        """SHA-256 of `state_dump`, 32 bytes."""
        return hashlib.sha256(self.state_dump()).digest()

    def state_dump(self):
        """The whole state in the canonical form of `engine.reference.Core.state_dump`. Cost: linear in the state."""
        cdef uint32_t number
        cdef MarketRecord* market
        out = bytearray(b"JIBEK001")
        out += struct.pack("<qQQI", self.time_us, self.rules_version, self.last_order_id, self.venue_state)
        out += struct.pack("<I", len(self.assets))
        for name, scale, issued in self.assets:
            out += pack_parts(name) + struct.pack("<Iq", scale, issued)
        out += struct.pack("<I", self.market_count)
        for number in range(self.market_count):
            market = self.markets[number]
            out += pack_parts(self.symbols[number]) + self.market_definitions[number]
            out += struct.pack(
                "<IIIQ", market.definition.maker_fee_ppm, market.definition.taker_fee_ppm, market.state, market.trades
            )
        out += struct.pack("<I", self.account_count)
        for number in range(self.account_count):
            out += self._dump_account(number)
        for number in range(self.market_count):
            out += self._dump_orders(number, False) + self._dump_orders(number, True)
        out += struct.pack("<I", len(self.windows))
        for gateway, (boot, batch) in sorted(self.windows.items()):
            out += struct.pack("<IQQ", gateway, boot, batch)
        return bytes(out)

    def _dump_account(self, uint32_t number):
        cdef AccountRecord* account = &self.accounts[number]
        cdef Holding* holding
        cdef uint16_t index
        balances = []
        for index in range(account.holding_count):
            holding = &holdings_of(account)[index]
            if holding.available or holding.held:
                balances.append(
                    struct.pack(
                        "<Iqq",
                        holding.asset,
                        holding.available,
                        holding.held,
                    )
                )
        fees = [struct.pack("<III", market, *fees) for market, fees in sorted(self.account_fees.get(number, {}).items())]
        keys = [
            pack_parts(key_id) + struct.pack("<II", key_type, permissions) + pack_parts(public_key)
            for key_id, (key_type, permissions, public_key) in sorted(self.account_keys.get(number, {}).items())
        ]
        out = pack_parts(self.account_names[number]) + struct.pack("<I", account.frozen)
        for items in (balances, fees, keys):
            out += struct.pack("<I", len(items)) + b"".join(items)
        return out

    def _dump_orders(self, uint32_t market_index, bint asks):
        """The orders of one side in priority, with their count in front."""
        cdef MarketRecord* market = self.markets[market_index]
        cdef uint32_t handle = ladder_first(&market.ladder, asks)
        cdef Node* node
        cdef OrderInfo* info
        orders = []
        while handle:
            node = &self.arena.nodes[handle]
            info = &self.infos[handle]
            orders.append(
                struct.pack(
                    "<QIBBBxqqqq36s",
                    node.order_id,
                    info.account,
                    info.order_type,
                    info.modes & 15,
                    info.modes >> 4,
                    ladder_price(node),
                    info.quantity_lots,
                    node.left_lots,
                    info.cumulative_quote,
                    info.client_id[:36],
                )
            )
            handle = ladder_after(node)
        return struct.pack("<I", len(orders)) + b"".join(orders)

    def check(self):
        """Walks the whole state and asserts every invariant; tests call it after each command. Cost: linear."""
        cdef MarketRecord* market
        cdef OrderInfo* info
        cdef Node* node
        cdef AccountMarket* own
        cdef uint32_t number, handle, place
        cdef uint16_t index
        cdef uint64_t resting = 0
        cdef uint64_t client_ids = 0
        cdef bint asks
        # No balance is negative, and each asset's sum is what came in minus what went out.
        sums = dict.fromkeys(range(1, len(self.assets) + 1), 0)
        held = {}
        for account, asset, available, hold in self.balances():
            assert available >= 0 and hold >= 0, (account, asset, available, hold)
            sums[asset] += available + hold
            held[account, asset] = hold
        assert list(sums.values()) == [issued for _, _, issued in self.assets], sums
        needed = {}
        for number in range(self.market_count):
            market = self.markets[number]
            # No book is crossed.
            assert ladder_best_bid(&market.ladder) < ladder_best_ask(&market.ladder), number
            for asks in (False, True):
                last_id, last_price, level_sum = 0, 0, 0
                handle = ladder_first(&market.ladder, asks)
                while handle:
                    node = &self.arena.nodes[handle]
                    info = &self.infos[handle]
                    price_ticks = ladder_price(node)
                    # Every order is on the side and in the market of its queue, and ids lead to it.
                    assert ladder_is_ask(node) == asks and info.market == market.number, node.order_id
                    assert ids_get(&self.ids, self.arena.nodes, node.order_id) == handle, node.order_id
                    # Within a level orders stand in order of arrival; no order is empty.
                    assert price_ticks != last_price or node.order_id > last_id, node.order_id
                    assert 0 < node.left_lots <= info.quantity_lots, node.order_id
                    if info.client_hash:
                        client_ids += 1
                        hash = client_id_hash(client_id_read(info.client_id), self.client_id_seed, info.account)
                        assert info.client_hash == hash, node.order_id
                        assert self._find_client_id(info.account, info.client_id, hash) == handle, node.order_id
                    # A level's quantity is the sum of its orders.
                    level_sum = node.left_lots + (level_sum if price_ticks == last_price else 0)
                    if node.next == 0:
                        assert level_sum == node.level.quantity_lots, level_sum
                    asset = market.definition.base_asset if asks else market.definition.quote_asset
                    key = (info.account, asset)
                    needed[key] = needed.get(key, 0) + hold_of(market, asks, price_ticks, node.left_lots)
                    last_id, last_price = node.order_id, price_ticks
                    resting += 1
                    handle = ladder_after(node)
        # What is held is exactly what the open orders can need.
        assert {key: amount for key, amount in held.items() if amount} == needed, (held, needed)
        # Every index knows the same orders.
        listed = 0
        for number in range(1, self.account_market_count):
            own = &self.account_markets[number]
            open_ids = []
            for place in range(own.listed_count):
                if self._is_open(own, &listed_orders(own)[place]):
                    open_ids.append(self.arena.nodes[listed_orders(own)[place].handle].order_id)
            # An account's open orders are listed once, oldest first.
            assert open_ids == sorted(set(open_ids)), (own.account, own.market, open_ids)
            assert len(open_ids) == own.open_count, (own.account, own.market, open_ids, own.open_count)
            listed += len(open_ids)
        assert resting == listed == self.arena.live == self.ids.count, (resting, listed, self.arena.live, self.ids.count)
        assert client_ids == self.client_ids.count, (client_ids, self.client_ids.count)


_KNOWN_KINDS = frozenset(
    (
        COMMAND_KIND_EPOCH_START, COMMAND_KIND_TIME_TICK, COMMAND_KIND_ASSET_ADD, COMMAND_KIND_MARKET_ADD,
        COMMAND_KIND_FEES_SET, COMMAND_KIND_MARKET_STATE_SET, COMMAND_KIND_ACCOUNT_ADD, COMMAND_KIND_ACCOUNT_FREEZE,
        COMMAND_KIND_ACCOUNT_UNFREEZE, COMMAND_KIND_KEY_ADD, COMMAND_KIND_KEY_REVOKE, COMMAND_KIND_DEPOSIT,
        COMMAND_KIND_WITHDRAW, COMMAND_KIND_ORDER_PLACE, COMMAND_KIND_ORDER_CANCEL, COMMAND_KIND_ORDER_CANCEL_ALL,
        COMMAND_KIND_STATE_REPORT,
    )
)


# -- an account's balances and markets, found where they were last


cdef inline AccountMarket* account_market(Core core, uint32_t account, uint32_t market) except NULL:
    """What an account has to do with a market."""
    if jibek_likely(core.accounts[account].recent_market == market):
        return &core.account_markets[core.accounts[account].recent]
    return core._find_market(account, market)


cdef inline OpenOrder* listed_orders(AccountMarket* own) noexcept nogil:
    """Where the account's open orders in the market stand."""
    return &own.few[0] if own.many == NULL else own.many


cdef inline uint64_t account_market_hash(uint32_t account, uint32_t market) noexcept nogil:
    return (<uint64_t>account << 16 ^ market) * <uint64_t>0x9E3779B97F4A7C15


cdef uint64_t account_market_hash_of(const void* account_markets, uint32_t handle) noexcept nogil:
    cdef const AccountMarket* own = &(<const AccountMarket*>account_markets)[handle]
    return account_market_hash(own.account, own.market)


cdef inline Holding* holdings_of(AccountRecord* account) noexcept nogil:
    """Where the account's balances stand."""
    return &account.holdings.few[0] if account.holding_count <= HOLDINGS_FEW else account.holdings.many


cdef inline Holding* known_holding(Core core, AccountRecord* account, uint16_t* place, uint32_t asset) except NULL:
    """What the account has of an asset, which is most likely still at its place; the place is remembered."""
    cdef Holding* holding = &holdings_of(account)[place[0]]
    if jibek_likely(place[0] < account.holding_count and holding.asset == asset):
        return holding
    holding = core._find_holding(account, asset)
    place[0] = <uint16_t>(holding - holdings_of(account))
    return holding


cdef inline Holding* paying_holding(
    Core core, MarketRecord* market, AccountRecord* account, AccountMarket* own, bint sells
) except NULL:
    """What the account has of the asset that an order of that side pays with."""
    if sells:
        return known_holding(core, account, &own.base, market.definition.base_asset)
    return known_holding(core, account, &own.quote, market.definition.quote_asset)


cdef uint64_t spread_of(const void* infos, uint32_t handle) noexcept nogil:
    return client_id_spread((<const OrderInfo*>infos)[handle].client_hash)


cdef inline int release(
    Core core, MarketRecord* market, AccountRecord* account, AccountMarket* own, bint sells, int64_t amount
) except -1:
    """Makes available what an order of that side held."""
    cdef Holding* holding = paying_holding(core, market, account, own, sells)
    holding.held -= amount
    holding.available += amount
    return 0


# -- the events of an order


cdef inline int emit_order(
    Core core,
    MarketRecord* market,
    uint64_t head,
    uint32_t account,
    uint64_t order_id,
    int64_t price_ticks,
    int64_t quantity_lots,
    int64_t quote_amount,
    int64_t left_lots,
    int64_t cumulative_lots,
    int64_t cumulative_quote,
    int64_t hold_change,
    const char* client_id,
) except -1:
    """ORDER_ACCEPTED or ORDER_CLOSED."""
    cdef Event* event = emit_head(core, market, head, account, 0)
    event.order_id = order_id
    event.maker_order_id = 0
    event.trade_id = 0
    event.price_ticks = price_ticks
    event.quantity_lots = quantity_lots
    event.base_amount = quantity_lots * market.definition.lot_units
    event.quote_amount = quote_amount
    event.cumulative_lots = cumulative_lots
    event.cumulative_quote = cumulative_quote
    event.left_lots = left_lots
    event.maker_cumulative_lots = 0
    event.maker_cumulative_quote = 0
    event.maker_left_lots = 0
    event.hold_change = hold_change
    event.maker_hold_change = 0
    event.fee = 0
    event.maker_fee = 0
    memcpy(event.client_id, client_id, 36)
    memset(event.maker_client_id, 0, 36)
    return 0


cdef inline Event* emit_head(
    Core core, MarketRecord* market, uint64_t head, uint32_t account, uint32_t maker_account
) except NULL:
    """The next event with its first 32 bytes, in four words: fewer stores than fields; and without a blob."""
    cdef Event* event = core._next_event()
    cdef uint64_t* words = <uint64_t*>event
    words[0] = head
    words[1] = core.command_index | <uint64_t>market.number << 32
    words[2] = account | <uint64_t>maker_account << 32
    words[3] = market.event_assets | <uint64_t>core.command_kind << 48
    event.blob_offset = 0
    event.blob_length = 0
    event.amount = 0
    return event


# -- checks of a command


cdef inline int check_value(const MarketRecord* market, int64_t value) noexcept nogil:
    if jibek_unlikely(value < market.definition.notional_min):
        return REASON_NOTIONAL_TOO_SMALL
    if jibek_unlikely(value > market.definition.notional_max):
        return REASON_NOTIONAL_TOO_LARGE
    return REASON_NONE


cdef inline bint quantity_fits(const MarketRecord* market, int64_t quantity_lots) noexcept nogil:
    return market.definition.quantity_min_lots <= quantity_lots <= market.definition.quantity_max_lots


cdef inline int check_limit(const MarketRecord* market, const Command* command, int64_t* hold) noexcept nogil:
    cdef int64_t value
    if jibek_unlikely(command.amount != 0):
        return REASON_INVALID_QUOTE_AMOUNT
    if not market.definition.price_min_ticks <= command.price_ticks <= market.definition.price_max_ticks:
        return REASON_INVALID_PRICE
    if not quantity_fits(market, command.quantity_lots):
        return REASON_INVALID_QUANTITY
    value = value_of(market, command.price_ticks, command.quantity_lots)
    hold[0] = value if command.side == SIDE_BUY else command.quantity_lots * market.definition.lot_units
    return check_value(market, value)


cdef inline int check_market(const MarketRecord* market, const Command* command) noexcept nogil:
    cdef int64_t price_ticks
    if command.price_ticks != 0:
        return REASON_INVALID_PRICE
    if command.amount != 0:
        if command.amount < 0 or command.quantity_lots != 0:
            return REASON_INVALID_QUOTE_AMOUNT
        return check_value(market, command.amount)
    if not quantity_fits(market, command.quantity_lots):
        return REASON_INVALID_QUANTITY
    # The value of an order without a price is taken at the best price it meets; in an empty book it has none.
    if command.side == SIDE_BUY:
        price_ticks = ladder_best_ask(&market.ladder)
        return REASON_NONE if price_ticks == NO_ASK else check_value(
            market, value_of(market, price_ticks, command.quantity_lots)
        )
    price_ticks = ladder_best_bid(&market.ladder)
    return REASON_NONE if price_ticks == 0 else check_value(
        market, value_of(market, price_ticks, command.quantity_lots)
    )


cdef inline bint fills_whole(MarketRecord* market, const Taker* taker) noexcept nogil:
    """Whether a FOK order can be filled entirely at once. Cost: O(levels looked at)."""
    cdef Level* level = ladder_best_level(&market.ladder, not taker.sells)
    cdef int64_t left_lots = taker.left_lots
    while level != NULL and level.key + taker.key >= 0:
        left_lots -= level.quantity_lots
        if left_lots <= 0:
            return True
        level = tree_worse_level(level)
    return False
