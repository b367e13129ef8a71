cimport cython
from libc.stdint cimport int64_t

from gateway.view.accounts cimport Account, Balance, Order


@cython.no_gc
cdef class PendingCommand:
    cdef public object caller
    cdef public object account
    cdef public str id_text
    cdef public bytes command
    cdef public str response
    cdef public bint shows_rate_limits
    cdef public int64_t expires_ms
    cdef public bint reduces
    cdef public bytes blob
    # When the command was queued; set by the pipeline.
    cdef public double queued_s
    cdef public object mark
    # What it may change while it is on its way; filled in by the judge.
    cdef bint is_counted_in
    cdef bint is_unbounded
    cdef bint is_of_all
    cdef bint may_rest
    cdef bint will_rest
    cdef int64_t cancels
    cdef int64_t hold
    cdef Balance balance
    cdef bytes client_key
    cdef Order cancelled
    cdef PendingCommand cancelled_too
    # The same for all: what became of it, and what that costs its account.
    cdef public bint passes_full_store
    cdef public bint is_rated
    cdef public bint is_told_unknown
    cdef public double waiting_since_s
    cdef public int64_t refusals
    cdef public int64_t refusals_due
    cdef void forget_weights(self)
    cdef int count_in(self, bint is_sure) except -1
    cpdef bint end(self) except -1
