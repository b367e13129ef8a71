"""The rules of matching over one ladder and one map of ids, as C functions that write the events into a buffer.

Nothing here touches Python, so a batch runs without the interpreter. The rules: price-time priority; the maker's price; a
replace loses its place, an amend to less keeps it; what is refused changes nothing and is answered by one REJECTED.

A function that writes events takes the place of the next one and returns the place after its last, NULL where memory is
out. Before an operation there is room for EVENTS_PER_OPERATION, and each trade makes sure that it stays so.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy


from engine.ladder cimport (
    Ladder,
    LadderSide,
    Leaf,
    Level,
    Node,
    jibek_allocate,
    jibek_lowest_bit,
    jibek_prefetch,
    jibek_unlikely,
    ladder_crosses,
    ladder_free,
    ladder_give_node,
    ladder_init,
    ladder_is_ask,
    ladder_key,
    ladder_level,
    ladder_level_is_empty,
    ladder_level_of_key,
    ladder_quantity,
    ladder_remove,
    ladder_rest,
    ladder_worse_key,
)
from engine.order_ids cimport (
    GROUP_STRIDE,
    IdSlot,
    OrderIds,
    ids_clear,
    ids_free,
    ids_get,
    ids_hash,
    ids_init,
    ids_insert,
    ids_locate,
    ids_remove,
    ids_reserve,
    ids_same_tags,
    ids_shrink,
)
from engine.records cimport (
    REASON_INVALID_PRICE,
    REASON_INVALID_QUANTITY,
    REASON_INVALID_SIDE,
    REASON_INVALID_TIME_IN_FORCE,
    REASON_ORDER_ID_IN_USE,
    REASON_UNKNOWN_COMMAND,
    REASON_UNKNOWN_ORDER,
    SIDE_BUY,
    TIME_IN_FORCE_FOK,
    TIME_IN_FORCE_GTC,
)

cdef extern from * nogil:
    """
    #define JIBEK_VALUE_MAX (((int64_t)1 << 62) - 1)
    """
    # Highest price and quantity, and highest sum of a level.
    const int64_t VALUE_MAX "JIBEK_VALUE_MAX"

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
    BLOCK_OPERATIONS = 16
    # With fewer orders than this the nodes are in the second-level cache and asking for them ahead costs more than it saves.
    PREFETCH_NODES_FROM = 32768
    # The same for levels: with fewer leaves than this those in use are close.
    PREFETCH_LEVELS_FROM = 512
    # Quantities below 2^31 of fewer than 2^31 orders cannot pass VALUE_MAX together.
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
    uint64_t head
    uint64_t order_id
    uint64_t maker_order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t left_lots

cdef struct EventBuffer:
    # Borrowed from its owner while operations are carried out, which may move it.
    BookEventRecord* records
    # Where room for EVENTS_PER_OPERATION ends.
    BookEventRecord* limit
    uint64_t capacity

cdef struct Taker:
    uint64_t order_id
    int64_t key
    int64_t left_lots
    # 0 buys, 1 sells.
    bint sells
    # What the heads of its events have in common.
    uint64_t head

cdef struct BookState:
    Ladder ladder
    OrderIds ids
    EventBuffer events
    # All quantities that ever came, or-ed: while no bit from NARROW_BITS up is set, no level can overflow.
    uint64_t quantity_bits


cdef inline void book_init(BookState* book) noexcept nogil:
    ladder_init(&book.ladder)
    ids_init(&book.ids)
    book.quantity_bits = 0


cdef inline void book_free(BookState* book) noexcept nogil:
    """Gives back the memory of orders, levels and ids; the book is empty."""
    ladder_free(&book.ladder)
    ids_free(&book.ids)
    book_init(book)


# -- events


cdef inline uint64_t event_head(int kind, int side, uint64_t operation) noexcept nogil:
    return <uint64_t>kind | <uint64_t>side << 8 | operation << 32


cdef inline BookEventRecord* event_write(
    BookEventRecord* event,
    uint64_t head,
    uint64_t order_id,
    uint64_t maker_order_id,
    int64_t price_ticks,
    int64_t quantity_lots,
    int64_t left_lots,
) noexcept nogil:
    event.head = head
    event.order_id = order_id
    event.maker_order_id = maker_order_id
    event.price_ticks = price_ticks
    event.quantity_lots = quantity_lots
    event.left_lots = left_lots
    return event + 1


cdef inline BookEventRecord* event_reject(
    BookEventRecord* event, int side, uint64_t operation, uint64_t order_id, int reason
) noexcept nogil:
    return event_write(
        event, event_head(EVENT_REJECTED, side, operation) | <uint64_t>reason << 16, order_id, 0, 0, 0, 0
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


cdef inline BookEventRecord* match_level(
    BookState* book, BookEventRecord* event, Taker* taker, LadderSide* makers
) noexcept nogil:
    """Fills the taker from the best level until one of them has nothing left."""
    cdef Ladder* ladder = &book.ladder
    cdef Level* level = makers.best_level
    cdef int64_t key = makers.best_key
    cdef int64_t price_ticks = ladder_key(not taker.sells, key)
    cdef int64_t left_lots = taker.left_lots
    cdef uint64_t head = taker.head | EVENT_TRADE
    cdef uint32_t handle = level.head
    cdef int64_t lots
    cdef uint32_t next
    cdef Node* maker
    while True:
        maker = &ladder.nodes[handle]
        lots = maker.left_lots if maker.left_lots < left_lots else left_lots
        left_lots -= lots
        level.quantity_lots -= lots
        event = event_write(
            event, head, taker.order_id, maker.order_id, price_ticks, lots, maker.left_lots - lots
        )
        if jibek_unlikely(event > book.events.limit):
            event = events_grow(&book.events, event)
            if event == NULL:
                return NULL
        if lots < maker.left_lots:
            maker.left_lots -= lots
            level.head = handle
            ladder.nodes[handle].previous = 0
            break
        ids_remove(&book.ids, ladder.nodes, maker.order_id)
        next = maker.next
        ladder_give_node(ladder, handle)
        if next == 0:
            ladder_level_is_empty(ladder, makers, key)
            break
        handle = next
        if left_lots == 0:
            level.head = handle
            ladder.nodes[handle].previous = 0
            break
    taker.left_lots = left_lots
    return event


cdef inline BookEventRecord* match_taker(BookState* book, BookEventRecord* event, Taker* taker) noexcept nogil:
    """Fills the taker as far as its price goes."""
    cdef LadderSide* makers = &book.ladder.sides[not taker.sells]
    while taker.left_lots and makers.best_key + taker.key >= 0:
        event = match_level(book, event, taker, makers)
        if jibek_unlikely(event == NULL):
            break
    return event


cdef inline bint can_fill(BookState* book, bint sells, int64_t key, int64_t quantity_lots) noexcept nogil:
    """Whether that much rests on the other side at that price or better. Cost: O(levels looked at)."""
    cdef LadderSide* makers = &book.ladder.sides[not sells]
    cdef int64_t maker_key = makers.best_key
    while maker_key + key >= 0:
        quantity_lots -= ladder_level_of_key(makers, maker_key).quantity_lots
        if quantity_lots <= 0:
            return True
        maker_key = ladder_worse_key(makers, maker_key)
    return False


# -- the operations


cdef inline bint is_value(int64_t number) noexcept nogil:
    """Whether it may be a price or a quantity: 1 to VALUE_MAX, in one comparison."""
    return <uint64_t>number - 1 < <uint64_t>VALUE_MAX


cdef inline int level_overflows(
    BookState* book, bint sells, int64_t price_ticks, int64_t quantity_lots, int64_t leaving_lots
) noexcept nogil:
    """Whether a level's sum could pass VALUE_MAX if `quantity_lots` came and `leaving_lots` went."""
    return ladder_quantity(&book.ladder, sells, price_ticks) - leaving_lots > VALUE_MAX - quantity_lots


