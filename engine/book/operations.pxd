"""A book's operations over one ladder and one map of ids, as C functions that write the events into a buffer.

Nothing here touches Python, so a batch runs without the interpreter. Orders match by `engine/book/walk.pxd`; a
replace loses its place, an amend to less keeps it; what is refused changes nothing and is answered by one REJECTED.

A function that writes events takes the place of the next one and returns the place after its last, NULL where memory
is out. Before an operation there is room for EVENTS_PER_OPERATION, and each trade makes room for as many before it is
written.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from engine.book.compaction cimport Compaction, compaction_begin, compaction_end, compaction_move
from engine.book.ladder cimport (
    Arena,
    Ladder,
    Node,
    arena_free,
    arena_init,
    arena_is_sparse,
    ladder_crosses,
    ladder_free,
    ladder_init,
    ladder_is_ask,
    ladder_key,
    ladder_price,
    ladder_quantity,
    ladder_reduce,
    ladder_remove,
    ladder_rest,
    side_is_ask,
    side_number,
)
from engine.book.memory cimport jibek_allocate, jibek_likely, jibek_unlikely
from engine.book.order_ids cimport (
    OrderIds,
    ids_free,
    ids_get,
    ids_init,
    ids_insert,
    ids_remove,
    ids_reserve,
    ids_shrink,
)
from engine.book.prefetch cimport (
    prefetch_leaf_of_node,
    prefetch_leaf_slot,
    prefetch_level,
    prefetch_neighbours,
    prefetch_node,
    prefetch_slot,
    prefetch_last,
)
from engine.book.walk cimport FILLS_UNBOUNDED, Taker, walk_fills, walk_take, wanted_lots
from engine.order_types cimport TIME_IN_FORCE_FOK, TIME_IN_FORCE_GTC
from engine.records cimport (
    AMOUNT_MAX,
    REASON_INVALID_PRICE,
    REASON_INVALID_QUANTITY,
    REASON_INVALID_SIDE,
    REASON_INVALID_TIME_IN_FORCE,
    REASON_ORDER_ID_IN_USE,
    REASON_UNKNOWN_COMMAND,
    REASON_UNKNOWN_ORDER,
    SIDE_BUY,
)

cdef enum:
    EVENT_REJECTED = 1
    EVENT_ACCEPTED = 2
    EVENT_TRADE = 3
    EVENT_CANCELLED = 4
    EVENT_EXPIRED = 5
    EVENT_AMENDED = 6

    OPERATION_PLACE = 1
    OPERATION_MARKET = 2
    OPERATION_CANCEL = 3
    OPERATION_REPLACE = 4
    OPERATION_AMEND = 5

    # What an operation writes at most besides the trades that fill a maker: a replace is CANCELLED, ACCEPTED, TRADE.
    EVENTS_PER_OPERATION = 4
    # Operations whose memory is asked for together, so that the waits overlap.
    BLOCK_OPERATIONS = 8
    # With fewer orders than this all is in the second-level cache and asking for it ahead costs more than it saves.
    PREFETCH_FROM = 8192
    # The same for the orders that a new one is put behind.
    PREFETCH_LAST_FROM = 262144
    # The same for the leaves of prices, by their number.
    PREFETCH_LEVELS_FROM = 512
    # Quantities below 2^31 of fewer than 2^31 orders cannot pass AMOUNT_MAX together.
    NARROW_BITS = 31

cdef struct BookOperationRecord:
    uint8_t kind
    uint8_t side
    uint8_t time_in_force
    uint8_t reserved
    uint32_t reserved_2
    uint64_t order_id
    uint64_t new_order_id
    int64_t price_ticks
    int64_t quantity_lots

cdef struct BookEventRecord:
    # Kind, side << 8, reason << 16, index of the operation << 32: one store instead of four.
    uint64_t prefix
    uint64_t order_id
    uint64_t maker_order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t remaining_lots

cdef struct EventBuffer:
    # Borrowed from its owner during operations, which may move it.
    BookEventRecord* records
    # Where room for EVENTS_PER_OPERATION ends.
    BookEventRecord* limit
    uint64_t capacity

cdef struct BookState:
    Ladder ladder
    Arena arena
    OrderIds ids
    EventBuffer events
    # All quantities that ever came, or-ed: while no bit from NARROW_BITS up is set, no level can overflow.
    uint64_t quantity_bits

cdef struct Fills:
    # The owner of a walk: what the events of the taker's fills have in common, and where the next one goes, NULL where
    # memory is out.
    uint64_t prefix
    uint64_t order_id
    BookState* book
    BookEventRecord* event


cdef inline void book_init(BookState* book) noexcept nogil:
    ladder_init(&book.ladder)
    arena_init(&book.arena)
    ids_init(&book.ids)
    book.quantity_bits = 0


cdef inline void book_free(BookState* book) noexcept nogil:
    """Frees the memory of orders, levels and ids; the book is then empty."""
    ladder_free(&book.arena, &book.ladder)
    arena_free(&book.arena)
    ids_free(&book.ids)
    book.quantity_bits = 0


cdef inline void book_compact(BookState* book) noexcept nogil:
    """Moves the few orders that are left to new memory; they stay where they are if memory is out."""
    cdef Compaction compaction
    if compaction_begin(&book.arena, &compaction):
        compaction_move(&book.arena, &book.ladder, &compaction)
        compaction_end(&compaction, &book.ids)


cdef inline void book_shrink(BookState* book) noexcept nogil:
    """Frees memory that orders which have gone leave unused."""
    ids_shrink(&book.ids, book.arena.nodes)
    if arena_is_sparse(&book.arena):
        book_compact(book)


# -- events


cdef inline uint64_t event_prefix(int kind, int side, uint64_t operation) noexcept nogil:
    return <uint64_t>kind | <uint64_t>side << 8 | operation << 32


cdef inline BookEventRecord* event_write(
    BookEventRecord* event,
    uint64_t prefix,
    uint64_t order_id,
    uint64_t maker_order_id,
    int64_t price_ticks,
    int64_t quantity_lots,
    int64_t remaining_lots,
) noexcept nogil:
    event.prefix = prefix
    event.order_id = order_id
    event.maker_order_id = maker_order_id
    event.price_ticks = price_ticks
    event.quantity_lots = quantity_lots
    event.remaining_lots = remaining_lots
    return event + 1


cdef inline BookEventRecord* event_reject(
    BookEventRecord* event, int side, uint64_t operation, uint64_t order_id, int reason
) noexcept nogil:
    return event_write(
        event, event_prefix(EVENT_REJECTED, side, operation) | <uint64_t>reason << 16, order_id, 0, 0, 0, 0
    )


cdef inline void events_use(EventBuffer* events, BookEventRecord* records, uint64_t capacity) noexcept nogil:
    """Lends an owner's memory to the operations that come."""
    events.records = records
    events.capacity = capacity
    events.limit = records + capacity - EVENTS_PER_OPERATION


