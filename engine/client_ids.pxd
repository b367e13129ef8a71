"""From (account, client order id) to the open order: an open-addressing hash table that keeps each key's 32-bit hash.

Client ids are chosen by clients, so the hash is keyed with a random seed: nobody can choose ids that collide. The seed
never shows, because the table is only ever asked for one key. Deletion shifts entries back, so that nothing is left
behind by orders that came and went.

Cost: O(1) on average at a load of at most one half. Memory: 24 to 48 bytes an order.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from engine.ladder cimport jibek_lowest_bit, jibek_prefetch

cdef extern from * nogil:
    """
    static inline uint64_t jibek_multiply_fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t jibek_multiply_fold(uint64_t a, uint64_t b)

cdef struct ClientIdSlot:
    # A slot is empty where `handle` is 0.
    uint32_t hash
    uint32_t market
    uint32_t handle

cdef struct ClientIds:
    ClientIdSlot* slots
    uint64_t mask
    uint64_t used
    uint64_t seed


cdef inline void client_ids_init(ClientIds* ids, uint64_t seed) noexcept nogil:
    memset(ids, 0, sizeof(ClientIds))
    ids.seed = seed


cdef inline void client_ids_free(ClientIds* ids) noexcept nogil:
    free(ids.slots)
    ids.slots = NULL


cdef inline uint32_t client_id_hash(ClientIds* ids, uint32_t account, const char* client_id) noexcept nogil:
    """A keyed 32-bit hash of an account and the 36 bytes of a client id, folded as in wyhash; never 0."""
    cdef uint64_t words[5]
    cdef uint64_t hash
    words[4] = account
    memcpy(words, client_id, 36)
    hash = jibek_multiply_fold(
        jibek_multiply_fold(words[0] ^ ids.seed, words[1] ^ <uint64_t>0xA0761D6478BD642F)
        ^ jibek_multiply_fold(words[2] ^ <uint64_t>0xE7037ED1A0B428DB, words[3] ^ ids.seed),
        words[4] ^ (<uint64_t>account << 32) ^ <uint64_t>0x8EBC6AF09C88C6E3,
    )
    return <uint32_t>(hash >> 32) if hash >> 32 else 1


cdef inline void client_ids_prefetch(ClientIds* ids, uint32_t hash) noexcept nogil:
    if ids.slots != NULL:
        jibek_prefetch(&ids.slots[hash & ids.mask])


cdef inline bint client_id_is_padded(const char* client_id) noexcept nogil:
    """Whether zero bytes only pad: the same text must not have two forms. Looks at eight bytes at a time."""
    cdef uint64_t words[5]
    cdef uint64_t word, zeros
    cdef int index
    cdef bint ended = False
    words[4] = 0
    memcpy(words, client_id, 36)
    for index in range(5):
        word = words[index]
        if ended:
            if word:
                return False
            continue
        # The lowest set bit of `zeros` is in the first byte that is zero.
        zeros = (word - <uint64_t>0x0101010101010101) & ~word & <uint64_t>0x8080808080808080
        if zeros:
            ended = True
            if word >> (jibek_lowest_bit(zeros) & ~7):
                return False
    return True


cdef inline bint client_ids_reserve(ClientIds* ids) noexcept nogil:
    """Makes room for one more key at a load of at most one half; False where memory is out."""
    cdef uint64_t old_count = ids.mask + 1 if ids.slots != NULL else 0
    cdef uint64_t capacity, index, slot
    cdef ClientIdSlot* old = ids.slots
    cdef ClientIdSlot* slots
    if (ids.used + 1) * 2 <= old_count:
        return True
    capacity = old_count * 2 if old_count else 64
    slots = <ClientIdSlot*>calloc(capacity, sizeof(ClientIdSlot))
    if slots == NULL:
        return False
    for index in range(old_count):
        if old[index].handle:
            slot = old[index].hash & (capacity - 1)
            while slots[slot].handle:
                slot = (slot + 1) & (capacity - 1)
            slots[slot] = old[index]
    ids.slots = slots
    ids.mask = capacity - 1
    free(old)
    return True


cdef inline void client_ids_put(ClientIds* ids, uint32_t hash, uint32_t market, uint32_t handle) noexcept nogil:
    """Adds a key that is not in the table; room must have been reserved."""
    cdef uint64_t slot = hash & ids.mask
    while ids.slots[slot].handle:
        slot = (slot + 1) & ids.mask
    ids.slots[slot].hash = hash
    ids.slots[slot].market = market
    ids.slots[slot].handle = handle
    ids.used += 1


cdef inline void client_ids_remove(ClientIds* ids, uint32_t hash, uint32_t market, uint32_t handle) noexcept nogil:
    """Removes a key that is in the table and closes the gap behind it."""
    cdef uint64_t gap = hash & ids.mask
    cdef uint64_t slot, home
    while ids.slots[gap].handle != handle or ids.slots[gap].market != market:
        gap = (gap + 1) & ids.mask
    slot = gap
    while True:
        slot = (slot + 1) & ids.mask
        if ids.slots[slot].handle == 0:
            break
        home = ids.slots[slot].hash & ids.mask
        # An entry may move into the gap unless its home lies behind the gap, in the order of probing.
        if ((slot - home) & ids.mask) >= ((slot - gap) & ids.mask):
            ids.slots[gap] = ids.slots[slot]
            gap = slot
    ids.slots[gap].handle = 0
    ids.used -= 1
