"""The price ladder: the levels and queues of one order book, as C structs and inline functions.

**Structure.** Each side has its prices in a tree (`engine/book/price_tree.pxd`). A level has the first and the last order of
an intrusive doubly linked queue, and the sum of their remaining lots. Orders live in an arena, which the ladders of one
owner share, and have 28-bit handles. Handle 0 is not an order; its node takes the writes that would otherwise need a test for
"no neighbour". Freed handles are used again, last freed first, while they are in the processor's cache.

**Cost.** Add, remove, fill, best price, first order: O(1), plus the cost of the tree for a new price. An arena with many
orders grows in place (`engine/book/memory.pxd`), so no order waits for the others to be copied. Memory: 32 bytes an order.
An arena is compacted when fewer than one node in sixteen is in use (`engine/book/compaction.pxd`), so that orders long gone
cost nothing.

**Source.** The intrusive queues and the pool with 32-bit indices are those of the known fast books (exchange-core's direct
book, CppTrader, itch-order-book).
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from engine.book.memory cimport Room, jibek_assert, jibek_likely, jibek_unlikely, room_free, room_grow
from engine.book.price_tree cimport (
    EMPTY_KEY,
    LEAF_BITS,
    Leaf,
    LeafStock,
    Level,
    PriceTree,
    leaf_has,
    leaf_level,
    stock_free,
    tree_add_level,
    tree_cached,
    tree_free,
    tree_init,
    tree_leaf_for,
    tree_level,
    tree_remove_level,
    tree_worse_level,
)
from engine.records cimport AMOUNT_MAX, SIDE_BUY

cdef extern from * nogil:
    """
    #define JIBEK_NO_ASK (JIBEK_AMOUNT_MAX + 1)
    """
    # Best ask of a book without asks; no price reaches it. A book without bids has the best bid 0.
    const int64_t NO_ASK "JIBEK_NO_ASK"

cdef enum:
    # Handles are below this: `engine/book/order_ids.pxd` has other use for the upper four bits.
    HANDLES_MAX = 1 << 28
    NODES_MIN = 64
    # An arena that never had more orders than this is not compacted.
    KEPT_NODES_MAX = 4096

cdef struct Node:
    # One resting order; two of them fill a cache line. A free node has no remaining lots.
    int64_t remaining_lots
    Level* level
    uint64_t order_id
    uint32_t next
    uint32_t previous

cdef struct Arena:
    # The orders of all ladders of one owner, and the spare leaves of their trees. The nodes are the room's memory.
    Node* nodes
    Room room
    uint32_t capacity
    uint32_t used
    uint32_t first_free
    uint32_t live
    LeafStock stock

cdef struct Ladder:
    # Bids, then asks.
    PriceTree sides[2]


cdef inline void arena_init(Arena* arena) noexcept nogil:
    memset(arena, 0, sizeof(Arena))


cdef inline void arena_free(Arena* arena) noexcept nogil:
    """Frees all memory, after all ladders were freed; the arena is as after `arena_init`."""
    stock_free(&arena.stock)
    room_free(&arena.room)
    arena_init(arena)


cdef inline void ladder_init(Ladder* ladder) noexcept nogil:
    tree_init(&ladder.sides[0])
    tree_init(&ladder.sides[1])


cdef inline void ladder_free(Arena* arena, Ladder* ladder) noexcept nogil:
    """Frees the levels; the orders stay in the arena. The ladder is as after `ladder_init`."""
    tree_free(&arena.stock, &ladder.sides[0])
    tree_free(&arena.stock, &ladder.sides[1])


# -- sides, prices and keys


cdef inline bint side_is_ask(int side) noexcept nogil:
    """Which tree of a ladder a record's side is: 0 the bids of SIDE_BUY, 1 the asks of SIDE_SELL."""
    return side != SIDE_BUY


cdef inline int side_number(bint is_ask) noexcept nogil:
    """The side as a record has it: SIDE_BUY or SIDE_SELL."""
    return SIDE_BUY + is_ask


cdef inline int64_t ladder_key(bint is_ask, int64_t price_ticks) noexcept nogil:
    """The key of a price; given a key, the price. Two's complement: x ^ -1 + 1 is -x.

    Unsigned, because what is asked for ahead may be any number, and the lowest one has no negative.
    """
    cdef uint64_t sign = -<uint64_t>is_ask
    return <int64_t>((<uint64_t>price_ticks ^ sign) - sign)


