from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine.book.operations cimport BookEventRecord, BookOperationRecord, BookState
from engine.book.saved_book cimport SavedBookOrder


cdef class EventBlock:
    cdef BookEventRecord* records
    cdef uint64_t capacity
    cdef uint64_t count
    # The one dimension of a buffer, in bytes, and how many buffers are held.
    cdef Py_ssize_t size
    cdef Py_ssize_t exports

    cdef int reserve(self, uint64_t capacity) except -1


cdef class Book:
    cdef BookState state
    # The events of the last call of one operation.
    cdef EventBlock last
    # Blocks of earlier batches, used again as soon as no caller holds them.
    cdef list blocks

    cdef BookEventRecord* _begin(self) except NULL
    cdef _end(self, BookEventRecord* event)
    cdef EventBlock _apply(self, const BookOperationRecord* records, uint64_t count)
    cdef EventBlock _free_block(self, uint64_t capacity)
    cdef uint32_t _find(self, object order_id) except? 0
    cdef uint32_t _handle(self, uint64_t order_id)
    cdef _resting(self, uint32_t handle)
    cdef int _load(self, const unsigned char[::1] data) except -1
    cdef int _load_order(self, const SavedBookOrder* saved, uint64_t index) except -1
