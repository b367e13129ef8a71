"""From order id to handle: an array that the ids' lower bits index, and a hash table for those whose place is taken.

**Structure.** A slot of the array is 32 bits: the handle of the order whose id ends in the slot's number, 0 if there is
none, and in the upper four bits how many further orders of that ending had to go into the hash table. The id is not stored
again, the order's node has it. The array has two to sixteen slots an order.

**Why this one.** Ids that a venue gives out are dense: new orders fill one slot after the other, as in an array indexed by
id, which nothing can beat; and by the time the numbering comes round to a slot again, its order has most likely gone. An
array indexed by the whole id grows for ever, and a hash table spreads neighbours over all its memory: each order has two
lines of the processor's cache there, where here new ones share one.

**Cost.** Find, add, remove: O(1), one slot and one node. Where ids are not dense, or old orders stay for long, some take one
look into the hash table more (`engine/book/handle_table.pxd`), which is O(1) on average. Growing or shrinking copies
the array: O(1) amortised. Memory: 8 to 16 bytes an order where there are more than 65,536, else at most 1 MB; the array
shrinks when it has sixteen times more slots than it would grow to, so ids long gone cost nothing.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from engine.book.handle_table cimport (
    GROUP_STRIDE,
    HandleTable,
    TableSearch,
    table_at,
    table_free,
    table_init,
    table_insert,
    table_next,
    table_remove,
    table_renumber,
    table_reserve,
    table_search,
    table_shrink,
)
from engine.book.ladder cimport Node
from engine.book.memory cimport jibek_allocate, jibek_assert, jibek_likely, jibek_prefetch, jibek_unlikely

cdef extern from * nogil:
    """
    #define JIBEK_HANDLE_BITS 0x0fffffffu
    #define JIBEK_ONE_MORE 0x10000000u
    #define JIBEK_MORE_MAX 0xf0000000u

    /* An array of one slot that is never filled: it lets a map that was never used be looked up like any other. */
    static uint32_t jibek_no_slots[1];
    """
    const uint32_t HANDLE_BITS "JIBEK_HANDLE_BITS"
    const uint32_t ONE_MORE "JIBEK_ONE_MORE"
    const uint32_t MORE_MAX "JIBEK_MORE_MAX"
    uint32_t NO_SLOTS "jibek_no_slots"[1]

cdef enum:
    ID_SLOTS_MIN = 64
    # Up to this many slots there are eight for an order before the array doubles; then four, and where there are twice as
    # many or more, two: small arrays may be generous, large ones may not.
    GENEROUS_SLOTS_MAX = 1 << 17

cdef struct OrderIds:
    uint32_t* slots
    # The number of slots, a power of two, less one.
    uint64_t mask
    uint64_t count
    # With more ids than this the array doubles, with fewer than that it halves.
    uint64_t count_max
    uint64_t count_min
    # The orders whose slot was taken when they came.
    HandleTable others


cdef inline void ids_init(OrderIds* ids) noexcept nogil:
    memset(ids, 0, sizeof(OrderIds))
    ids.slots = NO_SLOTS
    table_init(&ids.others)


cdef inline void ids_free(OrderIds* ids) noexcept nogil:
    """Frees all memory; the map is as after `ids_init`."""
    if ids.mask:
        free(ids.slots)
    table_free(&ids.others)
    ids_init(ids)


cdef inline uint64_t ids_hash(uint64_t order_id) noexcept nogil:
    """Fibonacci hashing: a product with 2^64 / golden ratio, whose upper bits spread ids evenly."""
    return (order_id ^ (order_id >> 32)) * <uint64_t>0x9E3779B97F4A7C15


cdef inline uint64_t ids_hash_of(const void* nodes, uint32_t handle) noexcept nogil:
    return ids_hash((<const Node*>nodes)[handle].order_id)


# -- finding


cdef inline void ids_prefetch(const OrderIds* ids, uint64_t order_id) noexcept nogil:
    jibek_prefetch(&ids.slots[order_id & ids.mask])


cdef inline uint32_t ids_guess(const OrderIds* ids, uint64_t order_id) noexcept nogil:
    """The handle that an id most likely has, without looking at its node."""
    return ids.slots[order_id & ids.mask] & HANDLE_BITS


cdef inline uint32_t ids_find_other(const OrderIds* ids, const Node* nodes, uint64_t order_id) noexcept nogil:
    """The handle of an id in the hash table; 0 where it is not there."""
    cdef uint64_t hash = ids_hash(order_id)
    cdef TableSearch search = table_search(&ids.others, hash)
    cdef uint32_t handle = table_next(&ids.others, hash, &search)
    while handle and nodes[handle].order_id != order_id:
        handle = table_next(&ids.others, hash, &search)
    return handle


cdef inline uint32_t ids_get(const OrderIds* ids, const Node* nodes, uint64_t order_id) noexcept nogil:
    """The handle of an id; 0 where it is not in the map."""
    cdef uint32_t slot = ids.slots[order_id & ids.mask]
    cdef uint32_t handle = slot & HANDLE_BITS
    if handle and jibek_likely(nodes[handle].order_id == order_id):
        return handle
    if jibek_likely(slot < ONE_MORE):
        return 0
    return ids_find_other(ids, nodes, order_id)


# -- adding and removing


cdef inline bint ids_insert_other(
    OrderIds* ids, const Node* nodes, uint32_t* slot, uint64_t order_id, uint32_t handle
) noexcept nogil:
    """Adds an id whose slot is taken; False where memory is out, and nothing has changed."""
    if not table_reserve(&ids.others, ids_hash_of, nodes):
        return False
    table_insert(&ids.others, ids_hash(order_id), handle)
    # A count that has reached its maximum stays there until the array is reallocated, which only costs a look.
    if slot[0] < MORE_MAX:
        slot[0] += ONE_MORE
    return True


cdef inline bint ids_insert(OrderIds* ids, const Node* nodes, uint64_t order_id, uint32_t handle) noexcept nogil:
    """Adds an id that is not in the map, for which room was reserved; False where memory is out."""
    cdef uint32_t* slot = &ids.slots[order_id & ids.mask]
    jibek_assert(handle != 0)
    jibek_assert(handle <= HANDLE_BITS)
    jibek_assert(nodes[handle].order_id == order_id)
    jibek_assert(ids_get(ids, nodes, order_id) == 0)
    jibek_assert(ids.count < ids.count_max)
    if jibek_likely(slot[0] & HANDLE_BITS == 0):
        slot[0] |= handle
    elif not ids_insert_other(ids, nodes, slot, order_id, handle):
        return False
    ids.count += 1
    jibek_assert(ids_get(ids, nodes, order_id) == handle)
    return True


cdef inline uint64_t ids_capacity(uint64_t slots) noexcept nogil:
    """How many ids that many slots hold before there are twice as many."""
    return slots // 8 if slots <= GENEROUS_SLOTS_MAX else slots // 4 if slots == 2 * GENEROUS_SLOTS_MAX else slots // 2


cdef inline bint ids_resize(OrderIds* ids, const Node* nodes, uint64_t slots) noexcept nogil:
    """Moves all into an array of that many slots; False where memory is out, and nothing has changed."""
    cdef OrderIds old = ids[0]
    cdef uint64_t index
    cdef uint32_t handle
    cdef bint moved
    ids.slots = <uint32_t*>jibek_allocate(slots * sizeof(uint32_t))
    if ids.slots == NULL:
        ids[0] = old
        return False
    memset(ids.slots, 0, slots * sizeof(uint32_t))
    ids.mask = slots - 1
    ids.count = 0
    ids.count_max = ids_capacity(slots)
    ids.count_min = ids.count_max // 16 if slots > ID_SLOTS_MIN else 0
    table_init(&ids.others)
    # The first of the others has a place at once: a map that has warmed up allocates nothing.
    moved = table_reserve(&ids.others, ids_hash_of, nodes)
    for index in range(old.mask + 1):
        handle = old.slots[index] & HANDLE_BITS
        if handle:
            moved = moved and ids_insert(ids, nodes, nodes[handle].order_id, handle)
    for index in range(old.others.groups * GROUP_STRIDE):
        handle = table_at(&old.others, index)
        if handle:
            moved = moved and ids_insert(ids, nodes, nodes[handle].order_id, handle)
    if not moved:
        ids_free(ids)
        ids[0] = old
        return False
    jibek_assert(ids.count == old.count)
    jibek_assert(ids.count <= ids.count_max)
    ids_free(&old)
    return True


cdef inline bint ids_reserve(OrderIds* ids, const Node* nodes) noexcept nogil:
    """Makes room for one more id; False where memory is out."""
    if jibek_likely(ids.count < ids.count_max):
        return True
    return ids_resize(ids, nodes, (ids.mask + 1) * 2 if ids.mask else ID_SLOTS_MIN)


cdef inline void ids_remove_other(OrderIds* ids, const Node* nodes, uint32_t* slot, uint32_t handle) noexcept nogil:
    table_remove(&ids.others, ids_hash(nodes[handle].order_id), handle)
    if slot[0] < MORE_MAX:
        slot[0] -= ONE_MORE


cdef inline void ids_remove(OrderIds* ids, const Node* nodes, uint32_t handle) noexcept nogil:
    """Removes the id of an order that is in the map, while its node still holds it."""
    cdef uint32_t* slot = &ids.slots[nodes[handle].order_id & ids.mask]
    jibek_assert(ids_get(ids, nodes, nodes[handle].order_id) == handle)
    jibek_assert(ids.count > 0)
    if jibek_likely(slot[0] & HANDLE_BITS == handle):
        slot[0] ^= handle
    else:
        ids_remove_other(ids, nodes, slot, handle)
    ids.count -= 1
    jibek_assert(ids_get(ids, nodes, nodes[handle].order_id) == 0)


cdef inline void ids_shrink(OrderIds* ids, const Node* nodes) noexcept nogil:
    """Halves an array that is nearly empty; it stays as it is if memory is out."""
    if jibek_unlikely(ids.count < ids.count_min):
        ids_resize(ids, nodes, (ids.mask + 1) // 2)
    table_shrink(&ids.others, ids_hash_of, nodes)


cdef inline void ids_renumber(OrderIds* ids, const uint32_t* handles) noexcept nogil:
    """Gives every id another handle: `handles` has the new one of each old one, and 0 for 0."""
    cdef uint64_t index
    for index in range(ids.mask + 1):
        ids.slots[index] = ids.slots[index] & ~HANDLE_BITS | handles[ids.slots[index] & HANDLE_BITS]
    table_renumber(&ids.others, handles)
