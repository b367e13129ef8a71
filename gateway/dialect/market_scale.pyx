"""Numbers of the wire in C: decimal text of 1e-8, and what a tick and a lot of a market are in it."""

from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint32_t

from engine.records cimport AMOUNT_MAX

cdef enum:
    ONE_E8 = 100_000_000


def format_e8(number_e8 not None):
    """A number of 1e-8 with eight decimals: `format_e8(1500000)` is `0.01500000`."""
    cdef char text[24]
    cdef int position = 24, digit
    cdef unsigned long long remainder
    cdef bint is_negative = number_e8 < 0
    if not -AMOUNT_MAX <= number_e8 <= AMOUNT_MAX:
        whole, fraction = divmod(abs(number_e8), ONE_E8)
        return f"{'-' if is_negative else ''}{whole}.{fraction:08d}"
    remainder = <unsigned long long>(-<int64_t>number_e8 if is_negative else <int64_t>number_e8)
    for digit in range(8):
        position -= 1
        text[position] = <char>(c"0" + remainder % 10)
        remainder //= 10
    position -= 1
    text[position] = c"."
    while True:
        position -= 1
        text[position] = <char>(c"0" + remainder % 10)
        remainder //= 10
        if remainder == 0:
            break
    if is_negative:
        position -= 1
        text[position] = c"-"
    return PyUnicode_DecodeASCII(text + position, 24 - position, NULL)


cdef class MarketScale:
    """What the hot path needs to know of a market: its number and symbol, tick and lot in 1e-8.

    A tick or lot above AMOUNT_MAX is kept as 0: its orders take the slow path.
    """

    def __init__(self, uint32_t number, str symbol not None, tick_e8, lot_e8):
        self.number = number
        self.symbol = symbol
        self.tick_step_e8 = tick_e8 if tick_e8 <= AMOUNT_MAX else 0
        self.lot_step_e8 = lot_e8 if lot_e8 <= AMOUNT_MAX else 0
