from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, type_check_only

from engine.records import Event, EventEntry, OrderEvent
from gateway.dialect.numbers import MarketNumbers
from gateway.view.accounts import Account, Order, OwnTrade
from gateway.view.book_levels import BookLevels

@type_check_only
class Reports(Protocol):
    def administer(self, event: OrderEvent, entry: EventEntry) -> None: ...
    def report(
        self,
        order: Order,
        execution: str,
        execution_id: int,
        *,
        client: str | None = None,
        original_client: str = "",
        trade: OwnTrade | None = None,
    ) -> None: ...
    def report_cancelled(self, order: Order, event: OrderEvent, entry: EventEntry, execution_id: int) -> None: ...
    def send_reports(self) -> None: ...

@type_check_only
class MarketFeeds(Protocol):
    def traded(
        self, market: MarketNumbers, trade_id: int, price_ticks: int, lots: int, buyer_is_maker: bool, time_us: int
    ) -> None: ...
    def touched(self, book: Any) -> None: ...

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
    is_entry_full: bool
    fills: list[OwnTrade]
    closed: list[Order]
    placed: Order
    moved: dict[Account, set[int]]
    def __init__(
        self,
        reports: Reports,
        feeds: MarketFeeds,
        books: Mapping[int, BookLevels],
        trade_followers: Mapping[str, Any],
        first_fill: Callable[[Account], None],
    ) -> None: ...
    def account(self, number: int) -> Account: ...
    def begin(self, entry: EventEntry, answer: Callable[[int, CommandEvents, EventEntry], None] | None) -> None: ...
    def go_on(self, events_max: int) -> bool: ...
    def skip_ids(self, count: int) -> None: ...
