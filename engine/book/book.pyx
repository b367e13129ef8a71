"""An order book with price-time priority, on its own: no accounts, no money, no store.

Prices are `engine/book/price_tree.pxd`, queues `engine/book/ladder.pxd`, the map from order id to order is
`engine/book/order_ids.pxd`, the operations `engine/book/operations.pxd`; each says how it works and what it costs. This
module is their Python face: one call an order, or one call for a whole array of operations. docs/book.md shows how to
use it.
"""

from cpython.buffer cimport PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_REFCNT
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

from engine.book.ladder cimport (
    NO_ASK,
    Arena,
    Node,
    ladder_after,
    ladder_best_ask,
    ladder_best_bid,
    ladder_best_level,
    ladder_crosses,
    ladder_is_ask,
    ladder_key,
    ladder_price,
    ladder_quantity,
    ladder_rest,
    side_is_ask,
)
from engine.book.memory cimport jibek_allocate
from engine.book.order_ids cimport ids_get, ids_insert, ids_reserve
from engine.book.operations cimport (
    EVENT_ACCEPTED,
    EVENT_AMENDED,
    EVENT_CANCELLED,
    EVENT_EXPIRED,
    EVENT_REJECTED,
    EVENT_TRADE,
    EVENTS_PER_OPERATION,
    OPERATION_AMEND,
    OPERATION_CANCEL,
    OPERATION_MARKET,
    OPERATION_PLACE,
    OPERATION_REPLACE,
    BookEventRecord,
    BookOperationRecord,
    book_amend,
    book_apply,
    book_cancel,
    book_free,
    book_init,
    book_market,
    book_place,
    book_replace,
    events_use,
    is_value,
)
from engine.book.price_tree cimport Level, tree_level, tree_worse_level
from engine.book.saved_book cimport SAVED_HEADER_BYTES, SavedBookOrder, saved_book_size, saved_book_write
from engine.order_types cimport TIME_IN_FORCE_GTC
from engine.records cimport AMOUNT_MAX, BOOK_MAGIC, SIDE_BUY, SIDE_SELL

import operator
import os

from engine.book.arrays import event_dtype, records_of
from engine.book.values import (
    BookEvent,
    BookEventKind,
    DepthLevel,
    OperationKind,
    QueuePlace,
    RestingOrder,
)
from engine.extras import import_numpy
from engine.reasons import Reason
from engine.records import Side

assert sizeof(BookOperationRecord) == 40
assert sizeof(BookEventRecord) == 48
assert sizeof(Node) == 32


cdef enum:
    # Room for the events of one operation; where one needs more, the block grows and stays so.
    SINGLE_EVENTS = 256
    # A block larger than this is not kept after its batch: 3 MB.
    KEPT_EVENTS_MAX = 65536
    # An array that is being read and one that is being written.
    KEPT_BLOCKS_MAX = 2


assert [int(kind) for kind in BookEventKind] == [
    EVENT_REJECTED, EVENT_ACCEPTED, EVENT_TRADE, EVENT_CANCELLED, EVENT_EXPIRED, EVENT_AMENDED,
]
assert [int(kind) for kind in OperationKind] == [
    OPERATION_PLACE, OPERATION_MARKET, OPERATION_CANCEL, OPERATION_REPLACE, OPERATION_AMEND,
]


cdef event_of(const BookEventRecord* record):
    cdef uint64_t side = record.prefix >> 8 & 255
    return BookEvent(
        BookEventKind(record.prefix & 255),
        Side(side) if side else None,
        Reason(record.prefix >> 16 & 0xFFFF),
        record.prefix >> 32,
        record.order_id,
        record.maker_order_id,
        record.price_ticks,
        record.quantity_lots,
        record.remaining_lots,
    )


include "numbers.pxi"


