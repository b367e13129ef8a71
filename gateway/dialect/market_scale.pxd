from libc.stdint cimport int64_t, uint32_t


cdef class MarketScale:
    cdef readonly uint32_t number
    cdef readonly str symbol
    cdef int64_t tick_step_e8
    cdef int64_t lot_step_e8
