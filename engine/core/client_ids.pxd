"""From (account, client order id) to the open order: hashing of client ids; the table is `engine/book/handle_table.pxd`.

Clients choose their ids, so the hash is keyed with a random seed: no client can choose ids that collide. The seed never
shows, because a look-up answers for one key only. The table does not store keys: the order to which a handle leads has its
account, its client id and their hash.

Cost: O(1) on average. Memory: 9 to 18 bytes an order.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from * nogil:
    """
    static inline uint64_t jibek_multiply_fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t jibek_multiply_fold(uint64_t a, uint64_t b)

cdef struct ClientIdWords:
    # The bytes of a client id in words, the last of which is half zero.
    uint64_t first
    uint64_t second
    uint64_t third
    uint64_t fourth
    uint64_t fifth


cdef inline ClientIdWords client_id_read(const char* client_id) noexcept nogil:
    cdef ClientIdWords id
    cdef uint32_t last
    memcpy(&id.first, client_id, 8)
    memcpy(&id.second, client_id + 8, 8)
    memcpy(&id.third, client_id + 16, 8)
    memcpy(&id.fourth, client_id + 24, 8)
    memcpy(&last, client_id + 32, 4)
    id.fifth = last
    return id


cdef inline bint client_id_is_short(ClientIdWords id) noexcept nogil:
    """Whether it has no more than 16 bytes, as most have."""
    return (id.third | id.fourth | id.fifth) == 0


cdef inline bint client_id_is_none(ClientIdWords id) noexcept nogil:
    return (id.first | id.second | id.third | id.fourth | id.fifth) == 0


cdef inline bint client_ids_differ(ClientIdWords id, ClientIdWords other) noexcept nogil:
    return (
        (id.first ^ other.first) | (id.second ^ other.second) | (id.third ^ other.third) | (id.fourth ^ other.fourth)
        | (id.fifth ^ other.fifth)
    ) != 0


cdef inline uint64_t bytes_in_use(uint64_t word) noexcept nogil:
    """A bit for each byte of a word, lowest first, that is not zero."""
    cdef uint64_t tops = ((word & <uint64_t>0x7F7F7F7F7F7F7F7F) + <uint64_t>0x7F7F7F7F7F7F7F7F) | word
    # The product gathers the highest bits of all bytes in its upper byte.
    return ((tops & <uint64_t>0x8080808080808080) >> 7) * <uint64_t>0x0102040810204080 >> 56


cdef inline bint client_id_is_padded(ClientIdWords id) noexcept nogil:
    """Whether zero bytes only pad: the same text must not have two forms."""
    cdef uint64_t used = bytes_in_use(id.first) | bytes_in_use(id.second) << 8
    if not client_id_is_short(id):
        used |= bytes_in_use(id.third) << 16 | bytes_in_use(id.fourth) << 24 | bytes_in_use(id.fifth) << 32
    return used & (used + 1) == 0


cdef inline uint32_t client_id_hash(ClientIdWords id, uint64_t seed, uint32_t account) noexcept nogil:
    """A keyed 32-bit hash of an account and a client id, folded as in wyhash; never 0."""
    cdef uint64_t hash = jibek_multiply_fold(id.first ^ seed, id.second ^ <uint64_t>0xA0761D6478BD642F)
    if not client_id_is_short(id):
        hash ^= jibek_multiply_fold(id.third ^ <uint64_t>0xE7037ED1A0B428DB, id.fourth ^ id.fifth << 32 ^ seed)
    hash = jibek_multiply_fold(hash ^ seed, account ^ <uint64_t>0x8EBC6AF09C88C6E3)
    return <uint32_t>(hash >> 32) if hash >> 32 else 1


cdef inline uint64_t client_id_mix(uint32_t hash) noexcept nogil:
    """The hash, mixed as the table wants it: its upper bits choose the group, others the tag."""
    return hash * <uint64_t>0x9E3779B97F4A7C15