cdef inline int place_refusal(
    BookState* book, int side, int64_t price_ticks, int64_t quantity_lots, int time_in_force
) noexcept nogil:
    """Why an order is not valid whatever its id; 0 where it is."""
    if <unsigned int>(side - SIDE_BUY) > 1:
        return REASON_INVALID_SIDE
    if <unsigned int>(time_in_force - TIME_IN_FORCE_GTC) > TIME_IN_FORCE_FOK - TIME_IN_FORCE_GTC:
        return REASON_INVALID_TIME_IN_FORCE
    if not is_value(price_ticks):
        return REASON_INVALID_PRICE
    if not is_value(quantity_lots):
        return REASON_INVALID_QUANTITY
    return 0


cdef inline BookEventRecord* place_valid(
    BookState* book,
    BookEventRecord* event,
    uint64_t operation,
    uint64_t order_id,
    uint64_t hash,
    bint sells,
    int64_t price_ticks,
    int64_t quantity_lots,
    int time_in_force,
) noexcept nogil:
    """Accepts an order, matches it and rests what is left of it."""
    cdef Taker taker
    cdef uint32_t handle
    taker.order_id = order_id
    taker.key = ladder_key(sells, price_ticks)
    taker.left_lots = quantity_lots
    taker.sells = sells
    taker.head = event_head(0, SIDE_BUY + sells, operation)
    book.quantity_bits |= <uint64_t>quantity_lots
    event = event_write(event, taker.head | EVENT_ACCEPTED, order_id, 0, price_ticks, quantity_lots, 0)
    if ladder_crosses(&book.ladder, sells, taker.key):
        if time_in_force != TIME_IN_FORCE_FOK or can_fill(book, sells, taker.key, quantity_lots):
            event = match_taker(book, event, &taker)
            if jibek_unlikely(event == NULL):
                return NULL
        if taker.left_lots == 0:
            return event
    if jibek_unlikely(time_in_force != TIME_IN_FORCE_GTC):
        return event_write(event, taker.head | EVENT_EXPIRED, order_id, 0, price_ticks, taker.left_lots, 0)
    if jibek_unlikely(not ids_reserve(&book.ids, book.ladder.nodes)):
        return NULL
    handle = ladder_rest(&book.ladder, sells, price_ticks, taker.left_lots, order_id)
    if jibek_unlikely(handle == 0):
        return NULL
    ids_insert(&book.ids, hash, handle)
    return event


