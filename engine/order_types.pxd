# Written by `python -m engine.declarations` from engine/order_types.py; a test keeps it current. Do not edit.

from libc.stdint cimport uint8_t

cdef enum:
    ORDER_TYPE_LIMIT = 1
    ORDER_TYPE_MARKET = 2
    ORDER_TYPE_LIMIT_MAKER = 3

cdef enum:
    TIME_IN_FORCE_NONE = 0
    TIME_IN_FORCE_GTC = 1
    TIME_IN_FORCE_IOC = 2
    TIME_IN_FORCE_FOK = 3

cdef enum:
    ORDER_FLAG_HAS_LIMIT = 1
    ORDER_FLAG_MAY_REST = 2
    ORDER_FLAG_MAY_TAKE = 4
    ORDER_FLAG_ALL_OR_NONE = 8
    ORDER_FLAG_BY_QUOTE = 16
    ORDER_FLAG_HAS_TRIGGER = 32

cdef enum:
    ORDER_TYPE_MAX = 3
    TIME_IN_FORCE_MAX = 3

cdef extern from * nogil:
    """
    static const unsigned char jibek_order_flags[4][4] = {
        {0, 0, 0, 0},
        {0, 7, 5, 13},
        {20, 0, 0, 0},
        {3, 0, 0, 0},
    };
    """
    # By order type, then by time in force; 0 where the type has not that time.
    const uint8_t ORDER_FLAGS "jibek_order_flags"[4][4]
