"""Accounts, orders, balances and price levels as the events tell them, and the events of orders applied to them, in C.

This is the hot half of the gateway's projection: what happens for each order. What happens now and then (money paid in,
listings, keys, reports to those who follow an account) is in `gateway/view/projection.py`, whose `Projection` is an `OrderEvents`.
Nothing is decided here: the events say what is so, and this repeats it, entry by entry.

All numbers are those of the records: 64 bits, whole ticks, lots and smallest units. A balance is below 2^62 by the engine's
own rules, so no sum here can pass 64 bits.

Memory is bounded by what the engine allows (open orders) and by `CLOSED_ORDERS_MAX` and `TRADES_MAX` per account.

Cost: about 0.7 µs for an accepted order, 1 µs for a trade, both sides together.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp

from engine.records cimport *

from collections import deque
from itertools import islice

from sortedcontainers import SortedList

from engine.order_types import OrderType
from engine.records import EVENT_BYTES, unpack_event
from engine.records import EVENT_HEADER as HEADER_LAYOUT

CLOSED_ORDERS_MAX = 1000
TRADES_MAX = 1000
DERIVED_PREFIX = "jibek-"
"""An order without a client id is shown, and found again, as this and its order id."""

NEW = "NEW"
PARTIALLY_FILLED = "PARTIALLY_FILLED"
FILLED = "FILLED"
CANCELED = "CANCELED"
EXPIRED = "EXPIRED"

cdef str _NEW = NEW, _PARTIALLY_FILLED = PARTIALLY_FILLED, _FILLED = FILLED, _CANCELED = CANCELED, _EXPIRED = EXPIRED
cdef str _DERIVED_PREFIX = DERIVED_PREFIX
cdef int64_t HOUSE_ACCOUNT = 0
cdef int64_t STEP_MAX = AMOUNT_MAX + 1

cdef enum:
    # Levels that came or went since the sorted ones were brought up to date; one more and they are.
    MOVED_MAX = 4096
    ONE_E8 = 100_000_000

# By the number of the order type; whether it has a price of its own.
cdef tuple _HAS_LIMIT = (False, *(order_type.terms.limit for order_type in OrderType))

assert sizeof(Event) == EVENT_BYTES and sizeof(EventHeader) == HEADER_LAYOUT.size


def format_e8(number_e8 not None):
    """A number of 1e-8 with eight decimals: `format_e8(1500000)` is `0.01500000`."""
    cdef char text[24]
    cdef int position = 24, digit
    cdef unsigned long long rest
    cdef bint is_negative = number_e8 < 0
    if not -STEP_MAX < number_e8 < STEP_MAX:
        whole, fraction = divmod(abs(number_e8), ONE_E8)
        return f"{'-' if is_negative else ''}{whole}.{fraction:08d}"
    rest = <unsigned long long>(-<int64_t>number_e8 if is_negative else <int64_t>number_e8)
    for digit in range(8):
        position -= 1
        text[position] = <char>(c"0" + rest % 10)
        rest //= 10
    position -= 1
    text[position] = c"."
    while True:
        position -= 1
        text[position] = <char>(c"0" + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if is_negative:
        position -= 1
        text[position] = c"-"
    return PyUnicode_DecodeASCII(text + position, 24 - position, NULL)


cdef class MarketScale:
    """What the hot path needs to know of a market: its number and symbol, tick and lot in 1e-8.

    A tick or lot of 2^62 or more stands as 0: such a market goes the long way.
    """

    def __init__(self, uint32_t number, str symbol not None, tick_e8, lot_e8):
        self.number = number
        self.symbol = symbol
        self.tick_step_e8 = tick_e8 if tick_e8 < STEP_MAX else 0
        self.lot_step_e8 = lot_e8 if lot_e8 < STEP_MAX else 0


cdef class Balance:
    """Smallest units of one asset."""


cdef class Order:
    """An order as its owner sees it. `status` follows the events."""

    def __init__(
        self,
        int64_t order_id,
        Account account not None,
        MarketScale market not None,
        int side,
        int order_type,
        int time_in_force,
        int64_t price_ticks,
        int64_t quantity_lots,
        int64_t quote_asked,
        str client,
        int64_t time_us,
    ):
        self.order_id = order_id
        self.account = account
        self.market = market
        self.side = side
        self.order_type = order_type
        self.time_in_force = time_in_force
        self.price_ticks = price_ticks
        self.quantity_lots = quantity_lots
        self.quote_asked = quote_asked
        self._client = client
        self.remaining_lots = quantity_lots
        self.status = _NEW
        self.created_us = self.updated_us = time_us

    @property
    def client(self):
        """Client order id as shown; `jibek-<order id>` where the client gave none."""
        if self._client is None:
            self._client = f"{_DERIVED_PREFIX}{self.order_id}"
        return self._client

    @property
    def is_buy(self):
        return self.side == SIDE_BUY

    @property
    def shown_quantity_lots(self):
        """What was asked for; for a MARKET order by quote amount what came of it."""
        return self.quantity_lots or self.cumulative_lots

    @property
    def shown_price_ticks(self):
        """The limit price; 0 for an order type that has none."""
        return self.price_ticks if _HAS_LIMIT[self.order_type] else 0


cdef class OwnTrade:
    """One fill as one of its two sides sees it."""


cdef class Account:
    """One account. `subscriptions` are the connections that follow its events."""

    def __init__(self, int64_t number, str name not None=""):
        self.number = number
        self.name = name
        self.balances = {}
        self.open = {}
        self.closed = {}
        self._closed_ids = deque()
        self.found_by_client = {}
        self.trades = deque(maxlen=TRADES_MAX)
        self.subscriptions = []
        self.fees = {}

    cpdef Balance balance(self, int64_t asset):
        """The balance of an asset; begins at zero."""
        cdef object found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return <Balance>found

    cpdef closed_now(self, Order order):
        """Moves an order from open to closed and forgets the oldest closed one where there are too many."""
        cdef Order oldest
        del self.open[order.order_id]
        self.closed[order.order_id] = order
        self._closed_ids.append(order.order_id)
        if len(self.closed) > CLOSED_ORDERS_MAX:
            oldest = <Order>self.closed.pop(self._closed_ids.popleft())
            if oldest._client is not None and self.found_by_client.get(oldest._client) is oldest:
                del self.found_by_client[oldest._client]

    def find(self, order_id, client):
        """The order of this id, or of this client id; open ones and the remembered closed ones.

        Of the orders that share a client id it is the open one, or else the last one closed.
        """
        if order_id is not None:
            return self.open.get(order_id) or self.closed.get(order_id)
        order = self.found_by_client.get(client or "")
        if order is None and client is not None and client.startswith(_DERIVED_PREFIX):
            # Derived ids are not kept: they say themselves which order they mean.
            number = client.removeprefix(_DERIVED_PREFIX)
            if number.isascii() and number.isdigit():
                order = self.open.get(int(number)) or self.closed.get(int(number))
                if order is not None and order.client != client:
                    return None
        return order

    def open_orders(self, market):
        """Open orders by order id, in one market or in all."""
        return [order for order in self.open.values() if market is None or order.market is market]


# -- price levels


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
        # Minus price on the bid side, so that the best level stands first on both.
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
        cdef int64_t left = lots if had is None else <int64_t>had + lots
        assert left >= 0, f"level {price_ticks} falls below zero"
        if left:
            levels[key] = left
        elif had is not None:
            del levels[key]
        if (had is None) != (left == 0):
            if key in moved:
                moved.remove(key)
            else:
                moved.add(key)
                if len(moved) > MOVED_MAX:
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

    def bids(self, limit):
        """The best bids: price in ticks, lots."""
        levels = self._bids
        return [(-key, levels[key]) for key in islice(self._sorted(SIDE_BUY), limit)]

    def asks(self, limit):
        """The best asks: price in ticks, lots."""
        levels = self._asks
        return [(key, levels[key]) for key in islice(self._sorted(SIDE_SELL), limit)]


# -- events


cdef class CommandEvents:
    """The events of one command, unpacked only where they are asked for."""

    def __len__(self):
        return self._count

    def __getitem__(self, Py_ssize_t index):
        if not 0 <= index < self._count:
            raise IndexError(index)
        return unpack_event(self._data, self._start + index * sizeof(Event))


cdef class OrderEvents:
    """Applies entries. What is not about orders goes to `_administer` of the class below, reports to `_report`.

    While `answer` is called, `placed` is the order that was accepted, `fills` are the taker's fills of the command, and
    `closed` the orders that it has closed without filling them, in the order of their events, also those that are too many
    to be remembered.

    Args:
        feeds: takes `traded` and `touched`.
        books: market number -> BookLevels.
        trade_followers: stream name -> those who follow it; `traded` is called where there are any.
    """

    def __init__(self, feeds, dict books not None, dict trade_followers not None):
        self.accounts = {}
        self.markets = {}
        self.orders = {}
        self.fills = []
        self.closed = []
        self.moved = {}
        self.first_fill = None
        self._feeds = feeds
        self._books = books
        self._trade_followers = trade_followers

    def apply_events(self, entry, answer):
        """Takes in the events of one entry.

        Events that answer no command of the entry (NO_COMMAND) are work that an earlier entry could not take any more:
        they are applied and reported like all others, and nobody is answered.

        Args:
            answer: called once per command with its index, its events and the entry, after they are applied; or None.
        """
        cdef bytes data = entry.data
        assert PyBytes_GET_SIZE(data) >= <Py_ssize_t>sizeof(EventHeader)
        cdef const EventHeader *header = <const EventHeader *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = sizeof(EventHeader) + header.event_count * sizeof(Event) + header.blob_length
        assert PyBytes_GET_SIZE(data) == size, "EventEntry has checked it"
        cdef const Event *event = <const Event *>(PyBytes_AS_STRING(data) + sizeof(EventHeader))
        cdef const Event *stop = event + header.event_count
        cdef const Event *first = event
        self.time_us = header.time_us
        while event < stop:
            if event.order.command_index != first.order.command_index:
                self._end_command(first.order.command_index, entry, answer, first, event)
                first = event
            self._apply(event, entry)
            event += 1
        if first < stop:
            self._end_command(first.order.command_index, entry, answer, first, stop)

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
            self._administer(_unpacked(entry.data, event), entry)

    cdef _end_command(self, uint32_t index, entry, answer, const Event *first, const Event *stop):
        """A command's events are complete: what is left of its order rests, and then everybody is told."""
        cdef Order order = self._resting
        cdef CommandEvents events
        if order is not None:
            self._resting = None
            order.rests = True
            self._level_changed(order.market, order.side, order.price_ticks, order.remaining_lots)
        if answer is not None and index != NO_COMMAND:
            events = CommandEvents.__new__(CommandEvents)
            events._data = entry.data
            events._start = <const char *>first - PyBytes_AS_STRING(events._data)
            events._count = stop - first
            events.first_kind, events.first_reason = first.order.kind, first.order.reason
            answer(index, events, entry)
        if self.fills:
            self.fills = []
        if self.closed:
            self.closed = []
        if self.moved:
            self._send_reports()

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
            order._client = safe_client_id(event.client_id[:RECORD_CLIENT_ID_BYTES])
            account.found_by_client[order._client] = order
        self.placed = order
        self.orders[order_id] = order
        account.open[order_id] = order
        _hold(account, event.side, event, event.hold_change)
        if event.flags & EVENT_FLAG_MAY_REST and event.flags & EVENT_FLAG_WORKING:
            self._resting = order
        self._execution_id += 1
        if account.subscriptions:
            # At this moment the order works; whether it comes to rest is told by what follows.
            order.rests = self._resting is order
            self._report(order, "NEW", self._execution_id)
            order.rests = False

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
        if order.cumulative_lots == event.quantity_lots and self.first_fill is not None:
            self.first_fill(account)
        if order.status is not _FILLED:
            order.status = _PARTIALLY_FILLED
        self._execution_id += 1
        if account.subscriptions:
            self._report(order, "TRADE", self._execution_id, trade=trade)
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
                self._report_cancelled(order, _unpacked(entry.data, <const Event *>event), entry, self._execution_id)
            else:
                self._report(order, "EXPIRED", self._execution_id)


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


_CLIENT_ID_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-"


def safe_client_id(bytes data not None):
    """A client id of a record as it may stand in JSON text. Ids of other producers may have any byte: those become `_`."""
    text = data.rstrip(b"\0")
    if text.translate(None, _CLIENT_ID_CHARACTERS):
        text = bytes(byte if byte in _CLIENT_ID_CHARACTERS else 0x5F for byte in text)
    return text.decode("ascii")
