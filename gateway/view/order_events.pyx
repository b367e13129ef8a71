"""The events of orders, applied to accounts, orders and price levels, in C.

This is the hot half of what the gateway knows: what happens for each order. What happens now and then (money paid in,
listings, keys, reports to those who follow an account) is in `gateway/view/projection.py`.
Nothing is decided here: the events say what is so, and this repeats it, entry by entry.

All numbers are those of the records: 64 bits, whole ticks, lots and smallest units. A balance is at most AMOUNT_MAX by the engine's
own rules, so no sum here can pass 64 bits.

Cost: about 0.7 µs for an accepted order, 1 µs for a trade, both sides together.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp

from engine.records cimport *
from gateway.dialect.market_scale cimport MarketScale
from gateway.view.accounts cimport Account, Balance, Order, OwnTrade
from gateway.view.book_levels cimport BookLevels

from engine.records import EVENT_BYTES, unpack_event
from engine.records import EVENT_HEADER as HEADER_LAYOUT
from gateway.view import accounts as status_names
from gateway.view.accounts import safe_client_id

cdef str _NEW = status_names.NEW, _PARTIALLY_FILLED = status_names.PARTIALLY_FILLED, _FILLED = status_names.FILLED
cdef str _CANCELED = status_names.CANCELED, _EXPIRED = status_names.EXPIRED
cdef int64_t HOUSE_ACCOUNT = 0

assert sizeof(Event) == EVENT_BYTES and sizeof(EventHeader) == HEADER_LAYOUT.size


cdef class CommandEvents:
    """The events of one command, unpacked only where they are asked for."""

    def __len__(self):
        return self._count

    def __getitem__(self, Py_ssize_t index):
        if not 0 <= index < self._count:
            raise IndexError(index)
        return unpack_event(self._data, self._start + index * sizeof(Event))


cdef class OrderEvents:
    """Applies entries. What is not about orders, and what account owners hear, goes to `reports`.

    While `answer` is called, `placed` is the order that was accepted, `fills` are the taker's fills of the command, and
    `closed` the orders that it has closed without filling them, in the order of their events, also those that are too many
    to be remembered.

    Args:
        reports: takes `administer`, `report`, `report_cancelled` and `send_reports`.
        feeds: takes `traded` and `touched`.
        books: market number -> BookLevels.
        trade_followers: stream name -> those who follow it; `traded` is called only if there are any.
        first_fill: called with the account of each order at its first fill.
    """

    def __init__(self, reports, feeds, dict books not None, dict trade_followers not None, first_fill not None):
        self.accounts = {}
        self.markets = {}
        self.orders = {}
        self.fills = []
        self.closed = []
        self.moved = {}
        self._reports = reports
        self._first_fill = first_fill
        self._feeds = feeds
        self._books = books
        self._trade_followers = trade_followers

    cpdef Account account(self, int64_t number):
        """The account of this number; the house account exists from the beginning."""
        cdef object found = self.accounts.get(number)
        if found is None:
            found = self.accounts[number] = Account(number)
        return <Account>found

    def begin(self, entry, answer):
        """Begins to take in an entry; `go_on` takes in its events. Between two calls the view is as after one of them.

        Events that answer no command of the entry (NO_COMMAND) are work that an earlier entry could not take any more:
        they are applied and reported like all others, and no caller is answered.

        Args:
            answer: called once per command with its index, its events and the entry, after they are applied; or None.
        """
        cdef bytes data = entry.data
        assert PyBytes_GET_SIZE(data) >= <Py_ssize_t>sizeof(EventHeader)
        cdef const EventHeader *header = <const EventHeader *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = sizeof(EventHeader) + header.event_count * sizeof(Event) + header.blob_length
        assert PyBytes_GET_SIZE(data) == size, "EventEntry has checked it"
        assert self._next == self._stop, "one entry is taken in at a time"
        self._entry, self._answer = entry, answer
        self._next = self._first = <const Event *>(PyBytes_AS_STRING(data) + sizeof(EventHeader))
        self._stop = self._next + header.event_count
        self.time_us = header.time_us
        self.is_entry_full = header.event_count >= RECORD_EVENTS_BEGIN_MAX

    def go_on(self, int64_t events_max):
        """Takes in so many further events at most; whether the entry is complete."""
        cdef const Event *event
        while self._next < self._stop and events_max > 0:
            event = self._next
            if event.order.command_index != self._first.order.command_index:
                self._end_command(event)
            self._apply(event, self._entry)
            self._next = event + 1
            events_max -= 1
        if self._next < self._stop:
            return False
        if self._first < self._stop:
            self._end_command(self._stop)
        self._entry = self._answer = None
        return True

    def skip_ids(self, int64_t count):
        """Passes over so many ids of executions, and of updates of each book, which a lost tail of the journal may have used."""
        self._execution_id += count
        for book in self._books.values():
            book.skip_updates(count)

    cdef _apply(self, const Event *event, entry):
        """Takes in one event. One of a kind that is not known here may still move what is held."""
        cdef int kind = event.order.kind
        cdef int other_side
        if kind == EVENT_KIND_TRADE:
            self._trade(&event.trade)
        elif kind == EVENT_KIND_ORDER_ACCEPTED:
            self._accept(&event.order)
        elif kind == EVENT_KIND_ORDER_CLOSED:
            self._close(&event.order, entry)
        elif kind == EVENT_KIND_TRADE_PREVENTED:
            other_side = SIDE_SELL if event.order.side == SIDE_BUY else SIDE_BUY
            _hold(self.account(event.order.account), event.order.side, &event.order, event.order.hold_change)
            _hold(
                self.account(event.prevented.maker_account), other_side, &event.order, event.prevented.maker_hold_change
            )
        elif kind != EVENT_KIND_REJECTED:
            _hold(self.account(event.order.account), event.order.side, &event.order, event.order.hold_change)
            self._reports.administer(_unpacked(entry.data, event), entry)

    cdef _end_command(self, const Event *stop):
        """A command's events are complete: the remainder of its order rests, and then the answer and the reports go out."""
        cdef Order order = self._resting
        cdef CommandEvents events
        cdef const Event *first = self._first
        self._first = stop
        if order is not None:
            self._resting = None
            order.rests = True
            self._level_changed(order.market, order.side, order.price_ticks, order.remaining_lots)
        if self._answer is not None and first.order.command_index != NO_COMMAND:
            events = CommandEvents.__new__(CommandEvents)
            events._data = self._entry.data
            events._start = <const char *>first - PyBytes_AS_STRING(events._data)
            events._count = stop - first
            events.first_kind, events.first_reason = first.order.kind, first.order.reason
            self._answer(first.order.command_index, events, self._entry)
        if self.fills:
            self.fills = []
        if self.closed:
            self.closed = []
        if self.moved:
            self._reports.send_reports()

    cdef _level_changed(self, MarketScale market, int side, int64_t price_ticks, int64_t lots):
        cdef BookLevels book = <BookLevels>self._books[market.number]
        book.change(side, price_ticks, lots)
        if book.ticker is not None:
            self._feeds.touched(book)

    cdef _accept(self, const OrderEvent *event):
        cdef Account account = self.accounts[event.account]
        cdef Order order = Order.__new__(Order)
        cdef object order_id = event.order_id
        order.order_id = event.order_id
        order.account = account
        order.market = self.markets[event.market]
        order.side = event.side
        order.order_type = event.order_type
        order.time_in_force = event.time_in_force
        order.price_ticks = event.price_ticks
        order.quantity_lots = order.remaining_lots = event.quantity_lots
        order.quote_asked = event.amount
        order.status = _NEW
        order.created_us = order.updated_us = account.updated_us = self.time_us
        if not _is_zero(event.client_id):
            order.client_key = event.client_id[:RECORD_CLIENT_ID_BYTES]
            order._client = safe_client_id(order.client_key)
            # An id that another producer chose is not found by the text that is shown in its place.
            if "_" not in order._client or order._client.encode() == order.client_key.rstrip(b"\0"):
                account.found_by_client[order._client] = order
        self.placed = order
        self.orders[order_id] = order
        account.opened_now(order)
        _hold(account, event.side, event, event.hold_change)
        if event.flags & EVENT_FLAG_MAY_REST and event.flags & EVENT_FLAG_WORKING:
            self._resting = order
        self._execution_id += 1
        if account.subscriptions:
            # Every report of this command says where the order is once the command has finished.
            order.rests = self._resting is order and self._comes_to_rest(event)
            self._reports.report(order, "NEW", self._execution_id)

    cdef bint _comes_to_rest(self, const OrderEvent *accepted):
        """Whether no later event of its command ends an order that may rest. Cost: O(events of the command)."""
        cdef const Event *event = <const Event *>accepted + 1
        while event < self._stop and event.order.command_index == accepted.command_index:
            if event.order.order_id == accepted.order_id:
                if event.order.kind == EVENT_KIND_ORDER_CLOSED:
                    return False
                if event.order.kind == EVENT_KIND_TRADE and event.trade.flags & EVENT_FLAG_TAKER_FILLED:
                    return False
            event += 1
        return True

    cdef _trade(self, const TradeEvent *event):
        cdef Order taker = self.orders[event.order_id], maker = self.orders[event.maker_order_id]
        cdef bint taker_buys = event.side == SIDE_BUY
        maker.cumulative_lots, maker.cumulative_quote = event.maker_cumulative_lots, event.maker_cumulative_quote
        maker.remaining_lots = event.maker_remaining_lots
        taker.cumulative_lots, taker.cumulative_quote = event.cumulative_lots, event.cumulative_quote
        taker.remaining_lots = event.remaining_lots
        self._settle(maker, event, event.maker_hold_change, event.maker_fee)
        self._settle(taker, event, event.hold_change, event.fee)
        self._level_changed(maker.market, maker.side, event.price_ticks, -event.quantity_lots)
        if event.flags & EVENT_FLAG_MAKER_FILLED:
            self._end(maker, _FILLED)
        if event.flags & EVENT_FLAG_TAKER_FILLED:
            self._end(taker, _FILLED)
        self._fill(maker, event, event.maker_fee, not taker_buys, True)
        self.fills.append(self._fill(taker, event, event.fee, taker_buys, False))
        if self._trade_followers:
            self._feeds.traded(
                maker.market, event.trade_id, event.price_ticks, event.quantity_lots, not taker_buys, self.time_us
            )

    cdef _settle(self, Order order, const TradeEvent *event, int64_t hold_change, int64_t fee):
        """Moves the money of one side of a trade. What leaves the hold beyond the price is available again."""
        cdef Account account = order.account
        cdef Balance base = account.balance(event.base_asset), quote = account.balance(event.quote_asset)
        if order.side == SIDE_BUY:
            quote.held += hold_change
            quote.available -= hold_change + event.quote_amount
            base.available += event.base_amount - fee
        else:
            base.held += hold_change
            base.available -= hold_change + event.base_amount
            quote.available += event.quote_amount - fee
        if fee:
            base = self.account(HOUSE_ACCOUNT).balance(
                event.base_asset if order.side == SIDE_BUY else event.quote_asset
            )
            base.available += fee
        account.updated_us = self.time_us

    cdef OwnTrade _fill(self, Order order, const TradeEvent *event, int64_t fee, bint is_buyer, bint is_maker):
        """Notes one side of a trade."""
        cdef Account account = order.account
        cdef OwnTrade trade = OwnTrade.__new__(OwnTrade)
        trade.market = order.market
        trade.trade_id = event.trade_id
        trade.order_id = order.order_id
        trade.price_ticks = event.price_ticks
        trade.quantity_lots = event.quantity_lots
        trade.quote_amount = event.quote_amount
        trade.fee = fee
        trade.is_buyer = is_buyer
        trade.is_maker = is_maker
        trade.time_us = order.updated_us = self.time_us
        account.trades.append(trade)
        if order.cumulative_lots == event.quantity_lots:
            self._first_fill(account)
        if order.status is not _FILLED:
            order.status = _PARTIALLY_FILLED
        self._execution_id += 1
        if account.subscriptions:
            self._reports.report(order, "TRADE", self._execution_id, trade=trade)
        return trade

    cdef _end(self, Order order, str status):
        """The order is done."""
        order.status = status
        order.updated_us = self.time_us
        order.rests = False
        del self.orders[order.order_id]
        order.account.closed_now(order)
        if self._resting is order:
            self._resting = None

    cdef _close(self, const OrderEvent *event, entry):
        cdef Order order = self.orders[event.order_id]
        cdef bint is_cancelled = (
            event.reason == REASON_CANCELLED_BY_OWNER or event.reason == REASON_CANCELLED_BY_FREEZE
        )
        if order.rests:
            self._level_changed(order.market, order.side, order.price_ticks, -order.remaining_lots)
        order.remaining_lots = event.remaining_lots
        self._end(order, _CANCELED if is_cancelled else _EXPIRED)
        self.closed.append(order)
        _hold(order.account, event.side, event, event.hold_change)
        order.account.updated_us = self.time_us
        self._execution_id += 1
        if order.account.subscriptions:
            if is_cancelled:
                self._reports.report_cancelled(order, _unpacked(entry.data, <const Event *>event), entry, self._execution_id)
            else:
                self._reports.report(order, "EXPIRED", self._execution_id)


cdef _hold(Account account, int side, const OrderEvent *event, int64_t change):
    """Moves money between what is available and what is held for an order of this side."""
    cdef Balance balance
    if change:
        balance = account.balance(event.quote_asset if side == SIDE_BUY else event.base_asset)
        balance.available -= change
        balance.held += change


cdef _unpacked(bytes data, const Event *event):
    return unpack_event(data, <const char *>event - PyBytes_AS_STRING(data))


cdef bint _is_zero(const char *client_id) noexcept:
    return client_id[0] == 0 and memcmp(client_id, client_id + 1, 35) == 0
