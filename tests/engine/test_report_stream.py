"""The report stream of the public benchmark: tables of the right answers, and random streams against the simplest book."""

from __future__ import annotations

import hashlib
import importlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import Book
from engine.records import Side

numpy = pytest.importorskip("numpy")
report_stream = importlib.import_module("examples.report_stream")

BUY, SELL = 0, 1
SIDES = {"buy": BUY, "sell": SELL}

# Messages on the left, numbered from 0; the lines of the stream that answer them on the right. A message is `new order side
# quantity@price`, with `ioc` where it must not rest, `cancel order`, or `modify order side quantity@price`. The lines are
#   0,message,side,order,price,quantity  accepted    1,message,price,quantity,maker,taker  fill    4,message,order  no cancel
#   2,message,side,order,price           cancelled   3,message,side,order,price,quantity   modified  5,message,order  no modify
EXAMPLES = {
    "a cancel in the middle of a queue loses no order": """
        new 1 buy 4@100          : 0,0,0,1,100,4
        new 2 buy 5@100          : 0,1,0,2,100,5
        new 3 buy 6@100          : 0,2,0,3,100,6
        cancel 2                 : 2,3,0,2,100
        new 4 sell 10@100 ioc    : 0,4,1,4,100,10  1,4,100,4,1,4  1,4,100,6,3,4
    """,
    "a cancel at the front of a queue loses no order": """
        new 1 sell 4@100         : 0,0,1,1,100,4
        new 2 sell 5@100         : 0,1,1,2,100,5
        new 3 sell 6@100         : 0,2,1,3,100,6
        cancel 1                 : 2,3,1,1,100
        new 4 buy 12@100 ioc     : 0,4,0,4,100,12  1,4,100,5,2,4  1,4,100,6,3,4  2,4,0,4,100
    """,
    "a cancel at the end of a queue loses no order": """
        new 1 sell 4@100         : 0,0,1,1,100,4
        new 2 sell 5@100         : 0,1,1,2,100,5
        cancel 2                 : 2,2,1,2,100
        new 3 sell 6@100         : 0,3,1,3,100,6
        new 4 buy 10@100         : 0,4,0,4,100,10  1,4,100,4,1,4  1,4,100,6,3,4
    """,
    "scattered cancels in a deep queue": """
        new 1 buy 1@100          : 0,0,0,1,100,1
        new 2 buy 2@100          : 0,1,0,2,100,2
        new 3 buy 3@100          : 0,2,0,3,100,3
        new 4 buy 4@100          : 0,3,0,4,100,4
        new 5 buy 5@100          : 0,4,0,5,100,5
        new 6 buy 6@100          : 0,5,0,6,100,6
        cancel 5                 : 2,6,0,5,100
        cancel 1                 : 2,7,0,1,100
        cancel 3                 : 2,8,0,3,100
        new 7 sell 12@99         : 0,9,1,7,99,12  1,9,100,2,2,7  1,9,100,4,4,7  1,9,100,6,6,7
    """,
    "first come, first served, whatever fills the remainder": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        new 2 sell 5@100         : 0,1,1,2,100,5
        new 3 sell 5@100         : 0,2,1,3,100,5
        new 4 buy 7@100 ioc      : 0,3,0,4,100,7  1,3,100,5,1,4  1,3,100,2,2,4
        new 5 buy 7@100 ioc      : 0,4,0,5,100,7  1,4,100,3,2,5  1,4,100,4,3,5
        cancel 3                 : 2,5,1,3,100
    """,
    "the better price first, in whichever order they came": """
        new 1 sell 5@103         : 0,0,1,1,103,5
        new 2 sell 5@101         : 0,1,1,2,101,5
        new 3 sell 5@102         : 0,2,1,3,102,5
        new 4 buy 6@103 ioc      : 0,3,0,4,103,6  1,3,101,5,2,4  1,3,102,1,3,4
        new 5 buy 5@97           : 0,4,0,5,97,5
        new 6 buy 5@99           : 0,5,0,6,99,5
        new 7 buy 5@98           : 0,6,0,7,98,5
        new 8 sell 11@97 ioc     : 0,7,1,8,97,11  1,7,99,5,6,8  1,7,98,5,7,8  1,7,97,1,5,8
    """,
    "price before time over two levels with cancels": """
        new 1 buy 3@100          : 0,0,0,1,100,3
        new 2 buy 3@100          : 0,1,0,2,100,3
        new 3 buy 3@101          : 0,2,0,3,101,3
        new 4 buy 3@101          : 0,3,0,4,101,3
        cancel 1                 : 2,4,0,1,100
        cancel 3                 : 2,5,0,3,101
        new 5 sell 7@100 ioc     : 0,6,1,5,100,7  1,6,101,3,4,5  1,6,100,3,2,5  2,6,1,5,100
    """,
    "the maker's price on both sides": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        new 2 buy 5@107          : 0,1,0,2,107,5  1,1,100,5,1,2
        new 3 buy 5@100          : 0,2,0,3,100,5
        new 4 sell 5@93          : 0,3,1,4,93,5  1,3,100,5,3,4
    """,
    "an IOC over three levels takes exactly what is there": """
        new 1 buy 3@102          : 0,0,0,1,102,3
        new 2 buy 4@101          : 0,1,0,2,101,4
        new 3 buy 5@100          : 0,2,0,3,100,5
        new 4 sell 12@100 ioc    : 0,3,1,4,100,12  1,3,102,3,1,4  1,3,101,4,2,4  1,3,100,5,3,4
        new 5 sell 1@1 ioc       : 0,4,1,5,1,1  2,4,1,5,1
    """,
    "what an IOC does not fill does not rest": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        new 2 buy 8@100 ioc      : 0,1,0,2,100,8  1,1,100,5,1,2  2,1,0,2,100
        cancel 2                 : 4,2,2
        new 3 sell 3@100 ioc     : 0,3,1,3,100,3  2,3,1,3,100
    """,
    "a limit order stops at its price and rests there": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        new 2 sell 5@102         : 0,1,1,2,102,5
        new 3 buy 9@101          : 0,2,0,3,101,9  1,2,100,5,1,3
        new 4 sell 6@101 ioc     : 0,3,1,4,101,6  1,3,101,4,3,4  2,3,1,4,101
        new 5 buy 1@102          : 0,4,0,5,102,1  1,4,102,1,2,5
    """,
    "what a sweep leaves is the best price": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        new 2 sell 5@101         : 0,1,1,2,101,5
        new 3 buy 5@99           : 0,2,0,3,99,5
        new 4 buy 12@101         : 0,3,0,4,101,12  1,3,100,5,1,4  1,3,101,5,2,4
        new 5 sell 4@90          : 0,4,1,5,90,4  1,4,101,2,4,5  1,4,99,2,3,5
    """,
    "a taker that two makers of one price do not fill": """
        new 1 sell 3@9           : 0,0,1,1,9,3
        new 2 sell 4@9           : 0,1,1,2,9,4
        new 3 buy 10@9           : 0,2,0,3,9,10  1,2,9,3,1,3  1,2,9,4,2,3
        new 4 sell 5@9 ioc       : 0,3,1,4,9,5  1,3,9,3,3,4  2,3,1,4,9
    """,
    "a taker that the first maker fills leaves the second alone": """
        new 1 buy 5@100          : 0,0,0,1,100,5
        new 2 buy 5@100          : 0,1,0,2,100,5
        new 3 sell 5@100         : 0,2,1,3,100,5  1,2,100,5,1,3
        cancel 1                 : 4,3,1
        cancel 2                 : 2,4,0,2,100
    """,
    "a level that was swept is used again": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        new 2 sell 5@101         : 0,1,1,2,101,5
        new 3 sell 5@102         : 0,2,1,3,102,5
        new 4 buy 10@101 ioc     : 0,3,0,4,101,10  1,3,100,5,1,4  1,3,101,5,2,4
        new 5 sell 2@101         : 0,4,1,5,101,2
        new 6 buy 3@102          : 0,5,0,6,102,3  1,5,101,2,5,6  1,5,102,1,3,6
    """,
    "a partial fill is counted to the last lot": """
        new 1 buy 9@100          : 0,0,0,1,100,9
        new 2 sell 4@100 ioc     : 0,1,1,2,100,4  1,1,100,4,1,2
        new 3 sell 5@100 ioc     : 0,2,1,3,100,5  1,2,100,5,1,3
        new 4 sell 1@100 ioc     : 0,3,1,4,100,1  2,3,1,4,100
        cancel 1                 : 4,4,1
    """,
    "the best bid and the best ask go, the next ones answer": """
        new 1 buy 5@100          : 0,0,0,1,100,5
        new 2 buy 6@99           : 0,1,0,2,99,6
        new 3 sell 5@110         : 0,2,1,3,110,5
        new 4 sell 6@111         : 0,3,1,4,111,6
        cancel 1                 : 2,4,0,1,100
        cancel 3                 : 2,5,1,3,110
        new 5 sell 6@99 ioc      : 0,6,1,5,99,6  1,6,99,6,2,5
        new 6 buy 6@111 ioc      : 0,7,0,6,111,6  1,7,111,6,4,6
    """,
    "a side that was empty fills again": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        cancel 1                 : 2,1,1,1,100
        new 2 buy 5@120          : 0,2,0,2,120,5
        cancel 2                 : 2,3,0,2,120
        new 3 sell 5@130         : 0,4,1,3,130,5
        new 4 buy 5@130 ioc      : 0,5,0,4,130,5  1,5,130,5,3,4
    """,
    "a partial fill, then a cancel": """
        new 1 sell 9@100         : 0,0,1,1,100,9
        new 2 buy 4@100          : 0,1,0,2,100,4  1,1,100,4,1,2
        cancel 1                 : 2,2,1,1,100
        new 3 buy 5@100 ioc      : 0,3,0,3,100,5  2,3,0,3,100
    """,
    "a partial fill, then a modify": """
        new 1 sell 9@100         : 0,0,1,1,100,9
        new 2 buy 4@100          : 0,1,0,2,100,4  1,1,100,4,1,2
        modify 1 sell 7@102      : 3,2,1,1,102,7
        new 3 buy 8@101 ioc      : 0,3,0,3,101,8  2,3,0,3,101
        new 4 buy 8@102 ioc      : 0,4,0,4,102,8  1,4,102,7,1,4  2,4,0,4,102
    """,
    "a modify to the price of a maker trades and is gone": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        new 2 buy 5@98           : 0,1,0,2,98,5
        modify 2 buy 5@100       : 1,2,100,5,1,2  3,2,0,2,100,5
        cancel 2                 : 4,3,2
        cancel 1                 : 4,4,1
    """,
    "a modify through the other side trades at the makers' prices": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        new 2 sell 5@101         : 0,1,1,2,101,5
        new 3 buy 2@90           : 0,2,0,3,90,2
        modify 3 buy 11@105      : 1,3,100,5,1,3  1,3,101,5,2,3  3,3,0,3,105,11
        new 4 sell 3@110         : 0,4,1,4,110,3
        modify 4 sell 3@80       : 1,5,105,1,3,4  3,5,1,4,80,3
        new 5 buy 2@80 ioc       : 0,6,0,5,80,2  1,6,80,2,4,5
    """,
    "a modify leaves the others of its level alone": """
        new 1 buy 4@100          : 0,0,0,1,100,4
        new 2 buy 5@100          : 0,1,0,2,100,5
        modify 1 buy 4@99        : 3,2,0,1,99,4
        new 3 sell 5@100 ioc     : 0,3,1,3,100,5  1,3,100,5,2,3
        new 4 sell 4@99 ioc      : 0,4,1,4,99,4  1,4,99,4,1,4
    """,
    "a modify loses its place, even to less at the same price": """
        new 1 buy 4@100          : 0,0,0,1,100,4
        new 2 buy 5@100          : 0,1,0,2,100,5
        modify 1 buy 3@100       : 3,2,0,1,100,3
        new 3 sell 6@100 ioc     : 0,3,1,3,100,6  1,3,100,5,2,3  1,3,100,1,1,3
    """,
    "stale after a fill": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        new 2 buy 5@100          : 0,1,0,2,100,5  1,1,100,5,1,2
        cancel 1                 : 4,2,1
        modify 1 sell 6@101      : 5,3,1
        modify 2 buy 6@101       : 5,4,2
    """,
    "stale after a cancel": """
        new 1 sell 5@100         : 0,0,1,1,100,5
        cancel 1                 : 2,1,1,1,100
        cancel 1                 : 4,2,1
        modify 1 sell 6@101      : 5,3,1
    """,
    "never seen": """
        cancel 4000000           : 4,0,4000000
        modify 77 buy 5@100      : 5,1,77
        new 1 sell 5@100 ioc     : 0,2,1,1,100,5  2,2,1,1,100
    """,
    "an id is free after a cancel": """
        new 1 buy 5@100          : 0,0,0,1,100,5
        cancel 1                 : 2,1,0,1,100
        new 1 sell 6@150         : 0,2,1,1,150,6
        new 2 buy 6@150 ioc      : 0,3,0,2,150,6  1,3,150,6,1,2
    """,
    "an id is free after a fill": """
        new 1 buy 5@100          : 0,0,0,1,100,5
        new 2 sell 8@100         : 0,1,1,2,100,8  1,1,100,5,1,2
        new 1 buy 2@100          : 0,2,0,1,100,2  1,2,100,2,2,1
        new 1 sell 6@150         : 0,3,1,1,150,6
        new 3 buy 6@150          : 0,4,0,3,150,6  1,4,100,1,2,3  1,4,150,5,1,3
    """,
    "the widest numbers": """
        new 18446744073709551615 sell 4294967295@4611686018427387903 : 0,0,1,18446744073709551615,4611686018427387903,4294967295
        new 0 sell 4294967295@4611686018427387903 : 0,1,1,0,4611686018427387903,4294967295
        new 1 buy 1@1            : 0,2,0,1,1,1
        cancel 18446744073709551615 : 2,3,1,18446744073709551615,4611686018427387903
        modify 1 buy 4294967295@4611686018427387903 : 1,4,4611686018427387903,4294967295,0,1  3,4,0,1,4611686018427387903,4294967295
    """,
}