cdef inline BookEventRecord* book_place(
    BookState* book,
    BookEventRecord* event,
    uint64_t operation,
    uint64_t order_id,
    uint64_t hash,
    int side,
    int64_t price_ticks,
    int64_t quantity_lots,
    int time_in_force,
) noexcept nogil:
    cdef int reason = place_refusal(book, side, price_ticks, quantity_lots, time_in_force)
    cdef bint sells = side != SIDE_BUY
    if jibek_unlikely(reason):
        return event_reject(event, 0 if reason == REASON_INVALID_SIDE else side, operation, order_id, reason)
    if jibek_unlikely(ids_locate(&book.ids, book.ladder.nodes, hash, order_id).handle):
        return event_reject(event, side, operation, order_id, REASON_ORDER_ID_IN_USE)
    # An order that matches rests on an empty level, so only what rests already counts.
    if jibek_unlikely((book.quantity_bits | <uint64_t>quantity_lots) >> NARROW_BITS):
        if level_overflows(book, sells, price_ticks, quantity_lots, 0):
            return event_reject(event, side, operation, order_id, REASON_INVALID_QUANTITY)
    return place_valid(book, event, operation, order_id, hash, sells, price_ticks, quantity_lots, time_in_force)


cdef inline BookEventRecord* book_market(
    BookState* book,
    BookEventRecord* event,
    uint64_t operation,
    uint64_t order_id,
    int side,
    int64_t quantity_lots,
) noexcept nogil:
    cdef Taker taker
    if jibek_unlikely(<unsigned int>(side - SIDE_BUY) > 1):
        return event_reject(event, 0, operation, order_id, REASON_INVALID_SIDE)
    if jibek_unlikely(not is_value(quantity_lots)):
        return event_reject(event, side, operation, order_id, REASON_INVALID_QUANTITY)
    taker.order_id = order_id
    # The key that crosses every order and no empty side.
    taker.key = VALUE_MAX
    taker.left_lots = quantity_lots
    taker.sells = side != SIDE_BUY
    taker.head = event_head(0, side, operation)
    event = event_write(event, taker.head | EVENT_ACCEPTED, order_id, 0, 0, quantity_lots, 0)
    event = match_taker(book, event, &taker)
    if jibek_unlikely(taker.left_lots) and event != NULL:
        event = event_write(event, taker.head | EVENT_EXPIRED, order_id, 0, 0, taker.left_lots, 0)
    return event


cdef inline BookEventRecord* book_cancel(
    BookState* book, BookEventRecord* event, uint64_t operation, uint64_t order_id, uint64_t hash
) noexcept nogil:
    cdef IdSlot slot = ids_locate(&book.ids, book.ladder.nodes, hash, order_id)
    cdef Node* node = &book.ladder.nodes[slot.handle]
    cdef bint ask
    if jibek_unlikely(slot.handle == 0):
        return event_reject(event, 0, operation, order_id, REASON_UNKNOWN_ORDER)
    ask = ladder_is_ask(&book.ladder, node.price_ticks)
    event = event_write(
        event, event_head(EVENT_CANCELLED, SIDE_BUY + ask, operation), order_id, 0, node.price_ticks, node.left_lots, 0
    )
    ids_clear(&book.ids, hash, slot)
    ladder_remove(&book.ladder, slot.handle)
    ids_shrink(&book.ids, book.ladder.nodes)
    return event


