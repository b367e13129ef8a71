cimport cython
from libc.stdint cimport int64_t


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