Message = tuple[int, int, int, int, int, int]
"""Kind, side, IOC, quantity, order id, price."""


def message_of(text: str) -> Message:
    """The message of a line of an example."""
    kind, order_id, *rest = text.split()
    if kind == "cancel":
        return report_stream.MessageKind.CANCEL, 0, 0, 0, int(order_id), 0
    quantity, price = map(int, rest[1].split("@"))
    return report_stream.MessageKind[kind.upper()], SIDES[rest[0]], "ioc" in rest, quantity, int(order_id), price


def array_of(messages: list[Message]) -> Any:
    """Messages as in a file, numbered from 0."""
    rows = [
        (k, side, ioc, 0, lots, at, order, price, 0) for at, (k, side, ioc, lots, order, price) in enumerate(messages)
    ]
    return numpy.array(rows, report_stream.MESSAGE)


def file_of(path: Path, messages: list[Message]) -> Path:
    header = numpy.array([(report_stream.MAGIC, 1, len(messages))], report_stream.HEADER)
    path.write_bytes(header.tobytes() + array_of(messages).tobytes())
    return path


def example(name: str) -> tuple[list[list[str]], Any]:
    """The rows of an example, (message, expected reports), and its messages as an array."""
    rows = [line.rsplit(" : ", 1) for line in EXAMPLES[name].strip().splitlines()]
    messages = array_of([message_of(text) for text, _ in rows])
    report_stream.check_messages(messages)
    return rows, messages


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_in_one_batch(name: str) -> None:
    rows, messages = example(name)
    answers = report_stream.text_of(report_stream.answer(Book(), messages)).decode().split("\n")
    assert answers == " ".join(expected for _, expected in rows).split()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_one_by_one(name: str) -> None:
    rows, messages = example(name)
    book = Book()
    for at, (text, expected) in enumerate(rows):
        reports = report_stream.answer(book, messages[at : at + 1])
        assert report_stream.text_of(reports).decode().split("\n") == expected.split(), f"{name}: {text}"
        book.check()


