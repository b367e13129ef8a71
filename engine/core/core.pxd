from libc.stdint cimport uint8_t, uint64_t

from engine.core.state cimport Exchange
from engine.records cimport Command, OrderEvent


cdef class Core:
    # The hot state, in C.
    cdef Exchange exchange
    # The cold state, which no order touches: [name, scale, issued] of each asset, symbols, definitions as they were packed,
    # account names, (type, permissions, expiry, public key, networks) of the keys of each account, tier -> limits in the order
    # of their numbers, the tier of each account that is not in the first, (incarnation, number) of each producer.
    cdef list assets
    cdef set asset_names
    cdef list symbols
    cdef list market_definitions
    cdef list account_names
    cdef set account_name_set
    cdef dict account_keys
    cdef dict key_owners
    cdef dict tiers
    cdef dict account_tiers
    cdef dict producers
    # What the events of the entry in hand point to.
    cdef bytearray blobs

    cdef int _begin_entry(self, uint64_t capacity) except -1
    cdef bytes _finish_entry(self, uint64_t producer, uint64_t incarnation, uint64_t number, int disposition)
    cdef int _execute_command(self, const Command* command, const uint8_t* blobs, uint64_t blob_length) except -1
    cdef int _execute_other(self, const Command* command, const uint8_t* blobs, uint64_t blob_length) except? -1
    cdef OrderEvent* _emit(self, int kind, bytes blob) except NULL
    cdef int _attach(self, OrderEvent* event, bytes blob) except -1