cdef inline BookEventRecord* events_grow(EventBuffer* events, BookEventRecord* event) noexcept nogil:
    """Doubles the buffer; where the next event goes in it, NULL where memory is out."""
    cdef uint64_t count = event - events.records
    cdef uint64_t capacity = events.capacity * 2
    cdef BookEventRecord* records = <BookEventRecord*>jibek_allocate(capacity * sizeof(BookEventRecord))
    if records == NULL:
        return NULL
    memcpy(records, events.records, count * sizeof(BookEventRecord))
    free(events.records)
    events_use(events, records, capacity)
    return records + count


# -- matching


cdef inline bint write_trade(
    void* owner, Taker* taker, uint32_t handle, int64_t price_ticks, int64_t lots
) noexcept nogil:
    """The OnFill of the book: one TRADE, where there is room for it and for what may come after it."""
    cdef Fills* fills = <Fills*>owner
    cdef const Node* maker = &fills.book.arena.nodes[handle]
    if jibek_unlikely(fills.event > fills.book.events.limit):
        fills.event = events_grow(&fills.book.events, fills.event)
        if fills.event == NULL:
            return False
    fills.event = event_write(
        fills.event, fills.prefix, fills.order_id, maker.order_id, price_ticks, lots, maker.remaining_lots - lots
    )
    return True


cdef inline BookEventRecord* book_match(
    BookState* book,
    BookEventRecord* event,
    uint64_t prefix,
    uint64_t order_id,
    bint is_ask,
    int64_t key,
    int64_t* remaining_lots,
) noexcept nogil:
    """Fills an order as far as its price goes; `remaining_lots` is what it wants and then the remainder."""
    cdef Taker taker
    cdef Fills fills
    taker.key = key
    taker.remaining_lots = remaining_lots[0]
    taker.fills_left = FILLS_UNBOUNDED
    taker.is_ask = is_ask
    fills.prefix = prefix | EVENT_TRADE
    fills.order_id = order_id
    fills.book = book
    fills.event = event
    walk_take(&book.ladder, &book.arena, &book.ids, &taker, &fills, wanted_lots, write_trade)
    remaining_lots[0] = taker.remaining_lots
    book_shrink(book)
    return fills.event