def test_one_order_fills_five_thousand() -> None:
    makers = [(0, SELL, 0, 1, order_id, 100) for order_id in range(1, 5_001)]
    messages = array_of([*makers, (0, BUY, 1, 5_001, 9_999, 100)])
    lines = report_stream.text_of(report_stream.answer(Book(), messages)).decode().split("\n")
    assert lines[:5_000] == [f"0,{order_id - 1},1,{order_id},100,1" for order_id in range(1, 5_001)]
    assert lines[5_000] == "0,5000,0,9999,100,5001"
    assert lines[5_001:-1] == [f"1,5000,100,1,{order_id},9999" for order_id in range(1, 5_001)]
    assert lines[-1] == "2,5000,0,9999,100"


# -- random streams


class PlainBook:
    """Resting orders as [side, price, left] by id, in the order in which they came, and all searched for the best maker."""

    def __init__(self) -> None:
        self.resting: dict[int, list[int]] = {}

    def answer(self, sequence: int, message: Message) -> list[str]:
        """The canonical lines of one message."""
        kind, side, ioc, quantity, order_id, price = message
        if kind == report_stream.MessageKind.CANCEL:
            if order_id not in self.resting:
                return [f"4,{sequence},{order_id}"]
            side, price, _ = self.resting.pop(order_id)
            return [f"2,{sequence},{side},{order_id},{price}"]
        if kind == report_stream.MessageKind.MODIFY:
            if order_id not in self.resting:
                return [f"5,{sequence},{order_id}"]
            del self.resting[order_id]
            trades, _ = self.enter(sequence, order_id, side, price, quantity, rests=True)
            return [*trades, f"3,{sequence},{side},{order_id},{price},{quantity}"]
        trades, left = self.enter(sequence, order_id, side, price, quantity, rests=not ioc)
        gone = [f"2,{sequence},{side},{order_id},{price}"] if ioc and left else []
        return [f"0,{sequence},{side},{order_id},{price},{quantity}", *trades, *gone]

    def enter(
        self, sequence: int, order_id: int, side: int, price: int, left: int, *, rests: bool
    ) -> tuple[list[str], int]:
        """The trades of an order, and what is left of it."""
        trades = []
        while left and (maker_id := self.best(1 - side)) is not None:
            _, maker_price, maker_left = self.resting[maker_id]
            if maker_price > price if side == BUY else maker_price < price:
                break
            lots = min(left, maker_left)
            trades.append(f"1,{sequence},{maker_price},{lots},{maker_id},{order_id}")
            left -= lots
            self.resting[maker_id][2] -= lots
            if lots == maker_left:
                del self.resting[maker_id]
        if left and rests:
            self.resting[order_id] = [side, price, left]
        return trades, left

    def best(self, side: int) -> int | None:
        """The id of the first of the orders with the best price of a side."""
        prices = {order_id: order[1] for order_id, order in self.resting.items() if order[0] == side}
        return (max if side == BUY else min)(prices, key=prices.__getitem__, default=None)

    def depth(self, side: int) -> list[tuple[int, int]]:
        """Prices of a side and what rests there, best first."""
        lots: dict[int, int] = {}
        for order_side, price, left in self.resting.values():
            if order_side == side:
                lots[price] = lots.get(price, 0) + left
        return sorted(lots.items(), reverse=side == BUY)