cdef inline Leaf** ladder_cached(Ladder* ladder, int64_t key) noexcept nogil:
    """Where the leaf of a key is found, if it is in the cache of its side."""
    return tree_cached(&ladder.sides[key < 0], key >> LEAF_BITS)


cdef inline bint ladder_is_ask(const Node* node) noexcept nogil:
    """Whether an order is on the asks' side."""
    return node.level.key < 0


cdef inline int64_t ladder_price(const Node* node) noexcept nogil:
    """The price of an order, in ticks."""
    cdef int64_t sign = node.level.key >> 63
    return (node.level.key ^ sign) - sign


cdef inline int64_t ladder_best_bid(const Ladder* ladder) noexcept nogil:
    """The highest bid; 0 if there is none."""
    cdef int64_t key = ladder.sides[0].best_key
    return key if key > 0 else 0


cdef inline int64_t ladder_best_ask(const Ladder* ladder) noexcept nogil:
    """The lowest ask; NO_ASK if there is none."""
    return -ladder.sides[1].best_key


cdef inline bint ladder_crosses(const Ladder* ladder, bint is_ask, int64_t key) noexcept nogil:
    """Whether an order of that side and key would trade."""
    return ladder.sides[not is_ask].best_key + key >= 0


cdef inline int64_t ladder_quantity(Ladder* ladder, bint is_ask, int64_t price_ticks) noexcept nogil:
    """The lots that rest on a side at a price, which may be any number; 0 if none do."""
    cdef Level* level = tree_level(&ladder.sides[is_ask], ladder_key(is_ask, price_ticks))
    return 0 if level == NULL else level.quantity_lots


cdef inline Level* ladder_best_level(Ladder* ladder, bint is_ask) noexcept nogil:
    """The best level of a side; NULL where it is empty."""
    return NULL if ladder.sides[is_ask].best_key == EMPTY_KEY else ladder.sides[is_ask].best_level


# -- orders in their queues


cdef inline uint32_t ladder_first(Ladder* ladder, bint is_ask) noexcept nogil:
    """The order that is first in line on a side; 0 where the side is empty."""
    cdef Level* level = ladder_best_level(ladder, is_ask)
    return 0 if level == NULL else level.first


cdef inline uint32_t ladder_after(const Node* node) noexcept nogil:
    """The order that is served after this one on its side; 0 where it is the last."""
    cdef Level* level
    if node.next:
        return node.next
    level = tree_worse_level(node.level)
    return 0 if level == NULL else level.first


cdef inline bint arena_grow(Arena* arena) noexcept nogil:
    """Room for twice as many orders or more; False where memory is out."""
    cdef uint64_t capacity = 2 * <uint64_t>arena.capacity if arena.capacity else NODES_MIN
    if arena.capacity == HANDLES_MAX:
        return False
    capacity = capacity if capacity < HANDLES_MAX else <uint64_t>HANDLES_MAX
    if not room_grow(&arena.room, arena.used * sizeof(Node), capacity * sizeof(Node)):
        return False
    if arena.nodes == NULL:
        memset(arena.room.memory, 0, sizeof(Node))
        arena.used = 1
    arena.nodes = <Node*>arena.room.memory
    capacity = arena.room.size // sizeof(Node)
    arena.capacity = <uint32_t>capacity if capacity < HANDLES_MAX else HANDLES_MAX
    return True


cdef inline uint32_t arena_acquire(Arena* arena) noexcept nogil:
    """A handle for one more order; 0 where memory is out."""
    cdef uint32_t handle = arena.first_free
    if jibek_likely(handle):
        arena.first_free = arena.nodes[handle].next
    else:
        if jibek_unlikely(arena.used >= arena.capacity) and not arena_grow(arena):
            return 0
        handle = arena.used
        arena.used += 1
    arena.live += 1
    jibek_assert(handle != 0)
    jibek_assert(handle < arena.used)
    jibek_assert(arena.live < arena.used)
    jibek_assert(arena.used <= arena.capacity)
    return handle


