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

cdef extern from * nogil:
    """
    static const char *const jibek_order_type_names[4] = {"", "LIMIT", "MARKET", "LIMIT_MAKER"};
    static const unsigned char jibek_order_type_lengths[4] = {0, 5, 6, 11};
    static const unsigned char jibek_order_type_full_answers[4] = {0, 1, 1, 0};
    static const char *const jibek_time_in_force_names[4] = {"NONE", "GTC", "IOC", "FOK"};
    static const unsigned char jibek_time_in_force_lengths[4] = {4, 3, 3, 3};
    """
    # By number: the names of the wire and their lengths.
    const char *ORDER_TYPE_NAMES "jibek_order_type_names"[4]
    const uint8_t ORDER_TYPE_LENGTHS "jibek_order_type_lengths"[4]
    # Whether a client that asks for no kind of answer gets the full one.
    const uint8_t ORDER_TYPE_FULL_ANSWERS "jibek_order_type_full_answers"[4]
    const char *TIME_IN_FORCE_NAMES "jibek_time_in_force_names"[4]
    const uint8_t TIME_IN_FORCE_LENGTHS "jibek_time_in_force_lengths"[4]