cdef inline int replace_refusal(
    BookState* book, Node* node, uint64_t new_order_id, int64_t price_ticks, int64_t quantity_lots
) noexcept nogil:
    """Why an order that rests cannot be replaced; 0 where it can."""
    cdef bint ask = ladder_is_ask(&book.ladder, node.price_ticks)
    cdef int64_t leaving_lots = node.left_lots if node.price_ticks == price_ticks else 0
    if not is_value(price_ticks):
        return REASON_INVALID_PRICE
    if not is_value(quantity_lots):
        return REASON_INVALID_QUANTITY
    if new_order_id != node.order_id and ids_get(&book.ids, book.ladder.nodes, new_order_id):
        return REASON_ORDER_ID_IN_USE
    if (book.quantity_bits | <uint64_t>quantity_lots) >> NARROW_BITS:
        if level_overflows(book, ask, price_ticks, quantity_lots, leaving_lots):
            return REASON_INVALID_QUANTITY
    return 0


cdef inline BookEventRecord* book_replace(
    BookState* book,
    BookEventRecord* event,
    uint64_t operation,
    uint64_t order_id,
    uint64_t hash,
    uint64_t new_order_id,
    int64_t price_ticks,
    int64_t quantity_lots,
) noexcept nogil:
    cdef uint32_t handle = ids_locate(&book.ids, book.ladder.nodes, hash, order_id).handle
    cdef Node* node = &book.ladder.nodes[handle]
    cdef bint ask
    cdef int reason
    if jibek_unlikely(handle == 0):
        return event_reject(event, 0, operation, order_id, REASON_UNKNOWN_ORDER)
    ask = ladder_is_ask(&book.ladder, node.price_ticks)
    reason = replace_refusal(book, node, new_order_id, price_ticks, quantity_lots)
    if jibek_unlikely(reason):
        return event_reject(event, SIDE_BUY + ask, operation, order_id, reason)
    event = book_cancel(book, event, operation, order_id, hash)
    return place_valid(
        book, event, operation, new_order_id, ids_hash(new_order_id), ask, price_ticks, quantity_lots, TIME_IN_FORCE_GTC
    )


cdef inline BookEventRecord* book_amend(
    BookState* book, BookEventRecord* event, uint64_t operation, uint64_t order_id, uint64_t hash, int64_t quantity_lots
) noexcept nogil:
    cdef uint32_t handle = ids_locate(&book.ids, book.ladder.nodes, hash, order_id).handle
    cdef Node* node = &book.ladder.nodes[handle]
    cdef int side
    cdef int64_t removed_lots
    if handle == 0:
        return event_reject(event, 0, operation, order_id, REASON_UNKNOWN_ORDER)
    side = SIDE_BUY + ladder_is_ask(&book.ladder, node.price_ticks)
    removed_lots = node.left_lots - quantity_lots
    if not is_value(quantity_lots) or removed_lots <= 0:
        return event_reject(event, side, operation, order_id, REASON_INVALID_QUANTITY)
    node.left_lots = quantity_lots
    ladder_level(&book.ladder, node.price_ticks).quantity_lots -= removed_lots
    return event_write(
        event,
        event_head(EVENT_AMENDED, side, operation),
        order_id,
        0,
        node.price_ticks,
        removed_lots,
        quantity_lots,
    )


cdef inline BookEventRecord* book_carry_out(
    BookState* book,
    BookEventRecord* event,
    uint64_t operation,
    const BookOperationRecord* record,
    uint64_t hash,
) noexcept nogil:
    """One operation of a batch; `hash` is that of its order id."""
    if record.kind == OPERATION_PLACE:
        return book_place(
            book,
            event,
            operation,
            record.order_id,
            hash,
            record.side,
            record.price_ticks,
            record.quantity_lots,
            record.time_in_force,
        )
    if record.kind == OPERATION_CANCEL:
        return book_cancel(book, event, operation, record.order_id, hash)
    if record.kind == OPERATION_MARKET:
        return book_market(book, event, operation, record.order_id, record.side, record.quantity_lots)
    if record.kind == OPERATION_REPLACE:
        return book_replace(
            book,
            event,
            operation,
            record.order_id,
            hash,
            record.new_order_id,
            record.price_ticks,
            record.quantity_lots,
        )
    if record.kind == OPERATION_AMEND:
        return book_amend(book, event, operation, record.order_id, hash, record.quantity_lots)
    return event_reject(event, 0, operation, record.order_id, REASON_UNKNOWN_COMMAND)