def random_message(randomness: random.Random, book: PlainBook, ids: int, prices: int) -> Message:
    """A message that a client may send: new orders only of ids that do not rest, cancels and modifies of any."""
    order_id = randomness.randrange(ids)
    quantity = randomness.choice([1, 2, 3, 10, 100])
    price = 1_000 + randomness.randrange(prices)
    chance = randomness.random()
    if order_id not in book.resting and chance < 0.8:
        return 0, randomness.choice([BUY, SELL]), int(randomness.random() < 0.2), quantity, order_id, price
    if chance < 0.5:
        side = book.resting[order_id][0] if order_id in book.resting else randomness.choice([BUY, SELL])
        return 2, side, 0, quantity, order_id, price
    # What a cancel says besides the id has no meaning.
    return (
        1,
        randomness.randrange(256),
        randomness.randrange(2),
        randomness.randrange(9),
        order_id,
        randomness.randrange(-9, 9),
    )


@pytest.mark.parametrize("seed", range(60))
def test_random_streams_against_the_simple_book(seed: int) -> None:
    """Few ids and prices make queues, sweeps and used ids; many make a broad book."""
    randomness = random.Random(seed)
    ids, prices = randomness.choice([6, 30, 200]), randomness.choice([1, 5, 40, 5_000])
    plain, book = PlainBook(), Book()
    sequence = 0
    while sequence < 600:
        batch: list[Message] = []
        expected: list[str] = []
        for at in range(sequence, sequence + randomness.choice([1, 2, 30, 200])):
            message = random_message(randomness, plain, ids, prices)
            batch.append(message)
            expected += plain.answer(at, message)
        messages = array_of(batch)
        messages["sequence_number"] += numpy.uint64(sequence)
        report_stream.check_messages(messages)
        lines = report_stream.text_of(report_stream.answer(book, messages)).decode().split("\n")
        for line, expected_line in zip(lines, expected, strict=False):
            assert line == expected_line, f"seed {seed}"
        assert len(lines) == len(expected), f"seed {seed}, after message {sequence}"
        for side in Side:
            assert book.depth(side) == plain.depth(side - Side.BUY), f"seed {seed}, after message {sequence}"
        book.check()
        sequence += len(batch)


