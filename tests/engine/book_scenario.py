"""The language of `tests/engine/scenario.py` for a book as a library, which knows no clients and no money.

    sell 5 @ 101 id=1                | accepted 1
    buy  7 @ 102 id=2                | accepted 2; trade 2 x 1: 5 @ 101, left 0
    replace 2 with 3 @ 100 id=3      | closed 2 CANCELLED, left 2 @ 102; accepted 3
    book                             | bid 100x3 / ask -

Orders have the ids that they are given. `left` is what the maker of a trade still has, and what of the other orders is not
filled.

    buy|sell <lots> @ <ticks> [ioc|fok] id=<order>        buy|sell <lots> market id=<order>
    replace <order> with <lots> @ <ticks> id=<order>      amend <order> to <lots>      cancel <order>      book
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from engine.book import Book, BookEventKind
from engine.reasons import Reason
from engine.records import Command, OrderType, Side
from tests.engine.scenario import order_command, tell_fill, tell_levels


class Happened(NamedTuple):
    """What a BookEvent says, without side and operation."""

    kind: BookEventKind
    reason: Reason
    order_id: int
    maker_order_id: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int


class AnyBook(Protocol):
    """`engine.Book`, or another book whose operations return what has happened."""

    def place(self, order_id: int, side: Any, price_ticks: int, quantity_lots: int, time_in_force: Any) -> Any: ...

    def market(self, order_id: int, side: Any, quantity_lots: int) -> Any: ...

    def replace(self, order_id: int, new_order_id: int, price_ticks: int, quantity_lots: int) -> Any: ...

    def amend(self, order_id: int, quantity_lots: int) -> Any: ...

    def cancel(self, order_id: int) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


def happened(book: Book) -> list[Happened]:
    """What the last operation of a book has done."""
    return [Happened(e.kind, e.reason, e.order_id, e.maker_order_id, *e[6:]) for e in book.events()]


class BookScenario:
    """One book and the lines that are put to it."""

    def __init__(self, book: AnyBook) -> None:
        self.book = book

    def run(self, line: str) -> str:
        """What happens at a line, in the words of the right side."""
        words = line.split()
        if words[0] == "book":
            return tell_levels((order.side, order.price_ticks, order.remaining_lots) for order in self.book)
        answer = self._execute(words)
        if isinstance(self.book, Book):
            self.book.check()
            answer = happened(self.book)
        return "; ".join(map(_describe, answer)) or "nothing"

    def _execute(self, words: list[str]) -> Any:
        if words[0] == "cancel":
            return self.book.cancel(int(words[1]))
        if words[0] == "amend":
            return self.book.amend(int(words[1]), int(words[3]))
        if words[0] == "replace":
            # The new order is on the side of the old one, whatever a command says.
            order = order_command(0, ["buy", *words[3:]])
            return self.book.replace(int(words[1]), _id_of(order), order.price_ticks, order.quantity_lots)
        order = order_command(0, words)
        if order.order_type == OrderType.MARKET:
            return self.book.market(_id_of(order), Side(order.side), order.quantity_lots)
        return self.book.place(
            _id_of(order), Side(order.side), order.price_ticks, order.quantity_lots, order.time_in_force
        )


def _id_of(order: Command) -> int:
    return int(order.client_id.rstrip(b"\0"))


def _describe(event: Happened) -> str:
    # A market order has no price.
    at_price = f" @ {event.price_ticks}" if event.price_ticks else ""
    if event.kind == BookEventKind.REJECTED:
        return f"refused {event.reason.name}"
    if event.kind == BookEventKind.ACCEPTED:
        return f"accepted {event.order_id}"
    if event.kind == BookEventKind.TRADE:
        return f"{tell_fill(event)}, left {event.remaining_lots}"
    if event.kind == BookEventKind.AMENDED:
        return f"amended {event.order_id}: {event.quantity_lots}{at_price}, left {event.remaining_lots}"
    return f"closed {event.order_id} {event.kind.name}, left {event.quantity_lots}{at_price}"
