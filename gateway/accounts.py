"""What the gateway remembers of accounts: balances, open orders, and the last closed orders and trades.

All of it is a projection of the events and can be rebuilt from them. Memory is bounded by what the engine allows (open
orders) and by `CLOSED_ORDERS_MAX` and `TRADES_MAX` per account; what is older answers "Order does not exist."
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from engine.records import OrderType, Side
from gateway.numerals import MarketNumbers

if TYPE_CHECKING:
    from gateway.feeds import Subscription

CLOSED_ORDERS_MAX = 1000
TRADES_MAX = 1000

DERIVED_PREFIX = "jibek-"
"""An order without a client id is shown, and found again, as this and its order id."""

NEW = "NEW"
PARTIALLY_FILLED = "PARTIALLY_FILLED"
FILLED = "FILLED"
CANCELED = "CANCELED"
EXPIRED = "EXPIRED"


class Order:
    """An order as its owner sees it. `status` follows the events."""

    __slots__ = (
        "account",
        "client",
        "created_us",
        "cumulative_lots",
        "cumulative_quote",
        "is_counted",
        "left_lots",
        "market",
        "order_id",
        "order_type",
        "price_ticks",
        "quantity_lots",
        "quote_asked",
        "rests",
        "side",
        "status",
        "time_in_force",
        "updated_us",
    )

    def __init__(
        self,
        order_id: int,
        account: Account,
        market: MarketNumbers,
        side: int,
        order_type: int,
        time_in_force: int,
        price_ticks: int,
        quantity_lots: int,
        quote_asked: int,
        client: str,
        time_us: int,
    ) -> None:
        self.order_id = order_id
        self.account = account
        self.market = market
        self.side = side
        self.order_type = order_type
        self.time_in_force = time_in_force
        self.price_ticks = price_ticks
        self.quantity_lots = quantity_lots
        self.quote_asked = quote_asked
        """Smallest quote units, for a MARKET order by quote amount."""
        self.client = client
        """Client order id as shown; `jibek-<order id>` where the client gave none."""
        self.left_lots = quantity_lots
        self.cumulative_lots = 0
        self.cumulative_quote = 0
        self.status = NEW
        self.created_us = self.updated_us = time_us
        self.rests = False
        """Whether the order stands in the book."""

    @property
    def is_buy(self) -> bool:
        return self.side == Side.BUY

    @property
    def shown_quantity_lots(self) -> int:
        """What was asked for; for a MARKET order by quote amount what came of it."""
        return self.quantity_lots or self.cumulative_lots

    @property
    def shown_price_ticks(self) -> int:
        return 0 if self.order_type == OrderType.MARKET else self.price_ticks


class OwnTrade(NamedTuple):
    """One fill as one of its two sides sees it."""

    market: MarketNumbers
    trade_id: int
    order_id: int
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    fee: int
    is_buyer: bool
    is_maker: bool
    time_us: int


class Balance:
    """Smallest units of one asset."""

    __slots__ = ("available", "held")

    def __init__(self) -> None:
        self.available = 0
        self.held = 0


class Account:
    """One account. `subscriptions` are the connections that follow its events."""

    __slots__ = (
        "balances",
        "closed",
        "fees",
        "found_by_client",
        "is_frozen",
        "name",
        "number",
        "open",
        "subscriptions",
        "trades",
        "updated_us",
    )

    def __init__(self, number: int, name: str = "") -> None:
        self.number = number
        self.name = name
        self.is_frozen = False
        self.balances: dict[int, Balance] = {}
        self.open: dict[int, Order] = {}
        self.closed: dict[int, Order] = {}
        """The last closed orders, oldest first."""
        self.found_by_client: dict[str, Order] = {}
        """The open order of a client id, or else the last closed one of that id."""
        self.trades: deque[OwnTrade] = deque(maxlen=TRADES_MAX)
        self.subscriptions: list[Subscription] = []
        self.fees: dict[int, tuple[int, int]] = {}
        """Own fees by market number (0: all markets): maker and taker, parts per million."""
        self.updated_us = 0

    def balance(self, asset: int) -> Balance:
        """The balance of an asset; begins at zero."""
        balance = self.balances.get(asset)
        if balance is None:
            balance = self.balances[asset] = Balance()
        return balance

    def closed_now(self, order: Order) -> None:
        """Moves an order from open to closed and forgets the oldest closed one where there are too many."""
        del self.open[order.order_id]
        self.closed[order.order_id] = order
        if len(self.closed) > CLOSED_ORDERS_MAX:
            oldest = self.closed.pop(next(iter(self.closed)))
            if self.found_by_client.get(oldest.client) is oldest:
                del self.found_by_client[oldest.client]

    def find(self, order_id: int | None, client: str | None) -> Order | None:
        """The order of this id, or of this client id; open ones and the remembered closed ones."""
        if order_id is not None:
            return self.open.get(order_id) or self.closed.get(order_id)
        return self.found_by_client.get(client or "")

    def open_orders(self, market: MarketNumbers | None) -> Iterable[Order]:
        """Open orders by order id, in one market or in all."""
        return [order for order in self.open.values() if market is None or order.market is market]