cdef inline void arena_release(Arena* arena, uint32_t handle) noexcept nogil:
    jibek_assert(handle != 0)
    jibek_assert(handle < arena.used)
    # Not released twice.
    jibek_assert(arena.nodes[handle].remaining_lots > 0)
    jibek_assert(arena.live > 0)
    arena.nodes[handle].remaining_lots = 0
    arena.nodes[handle].next = arena.first_free
    arena.first_free = handle
    arena.live -= 1


cdef inline bint arena_is_sparse(const Arena* arena) noexcept nogil:
    """Whether an arena has had many orders and now holds few of them."""
    return jibek_unlikely(arena.live < arena.used // 16) and arena.used > KEPT_NODES_MAX


cdef inline void ladder_assert_ends(const Arena* arena, const Level* level) noexcept nogil:
    """The first order of a level has none before it, the last none behind it, and both are at its price."""
    jibek_assert(arena.nodes[level.first].previous == 0)
    jibek_assert(arena.nodes[level.last].next == 0)
    jibek_assert(arena.nodes[level.first].level == level)
    jibek_assert(arena.nodes[level.last].level == level)
    # One order alone is both.
    jibek_assert((level.first == level.last) == (arena.nodes[level.first].next == 0))


cdef inline uint32_t ladder_rest(
    Arena* arena, Ladder* ladder, int64_t key, int64_t quantity_lots, uint64_t order_id
) noexcept nogil:
    """Puts an order at the end of the queue of its key, which must not cross; its handle, 0 where memory is out."""
    cdef PriceTree* tree = &ladder.sides[key < 0]
    cdef Leaf* leaf = tree_leaf_for(&arena.stock, tree, key)
    cdef uint32_t handle
    cdef Level* level
    cdef Node* node
    jibek_assert(key != 0)
    jibek_assert(quantity_lots > 0)
    # The makers of the other side do not trade with it.
    jibek_assert(ladder.sides[key > 0].best_key + key < 0)
    if jibek_unlikely(leaf == NULL):
        return 0
    handle = arena_acquire(arena)
    if jibek_unlikely(handle == 0):
        return 0
    level = leaf_level(leaf, key)
    node = &arena.nodes[handle]
    node.remaining_lots = quantity_lots
    node.level = level
    node.order_id = order_id
    node.next = 0
    if jibek_likely(leaf_has(leaf, key)):
        node.previous = level.last
        arena.nodes[level.last].next = handle
        level.quantity_lots += quantity_lots
    else:
        node.previous = 0
        level.first = handle
        level.quantity_lots = quantity_lots
        tree_add_level(&arena.stock, tree, leaf, level, key)
    level.last = handle
    jibek_assert(level.key == key)
    jibek_assert(level.quantity_lots >= quantity_lots)
    ladder_assert_ends(arena, level)
    return handle


cdef inline void ladder_reduce(Node* node, int64_t lots) noexcept nogil:
    """Reduces a resting order by fewer lots than it has; it keeps its place in the queue."""
    jibek_assert(lots > 0)
    jibek_assert(lots < node.remaining_lots)
    node.remaining_lots -= lots
    node.level.quantity_lots -= lots
    jibek_assert(node.level.quantity_lots >= node.remaining_lots)


cdef inline void ladder_remove(Arena* arena, Ladder* ladder, uint32_t handle) noexcept nogil:
    """Takes an order out of its queue and frees its handle."""
    cdef Node* node = &arena.nodes[handle]
    cdef Level* level = node.level
    cdef uint32_t next = node.next
    cdef uint32_t previous = node.previous
    ladder_assert_ends(arena, level)
    jibek_assert((previous == 0) == (level.first == handle))
    jibek_assert((next == 0) == (level.last == handle))
    jibek_assert(level.quantity_lots >= node.remaining_lots)
    level.quantity_lots -= node.remaining_lots
    # Without a neighbour these write to node 0, which is never read.
    arena.nodes[previous].next = next
    arena.nodes[next].previous = previous
    level.first = level.first if previous else next
    level.last = level.last if next else previous
    arena_release(arena, handle)
    if jibek_unlikely((next | previous) == 0):
        tree_remove_level(&arena.stock, &ladder.sides[level.key < 0], level)
    else:
        jibek_assert(level.quantity_lots > 0)
        ladder_assert_ends(arena, level)