# -- the command


SMALL = [
    message_of(row) for row in ("new 1 sell 5@100", "new 2 buy 3@100", "modify 1 sell 9@101", "cancel 2", "cancel 1")
]
SMALL_TEXT = (
    b"0,0,1,1,100,5\n"
    b"0,1,0,2,100,3\n"
    b"1,1,100,3,1,2\n"
    b"3,2,1,1,101,9\n"
    b"4,3,2\n"
    b"2,4,1,1,101"
)  # fmt: skip


def test_the_command_tells_counts_and_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = file_of(tmp_path / "orders.bin", SMALL), tmp_path / "reports.txt"
    expected_hash = hashlib.sha256(SMALL_TEXT).hexdigest()
    assert report_stream.main([str(file), "--expect", expected_hash.upper(), "--output", str(output)]) == 0
    assert output.read_bytes() == SMALL_TEXT
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(printed.pop("messages/s").replace(",", "")) > 0
    assert printed == {"messages": "5", "reports": "6", "trades": "1", "SHA-256": expected_hash}


def test_another_hash_is_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_stream.main([str(file_of(tmp_path / "orders.bin", SMALL)), "--expect", "0" * 64]) == 1
    assert capsys.readouterr().err == f"report_stream: the hash is not {'0' * 64}\n"


