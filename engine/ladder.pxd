"""The price ladder: the levels and queues of one order book, as C structs and inline functions.

**Structure.** Each side has its prices in leaves of 64 neighbours: an array of levels and a 64-bit occupancy word. A
64-ary radix tree holds the leaves, and a direct-mapped cache leads from a price to its leaf without touching the tree.
A level is the head and tail of an intrusive doubly linked queue of orders and the sum of what they have left. Orders live
in one pool and are named by 32-bit handles; handle 0 is nobody, and its node takes the writes that would otherwise need
a test for "no neighbour". Freed handles are used again, last freed first, while they are in the processor's cache.

A price has a *key* on its side: itself for a bid, its negative for an ask. The better price has the higher key on either
side, and two orders cross where their keys add up to 0 or more. So one code serves both sides without a branch, which a
processor would guess wrong every second time.

**Why this one.** Prices cluster around the touch, where a plain array is unbeatable, but may wander over any range, where
an array is out of memory. The leaves are that array, cut into pieces that exist only where there are orders: a crash to
one tick and back, or levels spread over a million ticks, touch some leaves more. Sorted vectors of levels and a moving
window were measured beside it; docs/performance.md has the figures.

**Cost.** Add, remove, fill, best price, first order: O(1). A leaf that appears or disappears, and a next best price that
is outside the leaf, walk the tree: at most (bits of the highest price - 6) / 6 steps, 2 or 3 in practice. Growing the pool or the
cache copies it, which is O(1) amortised. Memory: 32 bytes an order with at most a quarter spare, 1 KB for 64 neighbouring
prices of which at least one has an order. Spare leaves beyond 256 are given back; the pool keeps the size of the most orders that
ever rested at once.

**Source.** The intrusive queues and the pool with 32-bit indices are those of the known fast books (exchange-core's direct
book, CppTrader, itch-order-book), the occupancy words those of geseq/cpp-orderbook's bitmap, hung into a radix tree as
Linux does for its page cache.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cdef extern from * nogil:
    """
    #include <stdlib.h>
    #include <string.h>
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif

    #define jibek_lowest_bit(word) __builtin_ctzll(word)
    #define jibek_highest_bit(word) (63 - __builtin_clzll(word))
    #define jibek_likely(condition) __builtin_expect(!!(condition), 1)
    #define jibek_unlikely(condition) __builtin_expect(!!(condition), 0)
    /* The empty statement keeps gcc from taking a function that only prefetches for one that does nothing. */
    #define jibek_prefetch(address) __extension__ ({ __builtin_prefetch(address); __asm__ volatile (""); })
    #define JIBEK_EMPTY_KEY (-((int64_t)1 << 62))
    #define JIBEK_NO_ASK ((int64_t)1 << 62)

    /* A cache of one slot that is never filled: it lets a side without leaves be looked up like any other. */
    static void *jibek_no_leaves[1];

    /* Memory that starts on a cache line, in huge pages where it is large: random access then misses the TLB less. */
    static inline void *jibek_allocate(size_t size) {
        const size_t huge = (size_t)2 << 20;
        void *memory = NULL;
        if (posix_memalign(&memory, size >= huge ? huge : 64, size) != 0) return NULL;
    #if defined(MADV_HUGEPAGE)
        if (size >= huge) madvise(memory, size, MADV_HUGEPAGE);
    #endif
        return memory;
    }
    """
    # Best ask of a book without asks; no price reaches it. A book without bids has the best bid 0.
    const int64_t NO_ASK "JIBEK_NO_ASK"
    # Best key of a side without orders; no key of an order reaches it.
    const int64_t EMPTY_KEY "JIBEK_EMPTY_KEY"
    void* NO_LEAVES "jibek_no_leaves"[1]
    int jibek_lowest_bit(uint64_t word)
    int jibek_highest_bit(uint64_t word)
    bint jibek_likely(bint condition)
    bint jibek_unlikely(bint condition)
    void jibek_prefetch(const void* address)
    void* jibek_allocate(size_t size)

cdef enum:
    LEAF_CACHE_SLOTS_MIN = 32
    LEAF_CACHE_SLOTS_MAX = 65536
    SPARE_LEAVES_MAX = 256
    STOCKED_LEAVES_MAX = 64
    TREE_HEIGHT_MAX = 10

cdef struct Node:
    # One resting order; two of them fill a cache line.
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
    # The upper bits of the keys of its levels. A spare leaf has the next spare one instead.
    int64_t number
    Level levels[64]

cdef struct Branch:
    # At height 1 the children are leaves, above it branches.
    uint64_t occupied
    void* children[64]

cdef struct LadderSide:
    int64_t best_key
    # The level of the best key; meaningful only where the side has orders.
    Level* best_level
    Leaf** cache
    uint64_t cache_mask
    Branch* root
    int height
    uint32_t leaves

cdef struct Ladder:
    # Bids, then asks.
    LadderSide sides[2]
    Node* nodes
    uint32_t node_capacity
    uint32_t nodes_used
    uint32_t free_head
    uint32_t live
    Leaf* spare
    uint32_t spare_leaves


cdef inline void ladder_init_side(LadderSide* side) noexcept nogil:
    side.best_key = EMPTY_KEY
    side.cache = <Leaf**>NO_LEAVES


cdef inline void ladder_init(Ladder* ladder) noexcept nogil:
    memset(ladder, 0, sizeof(Ladder))
    ladder_init_side(&ladder.sides[0])
    ladder_init_side(&ladder.sides[1])
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


cdef inline void ladder_free_side(LadderSide* side) noexcept nogil:
    if side.root != NULL:
        ladder_free_branch(side.root, side.height)
    if side.cache_mask:
        free(side.cache)


cdef inline void ladder_free(Ladder* ladder) noexcept nogil:
    """Gives back all memory; the ladder is as before `ladder_init`."""
    cdef Leaf* leaf
    ladder_free_side(&ladder.sides[0])
    ladder_free_side(&ladder.sides[1])
    while ladder.spare != NULL:
        leaf = ladder.spare
        ladder.spare = <Leaf*>leaf.number
        free(leaf)
    free(ladder.nodes)
    memset(ladder, 0, sizeof(Ladder))


# -- prices and keys


cdef inline int64_t ladder_key(bint ask, int64_t price_ticks) noexcept nogil:
    """The key of a price; given a key, the price. Two's complement: x ^ -1 + 1 is -x."""
    cdef int64_t sign = -<int64_t>ask
    return (price_ticks ^ sign) - sign


