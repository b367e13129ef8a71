"""The order book: example tables of its rules, and a machine that compares it with the simplest correct book."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.book import (
    Book,
    BookEventKind,
    DepthLevel,
    OperationKind,
    QueuePlace,
    RestingOrder,
    operation_dtype,
)
from engine.reasons import Reason
from engine.records import AMOUNT_MAX, Side, TimeInForce
from tests.engine.book_scenario import AnyBook, BookScenario, Happened, happened
from tests.engine.scenario import read_examples
from tests.engine.simple_book import SimpleBook

EXAMPLES = Path(__file__).parent.parent / "examples" / "book"
CASES = [
    pytest.param(path, title, lines, id=f"{path.stem}: {title}")
    for path in sorted(EXAMPLES.glob("*.txt"))
    for title, lines in read_examples(path)
]


@pytest.mark.parametrize("make_book", [Book, SimpleBook])
@pytest.mark.parametrize(("path", "title", "lines"), CASES)
def test_example(path: Path, title: str, lines: list[tuple[int, str, str]], make_book: type[AnyBook]) -> None:
    scenario = BookScenario(make_book())
    for number, asked, expected in lines:
        assert scenario.run(asked) == expected, f"{path.name}:{number} ({title}): {asked}"


def test_sides_and_times_in_force_that_do_not_exist() -> None:
    book = Book()
    for side, time_in_force, reason in (
        (0, TimeInForce.GTC, Reason.INVALID_SIDE),
        (3, TimeInForce.GTC, Reason.INVALID_SIDE),
        (Side.BUY, 0, Reason.INVALID_TIME_IN_FORCE),
        (Side.BUY, 4, Reason.INVALID_TIME_IN_FORCE),
    ):
        book.place(1, side, 100, 1, time_in_force)
        (event,) = book.events()
        assert (event.kind, event.reason) == (BookEventKind.REJECTED, reason)
    book.market(1, 0, 1)
    assert book.events()[0].side is None
    with pytest.raises(ValueError, match="side"):
        book.depth(3)


class BesideTheSimpleBook(RuleBasedStateMachine):
    """Any sequence of operations gives the same events and the same queues as the simple book."""

    ids = st.integers(1, 12)
    prices = st.one_of(
        st.integers(95, 105), st.sampled_from([-1, 0, 1, 63, 64, 4096, 2**40, AMOUNT_MAX, AMOUNT_MAX + 1])
    )
    lots = st.one_of(*[st.integers(1, 9)] * 4, st.sampled_from([-1, 0, AMOUNT_MAX - 3, AMOUNT_MAX, AMOUNT_MAX + 1]))
    sides = st.sampled_from(list(Side))

    def __init__(self) -> None:
        super().__init__()
        self.book, self.simple = Book(), SimpleBook()

    def same(self, expected: list[Happened]) -> None:
        assert happened(self.book) == expected

    @rule(order_id=ids, side=sides, price=prices, lots=lots, time_in_force=st.sampled_from(list(TimeInForce)[1:]))
    def place(self, order_id: int, side: Side, price: int, lots: int, time_in_force: TimeInForce) -> None:
        self.book.place(order_id, side, price, lots, time_in_force)
        self.same(self.simple.place(order_id, side, price, lots, time_in_force))

    @rule(order_id=ids, side=sides, lots=lots)
    def market(self, order_id: int, side: Side, lots: int) -> None:
        self.book.market(order_id, side, lots)
        self.same(self.simple.market(order_id, side, lots))

    @rule(order_id=ids)
    def cancel(self, order_id: int) -> None:
        self.book.cancel(order_id)
        self.same(self.simple.cancel(order_id))

    @rule(order_id=ids, new_order_id=ids, price=prices, lots=lots)
    def replace(self, order_id: int, new_order_id: int, price: int, lots: int) -> None:
        self.book.replace(order_id, new_order_id, price, lots)
        self.same(self.simple.replace(order_id, new_order_id, price, lots))

    @rule(order_id=ids, lots=lots)
    def amend(self, order_id: int, lots: int) -> None:
        self.book.amend(order_id, lots)
        self.same(self.simple.amend(order_id, lots))

    @rule()
    def copy(self) -> None:
        self.book = self.book.copy()

    @invariant()
    def same_queues(self) -> None:
        self.book.check()
        for side in Side:
            queue = [RestingOrder(o.order_id, o.side, o.price_ticks, o.remaining_lots) for o in self.simple.queue(side)]
            assert self.book.orders(side) == queue


BesideTheSimpleBook.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
test_beside_the_simple_book = BesideTheSimpleBook.TestCase


# -- what is in the book


def ladder() -> Book:
    book = Book()
    for order_id, side, price_ticks, lots in (
        (1, Side.BUY, 99, 5),
        (2, Side.BUY, 100, 2),
        (3, Side.BUY, 100, 3),
        (4, Side.SELL, 103, 7),
        (5, Side.BUY, 100, 1),
    ):
        book.place(order_id, side, price_ticks, lots)
    return book


def test_questions() -> None:
    book = ladder()
    assert (book.best_bid, book.best_ask, len(book)) == (100, 103, 5)
    assert book.depth(Side.BUY) == [DepthLevel(100, 6), DepthLevel(99, 5)]
    assert book.depth(Side.BUY, 1) == [(100, 6)]
    assert [order.order_id for order in book] == [2, 3, 5, 1, 4]
    assert (3 in book, 9 in book) == (True, False)
    assert book.order(3) == RestingOrder(3, Side.BUY, 100, 3)
    assert book.order(9) is None
    assert [book.quantity(Side.BUY, price) for price in (100, 99, 98, 0, -1)] == [6, 5, 0, 0, 0]
    assert book.quantity(Side.SELL, 100) == 0
    assert repr(book) == "<Book: 5 orders, bid 100, ask 103>"
    assert (bool(book), bool(Book())) == (True, False)
    assert [book.depth(Side.BUY, levels) for levels in (0, 1, 9, 2**64)] == [
        [],
        [(100, 6)],
        *[[(100, 6), (99, 5)]] * 2,
    ]
    assert [order.order_id for order in book.orders(Side.BUY, 100)] == [2, 3, 5]
    assert book.orders(Side.BUY, 99) == [RestingOrder(1, Side.BUY, 99, 5)]
    assert [book.orders(Side.BUY, price) for price in (98, 103, 0, -1, 2**62, 2**70)] == [[]] * 6


def test_the_place_in_the_queue() -> None:
    book = ladder()
    assert [book.queue_place(order_id) for order_id in (2, 3, 5, 9)] == [(0, 0), (1, 2), (2, 5), None]
    book.cancel(3)
    assert book.queue_place(5) == QueuePlace(orders_ahead=1, lots_ahead=2)
    book.market(6, Side.SELL, 1)
    assert book.queue_place(5) == QueuePlace(orders_ahead=1, lots_ahead=1)


def test_copies_are_equal_and_apart(tmp_path: Path) -> None:
    book = ladder()
    book.save(tmp_path / "book")
    copies = [
        book.copy(),
        copy.copy(book),
        copy.deepcopy(book),
        pickle.loads(pickle.dumps(book)),
        Book.load(tmp_path / "book"),
    ]
    for other in copies:
        other.check()
        assert other == book
        other.cancel(2)
        assert other != book
    assert book.queue_place(5) == (2, 5)
    assert book != "a book"


def test_clear() -> None:
    book = ladder()
    book.clear()
    assert (len(book), book.best_bid, list(book)) == (0, None, [])
    book.place(1, Side.BUY, 10, 1)
    book.check()


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda data: b"", "not the state"),
        (lambda data: b"JBK0" + data[4:], "not the state"),
        (lambda data: data[:-1], "not the state"),
        (lambda data: data + data[8:40], "order 5"),
        (lambda data: data[:8] + bytes(32), "order 0"),
        (lambda data: data[:16] + (104).to_bytes(8, "little") + data[24:], "order 4"),
    ],
    ids=["empty", "another kind", "cut", "an id twice", "zeros", "crossed"],
)
def test_a_state_that_no_book_has(damage: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Book.from_bytes(damage(ladder().to_bytes()))


# -- what a newcomer may give


NOT_WHOLE = [100.7, 100.0, "100", b"100", None, Decimal(100), Fraction(100), [100]]
CALLS_WITH_ONE_NUMBER: dict[str, Callable[[Book, Any], object]] = {
    "place: order_id": lambda book, number: book.place(number, Side.BUY, 90, 5),
    "place: side": lambda book, number: book.place(9, number, 90, 5),
    "place: price_ticks": lambda book, number: book.place(9, Side.BUY, number, 5),
    "place: quantity_lots": lambda book, number: book.place(9, Side.BUY, 90, number),
    "place: time_in_force": lambda book, number: book.place(9, Side.BUY, 90, 5, number),
    "market: order_id": lambda book, number: book.market(number, Side.BUY, 5),
    "market: side": lambda book, number: book.market(9, number, 5),
    "market: quantity_lots": lambda book, number: book.market(9, Side.BUY, number),
    "cancel": lambda book, number: book.cancel(number),
    "replace: order_id": lambda book, number: book.replace(number, 9, 90, 5),
    "replace: new_order_id": lambda book, number: book.replace(1, number, 90, 5),
    "replace: price_ticks": lambda book, number: book.replace(1, 1, number, 5),
    "replace: quantity_lots": lambda book, number: book.replace(1, 1, 90, number),
    "amend: order_id": lambda book, number: book.amend(number, 1),
    "amend: quantity_lots": lambda book, number: book.amend(1, number),
    "in": lambda book, number: number in book,
    "order": lambda book, number: book.order(number),
    "orders: side": lambda book, number: book.orders(number),
    "depth: side": lambda book, number: book.depth(number),
    "quantity: side": lambda book, number: book.quantity(number, 100),
    "quantity: price_ticks": lambda book, number: book.quantity(Side.BUY, number),
    "queue_place": lambda book, number: book.queue_place(number),
    "event": lambda book, number: book.last_events[number],
}


@pytest.mark.parametrize("number", NOT_WHOLE, ids=repr)
@pytest.mark.parametrize("name", CALLS_WITH_ONE_NUMBER)
def test_what_is_no_whole_number_is_never_rounded(name: str, number: object) -> None:
    book = ladder()
    with pytest.raises(TypeError, match="must be a whole number, not "):
        CALLS_WITH_ONE_NUMBER[name](book, number)
    assert book == ladder()


@pytest.mark.parametrize("name", CALLS_WITH_ONE_NUMBER)
def test_a_number_of_numpy_is_a_number(name: str) -> None:
    numpy = pytest.importorskip("numpy")
    for number, same in ((numpy.int64(1), 1), (numpy.uint8(1), 1), (numpy.array(1), 1)):
        book, expected = ladder(), ladder()
        # ACCEPTED and TRADE, so that there is an event of number 1.
        assert book.market(77, Side.BUY, 1) == expected.market(77, Side.BUY, 1) == 2
        assert CALLS_WITH_ONE_NUMBER[name](book, number) == CALLS_WITH_ONE_NUMBER[name](expected, same)
        assert (book, book.events()) == (expected, expected.events())
    for number in (numpy.float64(1), numpy.float32(1), numpy.True_, numpy.array([1.0])):
        with pytest.raises(TypeError, match="must be a whole number"):
            CALLS_WITH_ONE_NUMBER[name](ladder(), number)


@settings(max_examples=300)
@given(
    call=st.sampled_from(list(CALLS_WITH_ONE_NUMBER.values())),
    anything=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.decimals(), st.sampled_from(Side)
    ),
)
def test_nothing_but_the_documented_errors(call: Callable[[Book, Any], object], anything: object) -> None:
    book = ladder()
    with suppress(TypeError, ValueError, OverflowError, IndexError):
        call(book, anything)
        assert hasattr(anything, "__index__")
    book.check()


@pytest.mark.parametrize("number", [-1, -(2**63), -(2**70), 2**64, 2**70])
def test_numbers_that_no_order_can_have(number: int) -> None:
    """An operation answers with an event where the number has no place in the event; a question has an answer."""
    book = ladder()
    for name in ("place: order_id", "market: order_id", "cancel", "replace: order_id", "replace: new_order_id"):
        with pytest.raises(OverflowError, match=f"an order id is from 0 to .*, not {number}"):
            CALLS_WITH_ONE_NUMBER[name](book, number)
    for name, reason in (
        ("place: side", Reason.INVALID_SIDE),
        ("place: price_ticks", Reason.INVALID_PRICE),
        ("place: quantity_lots", Reason.INVALID_QUANTITY),
        ("place: time_in_force", Reason.INVALID_TIME_IN_FORCE),
        ("market: side", Reason.INVALID_SIDE),
        ("market: quantity_lots", Reason.INVALID_QUANTITY),
        ("replace: price_ticks", Reason.INVALID_PRICE),
        ("replace: quantity_lots", Reason.INVALID_QUANTITY),
        ("amend: quantity_lots", Reason.INVALID_QUANTITY),
    ):
        CALLS_WITH_ONE_NUMBER[name](book, number)
        assert [(event.kind, event.reason) for event in book.events()] == [(BookEventKind.REJECTED, reason)], name
    assert (number in book, book.order(number), book.queue_place(number)) == (False, None, None)
    assert book.quantity(Side.BUY, number) == 0
    for name in ("orders: side", "depth: side", "quantity: side"):
        with pytest.raises(ValueError, match=f"the side must be .* not {number}"):
            CALLS_WITH_ONE_NUMBER[name](book, number)
    assert book == ladder()


def test_the_largest_order_id() -> None:
    book = Book()
    for order_id in (0, 2**63 - 1, 2**63, 2**64 - 1):
        book.place(order_id, Side.BUY, 100, 1)
        assert order_id in book and book.order(order_id) == (order_id, Side.BUY, 100, 1)
        assert book.events()[0].order_id == order_id
    assert book.queue_place(2**64 - 1) == (3, 3)


def test_other_mistakes() -> None:
    book = ladder()
    with pytest.raises(ValueError, match="levels must not be negative"):
        book.depth(Side.BUY, -1)
    with pytest.raises(TypeError, match="whole number"):
        book.depth(Side.BUY, 1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="whole number"):
        book.orders(Side.BUY, 100.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Side\.BUY or Side\.SELL"):
        book.depth("buy")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Book(5)  # type: ignore[call-arg]
    for data in (None, "JBK1", [1], 5):
        with pytest.raises(TypeError, match="bytes-like"):
            Book.from_bytes(data)
    for index in (1, -2, 2**63, -(2**63), 2**70):
        with pytest.raises(IndexError):
            book.last_events[index]
    with pytest.raises(TypeError):
        hash(book)


def test_a_path_may_be_of_any_kind(tmp_path: Path) -> None:
    book = ladder()
    for path in (tmp_path / "path", str(tmp_path / "text"), bytes(tmp_path / "bytes")):
        book.save(path)
        assert Book.load(path) == book
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bytes", "path", "text"]
    with pytest.raises(FileNotFoundError):
        Book.load(tmp_path / "nothing")
    with pytest.raises(TypeError):
        book.save(None)  # type: ignore[arg-type]


# -- batches


def test_a_batch_gives_what_single_calls_give() -> None:
    numpy = pytest.importorskip("numpy")
    from bench.workload import own_workload
    from engine.book import event_dtype

    operations = own_workload("W1", 5_000).operations
    single, batch = Book(), Book()
    expected = []
    for index, operation in enumerate(operations.tolist()):
        kind, side, time_in_force, _, _, order_id, new_order_id, price_ticks, lots = operation
        if kind == OperationKind.PLACE:
            single.place(order_id, side, price_ticks, lots, time_in_force)
        elif kind == OperationKind.CANCEL:
            single.cancel(order_id)
        elif kind == OperationKind.MARKET:
            single.market(order_id, side, lots)
        else:
            single.replace(order_id, new_order_id, price_ticks, lots)
        expected += [event._replace(operation=index) for event in single.events()]
    assert list(batch.copy().apply_buffer(operations.tobytes())) == expected
    events = batch.apply(operations)
    assert events.dtype == event_dtype()
    assert events["order_id"].tolist() == [event.order_id for event in expected]
    assert batch == single
    assert numpy.array_equal(Book().apply(operations), events)


def test_events_are_the_callers() -> None:
    """The memory of a batch's events is used again only after they are dropped."""
    numpy = pytest.importorskip("numpy")
    book = Book()
    first = book.apply([(OperationKind.PLACE, Side.BUY, TimeInForce.GTC, 0, 0, 1, 0, 100, 5)])
    kept = first.copy()
    for order_id in range(2, 50):
        book.apply([(OperationKind.PLACE, Side.BUY, TimeInForce.GTC, 0, 0, order_id, 0, 100, 5)])
    assert numpy.array_equal(first, kept)
    book.place(60, Side.BUY, 100, 1)
    view = numpy.frombuffer(book.last_events, first.dtype)
    book.cancel(60)
    assert view["kind"].tolist() == [BookEventKind.ACCEPTED]
    assert [event.kind for event in book.last_events] == [BookEventKind.CANCELLED]