# -- the operations


cdef inline bint is_value(int64_t number) noexcept nogil:
    """Whether it may be a price or a quantity: 1 to AMOUNT_MAX, in one comparison."""
    return <uint64_t>number - 1 < <uint64_t>AMOUNT_MAX


cdef inline bint level_overflows(
    BookState* book, bint is_ask, int64_t price_ticks, int64_t quantity_lots, int64_t leaving_lots
) noexcept nogil:
    """Whether a level's sum could pass AMOUNT_MAX if `quantity_lots` came and `leaving_lots` went."""
    # An order that matches rests on an empty level, so only what rests already counts.
    if jibek_likely((book.quantity_bits | <uint64_t>quantity_lots) >> NARROW_BITS == 0):
        return False
    return ladder_quantity(&book.ladder, is_ask, price_ticks) - leaving_lots > AMOUNT_MAX - quantity_lots


cdef inline int check_place(const BookOperationRecord* record) noexcept nogil:
    """The reason why an order is invalid whatever is in the book; 0 if it is valid."""
    if record.side - SIDE_BUY > <unsigned int>1:
        return REASON_INVALID_SIDE
    if record.time_in_force - TIME_IN_FORCE_GTC > <unsigned int>(TIME_IN_FORCE_FOK - TIME_IN_FORCE_GTC):
        return REASON_INVALID_TIME_IN_FORCE
    if not is_value(record.price_ticks):
        return REASON_INVALID_PRICE
    if not is_value(record.quantity_lots):
        return REASON_INVALID_QUANTITY
    return 0


cdef inline BookEventRecord* place_valid(
    BookState* book,
    BookEventRecord* event,
    uint64_t operation,
    uint64_t order_id,
    bint is_ask,
    const BookOperationRecord* record,
    int time_in_force,
) noexcept nogil:
    """Accepts an order of the record's price and quantity, matches it and rests the remainder."""
    cdef uint64_t prefix = event_prefix(0, side_number(is_ask), operation)
    cdef int64_t key = ladder_key(is_ask, record.price_ticks)
    cdef int64_t remaining_lots = record.quantity_lots
    cdef uint32_t handle
    book.quantity_bits |= <uint64_t>remaining_lots
    event = event_write(event, prefix | EVENT_ACCEPTED, order_id, 0, record.price_ticks, remaining_lots, 0)
    if ladder_crosses(&book.ladder, is_ask, key):
        if time_in_force != TIME_IN_FORCE_FOK or walk_fills(
            &book.ladder, &book.arena, is_ask, key, remaining_lots, FILLS_UNBOUNDED
        ):
            event = book_match(book, event, prefix, order_id, is_ask, key, &remaining_lots)
            if jibek_unlikely(event == NULL):
                return NULL
        if remaining_lots == 0:
            return event
    if jibek_unlikely(time_in_force != TIME_IN_FORCE_GTC):
        return event_write(event, prefix | EVENT_EXPIRED, order_id, 0, record.price_ticks, remaining_lots, 0)
    if jibek_unlikely(not ids_reserve(&book.ids, book.arena.nodes)):
        return NULL
    handle = ladder_rest(&book.arena, &book.ladder, key, remaining_lots, order_id)
    if jibek_unlikely(handle == 0 or not ids_insert(&book.ids, book.arena.nodes, order_id, handle)):
        return NULL
    return event


cdef inline BookEventRecord* book_place(
    BookState* book, BookEventRecord* event, uint64_t operation, const BookOperationRecord* record
) noexcept nogil:
    cdef int reason = check_place(record)
    cdef bint is_ask = side_is_ask(record.side)
    if jibek_unlikely(reason):
        return event_reject(
            event, 0 if reason == REASON_INVALID_SIDE else record.side, operation, record.order_id, reason
        )
    if jibek_unlikely(ids_get(&book.ids, book.arena.nodes, record.order_id)):
        return event_reject(event, record.side, operation, record.order_id, REASON_ORDER_ID_IN_USE)
    if jibek_unlikely(level_overflows(book, is_ask, record.price_ticks, record.quantity_lots, 0)):
        return event_reject(event, record.side, operation, record.order_id, REASON_INVALID_QUANTITY)
    return place_valid(book, event, operation, record.order_id, is_ask, record, record.time_in_force)


