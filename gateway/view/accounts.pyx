"""Accounts as their owners see them, in C: balances, orders, own trades.

`gateway/view/order_events.pyx` moves them along the events. Memory is bounded by what the engine allows (open orders) and
by `CLOSED_ORDERS_MAX` and `TRADES_MAX` per account.
"""

from libc.stdint cimport int64_t

from engine.records cimport SIDE_BUY
from gateway.dialect.market_scale cimport MarketScale

from collections import deque

from engine.order_types import OrderType
from gateway import limits
from gateway.dialect.constants import DERIVED_PREFIX

NEW = "NEW"
PARTIALLY_FILLED = "PARTIALLY_FILLED"
FILLED = "FILLED"
CANCELED = "CANCELED"
EXPIRED = "EXPIRED"

cdef str _NEW = NEW
cdef str _DERIVED_PREFIX = DERIVED_PREFIX

# By the number of the order type; whether it has a price of its own.
cdef tuple _HAS_LIMIT = (False, *(order_type.terms.limit for order_type in OrderType))


cdef class Balance:
    """Smallest units of one asset."""


cdef class OpenCount:
    """How many orders an account has open in one market."""


cdef class OnTheWay:
    """What this gateway has sent for an account and does not know the outcome of, even where its caller was answered so.

    `gateway/judgement/judge.pyx` counts a command in before it leaves, and `PendingCommand.end` counts it out when its event
    came, or when the store has said that it never was added.

    `commands` are all of them, `orders` those that place one, `cancels` those that cancel, `cancels_of_all` those that cancel all. `named` are the commands of the
    orders by client id; None where there was none yet. `refusals_spent` is what the account has used of its budget of refusals,
    `refusals_largest`, as of `refilled_ms`. `freed` gets the account when nothing is on its way any more, or some of its
    budget came back; None where no session waits for that.
    """


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
    def is_nameless(self):
        """Whether the client gave it no client id."""
        return self._client is None or self._client == f"{_DERIVED_PREFIX}{self.order_id}"

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
        self.open_by_client = {}
        self.open_counts = {}
        self.on_the_way = OnTheWay()
        self.closed = {}
        self._closed_ids = deque()
        self.found_by_client = {}
        self.trades = deque(maxlen=limits.TRADES_MAX)
        self.subscriptions = []
        self.fees = {}

    cpdef Balance balance(self, int64_t asset):
        """The balance of an asset; begins at zero."""
        cdef object found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return <Balance>found

    cpdef opened_now(self, Order order):
        """Takes in an order that was accepted: it is open until `closed_now`."""
        cdef object found = self.open_counts.get(order.market.number)
        if found is None:
            found = self.open_counts[order.market.number] = OpenCount()
        order.open_count = <OpenCount>found
        order.open_count.count += 1
        self.open[order.order_id] = order
        if order.client_key is not None:
            self.open_by_client[order.client_key] = order

    cpdef closed_now(self, Order order):
        """Moves an order from open to closed and forgets the oldest closed one where there are too many."""
        cdef Order oldest
        del self.open[order.order_id]
        order.open_count.count -= 1
        if order.client_key is not None:
            del self.open_by_client[order.client_key]
        self.closed[order.order_id] = order
        self._closed_ids.append(order.order_id)
        if len(self.closed) > limits.CLOSED_ORDERS_MAX:
            oldest = <Order>self.closed.pop(self._closed_ids.popleft())
            if oldest._client is not None and self.found_by_client.get(oldest._client) is oldest:
                del self.found_by_client[oldest._client]

    def find(self, order_id, client_id):
        """The order of this id, or where that is None of this client id of its own; open ones and the remembered closed ones.

        Of the orders that share a client id it is the open one, or else the last one closed.
        """
        if order_id is not None:
            return self.open.get(order_id) or self.closed.get(order_id)
        return self.found_by_client.get(client_id)

    def open_orders(self, market):
        """Open orders by order id, in one market or in all."""
        return [order for order in self.open.values() if market is None or order.market is market]


_CLIENT_ID_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-"


def safe_client_id(bytes data not None):
    """A client id of a record as it may stand in JSON text. Ids of other producers may have any byte: those become `_`."""
    text = data.rstrip(b"\0")
    if text.translate(None, _CLIENT_ID_CHARACTERS):
        text = bytes(byte if byte in _CLIENT_ID_CHARACTERS else 0x5F for byte in text)
    return text.decode("ascii")
