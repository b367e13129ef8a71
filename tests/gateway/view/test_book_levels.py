from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.view.book_levels import BookLevels


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(1, 9), st.integers(-3, 5), st.booleans()), max_size=80))
def test_levels_are_in_order_whenever_they_are_read(changes: list[tuple[int, int, int, bool]]) -> None:
    book = BookLevels()
    lots: dict[tuple[int, int], int] = {}
    # The last change is always asked for.
    for side, price, change, is_asked in [*changes, (1, 1, 1, True)]:
        remaining = lots.get((side, price), 0) + change
        if remaining < 0 or (change == 0 and not remaining):
            continue
        book.change(side, price, change)
        lots[side, price] = remaining
        if is_asked:
            bids = sorted(((p, n) for (s, p), n in lots.items() if s == 1 and n), reverse=True)
            asks = sorted((p, n) for (s, p), n in lots.items() if s == 2 and n)
            assert (book.bids(100), book.asks(2)) == (bids, asks[:2])
            assert book.quantity(side, price) == remaining


def test_many_levels_that_are_not_read_are_kept_in_order() -> None:
    book = BookLevels()
    for price in range(1, 10_001):
        book.change(2, price, 1)
    for price in range(1, 5_001):
        book.change(2, price, -1)
    assert book.asks(2) == [(5001, 1), (5002, 1)]
    assert len(book.asks(20_000)) == 5000
