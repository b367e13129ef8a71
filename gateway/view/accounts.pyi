from collections import deque
from typing import Any, Protocol, type_check_only

from gateway.dialect.numbers import MarketNumbers

@type_check_only
class Follower(Protocol):
    """A connection that follows the events of an account, as `gateway.view.feeds.Subscription` is one."""

    id: int
    key_id: str
    session: Any

NEW: str
PARTIALLY_FILLED: str
FILLED: str
CANCELED: str
EXPIRED: str

def safe_client_id(data: bytes) -> str: ...

class Balance:
    available: int
    held: int
    sought: int
    unbounded: int

class OpenCount:
    count: int

class OnTheWay:
    commands: int
    orders: int
    cancels: int
    cancels_of_all: int
    named: dict[bytes, Any] | None
    refusals_spent: int
    refusals_largest: int
    refilled_ms: int
    freed: list[Account] | None

class Order:
    order_id: int
    account: Account
    market: MarketNumbers
    side: int
    order_type: int
    time_in_force: int
    price_ticks: int
    quantity_lots: int
    quote_asked: int
    remaining_lots: int
    cumulative_lots: int
    cumulative_quote: int
    status: str
    created_us: int
    updated_us: int
    rests: bool
    client_key: bytes | None
    cancels: int
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
        client: str | None,
        time_us: int,
    ) -> None: ...
    @property
    def client(self) -> str: ...
    @property
    def is_nameless(self) -> bool: ...
    @property
    def is_buy(self) -> bool: ...
    @property
    def shown_quantity_lots(self) -> int: ...
    @property
    def shown_price_ticks(self) -> int: ...

class OwnTrade:
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

class Account:
    number: int
    name: str
    is_frozen: bool
    tier: int
    balances: dict[int, Balance]
    open: dict[int, Order]
    open_by_client: dict[bytes, Order]
    open_counts: dict[int, OpenCount]
    on_the_way: OnTheWay
    closed: dict[int, Order]
    found_by_client: dict[str, Order]
    trades: deque[OwnTrade]
    subscriptions: list[Any]
    fees: dict[int, tuple[int, int]]
    updated_us: int
    def __init__(self, number: int, name: str = "") -> None: ...
    def balance(self, asset: int) -> Balance: ...
    def opened_now(self, order: Order) -> None: ...
    def closed_now(self, order: Order) -> None: ...
    def find(self, order_id: int | None, client_id: str | None) -> Order | None: ...
    def open_orders(self, market: MarketNumbers | None) -> list[Order]: ...
