"""Asks both engines every query about their state, and compares the answers."""

from __future__ import annotations

from engine.book import Book
from engine.core import Core
from engine.records import CLIENT_ID_BYTES, NO_CLIENT_ID, Side
from engine.reference import Core as ReferenceCore


def check_same_answers(reference: ReferenceCore, compiled: Core) -> None:
    """Asserts that the engines give the same answers, and that these agree with one another."""
    assert compiled.open_order_count == reference.open_order_count
    assert compiled.accepted_difference_us == reference.accepted_difference_us
    assert compiled.accepted_store_us == reference.accepted_store_us >= 0
    assert compiled.accepted_time_us == reference.accepted_time_us <= reference.time_us == compiled.time_us
    assert list(compiled.balances()) == list(reference.balances())
    markets = range(1, len(reference.exchange.markets) + 1)
    books = {market: check_same_book(reference, compiled, market) for market in markets}
    listed = 0
    for account in reference.exchange.accounts:
        balances = list(compiled.account_balances(account))
        assert balances == reference.account_balances(account)
        assert [(account, *balance) for balance in balances] == [
            row for row in reference.balances() if row[0] == account
        ]
        if account == 0:
            continue
        orders = compiled.open_orders(account)
        assert orders == reference.open_orders(account) == sorted(orders, key=lambda order: (order[1], order[0]))
        for market in markets:
            in_market = [order for order in orders if order[1] == market]
            assert compiled.open_orders(account, market) == reference.open_orders(account, market) == in_market
        for order in orders:
            check_same_order(reference, compiled, account, order)
            order_id, market, side, price_ticks, _, remaining_lots, _ = order
            assert books[market].order(order_id) == (order_id, side, price_ticks, remaining_lots)
        listed += len(orders)
    assert listed == sum(map(len, books.values())) == compiled.open_order_count


def check_same_book(reference: ReferenceCore, compiled: Core, market: int) -> Book:
    """The book of a market as `engine.Book`; asserts that both engines give it, and that its depth is theirs."""
    state = compiled.book_state(market)
    assert state == reference.book_state(market)
    book = Book.from_bytes(state)
    book.check()
    assert book.to_bytes() == state
    for side in Side:
        for levels in (None, 0, 1, 3):
            depth = compiled.depth(market, side, levels)
            assert depth == reference.depth(market, side, levels) == book.depth(side, levels)
    return book


def check_same_order(
    reference: ReferenceCore, compiled: Core, account: int, order: tuple[int, int, int, int, int, int, bytes]
) -> None:
    """Asserts that an order is found by all its names and by no other."""
    order_id, market, *_, client_id = order
    other = b"other".ljust(CLIENT_ID_BYTES, b"\0")
    for named, expected in (
        ((account, market, order_id, NO_CLIENT_ID), order),
        ((account, market, order_id, client_id), order),
        ((account, market, 0, client_id), order if client_id != NO_CLIENT_ID else None),
        ((account, market, order_id, other), None),
        ((account, market, 0, other), None),
        ((account, market, 0, NO_CLIENT_ID), None),
        ((account, market, 2**64 - 1, NO_CLIENT_ID), None),
        ((account, market + 1, order_id, NO_CLIENT_ID), None),
        ((account + 1, market, order_id, NO_CLIENT_ID), None),
        ((account, 0, order_id, NO_CLIENT_ID), None),
        ((0, market, order_id, NO_CLIENT_ID), None),
        ((10**6, market, order_id, NO_CLIENT_ID), None),
    ):
        assert compiled.find_order(*named) == reference.find_order(*named) == expected, named
