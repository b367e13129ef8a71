"""The bytes of a book's state, `Book.to_bytes`, written from one ladder: of a book alone, or of a market of the core.

Four bytes JBK1 and four that are zero; then 32 bytes an order, little-endian: side, price, quantity left, id, all 64 bits;
bids before asks, each in the order in which they would be filled. The same orders in the same queues give the same bytes.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine.book.ladder cimport Ladder, Node, ladder_after, ladder_first, ladder_price, side_number
from engine.records cimport BOOK_MAGIC

cdef enum:
    SAVED_HEADER_BYTES = 8

cdef struct SavedBookOrder:
    uint64_t side
    int64_t price_ticks
    int64_t remaining_lots
    uint64_t order_id


cdef inline uint64_t saved_book_orders(Ladder* ladder, const Node* nodes) noexcept nogil:
    """How many orders rest on a ladder. Cost: O(orders)."""
    cdef uint64_t count = 0
    cdef bint is_ask
    cdef uint32_t handle
    for is_ask in range(2):
        handle = ladder_first(ladder, is_ask)
        while handle:
            count += 1
            handle = ladder_after(&nodes[handle])
    return count


cdef inline uint64_t saved_book_size(uint64_t orders) noexcept nogil:
    """The bytes of a book of that many orders."""
    return SAVED_HEADER_BYTES + orders * sizeof(SavedBookOrder)


cdef inline void saved_book_write(Ladder* ladder, const Node* nodes, char* data) noexcept nogil:
    """Writes `saved_book_size` bytes. Cost: O(orders)."""
    cdef SavedBookOrder* saved = <SavedBookOrder*>(data + SAVED_HEADER_BYTES)
    cdef bint is_ask
    cdef uint32_t handle
    memcpy(data, BOOK_MAGIC, SAVED_HEADER_BYTES)
    for is_ask in range(2):
        handle = ladder_first(ladder, is_ask)
        while handle:
            saved.side = side_number(is_ask)
            saved.price_ticks = ladder_price(&nodes[handle])
            saved.remaining_lots = nodes[handle].remaining_lots
            saved.order_id = nodes[handle].order_id
            saved += 1
            handle = ladder_after(&nodes[handle])
