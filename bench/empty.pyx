"""What a call from Python costs when nothing is done: the methods of `engine.Book` with the same arguments, empty."""

from libc.stdint cimport int64_t, uint64_t


cdef class EmptyBook:
    """Takes orders and does nothing with them."""

    def place(
        self, uint64_t order_id, int side, int64_t price_ticks, int64_t quantity_lots, int time_in_force=1
    ):
        return 1

    def market(self, uint64_t order_id, int side, int64_t quantity_lots):
        return 1

    def cancel(self, uint64_t order_id):
        return 1

    def replace(self, uint64_t order_id, uint64_t new_order_id, int64_t price_ticks, int64_t quantity_lots):
        return 1
