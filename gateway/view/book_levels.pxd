from libc.stdint cimport int64_t


cdef class BookLevels:
    cdef dict _bids
    cdef dict _asks
    cdef object _sorted_bids
    cdef object _sorted_asks
    cdef set _moved_bids
    cdef set _moved_asks
    cdef readonly dict depths
    cdef readonly dict snapshots
    cdef public object ticker
    cdef readonly int64_t update_id
    cpdef change(self, int side, int64_t price_ticks, int64_t lots)
    cdef object _sorted(self, int side)
    cpdef int64_t best_ticks(self, int side)
