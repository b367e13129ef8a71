from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.view.book_levels import BookLevels


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(1, 9), st.integers(-3, 5), st.booleans()), max_size=80))
def test_levels_are_in_order_whenever_somebody_asks(changes: list[tuple[int, int, int, bool]]) -> None:
    book = BookLevels()
    lots: dict[tuple[int, int], int] = {}
    for side, price, change, asks in changes:
        left = lots.get((side, price), 0) + change
        if left < 0 or (change == 0 and not left):
            continue
        book.change(side, price, change)
        lots[side, price] = left
        if asks:
            bids = sorted(((p, n) for (s, p), n in lots.items() if s == 1 and n), reverse=True)
            offers = sorted((p, n) for (s, p), n in lots.items() if s == 2 and n)
            assert (book.bids(100), book.asks(2)) == (bids, offers[:2])
            assert book.quantity(side, price) == left


def test_many_levels_that_nobody_asks_for_are_kept_in_order() -> None:
    book = BookLevels()
    for price in range(1, 10_001):
        book.change(2, price, 1)
    for price in range(1, 5_001):
        book.change(2, price, -1)
    assert book.asks(2) == [(5001, 1), (5002, 1)]
    assert len(book.asks(20_000)) == 5000
