"""The price levels of a market in C: what rests at each price, and the best prices in order."""

from libc.stdint cimport int64_t

from engine.records cimport SIDE_BUY, SIDE_SELL

from itertools import islice

from sortedcontainers import SortedList

from gateway import limits

cdef Py_ssize_t MOVED_LEVELS_MAX = limits.MOVED_LEVELS_MAX


cdef class BookLevels:
    """The price levels of one market: price -> lots, and the prices in order for those who ask.

    Orders come and go far more often than somebody asks for the best prices, so a change costs one dict access. Which prices
    came or went is noted, and the sorted ones are brought up to date when somebody asks, or when many are noted: a price
    that came and went again in between costs nothing. Cost of asking for k levels: O(k), and O(log n) for each price that
    came or went since.
    """

    def __init__(self):
        self._bids = {}
        self._asks = {}
        # Minus price on the bid side, so that the best level comes first on both.
        self._sorted_bids = SortedList()
        self._sorted_asks = SortedList()
        self._moved_bids = set()
        self._moved_asks = set()
        self.depths = {}
        self.snapshots = {}
        self.ticker = None

    cpdef change(self, int side, int64_t price_ticks, int64_t lots):
        """Adds `lots` (or, negative, takes them away) at a price. Cost: O(1)."""
        cdef dict levels
        cdef set moved
        cdef object key
        if side == SIDE_BUY:
            levels, moved, key = self._bids, self._moved_bids, -price_ticks
        else:
            levels, moved, key = self._asks, self._moved_asks, price_ticks
        cdef object had = levels.get(key)
        cdef int64_t remaining = lots if had is None else <int64_t>had + lots
        assert remaining >= 0, f"level {price_ticks} falls below zero"
        if remaining:
            levels[key] = remaining
        elif had is not None:
            del levels[key]
        if (had is None) != (remaining == 0):
            if key in moved:
                moved.remove(key)
            else:
                moved.add(key)
                if len(moved) > MOVED_LEVELS_MAX:
                    self._sorted(side)
        self.update_id += 1
        if self.snapshots:
            self.snapshots.clear()
        if self.depths:
            for depth in self.depths.values():
                depth.changed.add((side, price_ticks))

    def skip_updates(self, int64_t count):
        """Passes over so many update ids, which a lost tail of the journal may have used."""
        self.update_id += count
        self.snapshots.clear()

    cdef object _sorted(self, int side):
        """The keys of a side in order, brought up to date."""
        cdef bint is_bid = side == SIDE_BUY
        cdef dict levels = self._bids if is_bid else self._asks
        cdef set moved = self._moved_bids if is_bid else self._moved_asks
        cdef object keys = self._sorted_bids if is_bid else self._sorted_asks
        for key in moved:
            if key in levels:
                keys.add(key)
            else:
                keys.remove(key)
        moved.clear()
        return keys

    def quantity(self, int side, int64_t price_ticks):
        """Lots at a price; 0 where there is no level."""
        return self._bids.get(-price_ticks, 0) if side == SIDE_BUY else self._asks.get(price_ticks, 0)

    cpdef int64_t best_ticks(self, int side):
        """The best price of a side; 0 where it is empty. Cost: as of asking for one level."""
        keys = self._sorted(side)
        return abs(keys[0]) if keys else 0

    def bids(self, limit):
        """The best bids: price in ticks, lots."""
        levels = self._bids
        return [(-key, levels[key]) for key in islice(self._sorted(SIDE_BUY), limit)]

    def asks(self, limit):
        """The best asks: price in ticks, lots."""
        levels = self._asks
        return [(key, levels[key]) for key in islice(self._sorted(SIDE_SELL), limit)]
