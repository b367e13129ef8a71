# What comes from Python into a book: whole numbers, which are never rounded, cut or wrapped.

cdef extern from *:
    """
    /* The value of an exact int of one digit, 30 bits, as most are; 0 where it is another object. */
    static inline int jibek_small_int(PyObject *number, long long *value) {
        if (!PyLong_CheckExact(number)) return 0;
    #if PY_VERSION_HEX >= 0x030C0000
        if (!PyUnstable_Long_IsCompact((PyLongObject *)number)) return 0;
        *value = PyUnstable_Long_CompactValue((PyLongObject *)number);
    #else
        if (Py_SIZE(number) < -1 || Py_SIZE(number) > 1) return 0;
        *value = Py_SIZE(number) * (long long)((PyLongObject *)number)->ob_digit[0];
    #endif
        return 1;
    }
    """
    bint jibek_small_int(object number, long long* value)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
    bint PyLong_Check(object number)


cdef inline int64_t read_number(object number, str name) except? -1:
    """A whole number; -1, which is in no range, where it does not fit 64 bits."""
    cdef long long value
    if jibek_small_int(number, &value):
        return value
    return read_large_number(number, name)


cdef int64_t read_large_number(object number, str name) except? -1:
    cdef int overflow
    if not PyLong_Check(number):
        number = as_int(number, name)
    return PyLong_AsLongLongAndOverflow(number, &overflow)


cdef inline int read_choice(object number, str name) except -1:
    """A side or a time in force; 0, which is none of them, where it fits no byte."""
    cdef int64_t choice = read_number(number, name)
    return <int>choice if 0 <= choice <= 255 else 0


cdef inline uint64_t read_order_id(object number) except? 0:
    cdef long long value
    cdef uint64_t order_id = 0
    if jibek_small_int(number, &value) and value >= 0:
        return value
    if not is_order_id(number, &order_id):
        raise OverflowError(f"an order id is from 0 to 2^64 - 1, not {number}")
    return order_id


cdef bint is_order_id(object number, uint64_t* order_id) except -1:
    """Whether a whole number can be an order id: 0 to 2^64 - 1."""
    cdef int overflow
    cdef long long low
    if not PyLong_Check(number):
        number = as_int(number, "an order id")
    low = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow == 0 and low >= 0:
        order_id[0] = low
        return True
    if overflow <= 0 or number >> 64:
        return False
    order_id[0] = number
    return True


cdef uint64_t read_levels(object levels) except? 0:
    """How many levels a query wants; None wants all."""
    if levels is None:
        return <uint64_t>-1
    number = as_int(levels, "levels")
    if number < 0:
        raise ValueError(f"levels must not be negative, and {number} is")
    return min(number, 2**63)


cdef bint read_is_ask(object side) except -1:
    """The side of a query. Unlike an operation, a query of no side is the caller's mistake."""
    cdef int number = read_choice(side, "side")
    if number != SIDE_BUY and number != SIDE_SELL:
        raise ValueError(f"the side must be Side.BUY or Side.SELL, not {side}")
    return side_is_ask(number)


cdef as_int(object number, str name):
    """A number of NumPy or of another library as an int, where it is a whole one by its type."""
    try:
        return operator.index(number)
    except TypeError:
        hint = ": it is Side.BUY or Side.SELL" if name == "side" else ""
        raise TypeError(f"{name} must be a whole number, not {number!r}{hint}") from None