def test_the_size_of_batches_does_not_show() -> None:
    plain, randomness = PlainBook(), random.Random(7)
    batch: list[Message] = []
    for at in range(500):
        batch.append(random_message(randomness, plain, 20, 5))
        plain.answer(at, batch[-1])
    hashes = {report_stream.answer_all(array_of(batch), batch_messages=size).hash for size in (1, 7, 499, 500, 8192)}
    assert len(hashes) == 1


def test_no_messages_give_an_empty_stream(tmp_path: Path) -> None:
    file, output = file_of(tmp_path / "orders.bin", []), tmp_path / "reports.txt"
    assert report_stream.main([str(file), "--output", str(output), "--expect", hashlib.sha256().hexdigest()]) == 0
    assert output.read_bytes() == b""


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: b"", "is not a message file: it does not begin with the number 0x4d4542575f303031"),
        (lambda data: b"\0" + data[1:], "is not a message file: it does not begin with the number 0x4d4542575f303031"),
        (lambda data: data[:8] + b"\2" + data[9:], "has version 2, and only version 1 is known"),
        (lambda data: data[:-1], "should have 216 bytes for its 5 messages, but has 215"),
        (lambda data: data + b"\0", "should have 216 bytes for its 5 messages, but has 217"),
    ],
    ids=["empty", "magic", "version", "cut", "longer"],
)
def test_what_is_no_message_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes], sentence: str
) -> None:
    file = file_of(tmp_path / "orders.bin", SMALL)
    file.write_bytes(damage(file.read_bytes()))
    assert report_stream.main([str(file)]) == 2
    assert capsys.readouterr().err == f"report_stream: {file} {sentence}\n"


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_stream.main([str(tmp_path / "orders.bin")]) == 2
    assert "No such file" in capsys.readouterr().err


PRICE_SENTENCE = "has a price that is not from 1 to 2^62 - 1, the book's range"


@pytest.mark.parametrize(
    ("field", "at", "number", "sentence"),
    [
        ("kind", 3, 3, "message 3 has a kind that does not exist"),
        ("side", 1, 2, "message 1 has a side that does not exist"),
        ("quantity", 2, 0, "message 2 is for nothing: its quantity is 0"),
        ("price_ticks", 0, 0, f"message 0 {PRICE_SENTENCE}"),
        ("price_ticks", 1, -100, f"message 1 {PRICE_SENTENCE}"),
        ("price_ticks", 2, 2**62, f"message 2 {PRICE_SENTENCE}"),
        ("sequence_number", 2, 1, "message 1 is not followed by a higher sequence number"),
    ],
)
def test_messages_that_cannot_be_answered(field: str, at: int, number: int, sentence: str) -> None:
    messages = array_of(SMALL)
    messages[field][at] = number
    with pytest.raises(report_stream.BadMessages) as raised:
        report_stream.check_messages(messages)
    assert str(raised.value) == sentence


def test_a_new_order_with_the_id_of_one_that_rests() -> None:
    messages = array_of([message_of("new 5 buy 1@100"), message_of("new 5 buy 1@100")])
    with pytest.raises(report_stream.BadMessages, match="order 5 comes while an order of that id rests"):
        report_stream.answer(Book(), messages)