# -- batches


cdef inline void prefetch_ids(
    BookState* book, const BookOperationRecord* records, uint64_t count, uint64_t* hashes
) noexcept nogil:
    """Hashes the ids of the next operations and asks for the groups where they belong."""
    cdef uint64_t index, group
    for index in range(count):
        hashes[index] = ids_hash(records[index].order_id)
        group = hashes[index] >> book.ids.shift
        jibek_prefetch(&book.ids.tags[group])
        jibek_prefetch(&book.ids.handles[group * GROUP_STRIDE])


cdef inline void prefetch_nodes(
    BookState* book, uint64_t count, const uint64_t* hashes, uint32_t* handles
) noexcept nogil:
    """Asks for the orders that the next operations name, then for their neighbours in the queues.

    A guess at the handle is enough here, and it is made without a branch: no mark gives the eighth handle of the group, 0.
    """
    cdef uint64_t index, group, same
    for index in range(count):
        group = hashes[index] >> book.ids.shift
        same = ids_same_tags(book.ids.tags[group], hashes[index]) | <uint64_t>1 << 63
        handles[index] = book.ids.handles[group * GROUP_STRIDE + (jibek_lowest_bit(same) >> 3)]
        jibek_prefetch(&book.ladder.nodes[handles[index]])
    for index in range(count):
        jibek_prefetch(&book.ladder.nodes[book.ladder.nodes[handles[index]].next])
        jibek_prefetch(&book.ladder.nodes[book.ladder.nodes[handles[index]].previous])


cdef inline void prefetch_levels(
    BookState* book, const BookOperationRecord* records, uint64_t count, const uint32_t* handles
) noexcept nogil:
    """Asks for the levels of the orders that the next operations name or place. A wrong guess at the side does no harm."""
    cdef uint64_t index
    cdef int64_t price_ticks, key
    cdef LadderSide* side
    cdef Leaf* leaf
    cdef bint ask
    for index in range(count):
        price_ticks = book.ladder.nodes[handles[index]].price_ticks if handles[index] else records[index].price_ticks
        ask = ladder_is_ask(&book.ladder, price_ticks)
        side = &book.ladder.sides[ask]
        key = ladder_key(ask, price_ticks)
        leaf = side.cache[<uint64_t>(key >> 6) & side.cache_mask]
        jibek_prefetch(leaf)
        jibek_prefetch(&leaf.levels[key & 63])


cdef inline BookEventRecord* book_apply_block(
    BookState* book, BookEventRecord* event, uint64_t operation, const BookOperationRecord* records, uint64_t count
) noexcept nogil:
    """Carries out at most BLOCK_OPERATIONS; the first of them is number `operation` of its batch."""
    cdef uint64_t hashes[BLOCK_OPERATIONS]
    cdef uint32_t handles[BLOCK_OPERATIONS]
    cdef uint64_t index
    cdef bint wide
    prefetch_ids(book, records, count, hashes)
    wide = book.ladder.sides[0].leaves + book.ladder.sides[1].leaves >= PREFETCH_LEVELS_FROM
    if wide or book.ladder.live >= PREFETCH_NODES_FROM:
        prefetch_nodes(book, count, hashes, handles)
    if wide:
        prefetch_levels(book, records, count, handles)
    for index in range(count):
        if jibek_unlikely(event > book.events.limit):
            event = events_grow(&book.events, event)
            if event == NULL:
                return NULL
        event = book_carry_out(book, event, operation + index, records + index, hashes[index])
        if jibek_unlikely(event == NULL):
            return NULL
    return event


cdef inline BookEventRecord* book_apply(
    BookState* book, BookEventRecord* event, const BookOperationRecord* records, uint64_t count
) noexcept nogil:
    """Carries out a batch."""
    cdef uint64_t done = 0
    cdef uint64_t block
    while done < count and event != NULL:
        block = count - done if count - done < BLOCK_OPERATIONS else <uint64_t>BLOCK_OPERATIONS
        event = book_apply_block(book, event, done, records + done, block)
        done += block
    return event
