"""From order id to handle: a hash table that stays small and quick whichever ids come and go.

**Structure.** Groups of seven slots. A group's *tags* are one 64-bit word: a byte of hash for each slot, 0 where it is
free, and in the highest byte how many orders belong here but had to go on to a later group. So one load tells, for all
seven at once and without a branch that depends on the data, which slot may hold an id, which is free, and whether to
look further. The handles stand in an array of their own; the id itself is not stored again, it stands in the order's node.

**Why this one.** An array indexed by id is quicker by a few instructions, but ids are never reused, so it grows for ever,
and pages of such an array cost a page for each order that is left over in it. Open addressing without groups guesses
wrong at almost every insertion whether the slot is taken, and closing the gap behind a removal costs as much again.

**Cost.** Find, add, remove: O(1) on average, one word of tags, one handle, one node; every id in the same group, which
nobody can arrange by accident: O(n). Growing or shrinking copies the table: O(1) amortised. Memory: 9 to 18 bytes an
order while it grows. It halves when it holds an eighth of what it can, so the ids of orders long gone cost nothing.

**Source.** The groups, the tags and the overflow counts are those of F14 (Facebook's folly) and Swiss tables (Abseil), with
arithmetic on 64-bit words (Hacker's Delight, "find the first 0-byte") in the place of vector instructions.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from engine.ladder cimport Node, jibek_allocate, jibek_likely, jibek_lowest_bit, jibek_unlikely

cdef extern from * nogil:
    """
    /* Seven tags fill the lower bytes of a word; its highest byte counts the orders that had to go on. */
    #define JIBEK_TAG_ONES 0x0001010101010101ull
    #define JIBEK_TAG_TOPS 0x0080808080808080ull
    #define JIBEK_TAG_RESTS 0x007f7f7f7f7f7f7full
    #define JIBEK_ONE_PASSED (1ull << 56)
    #define JIBEK_PASSED_MAX (255ull << 56)

    /* A table of no slots: it lets a map that was never used be looked up like any other. */
    static uint64_t jibek_no_tags[2];
    """
    const uint64_t TAG_ONES "JIBEK_TAG_ONES"
    const uint64_t TAG_TOPS "JIBEK_TAG_TOPS"
    const uint64_t TAG_RESTS "JIBEK_TAG_RESTS"
    const uint64_t ONE_PASSED "JIBEK_ONE_PASSED"
    const uint64_t PASSED_MAX "JIBEK_PASSED_MAX"
    uint64_t NO_TAGS "jibek_no_tags"[2]

cdef enum:
    GROUP_SLOTS = 7
    # A group has room for eight handles, so that an index is a shift; the eighth is always 0, nobody.
    GROUP_STRIDE = 8
    GROUPS_MIN = 8

cdef struct OrderIds:
    uint64_t* tags
    uint32_t* handles
    # The upper bits of a hash, shifted down by this, are its group.
    int shift
    uint64_t groups
    uint64_t count
    # With more ids than this the table doubles, with fewer than that it halves.
    uint64_t count_max
    uint64_t count_min

cdef struct IdSlot:
    # Where an id stands; handle 0 where it is not in the map.
    uint64_t group
    uint32_t handle
    int lane


cdef inline void ids_init(OrderIds* ids) noexcept nogil:
    memset(ids, 0, sizeof(OrderIds))
    ids.tags = NO_TAGS
    ids.shift = 63


cdef inline void ids_free(OrderIds* ids) noexcept nogil:
    """Gives back all memory; the map is as after `ids_init`."""
    free(ids.handles)
    ids_init(ids)


# -- words of tags


cdef inline uint64_t ids_hash(uint64_t order_id) noexcept nogil:
    """Fibonacci hashing: a product with 2^64 / golden ratio, whose upper bits spread ids in a row evenly."""
    return (order_id ^ (order_id >> 32)) * <uint64_t>0x9E3779B97F4A7C15


cdef inline uint64_t ids_tag(uint64_t hash) noexcept nogil:
    """A byte of the hash, never 0."""
    cdef uint64_t tag = (hash >> 24) & 255
    return tag + (tag == 0)


cdef inline uint64_t ids_zero_tags(uint64_t tags) noexcept nogil:
    """A word with the highest bit set of each of the seven tags that is 0."""
    return ~(((tags & TAG_RESTS) + TAG_RESTS) | tags) & TAG_TOPS


cdef inline uint64_t ids_same_tags(uint64_t tags, uint64_t hash) noexcept nogil:
    """A word with the highest bit set of each of the seven tags that is the tag of the hash."""
    return ids_zero_tags(tags ^ (ids_tag(hash) * TAG_ONES))


# -- the table


cdef inline void ids_insert(OrderIds* ids, uint64_t hash, uint32_t handle) noexcept nogil:
    """Adds a handle to a table that has room for it."""
    cdef uint64_t group = hash >> ids.shift
    cdef uint64_t tags = ids.tags[group]
    cdef uint64_t vacant = ids_zero_tags(tags)
    cdef int lane
    while jibek_unlikely(vacant == 0):
        # A count that has reached its maximum stays there for good, which only makes searches go on for longer.
        if tags < PASSED_MAX:
            ids.tags[group] = tags + ONE_PASSED
        group = (group + 1) & (ids.groups - 1)
        tags = ids.tags[group]
        vacant = ids_zero_tags(tags)
    lane = jibek_lowest_bit(vacant) >> 3
    ids.tags[group] = tags | ids_tag(hash) << (8 * lane)
    ids.handles[group * GROUP_STRIDE + lane] = handle
    ids.count += 1


cdef inline bint ids_allocate(OrderIds* ids, uint64_t groups) noexcept nogil:
    """An empty table of that many groups, a power of two; False where memory is out, and nothing has changed."""
    cdef uint64_t handles_size = groups * GROUP_STRIDE * sizeof(uint32_t)
    cdef uint64_t size = handles_size + groups * sizeof(uint64_t)
    cdef uint32_t* handles = <uint32_t*>jibek_allocate(size)
    if handles == NULL:
        return False
    memset(handles, 0, size)
    ids.handles = handles
    ids.tags = <uint64_t*>(handles + groups * GROUP_STRIDE)
    ids.groups = groups
    ids.shift = 64 - jibek_lowest_bit(groups)
    ids.count = 0
    ids.count_max = groups * 9 // 2
    ids.count_min = groups * 9 // 16 if groups > GROUPS_MIN else 0
    return True


cdef inline bint ids_resize(OrderIds* ids, const Node* nodes, uint64_t groups) noexcept nogil:
    """Moves all into a table of that many groups; False where memory is out, and nothing has changed."""
    cdef OrderIds old = ids[0]
    cdef uint64_t group
    cdef uint32_t handle
    cdef int lane
    if not ids_allocate(ids, groups):
        return False
    for group in range(old.groups):
        for lane in range(GROUP_SLOTS):
            if old.tags[group] >> (8 * lane) & 255:
                handle = old.handles[group * GROUP_STRIDE + lane]
                ids_insert(ids, ids_hash(nodes[handle].order_id), handle)
    free(old.handles)
    return True


cdef inline bint ids_reserve(OrderIds* ids, const Node* nodes) noexcept nogil:
    """Makes room for one more id; False where memory is out."""
    if jibek_likely(ids.count < ids.count_max):
        return True
    return ids_resize(ids, nodes, ids.groups * 2 if ids.groups else GROUPS_MIN)


cdef inline IdSlot ids_locate(const OrderIds* ids, const Node* nodes, uint64_t hash, uint64_t order_id) noexcept nogil:
    """Where an id of that hash stands."""
    cdef IdSlot slot
    cdef uint64_t tags, same
    slot.group = hash >> ids.shift
    while True:
        tags = ids.tags[slot.group]
        same = ids_same_tags(tags, hash)
        while same:
            slot.lane = jibek_lowest_bit(same) >> 3
            slot.handle = ids.handles[slot.group * GROUP_STRIDE + slot.lane]
            if jibek_likely(nodes[slot.handle].order_id == order_id):
                return slot
            same &= same - 1
        if jibek_likely(tags < ONE_PASSED):
            slot.lane = GROUP_SLOTS
            slot.handle = 0
            return slot
        slot.group = (slot.group + 1) & (ids.groups - 1)


cdef inline void ids_clear(OrderIds* ids, uint64_t hash, IdSlot slot) noexcept nogil:
    """Frees the slot of an id of that hash."""
    cdef uint64_t group = hash >> ids.shift
    ids.tags[slot.group] &= ~(<uint64_t>255 << (8 * slot.lane))
    ids.count -= 1
    while jibek_unlikely(group != slot.group):
        if ids.tags[group] < PASSED_MAX:
            ids.tags[group] -= ONE_PASSED
        group = (group + 1) & (ids.groups - 1)


cdef inline void ids_shrink(OrderIds* ids, const Node* nodes) noexcept nogil:
    """Gives back half of a table that is nearly empty; where memory is out it stays as it is."""
    if jibek_unlikely(ids.count < ids.count_min):
        ids_resize(ids, nodes, ids.groups // 2)


# -- ids


cdef inline uint32_t ids_get(const OrderIds* ids, const Node* nodes, uint64_t order_id) noexcept nogil:
    """The handle of an id; 0 where it is not in the map."""
    return ids_locate(ids, nodes, ids_hash(order_id), order_id).handle


cdef inline bint ids_put(OrderIds* ids, const Node* nodes, uint64_t order_id, uint32_t handle) noexcept nogil:
    """Adds an id that is not in the map; False where memory is out."""
    if jibek_unlikely(not ids_reserve(ids, nodes)):
        return False
    ids_insert(ids, ids_hash(order_id), handle)
    return True


cdef inline void ids_remove(OrderIds* ids, const Node* nodes, uint64_t order_id) noexcept nogil:
    """Removes an id that is in the map, while its node still holds it."""
    cdef uint64_t hash = ids_hash(order_id)
    ids_clear(ids, hash, ids_locate(ids, nodes, hash, order_id))
    ids_shrink(ids, nodes)
