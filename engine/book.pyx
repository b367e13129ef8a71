"""An order book with price-time priority, on its own: no accounts, no money, no store.

Levels and queues are `engine/ladder.pxd`, the map from order id to order is `engine/order_ids.pxd`; both say how they
work and what they cost. This module adds the rules of matching and a Python face: one call an order, or one call for a
whole array of operations.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

from engine.ladder cimport (
    NO_ASK,
    Node,
    jibek_unlikely,
    ladder_after,
    ladder_fill,
    ladder_first,
    ladder_free,
    ladder_init,
    ladder_is_ask,
    ladder_level,
    ladder_next_ask,
    ladder_next_bid,
    ladder_quantity,
    ladder_remove,
    ladder_rest,
)
from engine.order_ids cimport ids_free, ids_get, ids_init, ids_put, ids_remove
from engine.records cimport (
    REASON_INVALID_PRICE,
    REASON_INVALID_QUANTITY,
    REASON_INVALID_SIDE,
    REASON_INVALID_TIME_IN_FORCE,
    REASON_ORDER_ID_IN_USE,
    REASON_UNKNOWN_COMMAND,
    REASON_UNKNOWN_ORDER,
    SIDE_BUY,
    SIDE_SELL,
    TIME_IN_FORCE_FOK,
    TIME_IN_FORCE_GTC,
)

from enum import IntEnum
from typing import NamedTuple

from engine.reasons import Reason
from engine.records import Side, TimeInForce

cdef int64_t VALUE_MAX = (<int64_t>1 << 62) - 1


class BookEventKind(IntEnum):
    """What happened in a book."""

    REJECTED = EVENT_REJECTED
    ACCEPTED = EVENT_ACCEPTED
    TRADE = EVENT_TRADE
    CANCELLED = EVENT_CANCELLED
    EXPIRED = EVENT_EXPIRED


class OperationKind(IntEnum):
    """What an operation of a batch asks for."""

    PLACE = OPERATION_PLACE
    MARKET = OPERATION_MARKET
    CANCEL = OPERATION_CANCEL
    REPLACE = OPERATION_REPLACE


class BookEvent(NamedTuple):
    """One thing that happened in a book.

    In a TRADE `order_id` is the taker, `price_ticks` the maker's price, `quantity_lots` what was filled and `left_lots`
    what the maker has left. In ACCEPTED `quantity_lots` is what was asked for, in CANCELLED and EXPIRED what was left.
    """

    kind: BookEventKind
    side: Side
    reason: Reason
    order_id: int
    maker_order_id: int
    price_ticks: int
    quantity_lots: int
    left_lots: int


class RestingOrder(NamedTuple):
    """One order that rests in a book."""

    order_id: int
    side: Side
    price_ticks: int
    left_lots: int


OPERATION_FIELDS = [
    ("kind", "u1"), ("side", "u1"), ("time_in_force", "u1"), ("reserved", "u1"), ("reserved_2", "<u4"),
    ("order_id", "<u8"), ("new_order_id", "<u8"), ("price_ticks", "<i8"), ("quantity_lots", "<i8"),
]
EVENT_FIELDS = [
    ("kind", "u1"), ("side", "u1"), ("reason", "<u2"), ("operation", "<u4"), ("order_id", "<u8"),
    ("maker_order_id", "<u8"), ("price_ticks", "<i8"), ("quantity_lots", "<i8"), ("left_lots", "<i8"),
]


cdef class Book:
    """A limit order book with price-time priority.

    Order ids are 64-bit numbers that the caller chooses, unique among the resting orders. Prices are whole ticks from 1,
    quantities whole lots from 1, both below 2^62. A refusal is an event, not an exception.

    >>> from engine.records import Side, TimeInForce
    >>> book = Book()
    >>> book.place(1, Side.SELL, price_ticks=101, quantity_lots=5)
    1
    >>> book.place(2, Side.BUY, price_ticks=102, quantity_lots=3)
    2
    >>> [(event.kind.name, event.price_ticks, event.quantity_lots) for event in book.events()]
    [('ACCEPTED', 102, 3), ('TRADE', 101, 3)]
    >>> book.best_ask, book.depth(Side.SELL)
    (101, [(101, 2)])
    >>> book
    <Book: 1 order, bid none, ask 101>
    """

    def __cinit__(self):
        self.events_buffer = NULL
        ladder_init(&self.ladder)
        ids_init(&self.ids)

    def __dealloc__(self):
        ladder_free(&self.ladder)
        ids_free(&self.ids)
        free(self.events_buffer)

    # -- one operation a call

    def place(
        self,
        uint64_t order_id,
        int side,
        int64_t price_ticks,
        int64_t quantity_lots,
        int time_in_force=TIME_IN_FORCE_GTC,
    ):
        """Matches a limit order and rests what is left of it.

        Args:
            order_id: unique among the resting orders.
            side: Side.BUY or Side.SELL.
            price_ticks: 1 to 2^62 - 1; the worst price at which it trades.
            quantity_lots: 1 to 2^62 - 1.
            time_in_force: GTC rests what is left, IOC lets it expire, FOK fills all or nothing.

        Returns:
            The number of events, which `events` gives: ACCEPTED, then a TRADE a fill, then EXPIRED for a rest that does
            not stay; or REJECTED alone.

        Complexity: O(1) and O(1) a fill.
        """
        self.events_count = 0
        self._place(order_id, side, price_ticks, quantity_lots, time_in_force)
        return self.events_count

    def market(self, uint64_t order_id, int side, int64_t quantity_lots):
        """Fills up to `quantity_lots` at whatever price there is; the rest expires. Returns the number of events."""
        self.events_count = 0
        self._market(order_id, side, quantity_lots)
        return self.events_count

    def cancel(self, uint64_t order_id):
        """Removes a resting order. Returns 1: CANCELLED, or REJECTED with UNKNOWN_ORDER where there is none."""
        self.events_count = 0
        self._cancel(order_id)
        return self.events_count

    def replace(self, uint64_t order_id, uint64_t new_order_id, int64_t price_ticks, int64_t quantity_lots):
        """Cancels a resting order and places a new one on its side, which matches at once where it crosses.

        The new order loses the place in the queue. Where there is no such order, or the new one is not valid, nothing
        changes and the only event is REJECTED. Returns the number of events.
        """
        self.events_count = 0
        self._replace(order_id, new_order_id, price_ticks, quantity_lots)
        return self.events_count

    def events(self):
        """The events of the last call as a list of BookEvent, in the order in which they happened."""
        cdef uint64_t index
        cdef BookEventRecord* event
        result = []
        for index in range(self.events_count):
            event = &self.events_buffer[index]
            result.append(
                BookEvent(
                    BookEventKind(event.kind), Side(event.side), Reason(event.reason), event.order_id,
                    event.maker_order_id, event.price_ticks, event.quantity_lots, event.left_lots,
                )
            )
        return result

    # -- many operations a call

    def apply(self, operations):
        """Carries out an array of operations and returns the array of all their events.

        Args:
            operations: a NumPy structured array of `operation_dtype()`, or any contiguous buffer of such records:
                kind (OperationKind), side, time in force, order id, new order id (REPLACE), price, quantity.

        Returns:
            A NumPy structured array of `event_dtype()`; its field `operation` is the index of the operation answered.

        Raises:
            ValueError: the buffer is not a whole number of operation records.

        Complexity: no Python object is made for an operation or an event.
        """
        import numpy

        cdef const uint8_t[::1] data = numpy.ascontiguousarray(operations).view(numpy.uint8).reshape(-1)
        cdef uint64_t count = data.shape[0] // sizeof(BookOperationRecord)
        cdef uint64_t index
        cdef const BookOperationRecord* records
        if count * sizeof(BookOperationRecord) != <uint64_t>data.shape[0]:
            raise ValueError(f"operations must be records of {sizeof(BookOperationRecord)} bytes")
        self.events_count = 0
        if count:
            records = <const BookOperationRecord*>&data[0]
            for index in range(count):
                self.operation = <uint32_t>index
                self._carry_out(&records[index])
            self.operation = 0
        taken = (<uint8_t*>self.events_buffer)[: self.events_count * sizeof(BookEventRecord)]
        return numpy.frombuffer(taken, dtype=event_dtype())

    # -- what is in the book

    @property
    def best_bid(self):
        """The highest price bid in ticks; None where there is no bid."""
        return self.ladder.best_bid_ticks or None

    @property
    def best_ask(self):
        """The lowest price asked in ticks; None where there is no ask."""
        return None if self.ladder.best_ask_ticks == NO_ASK else self.ladder.best_ask_ticks

    def __len__(self):
        """The number of resting orders."""
        return self.ladder.live

    def __contains__(self, uint64_t order_id):
        return ids_get(&self.ids, order_id) != 0

    def __repr__(self):
        bid = self.best_bid or "none"
        ask = self.best_ask or "none"
        return f"<Book: {self.ladder.live} order{'' if self.ladder.live == 1 else 's'}, bid {bid}, ask {ask}>"

    def order(self, uint64_t order_id):
        """The resting order of that id; None where there is none."""
        cdef uint32_t handle = ids_get(&self.ids, order_id)
        return self._resting(handle) if handle else None

    def depth(self, int side, uint64_t levels=0):
        """Prices and the quantities resting there, best first, as (price_ticks, quantity_lots); 0 levels gives all."""
        cdef int64_t price_ticks
        result = []
        price_ticks = self.ladder.best_bid_ticks if side == SIDE_BUY else self.ladder.best_ask_ticks
        while price_ticks != 0 and price_ticks != NO_ASK:
            result.append((price_ticks, ladder_level(&self.ladder, price_ticks).quantity_lots))
            if levels and <uint64_t>len(result) == levels:
                break
            if side == SIDE_BUY:
                price_ticks = ladder_next_bid(&self.ladder, price_ticks)
            else:
                price_ticks = ladder_next_ask(&self.ladder, price_ticks)
        return result

    def orders(self, int side):
        """The resting orders of a side as RestingOrder, in the order in which they would be filled."""
        cdef uint32_t handle = ladder_first(&self.ladder, side == SIDE_SELL)
        result = []
        while handle:
            result.append(self._resting(handle))
            handle = ladder_after(&self.ladder, handle)
        return result

    def check(self):
        """Walks the whole book and asserts every invariant. Cost: linear in the book."""
        # The book is never crossed.
        assert self.ladder.best_bid_ticks < self.ladder.best_ask_ticks, repr(self)
        cdef uint64_t seen = 0
        for side in (Side.BUY, Side.SELL):
            levels = {}
            for order in self.orders(side):
                # Every order is where its id says, on the side of its price, and not empty.
                assert self.order(order.order_id) == order and order.side == side and order.left_lots > 0, order
                levels[order.price_ticks] = levels.get(order.price_ticks, 0) + order.left_lots
                seen += 1
            # A level's quantity is the sum of its orders; prices are in order.
            assert list(levels.items()) == self.depth(side), (levels, self.depth(side))
            assert list(levels) == sorted(levels, reverse=side == Side.BUY), levels
        # No order is outside the levels.
        assert seen == self.ladder.live, (seen, self.ladder.live)

    def _resting(self, uint32_t handle):
        cdef Node* node = &self.ladder.nodes[handle]
        side = Side.SELL if ladder_is_ask(&self.ladder, node.price_ticks) else Side.BUY
        return RestingOrder(node.order_id, side, node.price_ticks, node.left_lots)

    # -- matching

    cdef int _carry_out(self, const BookOperationRecord* operation) except -1:
        if operation.kind == OPERATION_PLACE:
            return self._place(
                operation.order_id, operation.side, operation.price_ticks, operation.quantity_lots,
                operation.time_in_force,
            )
        if operation.kind == OPERATION_CANCEL:
            return self._cancel(operation.order_id)
        if operation.kind == OPERATION_MARKET:
            return self._market(operation.order_id, operation.side, operation.quantity_lots)
        if operation.kind == OPERATION_REPLACE:
            return self._replace(
                operation.order_id, operation.new_order_id, operation.price_ticks, operation.quantity_lots
            )
        return self._reject(operation.side, operation.order_id, REASON_UNKNOWN_COMMAND)

    cdef int _place(
        self, uint64_t order_id, int side, int64_t price_ticks, int64_t quantity_lots, int time_in_force
    ) except -1:
        cdef uint32_t handle
        cdef int64_t left
        if side != SIDE_BUY and side != SIDE_SELL:
            return self._reject(0, order_id, REASON_INVALID_SIDE)
        if not TIME_IN_FORCE_GTC <= time_in_force <= TIME_IN_FORCE_FOK:
            return self._reject(side, order_id, REASON_INVALID_TIME_IN_FORCE)
        if not 0 < price_ticks <= VALUE_MAX:
            return self._reject(side, order_id, REASON_INVALID_PRICE)
        if not 0 < quantity_lots <= VALUE_MAX:
            return self._reject(side, order_id, REASON_INVALID_QUANTITY)
        if ids_get(&self.ids, order_id):
            return self._reject(side, order_id, REASON_ORDER_ID_IN_USE)
        # The sum of a level must not overflow. An order that matches rests on an empty level, so this is the only check.
        if ladder_quantity(&self.ladder, price_ticks) > VALUE_MAX - quantity_lots:
            return self._reject(side, order_id, REASON_INVALID_QUANTITY)
        self._emit(EVENT_ACCEPTED, side, order_id, price_ticks, quantity_lots)
        left = quantity_lots
        if time_in_force != TIME_IN_FORCE_FOK or self._fills_whole(side, price_ticks, quantity_lots):
            left = self._match(order_id, side, price_ticks, quantity_lots)
        if left == 0:
            return 0
        if time_in_force != TIME_IN_FORCE_GTC:
            self._emit(EVENT_EXPIRED, side, order_id, price_ticks, left)
            return 0
        handle = ladder_rest(&self.ladder, side == SIDE_SELL, price_ticks, left, order_id)
        if jibek_unlikely(handle == 0 or not ids_put(&self.ids, order_id, handle)):
            raise MemoryError("the book cannot take one more order")
        return 0

    cdef int _market(self, uint64_t order_id, int side, int64_t quantity_lots) except -1:
        cdef int64_t left
        if side != SIDE_BUY and side != SIDE_SELL:
            return self._reject(0, order_id, REASON_INVALID_SIDE)
        if not 0 < quantity_lots <= VALUE_MAX:
            return self._reject(side, order_id, REASON_INVALID_QUANTITY)
        self._emit(EVENT_ACCEPTED, side, order_id, 0, quantity_lots)
        left = self._match(order_id, side, VALUE_MAX if side == SIDE_BUY else 0, quantity_lots)
        if left:
            self._emit(EVENT_EXPIRED, side, order_id, 0, left)
        return 0

    cdef int _cancel(self, uint64_t order_id) except -1:
        cdef uint32_t handle = ids_get(&self.ids, order_id)
        cdef Node* node
        if handle == 0:
            return self._reject(0, order_id, REASON_UNKNOWN_ORDER)
        node = &self.ladder.nodes[handle]
        self._emit(
            EVENT_CANCELLED, SIDE_SELL if ladder_is_ask(&self.ladder, node.price_ticks) else SIDE_BUY, order_id,
            node.price_ticks, node.left_lots,
        )
        ladder_remove(&self.ladder, handle)
        ids_remove(&self.ids, order_id)
        return 0

    cdef int _replace(
        self, uint64_t order_id, uint64_t new_order_id, int64_t price_ticks, int64_t quantity_lots
    ) except -1:
        cdef uint32_t handle = ids_get(&self.ids, order_id)
        cdef int side
        if handle == 0:
            return self._reject(0, order_id, REASON_UNKNOWN_ORDER)
        side = SIDE_SELL if ladder_is_ask(&self.ladder, self.ladder.nodes[handle].price_ticks) else SIDE_BUY
        if not 0 < price_ticks <= VALUE_MAX:
            return self._reject(side, order_id, REASON_INVALID_PRICE)
        if not 0 < quantity_lots <= VALUE_MAX:
            return self._reject(side, order_id, REASON_INVALID_QUANTITY)
        if new_order_id != order_id and ids_get(&self.ids, new_order_id):
            return self._reject(side, order_id, REASON_ORDER_ID_IN_USE)
        self._cancel(order_id)
        return self._place(new_order_id, side, price_ticks, quantity_lots, TIME_IN_FORCE_GTC)

    cdef int64_t _match(self, uint64_t order_id, int side, int64_t limit_ticks, int64_t left_lots) except -1:
        """Fills up to `left_lots` at `limit_ticks` or better; returns what is left."""
        cdef bint asks = side == SIDE_BUY
        cdef uint32_t handle
        cdef uint64_t maker_id
        cdef int64_t price_ticks, lots
        cdef BookEventRecord* event
        while left_lots:
            if asks:
                price_ticks = self.ladder.best_ask_ticks
                if price_ticks > limit_ticks:
                    break
            else:
                price_ticks = self.ladder.best_bid_ticks
                if price_ticks < limit_ticks or price_ticks == 0:
                    break
            handle = ladder_level(&self.ladder, price_ticks).head
            lots = self.ladder.nodes[handle].left_lots
            maker_id = self.ladder.nodes[handle].order_id
            event = self._emit(EVENT_TRADE, side, order_id, price_ticks, lots if lots < left_lots else left_lots)
            event.maker_order_id = maker_id
            if lots <= left_lots:
                left_lots -= lots
                ladder_remove(&self.ladder, handle)
                ids_remove(&self.ids, maker_id)
            else:
                event.left_lots = lots - left_lots
                ladder_fill(&self.ladder, handle, left_lots)
                left_lots = 0
        return left_lots

    cdef bint _fills_whole(self, int side, int64_t limit_ticks, int64_t quantity_lots) noexcept:
        """Whether that much rests at `limit_ticks` or better on the other side. Cost: O(levels looked at)."""
        cdef int64_t price_ticks
        if side == SIDE_BUY:
            price_ticks = self.ladder.best_ask_ticks
            while price_ticks <= limit_ticks:
                quantity_lots -= ladder_level(&self.ladder, price_ticks).quantity_lots
                if quantity_lots <= 0:
                    return True
                price_ticks = ladder_next_ask(&self.ladder, price_ticks)
        else:
            price_ticks = self.ladder.best_bid_ticks
            while price_ticks >= limit_ticks and price_ticks != 0:
                quantity_lots -= ladder_level(&self.ladder, price_ticks).quantity_lots
                if quantity_lots <= 0:
                    return True
                price_ticks = ladder_next_bid(&self.ladder, price_ticks)
        return False

    # -- events

    cdef int _reserve_events(self, uint64_t more) except -1:
        cdef uint64_t capacity = self.events_capacity
        cdef BookEventRecord* buffer
        if self.events_count + more <= capacity:
            return 0
        capacity = capacity * 2 if capacity else 64
        while capacity < self.events_count + more:
            capacity *= 2
        buffer = <BookEventRecord*>realloc(self.events_buffer, capacity * sizeof(BookEventRecord))
        if buffer == NULL:
            raise MemoryError("no room for the events")
        self.events_buffer = buffer
        self.events_capacity = capacity
        return 0

    cdef BookEventRecord* _emit(
        self, int kind, int side, uint64_t order_id, int64_t price_ticks, int64_t quantity_lots
    ) except NULL:
        cdef BookEventRecord* event
        if jibek_unlikely(self.events_count == self.events_capacity):
            self._reserve_events(1)
        event = &self.events_buffer[self.events_count]
        self.events_count += 1
        event.kind = <uint8_t>kind
        event.side = <uint8_t>side
        event.reason = 0
        event.operation = self.operation
        event.order_id = order_id
        event.maker_order_id = 0
        event.price_ticks = price_ticks
        event.quantity_lots = quantity_lots
        event.left_lots = 0
        return event

    cdef int _reject(self, int side, uint64_t order_id, int reason) except -1:
        cdef BookEventRecord* event = self._emit(EVENT_REJECTED, side, order_id, 0, 0)
        event.reason = <uint16_t>reason
        return 0


def operation_dtype():
    """The NumPy dtype of one operation of `Book.apply`, 40 bytes."""
    import numpy

    return numpy.dtype(OPERATION_FIELDS)


def event_dtype():
    """The NumPy dtype of one event of `Book.apply`, 48 bytes."""
    import numpy

    return numpy.dtype(EVENT_FIELDS)