cdef class EventBlock:
    """Events in a block of memory that it owns: a sequence of BookEvent, and a buffer of `event_dtype()` records.

    >>> book = Book()
    >>> _ = book.place(1, Side.BUY, 100, 5)
    >>> block = book.last_events
    >>> len(block), block[0].quantity_lots, memoryview(block).nbytes
    (1, 5, 48)
    """

    def __cinit__(self):
        self.records = NULL

    def __dealloc__(self):
        free(self.records)

    cdef int reserve(self, uint64_t capacity) except -1:
        """Makes the block at least that large; what it held is lost."""
        cdef void* records
        assert self.exports == 0, "the memory of a block that is being read does not move"
        if capacity > self.capacity:
            # Large ones in huge pages: the first touch of a page costs more than the events that fit on it.
            records = jibek_allocate(capacity * sizeof(BookEventRecord))
            if records == NULL:
                raise MemoryError("no room for the events")
            free(self.records)
            self.records = <BookEventRecord*>records
            self.capacity = capacity
        return 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [event_of(&self.records[at]) for at in range(*index.indices(self.count))]
        number = as_int(index, "an event index")
        if number < 0:
            number += self.count
        if not 0 <= number < self.count:
            raise IndexError("event index out of range")
        return event_of(&self.records[<uint64_t>number])

    def __iter__(self):
        return iter(self[:])

    def __repr__(self):
        return f"<EventBlock: {self.count} event{'' if self.count == 1 else 's'}>"

    def __getbuffer__(self, Py_buffer* view, int flags):
        self.size = self.count * sizeof(BookEventRecord)
        self.exports += 1
        view.obj = self
        view.buf = self.records
        view.len = self.size
        view.itemsize = 1
        view.readonly = 0
        view.format = "B"
        view.ndim = 1
        view.shape = &self.size
        view.strides = &view.itemsize
        view.suboffsets = NULL
        view.internal = NULL

    def __releasebuffer__(self, Py_buffer* view):
        self.exports -= 1


