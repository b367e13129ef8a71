"""The price ladder: the levels and queues of one order book, as C structs and inline functions.

**Structure.** One 64-ary radix tree over the prices serves both sides. A leaf holds 64 neighbouring prices as an array of
levels with a 64-bit occupancy word, a branch 64 children with another; so the next occupied price in either direction is
a bit scan in the leaf or, rarely, a few steps up and down the tree. A book is never crossed, so every occupied price from
the best ask upwards is an ask and every other one a bid: a level needs no side. A small direct-mapped cache leads from a
price to its leaf without touching the tree.

A level is the head and tail of an intrusive doubly linked queue of orders, and the sum of what they have left. Orders
live in one pool and are named by 32-bit handles; handle 0 is nobody. Freed handles are used again, last freed first,
while they are still in the processor's cache.

**Why this one.** Prices cluster around the touch, where a plain array is unbeatable, but may wander over any range, where
an array is out of memory. The leaves are that array, cut into pieces that exist only where there are orders: a crash to
one tick and back, or levels spread over a million ticks, touch a handful of leaves more and cost no more.

**Cost.** Add, cancel, reduce, best price, first order: O(1), with at most one tree walk of (bits of the highest price - 6)
/ 6 steps when a leaf appears or disappears, or when the next best price is outside the leaf. Memory: 32 bytes an order,
1 KB for 64 neighbouring prices of which at least one has an order; spare leaves beyond 256 are given back.

**Source.** The intrusive queues and the pool with 32-bit indices are those of the known fast books (exchange-core's direct
book, CppTrader, itch-order-book), the occupancy words those of geseq/cpp-orderbook's bitmap, hung into a radix tree as
Linux does for its page cache.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

cdef extern from * nogil:
    """
    #define jibek_lowest_bit(word) __builtin_ctzll(word)
    #define jibek_highest_bit(word) (63 - __builtin_clzll(word))
    #define jibek_unlikely(condition) __builtin_expect(!!(condition), 0)
    #define JIBEK_NO_ASK INT64_MAX
    """
    # Best ask of a book without asks; no price reaches it. A book without bids has the best bid 0.
    const int64_t NO_ASK "JIBEK_NO_ASK"
    int jibek_lowest_bit(uint64_t word)
    int jibek_highest_bit(uint64_t word)
    bint jibek_unlikely(bint condition)

cdef enum:
    LEAF_CACHE_SLOTS = 256
    SPARE_LEAVES_MAX = 256
    TREE_HEIGHT_MAX = 10

cdef struct Node:
    # One resting order.
    int64_t left_lots
    int64_t price_ticks
    uint64_t order_id
    uint32_t next
    uint32_t previous

cdef struct Level:
    # The queue at one price; meaningful only where the leaf's bit is set.
    int64_t quantity_lots
    uint32_t head
    uint32_t tail

cdef struct Leaf:
    uint64_t occupied
    uint64_t key
    Level levels[64]

cdef struct Branch:
    # At height 1 the children are leaves, above it branches.
    uint64_t occupied
    void* children[64]

cdef struct Ladder:
    int64_t best_bid_ticks
    int64_t best_ask_ticks
    Node* nodes
    uint32_t node_capacity
    uint32_t nodes_used
    uint32_t free_head
    uint32_t live
    Branch* root
    int height
    uint32_t spare_leaves
    Leaf* spare
    Leaf* cache[LEAF_CACHE_SLOTS]


cdef inline void ladder_init(Ladder* ladder) noexcept nogil:
    memset(ladder, 0, sizeof(Ladder))
    ladder.best_ask_ticks = NO_ASK
    ladder.nodes_used = 1


cdef inline void ladder_free_branch(Branch* branch, int height) noexcept nogil:
    cdef uint64_t occupied = branch.occupied
    cdef int index
    while occupied:
        index = jibek_lowest_bit(occupied)
        occupied &= occupied - 1
        if height == 1:
            free(branch.children[index])
        else:
            ladder_free_branch(<Branch*>branch.children[index], height - 1)
    free(branch)


cdef inline void ladder_free(Ladder* ladder) noexcept nogil:
    """Gives back all memory; the ladder is as before `ladder_init`."""
    cdef Leaf* leaf
    if ladder.root != NULL:
        ladder_free_branch(ladder.root, ladder.height)
    while ladder.spare != NULL:
        leaf = ladder.spare
        ladder.spare = <Leaf*>leaf.key
        free(leaf)
    free(ladder.nodes)
    memset(ladder, 0, sizeof(Ladder))


# -- the tree of leaves


cdef inline Leaf* ladder_leaf(Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """The leaf of a price that has one."""
    cdef uint64_t key = <uint64_t>price_ticks >> 6
    cdef Leaf* leaf = ladder.cache[key & (LEAF_CACHE_SLOTS - 1)]
    cdef Branch* branch
    cdef int height
    if jibek_unlikely(leaf == NULL or leaf.key != key):
        branch = ladder.root
        for height in range(ladder.height, 1, -1):
            branch = <Branch*>branch.children[(key >> (6 * (height - 1))) & 63]
        leaf = <Leaf*>branch.children[key & 63]
        ladder.cache[key & (LEAF_CACHE_SLOTS - 1)] = leaf
    return leaf


cdef inline Leaf* ladder_make_leaf(Ladder* ladder, uint64_t key) noexcept nogil:
    """The leaf of a key, grown into the tree where it is missing; NULL where memory is out."""
    cdef Branch* branch
    cdef Branch* child
    cdef Leaf* leaf
    cdef int height, index
    if ladder.root == NULL:
        ladder.root = <Branch*>calloc(1, sizeof(Branch))
        if ladder.root == NULL:
            return NULL
        ladder.height = 1
    while key >> (6 * ladder.height):
        if ladder.root.occupied == 0:
            # An empty root is a root of any height; as a child it would be a dead end.
            ladder.height += 1
            continue
        branch = <Branch*>calloc(1, sizeof(Branch))
        if branch == NULL:
            return NULL
        branch.occupied = 1
        branch.children[0] = ladder.root
        ladder.root = branch
        ladder.height += 1
    branch = ladder.root
    for height in range(ladder.height, 1, -1):
        index = (key >> (6 * (height - 1))) & 63
        child = <Branch*>branch.children[index]
        if child == NULL:
            child = <Branch*>calloc(1, sizeof(Branch))
            if child == NULL:
                return NULL
            branch.children[index] = child
            branch.occupied |= <uint64_t>1 << index
        branch = child
    leaf = <Leaf*>branch.children[key & 63]
    if leaf == NULL:
        leaf = ladder.spare
        if leaf != NULL:
            ladder.spare = <Leaf*>leaf.key
            ladder.spare_leaves -= 1
        else:
            leaf = <Leaf*>malloc(sizeof(Leaf))
            if leaf == NULL:
                return NULL
        leaf.occupied = 0
        leaf.key = key
        branch.children[key & 63] = leaf
        branch.occupied |= <uint64_t>1 << (key & 63)
    ladder.cache[key & (LEAF_CACHE_SLOTS - 1)] = leaf
    return leaf


cdef inline void ladder_drop_leaf(Ladder* ladder, Leaf* leaf) noexcept nogil:
    """Takes an empty leaf out of the tree, with the branches that it leaves empty; the root stays."""
    cdef Branch* path[TREE_HEIGHT_MAX + 1]
    cdef uint64_t key = leaf.key
    cdef int height
    cdef int top = ladder.height
    path[top] = ladder.root
    for height in range(top, 1, -1):
        path[height - 1] = <Branch*>path[height].children[(key >> (6 * (height - 1))) & 63]
    for height in range(1, top + 1):
        path[height].children[(key >> (6 * (height - 1))) & 63] = NULL
        path[height].occupied &= ~(<uint64_t>1 << ((key >> (6 * (height - 1))) & 63))
        if path[height].occupied or height == top:
            break
        free(path[height])
    if ladder.cache[key & (LEAF_CACHE_SLOTS - 1)] == leaf:
        ladder.cache[key & (LEAF_CACHE_SLOTS - 1)] = NULL
    if ladder.spare_leaves < SPARE_LEAVES_MAX:
        leaf.key = <uint64_t>ladder.spare
        ladder.spare = leaf
        ladder.spare_leaves += 1
    else:
        free(leaf)


cdef inline Leaf* ladder_neighbour_leaf(Ladder* ladder, uint64_t key, bint upwards) noexcept nogil:
    """The nearest leaf strictly above or below a key, whether or not the key has a leaf; NULL where there is none."""
    cdef Branch* path[TREE_HEIGHT_MAX + 1]
    cdef Branch* branch = ladder.root
    cdef uint64_t candidates
    cdef int height = ladder.height
    cdef int index
    if branch == NULL:
        return NULL
    path[height] = branch
    while height > 1:
        branch = <Branch*>branch.children[(key >> (6 * (height - 1))) & 63]
        if branch == NULL:
            break
        height -= 1
        path[height] = branch
    while height <= ladder.height:
        branch = path[height]
        index = (key >> (6 * (height - 1))) & 63
        # The shift is split because shifting a 64-bit word by 64 is undefined.
        if upwards:
            candidates = branch.occupied >> index >> 1 << index << 1
        else:
            candidates = branch.occupied & ((<uint64_t>1 << index) - 1)
        if candidates:
            while True:
                index = jibek_lowest_bit(candidates) if upwards else jibek_highest_bit(candidates)
                if height == 1:
                    return <Leaf*>branch.children[index]
                branch = <Branch*>branch.children[index]
                candidates = branch.occupied
                height -= 1
        height += 1
    return NULL


cdef inline int64_t ladder_next_ask(Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """The lowest occupied price above `price_ticks` in its leaf or beyond; NO_ASK where there is none."""
    cdef Leaf* leaf = ladder_leaf(ladder, price_ticks)
    cdef int index = price_ticks & 63
    cdef uint64_t above = leaf.occupied >> index >> 1 << index << 1
    if not above:
        leaf = ladder_neighbour_leaf(ladder, leaf.key, True)
        if leaf == NULL:
            return NO_ASK
        above = leaf.occupied
    return <int64_t>(leaf.key << 6) + jibek_lowest_bit(above)


cdef inline int64_t ladder_next_bid(Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """The highest occupied price below `price_ticks` in its leaf or beyond; 0 where there is none."""
    cdef Leaf* leaf = ladder_leaf(ladder, price_ticks)
    cdef uint64_t below = leaf.occupied & ((<uint64_t>1 << (price_ticks & 63)) - 1)
    if not below:
        leaf = ladder_neighbour_leaf(ladder, leaf.key, False)
        if leaf == NULL:
            return 0
        below = leaf.occupied
    return <int64_t>(leaf.key << 6) + jibek_highest_bit(below)


# -- orders


cdef inline Level* ladder_level(Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """The level of an occupied price."""
    return &ladder_leaf(ladder, price_ticks).levels[price_ticks & 63]


cdef inline int64_t ladder_quantity(Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """What rests at any price; 0 where nothing does. A price whose leaf is not in the cache is looked up in the tree."""
    cdef uint64_t key = <uint64_t>price_ticks >> 6
    cdef Leaf* leaf = ladder.cache[key & (LEAF_CACHE_SLOTS - 1)]
    cdef Branch* branch
    cdef int height
    if jibek_unlikely(leaf == NULL or leaf.key != key):
        branch = ladder.root
        if branch == NULL or key >> (6 * ladder.height):
            return 0
        for height in range(ladder.height, 1, -1):
            branch = <Branch*>branch.children[(key >> (6 * (height - 1))) & 63]
            if branch == NULL:
                return 0
        leaf = <Leaf*>branch.children[key & 63]
        if leaf == NULL:
            return 0
    if leaf.occupied >> (price_ticks & 63) & 1:
        return leaf.levels[price_ticks & 63].quantity_lots
    return 0


cdef inline bint ladder_is_ask(Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """Which side an occupied price belongs to."""
    return price_ticks >= ladder.best_ask_ticks


cdef inline uint32_t ladder_first(Ladder* ladder, bint asks) noexcept nogil:
    """The order that is first in line on a side; 0 where the side is empty."""
    if asks:
        if ladder.best_ask_ticks == NO_ASK:
            return 0
        return ladder_level(ladder, ladder.best_ask_ticks).head
    if ladder.best_bid_ticks == 0:
        return 0
    return ladder_level(ladder, ladder.best_bid_ticks).head


cdef inline uint32_t ladder_after(Ladder* ladder, uint32_t handle) noexcept nogil:
    """The order that is served after `handle` on its side; 0 where it is the last."""
    cdef Node* node = &ladder.nodes[handle]
    cdef int64_t price_ticks
    if node.next:
        return node.next
    if ladder_is_ask(ladder, node.price_ticks):
        price_ticks = ladder_next_ask(ladder, node.price_ticks)
        return 0 if price_ticks == NO_ASK else ladder_level(ladder, price_ticks).head
    price_ticks = ladder_next_bid(ladder, node.price_ticks)
    return 0 if price_ticks == 0 else ladder_level(ladder, price_ticks).head


cdef inline bint ladder_reserve(Ladder* ladder) noexcept nogil:
    """Makes sure that the next order has a node; False where memory is out."""
    cdef uint32_t capacity
    cdef Node* nodes
    if ladder.free_head or ladder.nodes_used < ladder.node_capacity:
        return True
    if ladder.node_capacity >= <uint32_t>1 << 31:
        return False
    capacity = ladder.node_capacity * 2 if ladder.node_capacity else 64
    nodes = <Node*>realloc(ladder.nodes, capacity * sizeof(Node))
    if nodes == NULL:
        return False
    ladder.nodes = nodes
    ladder.node_capacity = capacity
    return True


cdef inline uint32_t ladder_rest(
    Ladder* ladder, bint ask, int64_t price_ticks, int64_t quantity_lots, uint64_t order_id
) noexcept nogil:
    """Puts an order at the end of the queue of its price, which must not cross; its handle, 0 where memory is out."""
    cdef uint64_t key = <uint64_t>price_ticks >> 6
    cdef uint64_t bit = <uint64_t>1 << (price_ticks & 63)
    cdef Leaf* leaf = ladder.cache[key & (LEAF_CACHE_SLOTS - 1)]
    cdef Level* level
    cdef Node* node
    cdef uint32_t handle
    if jibek_unlikely(not ladder_reserve(ladder)):
        return 0
    if jibek_unlikely(leaf == NULL or leaf.key != key):
        leaf = ladder_make_leaf(ladder, key)
        if leaf == NULL:
            return 0
    if ladder.free_head:
        handle = ladder.free_head
        ladder.free_head = ladder.nodes[handle].next
    else:
        handle = ladder.nodes_used
        ladder.nodes_used += 1
    node = &ladder.nodes[handle]
    node.left_lots = quantity_lots
    node.price_ticks = price_ticks
    node.order_id = order_id
    node.next = 0
    level = &leaf.levels[price_ticks & 63]
    if leaf.occupied & bit:
        node.previous = level.tail
        ladder.nodes[level.tail].next = handle
        level.quantity_lots += quantity_lots
    else:
        leaf.occupied |= bit
        node.previous = 0
        level.head = handle
        level.quantity_lots = quantity_lots
        if ask:
            if price_ticks < ladder.best_ask_ticks:
                ladder.best_ask_ticks = price_ticks
        elif price_ticks > ladder.best_bid_ticks:
            ladder.best_bid_ticks = price_ticks
    level.tail = handle
    ladder.live += 1
    return handle


cdef inline void ladder_remove(Ladder* ladder, uint32_t handle) noexcept nogil:
    """Takes an order out of its queue and frees its handle."""
    cdef Node* node = &ladder.nodes[handle]
    cdef int64_t price_ticks = node.price_ticks
    cdef Leaf* leaf = ladder_leaf(ladder, price_ticks)
    cdef Level* level = &leaf.levels[price_ticks & 63]
    level.quantity_lots -= node.left_lots
    if node.previous:
        ladder.nodes[node.previous].next = node.next
    else:
        level.head = node.next
    if node.next:
        ladder.nodes[node.next].previous = node.previous
    else:
        level.tail = node.previous
    node.next = ladder.free_head
    ladder.free_head = handle
    ladder.live -= 1
    if level.head == 0:
        leaf.occupied &= ~(<uint64_t>1 << (price_ticks & 63))
        if price_ticks == ladder.best_ask_ticks:
            ladder.best_ask_ticks = ladder_next_ask(ladder, price_ticks)
        elif price_ticks == ladder.best_bid_ticks:
            ladder.best_bid_ticks = ladder_next_bid(ladder, price_ticks)
        if leaf.occupied == 0:
            ladder_drop_leaf(ladder, leaf)


cdef inline void ladder_fill(Ladder* ladder, uint32_t handle, int64_t lots) noexcept nogil:
    """Fills `lots` of an order, which must have as many left; one with nothing left is gone."""
    cdef Node* node = &ladder.nodes[handle]
    if lots == node.left_lots:
        ladder_remove(ladder, handle)
    else:
        node.left_lots -= lots
        ladder_level(ladder, node.price_ticks).quantity_lots -= lots