def test_a_batch_with_more_events_than_its_block() -> None:
    """One operation that fills many makes the block grow in the middle of it."""
    pytest.importorskip("numpy")
    book = Book()
    for order_id in range(1, 5_001):
        book.place(order_id, Side.SELL, 100 + order_id % 10, 1)
    events = book.apply([(OperationKind.MARKET, Side.BUY, 0, 0, 0, 9_999, 0, 0, 5_001)])
    assert len(events) == 5_002
    assert [event.kind for event in book.last_events] == [BookEventKind.ACCEPTED]
    assert sorted(events["maker_order_id"][1:-1].tolist()) == list(range(1, 5_001))
    for order_id in range(1, 1_001):
        book.place(order_id, Side.SELL, 100, 1)
    assert book.market(9_999, Side.BUY, 1_000) == 1_001
    assert book.events()[-1].maker_order_id == 1_000


def test_what_is_no_batch() -> None:
    numpy = pytest.importorskip("numpy")
    book = Book()
    assert len(book.apply([])) == 0
    with pytest.raises(ValueError, match="fields of operations"):
        book.apply(numpy.zeros(3, [("kind", "u1")]))
    with pytest.raises(ValueError, match="40 bytes"):
        book.apply_buffer(b"123")
    assert book.apply([(9, 0, 0, 0, 0, 7, 0, 0, 0)])["reason"].tolist() == [Reason.UNKNOWN_COMMAND]
    with pytest.raises(ValueError, match="40 bytes"):
        book.apply_buffer(numpy.zeros(5))
    with pytest.raises(ValueError, match="contiguous"):
        book.apply_buffer(numpy.zeros(6, operation_dtype())[::2])
    with pytest.raises(TypeError, match="bytes-like"):
        book.apply_buffer(None)