cdef class Book:
    """A limit order book with price-time priority.

    Order ids are 64-bit numbers that the caller chooses, unique among the resting orders. Prices are whole ticks and
    quantities whole lots, both from 1 to 2^62 - 1; any other whole number is refused. A refusal is an event, not an
    exception. 100.7 or "100" is not a whole number: it raises TypeError and is never rounded. After a MemoryError the book may
    have done a part of the operation. Use a book from one thread at a time.

    >>> book = Book()
    >>> book.place(1, Side.SELL, price_ticks=101, quantity_lots=5)
    1
    >>> book.place(2, Side.BUY, price_ticks=102, quantity_lots=3)
    2
    >>> [(event.kind.name, event.price_ticks, event.quantity_lots) for event in book.events()]
    [('ACCEPTED', 102, 3), ('TRADE', 101, 3)]
    >>> book.best_ask, book.depth(Side.SELL)
    (101, [DepthLevel(price_ticks=101, quantity_lots=2)])
    >>> book
    <Book: 1 order, bid none, ask 101>
    """

    def __cinit__(self):
        book_init(&self.state)
        self.last = EventBlock.__new__(EventBlock)
        self.last.reserve(SINGLE_EVENTS)
        self.blocks = []

    def __init__(self):
        """An empty book."""

    def __dealloc__(self):
        book_free(&self.state)

    # -- one operation a call

    def place(self, order_id, side, price_ticks, quantity_lots, time_in_force=TIME_IN_FORCE_GTC):
        """Matches a limit order and rests its remainder.

        Args:
            order_id: 0 to 2^64 - 1, unique among the resting orders.
            side: Side.BUY or Side.SELL.
            price_ticks: 1 to 2^62 - 1; the worst price at which it trades.
            quantity_lots: 1 to 2^62 - 1.
            time_in_force: GTC rests the remainder, IOC lets it expire, FOK fills all or nothing.

        Returns:
            The number of events, which `events` returns: ACCEPTED, then a TRADE for each fill, then EXPIRED if a remainder
            does not rest; or REJECTED alone.

        Raises:
            TypeError: an argument is not a whole number.
            OverflowError: the order id is not from 0 to 2^64 - 1.

        Complexity: O(1), and O(1) for each fill; FOK first looks at each order that it would fill.
        """
        cdef BookOperationRecord record
        record.order_id = read_order_id(order_id)
        record.side = read_choice(side, "side")
        record.price_ticks = read_number(price_ticks, "price_ticks")
        record.quantity_lots = read_number(quantity_lots, "quantity_lots")
        record.time_in_force = read_choice(time_in_force, "time_in_force")
        return self._end(book_place(&self.state, self._begin(), 0, &record))

    def market(self, order_id, side, quantity_lots):
        """Fills up to `quantity_lots` at whatever price there is; the remainder expires.

        Args:
            order_id: 0 to 2^64 - 1; it never rests, so it need not be unique.
            side: Side.BUY or Side.SELL.
            quantity_lots: 1 to 2^62 - 1.

        Returns:
            The number of events: ACCEPTED, a TRADE for each fill, EXPIRED for a remainder; or REJECTED alone.

        Raises:
            TypeError: an argument is not a whole number.
            OverflowError: the order id is not from 0 to 2^64 - 1.

        Complexity: O(1) for each fill.
        """
        cdef BookOperationRecord record
        record.order_id = read_order_id(order_id)
        record.side = read_choice(side, "side")
        record.quantity_lots = read_number(quantity_lots, "quantity_lots")
        return self._end(book_market(&self.state, self._begin(), 0, &record))

    def cancel(self, order_id):
        """Removes a resting order.

        Returns:
            1: the event is CANCELLED, or REJECTED with UNKNOWN_ORDER if no such order rests.

        Raises:
            TypeError: the order id is not a whole number.
            OverflowError: the order id is not from 0 to 2^64 - 1.

        Complexity: O(1).
        """
        cdef BookOperationRecord record
        record.order_id = read_order_id(order_id)
        return self._end(book_cancel(&self.state, self._begin(), 0, &record))

    def replace(self, order_id, new_order_id, price_ticks, quantity_lots):
        """Cancels a resting order and places a new one on its side, which matches at once where it crosses.

        Args:
            order_id: the order that rests.
            new_order_id: that of the new order, which is the last in its queue; it may be the same.
            price_ticks: 1 to 2^62 - 1.
            quantity_lots: 1 to 2^62 - 1.

        Returns:
            The number of events: CANCELLED and those of `place`. If there is no such order, or the new one is not valid,
            nothing changes and the only event is REJECTED.

        Raises:
            TypeError: an argument is not a whole number.
            OverflowError: an order id is not from 0 to 2^64 - 1.

        Complexity: O(1), and O(1) for each fill.
        """
        cdef BookOperationRecord record
        record.order_id = read_order_id(order_id)
        record.new_order_id = read_order_id(new_order_id)
        record.price_ticks = read_number(price_ticks, "price_ticks")
        record.quantity_lots = read_number(quantity_lots, "quantity_lots")
        return self._end(book_replace(&self.state, self._begin(), 0, &record))

    def amend(self, order_id, quantity_lots):
        """Leaves `quantity_lots` of a resting order, fewer than it has; it keeps its place in the queue.

        Returns:
            1: the event is AMENDED, or REJECTED with UNKNOWN_ORDER, or with INVALID_QUANTITY if the order does not have
            more than that.

        Raises:
            TypeError: an argument is not a whole number.
            OverflowError: the order id is not from 0 to 2^64 - 1.

        Complexity: O(1).
        """
        cdef BookOperationRecord record
        record.order_id = read_order_id(order_id)
        record.quantity_lots = read_number(quantity_lots, "quantity_lots")
        return self._end(book_amend(&self.state, self._begin(), 0, &record))

    def events(self):
        """The events of the last call of one operation as a list of BookEvent, in the order in which they happened.

        Those of `apply` are what it returns. Complexity: O(events).
        """
        return self.last[:]

    @property
    def last_events(self):
        """The same events as an EventBlock, which the next call uses again unless a view on its memory is held."""
        return self.last

    cdef BookEventRecord* _begin(self) except NULL:
        """Where the first event of an operation goes."""
        if self.last.exports:
            self.last = EventBlock.__new__(EventBlock)
            self.last.reserve(SINGLE_EVENTS)
        events_use(&self.state.events, self.last.records, self.last.capacity)
        return self.last.records

    cdef _end(self, BookEventRecord* event):
        """The number of events of an operation, the last of which is before `event`."""
        self.last.records = self.state.events.records
        self.last.capacity = self.state.events.capacity
        if event == NULL:
            self.last.count = 0
            raise MemoryError("the book cannot hold one more order or event")
        self.last.count = event - self.last.records
        return self.last.count

    # -- many operations a call

    def apply(self, operations):
        """Executes an array of operations and returns the array of all their events.

        Args:
            operations: a NumPy structured array with the fields of `operation_dtype()`, one dimension, or tuples of
                them. The fields are the kind (OperationKind), side, time in force, two reserved ones, order id, new
                order id (REPLACE), price and quantity; a field that a kind of operation does not need is ignored. A
                contiguous array of exactly that dtype is read in place; other integers, byte orders and orders of the
                fields are converted.

        Returns:
            A NumPy structured array of `event_dtype()`, shape (events,); its field `operation` is the index of the
            operation that an event answers. The array is yours: its memory is used again only after you drop it.

        Raises:
            TypeError: it is not an array, or a field is not of whole numbers.
            ValueError: the fields are not those of `operation_dtype()`, or the array has not one dimension.
            OverflowError: a number does not fit its field; numbers are never cut.

        Complexity: O(1) for each operation and fill; no Python object is made for any of them.
        """
        numpy = import_numpy()
        return numpy.frombuffer(self.apply_buffer(records_of(operations)), event_dtype())

    def apply_buffer(self, operations):
        """As `apply`, without NumPy.

        Args:
            operations: any contiguous buffer of records as OPERATION_FIELDS has them, 40 bytes each, little-endian:
                bytes, or an array of 40-byte items, whose fields are not looked at.

        Returns:
            An EventBlock, a sequence of BookEvent whose memory holds records as EVENT_FIELDS has them, 48 bytes each.

        Raises:
            TypeError: it is not a buffer.
            ValueError: the buffer is not a whole number of records, not contiguous, or one of items of another size.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(operations, &view, PyBUF_ND)
        try:
            if view.len % sizeof(BookOperationRecord) or view.itemsize not in (1, <Py_ssize_t>sizeof(BookOperationRecord)):
                raise ValueError(f"operations must be records of {sizeof(BookOperationRecord)} bytes")
            return self._apply(<const BookOperationRecord*>view.buf, view.len // sizeof(BookOperationRecord))
        finally:
            PyBuffer_Release(&view)

    cdef EventBlock _apply(self, const BookOperationRecord* records, uint64_t count):
        # Two events an operation are more than flow of any kind has needed; a batch that has more makes the block grow.
        cdef EventBlock block = self._free_block(2 * count + EVENTS_PER_OPERATION)
        cdef BookEventRecord* event
        events_use(&self.state.events, block.records, block.capacity)
        event = book_apply(&self.state, block.records, records, count)
        block.records = self.state.events.records
        block.capacity = self.state.events.capacity
        if event == NULL:
            raise MemoryError("the book cannot hold one more order or event")
        block.count = event - block.records
        return block

    cdef EventBlock _free_block(self, uint64_t capacity):
        """A block whose memory no caller holds."""
        cdef EventBlock block
        for block in self.blocks:
            # The list holds one reference, the loop's variable another.
            if Py_REFCNT(block) == 2:
                block.reserve(capacity)
                return block
        block = EventBlock.__new__(EventBlock)
        block.reserve(capacity)
        if capacity <= KEPT_EVENTS_MAX and len(self.blocks) < KEPT_BLOCKS_MAX:
            self.blocks.append(block)
        return block

    # -- what is in the book

    @property
    def best_bid(self):
        """The highest bid in ticks; None if there is no bid."""
        return ladder_best_bid(&self.state.ladder) or None

    @property
    def best_ask(self):
        """The lowest ask in ticks; None if there is no ask."""
        cdef int64_t price_ticks = ladder_best_ask(&self.state.ladder)
        return None if price_ticks == NO_ASK else price_ticks

    def __len__(self):
        """The number of resting orders."""
        return self.state.arena.live

    def __contains__(self, order_id):
        """Whether an order of that id rests. Raises TypeError if the id is not a whole number. Cost: O(1)."""
        return self._find(order_id) != 0

    def __iter__(self):
        """The resting orders: bids, then asks, each in the order in which they would be filled. Cost: O(orders) at once."""
        return iter(self.orders(SIDE_BUY) + self.orders(SIDE_SELL))

    def __repr__(self):
        bid = self.best_bid or "none"
        ask = self.best_ask or "none"
        count = len(self)
        return f"<Book: {count} order{'' if count == 1 else 's'}, bid {bid}, ask {ask}>"

    def order(self, order_id):
        """The resting order of that id as RestingOrder; None if there is none.

        Raises:
            TypeError: the order id is not a whole number.

        Complexity: O(1).
        """
        cdef uint32_t handle = self._find(order_id)
        return self._resting(handle) if handle else None

    def orders(self, side, price_ticks=None):
        """The resting orders of a side, or of one price of it (L3), in the order in which they would be filled.

        Args:
            side: Side.BUY or Side.SELL.
            price_ticks: only this price; None gives the whole side.

        Returns:
            A list of RestingOrder; empty if none rests there.

        Raises:
            TypeError: an argument is not a whole number.
            ValueError: the side is neither of the two.

        Complexity: O(orders in the list).
        """
        cdef bint is_ask = read_is_ask(side)
        cdef Level* level = ladder_best_level(&self.state.ladder, is_ask)
        cdef Level* only = NULL
        cdef int64_t price
        cdef uint32_t handle
        if price_ticks is not None:
            price = read_number(price_ticks, "price_ticks")
            only = tree_level(&self.state.ladder.sides[is_ask], ladder_key(is_ask, price)) if is_value(price) else NULL
            level = only
        handle = level.first if level != NULL else 0
        result = []
        while handle and (only == NULL or self.state.arena.nodes[handle].level == only):
            result.append(self._resting(handle))
            handle = ladder_after(&self.state.arena.nodes[handle])
        return result

    def depth(self, side, levels=None):
        """Prices of a side and the quantities resting there (L2), best first.

        Args:
            side: Side.BUY or Side.SELL.
            levels: the most levels that you want; None gives all.

        Returns:
            A list of DepthLevel.

        Raises:
            TypeError: an argument is not a whole number.
            ValueError: the side is neither of the two, or `levels` is negative.

        Complexity: O(levels in the list).
        """
        cdef bint is_ask = read_is_ask(side)
        cdef Level* level = ladder_best_level(&self.state.ladder, is_ask)
        cdef uint64_t left = read_levels(levels)
        result = []
        while level != NULL and left:
            result.append(DepthLevel(ladder_key(is_ask, level.key), level.quantity_lots))
            level = tree_worse_level(level)
            left -= 1
        return result

    def quantity(self, side, price_ticks):
        """The lots that rest on a side at a price; 0 if none do.

        Raises:
            TypeError: an argument is not a whole number.
            ValueError: the side is neither of the two.

        Complexity: O(1).
        """
        cdef bint is_ask = read_is_ask(side)
        cdef int64_t price = read_number(price_ticks, "price_ticks")
        return ladder_quantity(&self.state.ladder, is_ask, price) if is_value(price) else 0

    def queue_place(self, order_id):
        """What is filled before a resting order at its price, as QueuePlace; None if there is no such order.

        Raises:
            TypeError: the order id is not a whole number.

        Complexity: O(orders ahead).
        """
        cdef uint32_t handle = self._find(order_id)
        cdef uint64_t orders_ahead = 0
        cdef int64_t lots_ahead = 0
        if handle == 0:
            return None
        while True:
            handle = self.state.arena.nodes[handle].previous
            if handle == 0:
                return QueuePlace(orders_ahead, lots_ahead)
            orders_ahead += 1
            lots_ahead += self.state.arena.nodes[handle].remaining_lots

    cdef uint32_t _find(self, object order_id) except? 0:
        """The handle of a resting order; 0 if none has that id, which may be any whole number."""
        cdef uint64_t order_number = 0
        return self._handle(order_number) if is_order_id(order_id, &order_number) else 0

    cdef uint32_t _handle(self, uint64_t order_id):
        return ids_get(&self.state.ids, self.state.arena.nodes, order_id)

    cdef _resting(self, uint32_t handle):
        cdef Node* node = &self.state.arena.nodes[handle]
        side = Side.SELL if ladder_is_ask(node) else Side.BUY
        return RestingOrder(node.order_id, side, ladder_price(node), node.remaining_lots)

    # -- the whole state

    def clear(self):
        """Removes all orders and frees their memory, without events. Cost: O(levels)."""
        book_free(&self.state)

    def copy(self):
        """Another book with the same orders in the same queues. Cost: O(orders)."""
        return Book.from_bytes(self.to_bytes())

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        return Book.from_bytes, (self.to_bytes(),)

    def __eq__(self, other):
        """Whether the other book has the same orders in the same queues. Cost: O(orders)."""
        return self.to_bytes() == other.to_bytes() if isinstance(other, Book) else NotImplemented

    __hash__ = None

    def to_bytes(self):
        """The state of the book, for `from_bytes`: the same bytes for the same orders in the same queues, anywhere.

        Each order takes 32 bytes, little-endian: side, price, quantity left, id, all 64 bits; bids before asks, each in the
        order in which they would be filled, after the four bytes JBK1 and four that are zero. Cost: O(orders).
        """
        data = PyBytes_FromStringAndSize(NULL, saved_book_size(self.state.arena.live))
        saved_book_write(&self.state.ladder, self.state.arena.nodes, data)
        return data

    @staticmethod
    def from_bytes(data):
        """The book of which `data` is the state. Cost: O(orders).

        Args:
            data: the result of `to_bytes`, as bytes or any contiguous buffer.

        Raises:
            TypeError: it is not a buffer.
            ValueError: `to_bytes` did not write these bytes, or no book can have that state.
        """
        cdef Book book = Book()
        if data is None:
            raise TypeError("a bytes-like object is required, not 'NoneType'")
        book._load(data)
        return book

    def save(self, path):
        """Writes the state of the book, `to_bytes`, to a file, all of it or nothing.

        Raises:
            OSError: the file cannot be written; an older file of this name is still there.
        """
        temporary = f"{os.fsdecode(path)}.new"
        with open(temporary, "wb") as file:
            file.write(self.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    @staticmethod
    def load(path):
        """The book that was saved to a file.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not a saved book.
        """
        with open(path, "rb") as file:
            return Book.from_bytes(file.read())

    cdef int _load(self, const unsigned char[::1] data) except -1:
        cdef uint64_t count
        cdef uint64_t index
        cdef SavedBookOrder saved
        if (
            data.shape[0] < SAVED_HEADER_BYTES
            or memcmp(&data[0], BOOK_MAGIC, SAVED_HEADER_BYTES) != 0
            or (data.shape[0] - SAVED_HEADER_BYTES) % sizeof(SavedBookOrder)
        ):
            raise ValueError("these bytes are not the state of a book")
        count = (data.shape[0] - SAVED_HEADER_BYTES) // sizeof(SavedBookOrder)
        for index in range(count):
            memcpy(&saved, &data[SAVED_HEADER_BYTES + index * sizeof(SavedBookOrder)], sizeof(SavedBookOrder))
            self._load_order(&saved, index)
        return 0

    cdef int _load_order(self, const SavedBookOrder* saved, uint64_t index) except -1:
        cdef Arena* arena = &self.state.arena
        cdef bint is_ask = side_is_ask(saved.side)
        cdef int64_t key = ladder_key(is_ask, saved.price_ticks)
        cdef uint32_t handle
        if (
            saved.side - SIDE_BUY > 1
            or not is_value(saved.price_ticks)
            or not is_value(saved.remaining_lots)
            or ladder_crosses(&self.state.ladder, is_ask, key)
            or ladder_quantity(&self.state.ladder, is_ask, saved.price_ticks) > AMOUNT_MAX - saved.remaining_lots
            or self._handle(saved.order_id)
        ):
            raise ValueError(f"order {index} of the saved state does not fit the ones before it")
        self.state.quantity_bits |= <uint64_t>saved.remaining_lots
        if ids_reserve(&self.state.ids, arena.nodes):
            handle = ladder_rest(arena, &self.state.ladder, key, saved.remaining_lots, saved.order_id)
            if handle and ids_insert(&self.state.ids, arena.nodes, saved.order_id, handle):
                return 0
        raise MemoryError("the book cannot hold one more order")

    def check(self):
        """Walks the whole book and asserts every invariant. Cost: O(orders)."""
        # The book is never crossed.
        assert ladder_best_bid(&self.state.ladder) < ladder_best_ask(&self.state.ladder), repr(self)
        seen = 0
        for side in (Side.BUY, Side.SELL):
            levels = {}
            for order in self.orders(side):
                # Every order is where its id says, on the side of its price, and not empty.
                assert self.order(order.order_id) == order and order.side == side and order.remaining_lots > 0, order
                levels[order.price_ticks] = levels.get(order.price_ticks, 0) + order.remaining_lots
                seen += 1
            # A level's quantity is the sum of its orders; prices are in order.
            assert list(levels.items()) == self.depth(side), (levels, self.depth(side))
            assert list(levels) == sorted(levels, reverse=side == Side.BUY), levels
        # No order is outside the levels, and no id outside the orders.
        assert seen == self.state.arena.live == self.state.ids.count, (seen, self.state.arena.live, self.state.ids.count)
