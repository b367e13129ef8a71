"""From order id to handle: a map made for ids that are given out in ascending order and never used again.

Ids come in pages of 64 handles; a hash table of pages (open addressing, linear probing, deletion by shifting back) leads
from the upper bits of an id to its page. New ids fall into the page that was used last, so they cost no look-up; a page
whose last id is gone goes back to a spare list, of which at most 256 are kept. Any 64-bit ids are served; scattered ones
cost a page each.

Cost: O(1) on average, one probe of the table and one of the page. Memory: 4 bytes an id where ids are dense, 288 bytes for
a page of which one is left.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

cdef enum:
    SPARE_PAGES_MAX = 256

cdef struct IdPage:
    uint64_t number
    uint32_t handles[64]
    uint32_t live

cdef struct OrderIds:
    IdPage** slots
    uint64_t mask
    uint64_t pages
    IdPage* latest
    IdPage* spare
    uint32_t spare_pages


cdef inline void ids_init(OrderIds* ids) noexcept nogil:
    memset(ids, 0, sizeof(OrderIds))


cdef inline void ids_free(OrderIds* ids) noexcept nogil:
    """Gives back all memory; the map is as after `ids_init`."""
    cdef uint64_t slot
    cdef IdPage* page
    if ids.slots != NULL:
        for slot in range(ids.mask + 1):
            free(ids.slots[slot])
    while ids.spare != NULL:
        page = ids.spare
        ids.spare = <IdPage*>page.number
        free(page)
    free(ids.slots)
    memset(ids, 0, sizeof(OrderIds))


cdef inline uint64_t ids_home(OrderIds* ids, uint64_t number) noexcept nogil:
    """Where a page belongs: Fibonacci hashing, the upper bits of a product with 2^64 / golden ratio."""
    return ((number * <uint64_t>0x9E3779B97F4A7C15) >> 32) & ids.mask


cdef inline IdPage* ids_page(OrderIds* ids, uint64_t number) noexcept nogil:
    """The page of that number; NULL where there is none."""
    cdef uint64_t slot
    cdef IdPage* page = ids.latest
    if page != NULL and page.number == number:
        return page
    if ids.slots == NULL:
        return NULL
    slot = ids_home(ids, number)
    while True:
        page = ids.slots[slot]
        if page == NULL or page.number == number:
            return page
        slot = (slot + 1) & ids.mask


cdef inline bint ids_grow(OrderIds* ids) noexcept nogil:
    """Makes room for one more page at a load of at most one half; False where memory is out."""
    cdef uint64_t old_slots = ids.mask + 1 if ids.slots != NULL else 0
    cdef uint64_t capacity = old_slots
    cdef uint64_t index, slot
    cdef IdPage** old = ids.slots
    cdef IdPage** slots
    if (ids.pages + 1) * 2 <= old_slots:
        return True
    capacity = old_slots * 2 if old_slots else 16
    slots = <IdPage**>calloc(capacity, sizeof(IdPage*))
    if slots == NULL:
        return False
    ids.slots = slots
    ids.mask = capacity - 1
    for index in range(old_slots):
        if old[index] != NULL:
            slot = ids_home(ids, old[index].number)
            while slots[slot] != NULL:
                slot = (slot + 1) & ids.mask
            slots[slot] = old[index]
    free(old)
    return True


cdef inline IdPage* ids_make_page(OrderIds* ids, uint64_t number) noexcept nogil:
    """A new page of that number, in the table; NULL where memory is out."""
    cdef IdPage* page
    cdef uint64_t slot
    if not ids_grow(ids):
        return NULL
    page = ids.spare
    if page != NULL:
        ids.spare = <IdPage*>page.number
        ids.spare_pages -= 1
    else:
        page = <IdPage*>malloc(sizeof(IdPage))
        if page == NULL:
            return NULL
    memset(page, 0, sizeof(IdPage))
    page.number = number
    slot = ids_home(ids, number)
    while ids.slots[slot] != NULL:
        slot = (slot + 1) & ids.mask
    ids.slots[slot] = page
    ids.pages += 1
    return page


cdef inline void ids_drop_page(OrderIds* ids, IdPage* page) noexcept nogil:
    """Takes an empty page out of the table and closes the gap behind it."""
    cdef uint64_t gap = ids_home(ids, page.number)
    cdef uint64_t slot, home
    while ids.slots[gap] != page:
        gap = (gap + 1) & ids.mask
    slot = gap
    while True:
        slot = (slot + 1) & ids.mask
        if ids.slots[slot] == NULL:
            break
        home = ids_home(ids, ids.slots[slot].number)
        # An entry may move into the gap unless its home lies behind the gap, in the order of probing.
        if ((slot - home) & ids.mask) >= ((slot - gap) & ids.mask):
            ids.slots[gap] = ids.slots[slot]
            gap = slot
    ids.slots[gap] = NULL
    ids.pages -= 1
    if ids.latest == page:
        ids.latest = NULL
    if ids.spare_pages < SPARE_PAGES_MAX:
        page.number = <uint64_t>ids.spare
        ids.spare = page
        ids.spare_pages += 1
    else:
        free(page)


cdef inline uint32_t ids_get(OrderIds* ids, uint64_t order_id) noexcept nogil:
    """The handle of an id; 0 where it is not in the map."""
    cdef IdPage* page = ids_page(ids, order_id >> 6)
    return 0 if page == NULL else page.handles[order_id & 63]


cdef inline bint ids_put(OrderIds* ids, uint64_t order_id, uint32_t handle) noexcept nogil:
    """Adds an id that is not in the map; False where memory is out."""
    cdef IdPage* page = ids_page(ids, order_id >> 6)
    cdef IdPage* latest
    if page == NULL:
        page = ids_make_page(ids, order_id >> 6)
        if page == NULL:
            return False
        latest = ids.latest
        ids.latest = page
        if latest != NULL and latest.live == 0:
            ids_drop_page(ids, latest)
    page.handles[order_id & 63] = handle
    page.live += 1
    return True


cdef inline void ids_remove(OrderIds* ids, uint64_t order_id) noexcept nogil:
    """Removes an id that is in the map."""
    cdef IdPage* page = ids_page(ids, order_id >> 6)
    page.handles[order_id & 63] = 0
    page.live -= 1
    if page.live == 0 and page != ids.latest:
        ids_drop_page(ids, page)