GOOD = (OperationKind.PLACE, Side.BUY, TimeInForce.GTC, 0, 0, 7, 0, 100, 5)


@pytest.mark.parametrize(
    ("operations", "error", "text"),
    [
        (None, TypeError, "not iterable"),
        (5, TypeError, "not iterable"),
        ("place", TypeError, "operation 0 must be a tuple"),
        ([5], TypeError, "operation 0 must be a tuple, not 5"),
        ([GOOD, (*GOOD[:7], 100.7, 5)], TypeError, "operation 1: price_ticks must be a whole number, not 100.7"),
        ([(*GOOD[:7], "100", 5)], TypeError, "price_ticks must be a whole number"),
        ([(*GOOD[:7], None, 5)], TypeError, "price_ticks must be a whole number"),
        ([(*GOOD[:5], -1, *GOOD[6:])], OverflowError, "order_id must fit 64 bits, not -1"),
        ([(300, *GOOD[1:])], OverflowError, "kind must fit 8 bits, not 300"),
        ([(*GOOD[:8], 2**63)], OverflowError, "quantity_lots must fit 64 bits"),
        ([(*GOOD[:8], -(2**63) - 1)], OverflowError, "quantity_lots must fit 64 bits"),
        ([GOOD[:8]], ValueError, "must have the fields kind, .*, not 8 numbers"),
        ([GOOD, [*GOOD, 1]], ValueError, "operation 1 must have the fields"),
    ],
    ids=str,
)
def test_tuples_that_are_no_operations(operations: Any, error: type[Exception], text: str) -> None:
    pytest.importorskip("numpy")
    book = ladder()
    with pytest.raises(error, match=text):
        book.apply(operations)
    assert book == ladder()