cdef inline int64_t ladder_best_bid(const Ladder* ladder) noexcept nogil:
    """The highest price bid; 0 where there is none."""
    cdef int64_t key = ladder.sides[0].best_key
    return key if key > 0 else 0


cdef inline int64_t ladder_best_ask(const Ladder* ladder) noexcept nogil:
    """The lowest price asked; NO_ASK where there is none."""
    return -ladder.sides[1].best_key


cdef inline bint ladder_is_ask(const Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """Which side an occupied price belongs to: a book is never crossed."""
    return price_ticks >= -ladder.sides[1].best_key


cdef inline bint ladder_crosses(const Ladder* ladder, bint ask, int64_t key) noexcept nogil:
    """Whether an order of that side and key would trade."""
    return ladder.sides[not ask].best_key + key >= 0


# -- the tree of leaves


cdef inline uint64_t ladder_path(int64_t number) noexcept nogil:
    """A leaf's place in the tree, small for small prices: the number, or its complement where it is negative."""
    return <uint64_t>(number ^ (number >> 63))


cdef inline int ladder_step(uint64_t path, int height) noexcept nogil:
    """Which child of a branch of that height leads to a path."""
    return (path >> (6 * (height - 1))) & 63


cdef inline void ladder_cache_leaf(LadderSide* side, Leaf* leaf) noexcept nogil:
    if side.cache_mask:
        side.cache[<uint64_t>leaf.number & side.cache_mask] = leaf


cdef inline void ladder_grow_cache(LadderSide* side) noexcept nogil:
    """Gives the cache a slot a leaf. It only saves time, so where memory is out it stays as it is."""
    cdef uint64_t slots = side.cache_mask + 1
    cdef Leaf** old = side.cache
    cdef Leaf** cache
    cdef uint64_t index
    if side.leaves < slots or slots == LEAF_CACHE_SLOTS_MAX:
        return
    slots = slots * 2 if slots > 1 else LEAF_CACHE_SLOTS_MIN
    cache = <Leaf**>calloc(slots, sizeof(Leaf*))
    if cache == NULL:
        return
    for index in range(side.cache_mask + 1):
        if old[index] != NULL:
            cache[<uint64_t>old[index].number & (slots - 1)] = old[index]
    if side.cache_mask:
        free(old)
    side.cache = cache
    side.cache_mask = slots - 1


cdef inline Leaf* ladder_find_leaf(LadderSide* side, int64_t number) noexcept nogil:
    """The leaf of that number in the tree; NULL where there is none."""
    cdef uint64_t path = ladder_path(number)
    cdef Branch* branch = side.root
    cdef int height
    cdef Leaf* leaf
    if branch == NULL or path >> (6 * side.height):
        return NULL
    for height in range(side.height, 1, -1):
        branch = <Branch*>branch.children[ladder_step(path, height)]
        if branch == NULL:
            return NULL
    leaf = <Leaf*>branch.children[path & 63]
    if leaf != NULL:
        ladder_cache_leaf(side, leaf)
    return leaf


cdef inline Leaf* ladder_leaf(LadderSide* side, int64_t number) noexcept nogil:
    """The leaf of that number; NULL where there is none."""
    cdef Leaf* leaf = side.cache[<uint64_t>number & side.cache_mask]
    if jibek_unlikely(leaf == NULL or leaf.number != number):
        leaf = ladder_find_leaf(side, number)
    return leaf


cdef inline bint ladder_heighten(LadderSide* side, uint64_t path) noexcept nogil:
    """Makes the tree high enough for a path; False where memory is out."""
    cdef Branch* branch
    if side.root == NULL:
        side.root = <Branch*>calloc(1, sizeof(Branch))
        if side.root == NULL:
            return False
        side.height = 1
    while path >> (6 * side.height):
        # An empty root is a root of any height; as a child it would be a dead end.
        if side.root.occupied:
            branch = <Branch*>calloc(1, sizeof(Branch))
            if branch == NULL:
                return False
            branch.occupied = 1
            branch.children[0] = side.root
            side.root = branch
        side.height += 1
    return True


cdef inline void ladder_prune(LadderSide* side, uint64_t path) noexcept nogil:
    """Takes the child at a path out of the tree, with the branches that this leaves empty; the root stays."""
    cdef Branch* branches[TREE_HEIGHT_MAX + 1]
    cdef int height
    cdef int lowest = 1
    branches[side.height] = side.root
    for height in range(side.height, 1, -1):
        branches[height - 1] = <Branch*>branches[height].children[ladder_step(path, height)]
        if branches[height - 1] == NULL:
            # The path was not finished because memory was out: its lowest branch is an empty one.
            lowest = height
            break
    for height in range(lowest, side.height + 1):
        branches[height].children[ladder_step(path, height)] = NULL
        branches[height].occupied &= ~(<uint64_t>1 << ladder_step(path, height))
        if branches[height].occupied or height == side.height:
            break
        free(branches[height])


cdef inline void ladder_spare_leaf(Ladder* ladder, Leaf* leaf) noexcept nogil:
    leaf.number = <int64_t>ladder.spare
    ladder.spare = leaf
    ladder.spare_leaves += 1


cdef inline void ladder_stock_leaves(Ladder* ladder) noexcept nogil:
    """Spare leaves for half as many as are in use, so that a book that has warmed up allocates none as its prices move."""
    cdef uint32_t wanted = 1 + (ladder.sides[0].leaves + ladder.sides[1].leaves) // 2
    cdef Leaf* leaf
    while ladder.spare_leaves < wanted and ladder.spare_leaves < STOCKED_LEAVES_MAX:
        leaf = <Leaf*>jibek_allocate(sizeof(Leaf))
        if leaf == NULL:
            return
        ladder_spare_leaf(ladder, leaf)


cdef inline Leaf* ladder_new_leaf(Ladder* ladder, int64_t number) noexcept nogil:
    """An empty leaf outside the tree; NULL where memory is out."""
    cdef Leaf* leaf
    if ladder.spare == NULL:
        ladder_stock_leaves(ladder)
    leaf = ladder.spare
    if leaf == NULL:
        return NULL
    ladder.spare = <Leaf*>leaf.number
    ladder.spare_leaves -= 1
    leaf.occupied = 0
    leaf.number = number
    return leaf


cdef inline Leaf* ladder_make_leaf(Ladder* ladder, LadderSide* side, int64_t number) noexcept nogil:
    """The leaf of that number, grown into the tree where it is missing; NULL where memory is out."""
    cdef uint64_t path = ladder_path(number)
    cdef Leaf* leaf
    cdef Branch* branch
    cdef Branch* child
    cdef int height
    if not ladder_heighten(side, path):
        return NULL
    branch = side.root
    for height in range(side.height, 1, -1):
        child = <Branch*>branch.children[ladder_step(path, height)]
        if child == NULL:
            child = <Branch*>calloc(1, sizeof(Branch))
            if child == NULL:
                ladder_prune(side, path)
                return NULL
            branch.children[ladder_step(path, height)] = child
            branch.occupied |= <uint64_t>1 << ladder_step(path, height)
        branch = child
    leaf = <Leaf*>branch.children[path & 63]
    if leaf != NULL:
        ladder_cache_leaf(side, leaf)
        return leaf
    leaf = ladder_new_leaf(ladder, number)
    if leaf == NULL:
        ladder_prune(side, path)
        return NULL
    branch.children[path & 63] = leaf
    branch.occupied |= <uint64_t>1 << (path & 63)
    side.leaves += 1
    ladder_grow_cache(side)
    ladder_cache_leaf(side, leaf)
    return leaf


cdef inline void ladder_drop_leaf(Ladder* ladder, LadderSide* side, Leaf* leaf) noexcept nogil:
    """Takes an empty leaf out of the tree."""
    ladder_prune(side, ladder_path(leaf.number))
    side.leaves -= 1
    if side.cache[<uint64_t>leaf.number & side.cache_mask] == leaf:
        side.cache[<uint64_t>leaf.number & side.cache_mask] = NULL
    if ladder.spare_leaves < SPARE_LEAVES_MAX:
        ladder_spare_leaf(ladder, leaf)
    else:
        free(leaf)


cdef inline Leaf* ladder_worse_leaf(LadderSide* side, int64_t number) noexcept nogil:
    """The nearest leaf of a lower number, whether or not this number has a leaf; NULL where there is none."""
    cdef Branch* branches[TREE_HEIGHT_MAX + 1]
    cdef uint64_t path = ladder_path(number)
    # Worse asks are higher prices, which are further up the path.
    cdef bint upwards = number < 0
    cdef Branch* branch = side.root
    cdef uint64_t candidates
    cdef int height = side.height
    cdef int index
    if branch == NULL:
        return NULL
    branches[height] = branch
    while height > 1:
        branch = <Branch*>branch.children[ladder_step(path, height)]
        if branch == NULL:
            break
        height -= 1
        branches[height] = branch
    while height <= side.height:
        branch = branches[height]
        index = ladder_step(path, height)
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


# -- levels


cdef inline int64_t ladder_worse_key(LadderSide* side, int64_t key) noexcept nogil:
    """The highest occupied key below an occupied one; EMPTY_KEY where there is none."""
    cdef Leaf* leaf = ladder_leaf(side, key >> 6)
    cdef uint64_t worse = leaf.occupied & ((<uint64_t>1 << (key & 63)) - 1)
    if not worse:
        leaf = ladder_worse_leaf(side, leaf.number)
        if leaf == NULL:
            return EMPTY_KEY
        worse = leaf.occupied
    return leaf.number * 64 + jibek_highest_bit(worse)


cdef inline int64_t ladder_next_ask(Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """The lowest price asked above an occupied one; NO_ASK where there is none."""
    return -ladder_worse_key(&ladder.sides[1], -price_ticks)


cdef inline int64_t ladder_next_bid(Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """The highest price bid below an occupied one; 0 where there is none."""
    cdef int64_t key = ladder_worse_key(&ladder.sides[0], price_ticks)
    return key if key > 0 else 0


cdef inline Level* ladder_level_of_key(LadderSide* side, int64_t key) noexcept nogil:
    """The level of an occupied key."""
    return &ladder_leaf(side, key >> 6).levels[key & 63]


cdef inline Level* ladder_level(Ladder* ladder, int64_t price_ticks) noexcept nogil:
    """The level of an occupied price."""
    cdef bint ask = ladder_is_ask(ladder, price_ticks)
    return ladder_level_of_key(&ladder.sides[ask], ladder_key(ask, price_ticks))


cdef inline int64_t ladder_quantity(Ladder* ladder, bint ask, int64_t price_ticks) noexcept nogil:
    """What rests on a side at any price; 0 where nothing does."""
    cdef int64_t key = ladder_key(ask, price_ticks)
    cdef Leaf* leaf = ladder_leaf(&ladder.sides[ask], key >> 6)
    if leaf != NULL and leaf.occupied >> (key & 63) & 1:
        return leaf.levels[key & 63].quantity_lots
    return 0


cdef inline void ladder_best_is_gone(LadderSide* side, Leaf* leaf) noexcept nogil:
    """Finds the new best level after the bit of the best one, in `leaf`, was cleared."""
    cdef int index
    if jibek_unlikely(leaf.occupied == 0):
        leaf = ladder_worse_leaf(side, leaf.number)
        if leaf == NULL:
            side.best_key = EMPTY_KEY
            return
    index = jibek_highest_bit(leaf.occupied)
    side.best_key = leaf.number * 64 + index
    side.best_level = &leaf.levels[index]


cdef inline void ladder_level_is_empty(Ladder* ladder, LadderSide* side, int64_t key) noexcept nogil:
    """Forgets a level whose last order has gone."""
    cdef Leaf* leaf = ladder_leaf(side, key >> 6)
    leaf.occupied &= ~(<uint64_t>1 << (key & 63))
    if key == side.best_key:
        ladder_best_is_gone(side, leaf)
    if jibek_unlikely(leaf.occupied == 0):
        ladder_drop_leaf(ladder, side, leaf)


# -- orders


cdef inline uint32_t ladder_first(Ladder* ladder, bint ask) noexcept nogil:
    """The order that is first in line on a side; 0 where the side is empty."""
    cdef LadderSide* side = &ladder.sides[ask]
    return 0 if side.best_key == EMPTY_KEY else side.best_level.head


cdef inline uint32_t ladder_after(Ladder* ladder, uint32_t handle) noexcept nogil:
    """The order that is served after `handle` on its side; 0 where it is the last."""
    cdef Node* node = &ladder.nodes[handle]
    cdef bint ask
    cdef int64_t key
    if node.next:
        return node.next
    ask = ladder_is_ask(ladder, node.price_ticks)
    key = ladder_worse_key(&ladder.sides[ask], ladder_key(ask, node.price_ticks))
    return 0 if key == EMPTY_KEY else ladder_level_of_key(&ladder.sides[ask], key).head


cdef inline bint ladder_grow_nodes(Ladder* ladder) noexcept nogil:
    """A larger pool, by a quarter where it is large; False where memory is out."""
    cdef uint64_t capacity = ladder.node_capacity
    cdef Node* nodes
    if capacity >= <uint64_t>1 << 31:
        return False
    capacity = 64 if capacity == 0 else capacity * 2 if capacity < 4096 else capacity + capacity // 4
    nodes = <Node*>jibek_allocate(capacity * sizeof(Node))
    if nodes == NULL:
        return False
    if ladder.nodes == NULL:
        memset(nodes, 0, sizeof(Node))
    else:
        memcpy(nodes, ladder.nodes, ladder.nodes_used * sizeof(Node))
        free(ladder.nodes)
    ladder.nodes = nodes
    ladder.node_capacity = <uint32_t>capacity
    return True


cdef inline uint32_t ladder_take_node(Ladder* ladder) noexcept nogil:
    """A node for one more order; 0 where memory is out."""
    cdef uint32_t handle = ladder.free_head
    if handle:
        ladder.free_head = ladder.nodes[handle].next
    else:
        if jibek_unlikely(ladder.nodes_used >= ladder.node_capacity) and not ladder_grow_nodes(ladder):
            return 0
        handle = ladder.nodes_used
        ladder.nodes_used += 1
    ladder.live += 1
    return handle


cdef inline void ladder_give_node(Ladder* ladder, uint32_t handle) noexcept nogil:
    ladder.nodes[handle].next = ladder.free_head
    ladder.free_head = handle
    ladder.live -= 1


cdef inline uint32_t ladder_rest(
    Ladder* ladder, bint ask, int64_t price_ticks, int64_t quantity_lots, uint64_t order_id
) noexcept nogil:
    """Puts an order at the end of the queue of its price, which must not cross; its handle, 0 where memory is out."""
    cdef int64_t key = ladder_key(ask, price_ticks)
    cdef LadderSide* side = &ladder.sides[ask]
    cdef Leaf* leaf = side.cache[<uint64_t>(key >> 6) & side.cache_mask]
    cdef uint64_t bit = <uint64_t>1 << (key & 63)
    cdef uint32_t handle
    cdef Level* level
    cdef Node* node
    if jibek_unlikely(leaf == NULL or leaf.number != key >> 6):
        leaf = ladder_make_leaf(ladder, side, key >> 6)
        if leaf == NULL:
            return 0
    handle = ladder_take_node(ladder)
    if jibek_unlikely(handle == 0):
        if leaf.occupied == 0:
            ladder_drop_leaf(ladder, side, leaf)
        return 0
    level = &leaf.levels[key & 63]
    node = &ladder.nodes[handle]
    node.left_lots = quantity_lots
    node.price_ticks = price_ticks
    node.order_id = order_id
    node.next = 0
    if jibek_likely(leaf.occupied & bit):
        node.previous = level.tail
        ladder.nodes[level.tail].next = handle
        level.quantity_lots += quantity_lots
    else:
        leaf.occupied |= bit
        node.previous = 0
        level.head = handle
        level.quantity_lots = quantity_lots
        if key > side.best_key:
            side.best_key = key
            side.best_level = level
    level.tail = handle
    return handle


cdef inline void ladder_remove(Ladder* ladder, uint32_t handle) noexcept nogil:
    """Takes an order out of its queue and frees its handle."""
    cdef Node* node = &ladder.nodes[handle]
    cdef bint ask = ladder_is_ask(ladder, node.price_ticks)
    cdef LadderSide* side = &ladder.sides[ask]
    cdef int64_t key = ladder_key(ask, node.price_ticks)
    cdef Level* level = ladder_level_of_key(side, key)
    cdef uint32_t next = node.next
    cdef uint32_t previous = node.previous
    level.quantity_lots -= node.left_lots
    # Where there is no neighbour these write to node 0, which nobody reads.
    ladder.nodes[previous].next = next
    ladder.nodes[next].previous = previous
    level.head = level.head if previous else next
    level.tail = level.tail if next else previous
    ladder_give_node(ladder, handle)
    if jibek_unlikely((next | previous) == 0):
        ladder_level_is_empty(ladder, side, key)


cdef inline void ladder_fill(Ladder* ladder, uint32_t handle, int64_t lots) noexcept nogil:
    """Fills `lots` of an order, which must have as many left; one with nothing left is gone."""
    cdef Node* node = &ladder.nodes[handle]
    if lots == node.left_lots:
        ladder_remove(ladder, handle)
    else:
        node.left_lots -= lots
        ladder_level(ladder, node.price_ticks).quantity_lots -= lots
