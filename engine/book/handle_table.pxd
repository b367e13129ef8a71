"""A hash table of handles that stays small and quick whichever keys come and go; the keys are where the handles lead.

**Structure.** Groups of seven slots. A group's *tags* are one 64-bit word: a byte of hash for each slot, 0 where it is
free, and in the highest byte how many handles belong here but had to go on to a later group. So one load says, for all
seven at once and without a branch that depends on the data, which slot may hold a key, which is free, and whether to
look further. The handles are in a second array.

**Why this one.** Open addressing without groups guesses wrong at almost every insertion whether the slot is taken, and
closing the gap behind a removal costs as much again.

**Cost.** Find, add, remove: O(1) on average, one word of tags, one handle, and what the handle leads to; every key in the
same group, which does not happen by accident: O(n). Growing or shrinking asks for every key's hash again: O(1)
amortised. Memory: 9 to 18 bytes a handle while it grows. It halves when it holds an eighth of what it can, so handles
long gone cost nothing.

**Source.** The groups, the tags and the overflow counts are those of F14 (Facebook's folly) and Swiss tables (Abseil), with
arithmetic on 64-bit words (Hacker's Delight, "find the first 0-byte") in the place of vector instructions.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from engine.book.memory cimport jibek_allocate, jibek_assert, jibek_likely, jibek_lowest_bit, jibek_prefetch, jibek_unlikely

cdef extern from * nogil:
    """
    /* Seven tags fill the lower bytes of a word; its highest byte counts the handles that had to go on. */
    #define JIBEK_TAG_ONES 0x0001010101010101ull
    #define JIBEK_TAG_TOPS 0x0080808080808080ull
    #define JIBEK_TAG_LOWS 0x007f7f7f7f7f7f7full
    #define JIBEK_ONE_PASSED (1ull << 56)
    #define JIBEK_PASSED_MAX (255ull << 56)

    /* A table of no slots: it lets a table that was never used be looked up like any other. */
    static uint64_t jibek_no_tags[2];
    """
    const uint64_t TAG_ONES "JIBEK_TAG_ONES"
    const uint64_t TAG_TOPS "JIBEK_TAG_TOPS"
    const uint64_t TAG_LOWS "JIBEK_TAG_LOWS"
    const uint64_t ONE_PASSED "JIBEK_ONE_PASSED"
    const uint64_t PASSED_MAX "JIBEK_PASSED_MAX"
    uint64_t NO_TAGS "jibek_no_tags"[2]

cdef enum:
    GROUP_SLOTS = 7
    # A group has room for eight handles, so that an index is a shift; the eighth is always 0, no handle.
    GROUP_STRIDE = 8
    GROUPS_MIN = 8

ctypedef uint64_t (*HashOf)(const void* keys, uint32_t handle) noexcept nogil
# The hash of the key to which a handle leads, from where the keys are.

cdef struct HandleTable:
    uint64_t* tags
    uint32_t* handles
    # The upper bits of a hash, shifted down by this, are its group.
    int shift
    uint64_t groups
    uint64_t count
    # With more handles than this the table doubles, with fewer than that it halves.
    uint64_t count_max
    uint64_t count_min

cdef struct TableSearch:
    # The state of a search: the group, its slots that are still to be looked at, and the slot of the last handle found.
    uint64_t group
    uint64_t same
    int lane


cdef inline void table_init(HandleTable* table) noexcept nogil:
    memset(table, 0, sizeof(HandleTable))
    table.tags = NO_TAGS
    table.shift = 63


cdef inline void table_free(HandleTable* table) noexcept nogil:
    """Frees all memory; the table is as after `table_init`."""
    free(table.handles)
    table_init(table)


# -- words of tags


cdef inline uint64_t tag_of(uint64_t hash) noexcept nogil:
    """A byte of the hash, never 0."""
    cdef uint64_t tag = (hash >> 24) & 255
    return tag + (tag == 0)


cdef inline uint64_t zero_tags(uint64_t tags) noexcept nogil:
    """A word in which the highest bit is set of each of the seven tags that is 0."""
    return ~(((tags & TAG_LOWS) + TAG_LOWS) | tags) & TAG_TOPS


cdef inline uint64_t same_tags(uint64_t tags, uint64_t hash) noexcept nogil:
    """A word in which the highest bit is set of each of the seven tags that is the tag of the hash."""
    return zero_tags(tags ^ (tag_of(hash) * TAG_ONES))


# -- finding


cdef inline void table_prefetch(const HandleTable* table, uint64_t hash) noexcept nogil:
    """Asks for the group where the handles of a hash belong."""
    cdef uint64_t group = hash >> table.shift
    jibek_prefetch(&table.tags[group])
    jibek_prefetch(&table.handles[group * GROUP_STRIDE])


cdef inline uint32_t table_guess(const HandleTable* table, uint64_t hash) noexcept nogil:
    """The handle that a hash most likely has, without a branch; 0 where no tag of its group is that of the hash."""
    cdef uint64_t group = hash >> table.shift
    cdef uint64_t same = same_tags(table.tags[group], hash) | <uint64_t>1 << 63
    return table.handles[group * GROUP_STRIDE + (jibek_lowest_bit(same) >> 3)] if table.groups else 0


cdef inline TableSearch table_search(const HandleTable* table, uint64_t hash) noexcept nogil:
    """Begins to look for the handles of a hash; `table_next` returns them one by one."""
    cdef TableSearch search
    search.group = hash >> table.shift
    search.same = same_tags(table.tags[search.group], hash)
    return search


cdef inline uint32_t table_next(const HandleTable* table, uint64_t hash, TableSearch* search) noexcept nogil:
    """The next handle that may be the one; 0 if there are no more."""
    while jibek_unlikely(search.same == 0):
        if jibek_likely(table.tags[search.group] < ONE_PASSED):
            return 0
        search.group = (search.group + 1) & (table.groups - 1)
        search.same = same_tags(table.tags[search.group], hash)
    search.lane = jibek_lowest_bit(search.same) >> 3
    search.same &= search.same - 1
    return table.handles[search.group * GROUP_STRIDE + search.lane]


cdef inline uint32_t table_at(const HandleTable* table, uint64_t index) noexcept nogil:
    """The handle of a slot, from 0 to groups × GROUP_STRIDE - 1; 0 where the slot is free."""
    if table.tags[index // GROUP_STRIDE] << 8 >> 8 >> (8 * (index % GROUP_STRIDE)) & 255:
        return table.handles[index]
    return 0


# -- adding and removing


cdef inline void table_insert(HandleTable* table, uint64_t hash, uint32_t handle) noexcept nogil:
    """Adds a handle to a table that has room for it."""
    cdef uint64_t group = hash >> table.shift
    cdef uint64_t tags = table.tags[group]
    cdef uint64_t vacant = zero_tags(tags)
    cdef int lane
    jibek_assert(handle != 0)
    jibek_assert(table.count < table.count_max)
    while jibek_unlikely(vacant == 0):
        # A count that has reached its maximum stays there for good, which only makes searches go on for longer.
        if tags < PASSED_MAX:
            table.tags[group] = tags + ONE_PASSED
        group = (group + 1) & (table.groups - 1)
        tags = table.tags[group]
        vacant = zero_tags(tags)
    lane = jibek_lowest_bit(vacant) >> 3
    table.tags[group] = tags | tag_of(hash) << (8 * lane)
    table.handles[group * GROUP_STRIDE + lane] = handle
    table.count += 1
    jibek_assert(lane < GROUP_SLOTS)
    jibek_assert(table_at(table, group * GROUP_STRIDE + lane) == handle)


cdef inline bint table_allocate(HandleTable* table, uint64_t groups) noexcept nogil:
    """An empty table of that many groups, a power of two; False where memory is out, and nothing has changed."""
    cdef uint64_t handles_size = groups * GROUP_STRIDE * sizeof(uint32_t)
    cdef uint64_t size = handles_size + groups * sizeof(uint64_t)
    cdef uint32_t* handles = <uint32_t*>jibek_allocate(size)
    if handles == NULL:
        return False
    memset(handles, 0, size)
    table.handles = handles
    table.tags = <uint64_t*>(handles + groups * GROUP_STRIDE)
    table.groups = groups
    table.shift = 64 - jibek_lowest_bit(groups)
    table.count = 0
    table.count_max = groups * 9 // 2
    table.count_min = groups * 9 // 16 if groups > GROUPS_MIN else 0
    return True


cdef inline bint table_resize(HandleTable* table, HashOf hash_of, const void* keys, uint64_t groups) noexcept nogil:
    """Moves all into a table of that many groups; False where memory is out, and nothing has changed."""
    cdef HandleTable old = table[0]
    cdef uint64_t index
    cdef uint32_t handle
    if not table_allocate(table, groups):
        return False
    for index in range(old.groups * GROUP_STRIDE):
        handle = table_at(&old, index)
        if handle:
            table_insert(table, hash_of(keys, handle), handle)
    jibek_assert(table.count == old.count)
    free(old.handles)
    return True


cdef inline bint table_reserve(HandleTable* table, HashOf hash_of, const void* keys) noexcept nogil:
    """Makes room for one more handle; False where memory is out."""
    if jibek_likely(table.count < table.count_max):
        return True
    return table_resize(table, hash_of, keys, table.groups * 2 if table.groups else GROUPS_MIN)


cdef inline void table_remove(HandleTable* table, uint64_t hash, uint32_t handle) noexcept nogil:
    """Removes a handle that is in the table under that hash."""
    cdef uint64_t group = hash >> table.shift
    cdef TableSearch search = table_search(table, hash)
    cdef uint32_t found = table_next(table, hash, &search)
    while jibek_unlikely(found != handle):
        # The search has not come to its end: the handle is in the table.
        jibek_assert(found != 0)
        found = table_next(table, hash, &search)
    jibek_assert(table.count > 0)
    table.tags[search.group] &= ~(<uint64_t>255 << (8 * search.lane))
    table.count -= 1
    jibek_assert(table_at(table, search.group * GROUP_STRIDE + search.lane) == 0)
    while jibek_unlikely(group != search.group):
        # What had to go on was counted where it passed.
        jibek_assert(table.tags[group] >= ONE_PASSED)
        if table.tags[group] < PASSED_MAX:
            table.tags[group] -= ONE_PASSED
        group = (group + 1) & (table.groups - 1)


cdef inline void table_shrink(HandleTable* table, HashOf hash_of, const void* keys) noexcept nogil:
    """Halves a table that is nearly empty; it stays as large as it is if memory is out."""
    if jibek_unlikely(table.count < table.count_min):
        table_resize(table, hash_of, keys, table.groups // 2)


cdef inline void table_renumber(HandleTable* table, const uint32_t* handles) noexcept nogil:
    """Gives every key another handle: `handles` has the new one of each old one."""
    cdef uint64_t index
    for index in range(table.groups * GROUP_STRIDE):
        if table_at(table, index):
            table.handles[index] = handles[table.handles[index]]
