from libc.stdint cimport int64_t


cdef class Usage:
    cdef readonly int64_t interval
    cdef public int64_t count
    cpdef bint add(self, int64_t weight, int64_t interval, int64_t limit) noexcept
    cpdef int64_t count_in(self, int64_t interval) noexcept


cdef class AddressUsage(Usage):
    cdef dict _by_tier
    cpdef Usage of(self, account)


cdef class OrderUsage:
    cdef readonly Usage ten_seconds
    cdef readonly Usage day