cdef inline BookEventRecord* book_market(
    BookState* book, BookEventRecord* event, uint64_t operation, const BookOperationRecord* record
) noexcept nogil:
    cdef uint64_t prefix = event_prefix(0, record.side, operation)
    cdef int64_t remaining_lots = record.quantity_lots
    if jibek_unlikely(record.side - SIDE_BUY > <unsigned int>1):
        return event_reject(event, 0, operation, record.order_id, REASON_INVALID_SIDE)
    if jibek_unlikely(not is_value(record.quantity_lots)):
        return event_reject(event, record.side, operation, record.order_id, REASON_INVALID_QUANTITY)
    event = event_write(event, prefix | EVENT_ACCEPTED, record.order_id, 0, 0, remaining_lots, 0)
    event = book_match(book, event, prefix, record.order_id, side_is_ask(record.side), AMOUNT_MAX, &remaining_lots)
    if jibek_unlikely(remaining_lots) and event != NULL:
        event = event_write(event, prefix | EVENT_EXPIRED, record.order_id, 0, 0, remaining_lots, 0)
    return event


cdef inline BookEventRecord* book_cancel_resting(
    BookState* book, BookEventRecord* event, uint64_t operation, uint32_t handle
) noexcept nogil:
    """Cancels an order that rests."""
    cdef Node* node = &book.arena.nodes[handle]
    event = event_write(
        event,
        event_prefix(EVENT_CANCELLED, side_number(ladder_is_ask(node)), operation),
        node.order_id,
        0,
        ladder_price(node),
        node.remaining_lots,
        0,
    )
    ids_remove(&book.ids, book.arena.nodes, handle)
    ladder_remove(&book.arena, &book.ladder, handle)
    book_shrink(book)
    return event


cdef inline BookEventRecord* book_cancel(
    BookState* book, BookEventRecord* event, uint64_t operation, const BookOperationRecord* record
) noexcept nogil:
    cdef uint32_t handle = ids_get(&book.ids, book.arena.nodes, record.order_id)
    if jibek_unlikely(handle == 0):
        return event_reject(event, 0, operation, record.order_id, REASON_UNKNOWN_ORDER)
    return book_cancel_resting(book, event, operation, handle)


cdef inline int check_replace(BookState* book, Node* node, const BookOperationRecord* record) noexcept nogil:
    """The reason why a resting order cannot be replaced; 0 if it can."""
    cdef int64_t leaving_lots = node.remaining_lots if ladder_price(node) == record.price_ticks else 0
    if not is_value(record.price_ticks):
        return REASON_INVALID_PRICE
    if not is_value(record.quantity_lots):
        return REASON_INVALID_QUANTITY
    if record.new_order_id != record.order_id and ids_get(&book.ids, book.arena.nodes, record.new_order_id):
        return REASON_ORDER_ID_IN_USE
    if level_overflows(book, ladder_is_ask(node), record.price_ticks, record.quantity_lots, leaving_lots):
        return REASON_INVALID_QUANTITY
    return 0


cdef inline BookEventRecord* book_replace(
    BookState* book, BookEventRecord* event, uint64_t operation, const BookOperationRecord* record
) noexcept nogil:
    cdef uint32_t handle = ids_get(&book.ids, book.arena.nodes, record.order_id)
    cdef Node* node = &book.arena.nodes[handle]
    cdef bint is_ask
    cdef int reason
    if jibek_unlikely(handle == 0):
        return event_reject(event, 0, operation, record.order_id, REASON_UNKNOWN_ORDER)
    is_ask = ladder_is_ask(node)
    reason = check_replace(book, node, record)
    if jibek_unlikely(reason):
        return event_reject(event, side_number(is_ask), operation, record.order_id, reason)
    event = book_cancel_resting(book, event, operation, handle)
    return place_valid(book, event, operation, record.new_order_id, is_ask, record, TIME_IN_FORCE_GTC)


cdef inline BookEventRecord* book_amend(
    BookState* book, BookEventRecord* event, uint64_t operation, const BookOperationRecord* record
) noexcept nogil:
    cdef uint32_t handle = ids_get(&book.ids, book.arena.nodes, record.order_id)
    cdef Node* node = &book.arena.nodes[handle]
    cdef int side
    cdef int64_t removed_lots
    if handle == 0:
        return event_reject(event, 0, operation, record.order_id, REASON_UNKNOWN_ORDER)
    side = side_number(ladder_is_ask(node))
    if not is_value(record.quantity_lots) or record.quantity_lots >= node.remaining_lots:
        return event_reject(event, side, operation, record.order_id, REASON_INVALID_QUANTITY)
    removed_lots = node.remaining_lots - record.quantity_lots
    ladder_reduce(node, removed_lots)
    return event_write(
        event,
        event_prefix(EVENT_AMENDED, side, operation),
        record.order_id,
        0,
        ladder_price(node),
        removed_lots,
        record.quantity_lots,
    )


