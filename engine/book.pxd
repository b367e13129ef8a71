from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine.ladder cimport Ladder
from engine.order_ids cimport OrderIds

cdef enum:
    EVENT_REJECTED = 1
    EVENT_ACCEPTED = 2
    EVENT_TRADE = 3
    EVENT_CANCELLED = 4
    EVENT_EXPIRED = 5

    OPERATION_PLACE = 1
    OPERATION_MARKET = 2
    OPERATION_CANCEL = 3
    OPERATION_REPLACE = 4

cdef struct BookOperationRecord:
    uint8_t kind
    uint8_t side
    uint8_t time_in_force
    uint8_t reserved
    uint32_t reserved_2
    uint64_t order_id
    uint64_t new_order_id
    int64_t price_ticks
    int64_t quantity_lots

cdef struct BookEventRecord:
    uint8_t kind
    uint8_t side
    uint16_t reason
    uint32_t operation
    uint64_t order_id
    uint64_t maker_order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t left_lots


cdef class Book:
    cdef Ladder ladder
    cdef OrderIds ids
    # The events of the last call; the buffer is used again and grows as needed.
    cdef BookEventRecord* events_buffer
    cdef uint64_t events_capacity
    cdef uint64_t events_count
    # The index of the operation that is carried out, for its events.
    cdef uint32_t operation

    cdef int _reserve_events(self, uint64_t more) except -1
    cdef BookEventRecord* _emit(self, int kind, int side, uint64_t order_id, int64_t price_ticks, int64_t quantity_lots) except NULL
    cdef int _reject(self, int side, uint64_t order_id, int reason) except -1
    cdef int _place(
        self, uint64_t order_id, int side, int64_t price_ticks, int64_t quantity_lots, int time_in_force
    ) except -1
    cdef int _market(self, uint64_t order_id, int side, int64_t quantity_lots) except -1
    cdef int _cancel(self, uint64_t order_id) except -1
    cdef int _replace(
        self, uint64_t order_id, uint64_t new_order_id, int64_t price_ticks, int64_t quantity_lots
    ) except -1
    cdef int64_t _match(self, uint64_t order_id, int side, int64_t limit_ticks, int64_t left_lots) except -1
    cdef bint _fills_whole(self, int side, int64_t limit_ticks, int64_t quantity_lots) noexcept
    cdef int _carry_out(self, const BookOperationRecord* operation) except -1
