from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from engine.records import Event, EventEntry
from gateway.dialect.numbers import MarketNumbers
from gateway.view.feeds import BookMirror, DepthStream, Feeds, Listener, Subscription

CLOSED_ORDERS_MAX: int
TRADES_MAX: int
DERIVED_PREFIX: str
NEW: str
PARTIALLY_FILLED: str
FILLED: str
CANCELED: str
EXPIRED: str

def format_e8(number_e8: int) -> str: ...
def safe_client_id(data: bytes) -> str: ...

class MarketScale:
    number: int
    symbol: str
    def __init__(self, number: int, symbol: str, tick_e8: int, lot_e8: int) -> None: ...

class Balance:
    available: int
    held: int

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
    balances: dict[int, Balance]
    open: dict[int, Order]
    closed: dict[int, Order]
    found_by_client: dict[str, Order]
    trades: deque[OwnTrade]
    subscriptions: list[Subscription]
    fees: dict[int, tuple[int, int]]
    updated_us: int
    def __init__(self, number: int, name: str = "") -> None: ...
    def balance(self, asset: int) -> Balance: ...
    def closed_now(self, order: Order) -> None: ...
    def find(self, order_id: int | None, client: str | None) -> Order | None: ...
    def open_orders(self, market: MarketNumbers | None) -> list[Order]: ...

class BookLevels:
    depths: dict[int, DepthStream]
    snapshots: dict[int, str]
    ticker: tuple[Any, Any] | None
    update_id: int
    def __init__(self) -> None: ...
    def change(self, side: int, price_ticks: int, lots: int) -> None: ...
    def skip_updates(self, count: int) -> None: ...
    def quantity(self, side: int, price_ticks: int) -> int: ...
    def bids(self, limit: int) -> list[tuple[int, int]]: ...
    def asks(self, limit: int) -> list[tuple[int, int]]: ...

class CommandEvents(Sequence[Event]):
    first_kind: int
    first_reason: int
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Event: ...  # type: ignore[override]

class OrderEvents:
    accounts: dict[int, Account]
    markets: dict[int, MarketNumbers]
    orders: dict[int, Order]
    time_us: int
    fills: list[OwnTrade]
    closed: list[Order]
    placed: Order
    moved: dict[Account, set[int]]
    first_fill: Callable[[Account], None] | None
    def __init__(
        self, feeds: Feeds, books: dict[int, BookMirror], trade_followers: dict[str, dict[Listener, None]]
    ) -> None: ...
    def apply_events(
        self, entry: EventEntry, answer: Callable[[int, CommandEvents, EventEntry], None] | None
    ) -> None: ...
    def skip_ids(self, count: int) -> None: ...