cdef inline BookEventRecord* book_execute(
    BookState* book, BookEventRecord* event, uint64_t operation, const BookOperationRecord* record
) noexcept nogil:
    """One operation, which is number `operation` of its batch."""
    if record.kind == OPERATION_PLACE:
        return book_place(book, event, operation, record)
    if record.kind == OPERATION_CANCEL:
        return book_cancel(book, event, operation, record)
    if record.kind == OPERATION_MARKET:
        return book_market(book, event, operation, record)
    if record.kind == OPERATION_REPLACE:
        return book_replace(book, event, operation, record)
    if record.kind == OPERATION_AMEND:
        return book_amend(book, event, operation, record)
    return event_reject(event, 0, operation, record.order_id, REASON_UNKNOWN_COMMAND)


# -- batches: the memory of the operations to come is asked for while others are executed
#
# Nothing here asks what kind an operation is: a processor that guesses that wrong loses more than it saves, and
# asking for the wrong memory does no harm.


cdef inline int64_t key_of(const BookOperationRecord* record) noexcept nogil:
    return ladder_key(side_is_ask(record.side), record.price_ticks)


cdef inline void prefetch_orders(BookState* book, const BookOperationRecord* records) noexcept nogil:
    """What leads to the orders that the three blocks from `records` on name, the nearest block the furthest."""
    cdef uint64_t index
    for index in range(2 * BLOCK_OPERATIONS, 3 * BLOCK_OPERATIONS):
        prefetch_slot(&book.ids, records[index].order_id)
    for index in range(BLOCK_OPERATIONS, 2 * BLOCK_OPERATIONS):
        prefetch_node(&book.ids, &book.arena, records[index].order_id)
    for index in range(BLOCK_OPERATIONS):
        prefetch_neighbours(&book.ids, &book.arena, records[index].order_id)


cdef inline void prefetch_prices(BookState* book, const BookOperationRecord* records) noexcept nogil:
    """The same of the leaves and levels of their prices, and the leaves of the orders."""
    cdef uint64_t index
    for index in range(2 * BLOCK_OPERATIONS, 3 * BLOCK_OPERATIONS):
        prefetch_leaf_slot(&book.ladder, key_of(records + index))
    for index in range(BLOCK_OPERATIONS, 2 * BLOCK_OPERATIONS):
        prefetch_level(&book.ladder, key_of(records + index))
    for index in range(BLOCK_OPERATIONS):
        prefetch_leaf_of_node(&book.ids, &book.arena, records[index].order_id)


cdef inline void prefetch_last_orders(BookState* book, const BookOperationRecord* records) noexcept nogil:
    """The orders that are last at the prices of the nearest block."""
    cdef uint64_t index
    for index in range(BLOCK_OPERATIONS):
        prefetch_last(&book.ladder, &book.arena, key_of(records + index))


cdef inline void prefetch_ahead(
    BookState* book, const BookOperationRecord* records, uint64_t done, uint64_t count
) noexcept nogil:
    """Asks for what the three blocks after `done` operations need, each one step further than the one behind it."""
    if done + 3 * BLOCK_OPERATIONS > count:
        return
    prefetch_orders(book, records + done)
    if book.ladder.sides[0].leaf_count + book.ladder.sides[1].leaf_count >= PREFETCH_LEVELS_FROM:
        prefetch_prices(book, records + done)
    if book.arena.live >= PREFETCH_LAST_FROM:
        prefetch_last_orders(book, records + done)


cdef inline BookEventRecord* book_apply(
    BookState* book, BookEventRecord* event, const BookOperationRecord* records, uint64_t count
) noexcept nogil:
    """Executes a batch; NULL where memory is out."""
    cdef uint64_t operation
    for operation in range(count):
        if operation % BLOCK_OPERATIONS == 0 and book.arena.live >= PREFETCH_FROM:
            prefetch_ahead(book, records, operation + BLOCK_OPERATIONS, count)
        if jibek_unlikely(event > book.events.limit):
            event = events_grow(&book.events, event)
            if event == NULL:
                return NULL
        event = book_execute(book, event, operation, records + operation)
        if jibek_unlikely(event == NULL):
            return NULL
    return event
