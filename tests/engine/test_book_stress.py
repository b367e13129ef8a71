"""The ladder and the map of ids where they are easiest to break: tall trees, far prices, full groups, memory given back."""

from __future__ import annotations

import os
import random

import pytest

from engine.book import Book, BookEventKind
from engine.records import AMOUNT_MAX, Side
from tests.engine.resident import resident_bytes

SEED = int(os.environ.get("JIBEK_SEED", "20261123"))
REPEAT = f"repeat with: JIBEK_SEED={SEED} python -m pytest {__file__}"


def test_a_tree_that_became_empty_grows_in_height_again() -> None:
    """An empty root was once hung below a new one as a dead end, and the next look-up ran into it."""
    book = Book()
    book.place(1, Side.BUY, 10, 1)
    book.cancel(1)
    book.place(2, Side.BUY, 2**40, 1)
    book.place(3, Side.BUY, 10, 1)
    book.check()
    book.cancel(2)
    assert book.best_bid == 10


@pytest.mark.parametrize("far_ticks", [64, 65, 4095, 4096, 2**18, 2**24, 2**61, AMOUNT_MAX])
def test_a_far_price_and_back(far_ticks: int) -> None:
    book = Book()
    book.place(1, Side.BUY, 1, 7)
    book.place(2, Side.SELL, far_ticks, 9)
    book.check()
    assert (book.best_bid, book.best_ask) == (1, far_ticks)
    book.market(3, Side.BUY, 9)
    book.market(4, Side.SELL, 7)
    book.check()
    assert (len(book), book.best_bid, book.best_ask) == (0, None, None)


def test_prices_anywhere_at_all() -> None:
    """Orders spread over every order of magnitude, taken away in another order; each next best price is found."""
    rng = random.Random(SEED)
    book = Book()
    live: dict[int, tuple[Side, int]] = {}
    for order_id in range(1, 4001):
        if live and rng.random() < 0.45:
            gone = rng.choice(list(live))
            book.cancel(gone)
            del live[gone]
        side = rng.choice(list(Side))
        middle = 2**45
        distance = rng.randrange(1, 2 ** rng.randrange(1, 45))
        price_ticks = middle - distance if side == Side.BUY else middle + distance
        book.place(order_id, side, price_ticks, rng.randrange(1, 10))
        live[order_id] = (side, price_ticks)
        bids = [price for each, price in live.values() if each == Side.BUY]
        asks = [price for each, price in live.values() if each == Side.SELL]
        assert (book.best_bid, book.best_ask) == (max(bids, default=None), min(asks, default=None)), REPEAT
        if order_id % 500 == 0:
            book.check()


@pytest.mark.parametrize(
    ("pattern", "order_id"),
    [
        ("in a row", lambda n: n),
        ("every 64th", lambda n: 64 * n),
        ("upper half only", lambda n: n << 40),
        ("scattered", lambda n: n * 0x9E3779B97F4A7C15 % 2**64),
        ("downwards from the top", lambda n: 2**64 - 1 - n),
    ],
)
def test_ids_of_any_pattern(pattern: str, order_id) -> None:  # type: ignore[no-untyped-def]
    book = Book()
    for n in range(3000):
        book.place(order_id(n), Side.BUY, 100 + n % 7, 1)
    assert len(book) == 3000
    for n in range(0, 3000, 2):
        assert book.cancel(order_id(n)) == 1
        assert book.events()[0].kind == BookEventKind.CANCELLED, (pattern, n)
    assert all((order_id(n) in book) == bool(n % 2) for n in range(3000)), pattern
    book.check()


def test_ids_come_and_go_without_memory_growing() -> None:
    """Ids are never used again; after two million of them the few orders that rest take no more than the first ones did."""
    numpy = pytest.importorskip("numpy")
    from engine.book import OperationKind, operation_dtype

    book = Book()
    operations = numpy.zeros(40_000, operation_dtype())
    operations["kind"] = numpy.where(numpy.arange(40_000) % 2 == 0, OperationKind.PLACE, OperationKind.CANCEL)
    operations["side"], operations["time_in_force"] = Side.BUY, 1
    operations["price_ticks"], operations["quantity_lots"] = 100, 1
    after_warm_up = 0
    for turn in range(100):
        # Each order is cancelled a hundred orders later; every thousandth one stays.
        ids = turn * 20_000 + numpy.arange(20_000, dtype=numpy.uint64) + 200
        operations["order_id"][0::2] = ids
        operations["order_id"][1::2] = numpy.where((ids - 100) % 1000 == 0, 1, ids - 100)
        book.apply(operations)
        if turn == 20:
            after_warm_up = resident_bytes()
    assert len(book) < 2_300
    book.check()
    assert resident_bytes() - after_warm_up < 2_000_000