def test_operations_in_other_arrays_mean_the_same() -> None:
    """Byte order, width and order of the fields, and where the array lies, do not matter."""
    numpy = pytest.importorskip("numpy")
    from bench.workload import own_workload

    operations = own_workload("W1", 500).operations
    expected = Book().apply(operations).copy()
    wide = numpy.zeros(500, [(name, "<i8") for name in reversed(operations.dtype.names)])
    for name in operations.dtype.names:
        wide[name] = operations[name]
    spread = numpy.zeros(1_000, operations.dtype)
    spread[::2] = operations
    fixed = operations.copy()
    fixed.flags.writeable = False
    for other in (
        operations.astype(operations.dtype.newbyteorder(">")),
        operations[list(reversed(operations.dtype.names))],
        wide,
        spread[::2],
        operations[::-1][::-1],
        fixed,
        numpy.rec.array(operations),
        operations.tolist(),
        [list(operation) for operation in operations.tolist()],
        iter(operations.tolist()),
    ):
        assert numpy.array_equal(Book().apply(other), expected)
    assert len(Book().apply(numpy.zeros(0, wide.dtype))) == 0


def test_numbers_in_arrays_are_never_cut() -> None:
    numpy = pytest.importorskip("numpy")
    book = ladder()
    names = operation_dtype().names
    floats = numpy.zeros(1, [(name, "f8" if name == "price_ticks" else "u8") for name in names])
    with pytest.raises(TypeError, match="price_ticks must be whole numbers, not float64"):
        book.apply(floats)
    wide = numpy.zeros(1, [(name, "i8") for name in names])
    for name, number in (("order_id", -1), ("kind", 257), ("side", -255)):
        wide[name] = number
        with pytest.raises(OverflowError, match=f"{name} must be from 0 to "):
            book.apply(wide)
        wide[name] = 0
    unsigned = numpy.zeros(1, [(name, "u8") for name in names])
    unsigned["price_ticks"] = 2**63
    with pytest.raises(OverflowError, match="price_ticks must be from -"):
        book.apply(unsigned)
    for shape in ((), (1, 1)):
        with pytest.raises(ValueError, match="one dimension"):
            book.apply(numpy.zeros(shape, operation_dtype()))
    with pytest.raises(ValueError, match="fields of operations"):
        book.apply(numpy.zeros(9))
    assert book == ladder()
