from enum import IntEnum
from typing import Any, NamedTuple

from engine.reasons import Reason
from engine.records import Side

class BookEventKind(IntEnum):
    REJECTED = 1
    ACCEPTED = 2
    TRADE = 3
    CANCELLED = 4
    EXPIRED = 5

class OperationKind(IntEnum):
    PLACE = 1
    MARKET = 2
    CANCEL = 3
    REPLACE = 4

class BookEvent(NamedTuple):
    kind: BookEventKind
    side: Side
    reason: Reason
    order_id: int
    maker_order_id: int
    price_ticks: int
    quantity_lots: int
    left_lots: int

class RestingOrder(NamedTuple):
    order_id: int
    side: Side
    price_ticks: int
    left_lots: int

class Book:
    @property
    def best_bid(self) -> int | None: ...
    @property
    def best_ask(self) -> int | None: ...
    def place(
        self, order_id: int, side: int, price_ticks: int, quantity_lots: int, time_in_force: int = 1
    ) -> int: ...
    def market(self, order_id: int, side: int, quantity_lots: int) -> int: ...
    def cancel(self, order_id: int) -> int: ...
    def replace(self, order_id: int, new_order_id: int, price_ticks: int, quantity_lots: int) -> int: ...
    def events(self) -> list[BookEvent]: ...
    def apply(self, operations: Any) -> Any: ...
    def order(self, order_id: int) -> RestingOrder | None: ...
    def depth(self, side: int, levels: int = 0) -> list[tuple[int, int]]: ...
    def orders(self, side: int) -> list[RestingOrder]: ...
    def check(self) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, order_id: int) -> bool: ...

def operation_dtype() -> Any: ...
def event_dtype() -> Any: ...
