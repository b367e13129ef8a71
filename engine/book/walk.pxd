"""The one walk over resting orders: a taker meets its makers, best price first, then first come, first served.

The book and the core both match by it. Each decides what a fill means: it brings a function that is called for each fill,
and one that says how many lots the taker wants at a price. Both are compile-time constants, so gcc inlines them into the
loop, which then costs no more than a loop written for one owner.

`walk_take` fills makers. `walk_look` is the same code and changes no order: the rules that fill an order also answer what
would be filled, what a market order would cost, and whether a FOK order fills whole.

**Cost.** O(1) a fill, plus the cost of the tree for each level that is used up.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine.book.ladder cimport Arena, Ladder, Node, arena_release, ladder_assert_ends, ladder_best_level, ladder_key
from engine.book.memory cimport jibek_assert, jibek_unlikely
from engine.book.order_ids cimport OrderIds, ids_remove
from engine.book.price_tree cimport Level, tree_remove_level, tree_worse_level
from engine.records cimport AMOUNT_MAX

cdef extern from * nogil:
    # More fills than there can be orders.
    const uint64_t FILLS_UNBOUNDED "UINT64_MAX"

cdef struct Taker:
    # The key of its price (`ladder_key`). An order without a price has AMOUNT_MAX, which crosses every order and no empty
    # side: no price, no quantity and no sum of a level is above it.
    int64_t key
    # What it still wants. An order by amount, which knows that only price by price, has AMOUNT_MAX here.
    int64_t remaining_lots
    # How many fills it may still have.
    uint64_t fills_left
    bint is_ask

cdef enum WalkEnd:
    # The taker wants no more.
    WALK_SATISFIED = 0
    # No maker is left at its price.
    WALK_NO_MAKER = 1
    # It has had all its fills, and one more maker would trade.
    WALK_FILL_LIMIT = 2
    # The owner's function has ended it: it had no memory for a fill, which did not happen, or has seen enough.
    WALK_STOPPED = 3

ctypedef int64_t (*WantedAt)(void* owner, Taker* taker, int64_t price_ticks) noexcept nogil
# The lots that a taker would take at a price now; 0 ends the walk. Called once for each level.

ctypedef bint (*OnFill)(void* owner, Taker* taker, uint32_t handle, int64_t price_ticks, int64_t lots) noexcept nogil
# A maker is about to be filled: it and the taker still have what they had before. False where memory is out. It must
# leave the arena, the ladder and the ids as they are; memory that is too large by then is freed after the walk.


cdef inline bint may_trade(const Taker* taker, const Level* level) noexcept nogil:
    """Whether a taker trades with the makers of a level: their prices cross.

    The one place that says who may trade with whom: self-trade prevention goes here.
    """
    return level.key + taker.key >= 0


cdef inline int64_t wanted_lots(void* owner, Taker* taker, int64_t price_ticks) noexcept nogil:
    """The WantedAt of an order by quantity."""
    return taker.remaining_lots


cdef inline bint fill_nothing(
    void* owner, Taker* taker, uint32_t handle, int64_t price_ticks, int64_t lots
) noexcept nogil:
    """The OnFill of a caller that only wants to know where the walk ends."""
    return True


# -- the walk; `takes` and the functions are constants wherever it is compiled in


cdef inline uint32_t walk_level(
    Arena* arena,
    OrderIds* ids,
    Taker* taker,
    Level* level,
    int64_t price_ticks,
    int64_t wanted,
    void* owner,
    OnFill on_fill,
    WalkEnd* end,
    bint takes,
) noexcept nogil:
    """Fills the makers of one level, first to last; the first that has something left, 0 where none has.

    `end` is set where the walk ends for another reason than that the taker wants no more.
    """
    cdef Node* nodes = arena.nodes
    cdef uint32_t handle = level.first
    cdef uint32_t next
    cdef int64_t lots
    cdef Node* maker
    jibek_assert(wanted > 0)
    ladder_assert_ends(arena, level)
    while handle and wanted:
        maker = &nodes[handle]
        jibek_assert(maker.level == level)
        jibek_assert(maker.remaining_lots > 0)
        lots = maker.remaining_lots if maker.remaining_lots < wanted else wanted
        if jibek_unlikely(taker.fills_left == 0):
            end[0] = WALK_FILL_LIMIT
            break
        if jibek_unlikely(not on_fill(owner, taker, handle, price_ticks, lots)):
            end[0] = WALK_STOPPED
            break
        # The owner's function left the arena where it was.
        jibek_assert(nodes == arena.nodes)
        taker.fills_left -= 1
        taker.remaining_lots -= lots
        wanted -= lots
        jibek_assert(taker.remaining_lots >= 0)
        if takes:
            level.quantity_lots -= lots
        if lots < maker.remaining_lots:
            if takes:
                maker.remaining_lots -= lots
            break
        next = maker.next
        if takes:
            ids_remove(ids, nodes, handle)
            arena_release(arena, handle)
        handle = next
    if takes:
        # With an empty level these write to node 0 and to a level that is about to go.
        level.first = handle
        nodes[handle].previous = 0
        # A level has lots exactly while it has orders.
        jibek_assert(level.quantity_lots >= nodes[handle].remaining_lots)
        jibek_assert((level.quantity_lots == 0) == (handle == 0))
    return handle


cdef inline WalkEnd walk(
    Ladder* ladder,
    Arena* arena,
    OrderIds* ids,
    Taker* taker,
    void* owner,
    WantedAt wanted_at,
    OnFill on_fill,
    bint takes,
) noexcept nogil:
    cdef bint makers_ask = not taker.is_ask
    cdef Level* level = ladder_best_level(ladder, makers_ask)
    cdef WalkEnd end = WALK_SATISFIED
    cdef int64_t price_ticks, wanted
    while level != NULL and may_trade(taker, level):
        price_ticks = ladder_key(makers_ask, level.key)
        wanted = wanted_at(owner, taker, price_ticks)
        if wanted == 0:
            return WALK_SATISFIED
        if walk_level(arena, ids, taker, level, price_ticks, wanted, owner, on_fill, &end, takes):
            return end
        if takes:
            tree_remove_level(&arena.stock, &ladder.sides[makers_ask], level)
            level = ladder_best_level(ladder, makers_ask)
        else:
            level = tree_worse_level(level)
    return WALK_NO_MAKER if taker.remaining_lots else WALK_SATISFIED


cdef inline WalkEnd walk_take(
    Ladder* ladder, Arena* arena, OrderIds* ids, Taker* taker, void* owner, WantedAt wanted_at, OnFill on_fill
) noexcept nogil:
    """Fills makers as long as the taker wants lots, has fills left and meets makers at its price.

    A filled maker leaves its queue, the ids and the arena; an empty level leaves the ladder. `taker` then has what remains
    of the taker, and the owner decides whether that rests. Cost: O(1) a fill.
    """
    return walk(ladder, arena, ids, taker, owner, wanted_at, on_fill, True)


cdef inline WalkEnd walk_look(
    Ladder* ladder, Arena* arena, Taker* taker, void* owner, WantedAt wanted_at, OnFill on_fill
) noexcept nogil:
    """The same walk, which calls the owner's functions and uses up `taker`, and changes no order. Cost: O(1) a fill."""
    return walk(ladder, arena, NULL, taker, owner, wanted_at, on_fill, False)


cdef inline bint walk_fills(
    Ladder* ladder, Arena* arena, bint is_ask, int64_t key, int64_t lots, uint64_t fills_left
) noexcept nogil:
    """Whether an order of that side, key and quantity would fill whole in so many fills. Cost: O(1) a fill."""
    cdef Taker taker
    taker.key = key
    taker.remaining_lots = lots
    taker.fills_left = fills_left
    taker.is_ask = is_ask
    return walk_look(ladder, arena, &taker, NULL, wanted_lots, fill_nothing) == WALK_SATISFIED
