"""Answers a message file of the public matching-engine benchmark with its canonical report stream.

    python examples/report_stream.py orders_normal_s23_n1000000.bin
    python examples/report_stream.py orders_normal_s23_n1000000.bin --expect HASH --output reports.txt

The benchmark (github.com/flash1-dev/matching-engine-benchmark) publishes the SHA-256 of the reports with which every book
with price-time priority must answer its order flow. Its files hold new orders, cancels and modifies, 40 bytes each as
`MESSAGE_FIELDS` lays them out, after a header of 16 bytes. A modify is a replace under the same id: it loses its place.

Canonical means one line a report, by sequence number and then by kind, trades in the order in which they happened, a
newline between lines and none at the end:

    0,sequence,side,order,price,quantity      a new order was accepted
    1,sequence,price,quantity,maker,taker     a fill, at the maker's price
    2,sequence,side,order,price               a cancel was done, or what an IOC order did not fill is gone
    3,sequence,side,order,price,quantity      a modify was done
    4,sequence,order                          no such order rests that could be cancelled
    5,sequence,order                          no such order rests that could be modified

Messages become operations, events reports and reports text by whole arrays, so no order is ever a Python object. Each batch
is answered before the next one is looked at.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO

import numpy

from engine import Book
from engine.book import BookEventKind, OperationKind, operation_dtype
from engine.records import Side, TimeInForce

MAGIC = 0x4D4542575F303031
VERSION = 1
PRICE_MAX = 2**62 - 1
BATCH_MESSAGES = 8192
"""The events of so many messages are still in the cache when they become reports."""


class MessageKind(IntEnum):
    NEW = 0
    CANCEL = 1
    MODIFY = 2


class ReportKind(IntEnum):
    ORDER_ACK = 0
    TRADE = 1
    CANCEL_ACK = 2
    MODIFY_ACK = 3
    CANCEL_REJECT = 4
    MODIFY_REJECT = 5


HEADER_FIELDS = [("magic", "<u8"), ("version", "<u4"), ("count", "<u4")]
MESSAGE_FIELDS = [
    ("kind", "u1"), ("side", "u1"), ("ioc", "u1"), ("padding", "u1"), ("quantity", "<u4"),
    ("sequence_number", "<u8"), ("order_id", "<u8"), ("price_ticks", "<i8"), ("reserved", "<i8"),
]  # fmt: skip
"""A message. A side is 0 to buy, 1 to sell."""
REPORT_FIELDS = [
    ("kind", "u1"), ("side", "u1"), ("reserved", "<u2"), ("quantity", "<u4"),
    ("sequence_number", "<u8"), ("order_id", "<u8"), ("price_ticks", "<i8"), ("maker_order_id", "<u8"),
]  # fmt: skip
"""A report. In a trade the order is the taker; only a trade has a maker."""

HEADER = numpy.dtype(HEADER_FIELDS)
MESSAGE = numpy.dtype(MESSAGE_FIELDS)
REPORT = numpy.dtype(REPORT_FIELDS)


class BadMessages(ValueError):
    """Messages that cannot be answered, in one sentence."""


# -- the file


def read_messages(path: Path) -> Any:
    """The messages of a file.

    Returns:
        A NumPy structured array of MESSAGE, shape (messages,).

    Raises:
        OSError: the file cannot be read.
        BadMessages: it is not such a file, it is not whole, or the book cannot take one of its messages.
    """
    size = path.stat().st_size
    header = numpy.fromfile(path, HEADER, count=1)
    if len(header) == 0 or header["magic"][0] != MAGIC:
        raise BadMessages(f"{path} is not a message file: it does not begin with the number {MAGIC:#x}")
    if header["version"][0] != VERSION:
        raise BadMessages(f"{path} has version {header['version'][0]}, and only version {VERSION} is known")
    count = int(header["count"][0])
    expected = HEADER.itemsize + count * MESSAGE.itemsize
    if size != expected:
        raise BadMessages(f"{path} should have {expected} bytes for its {count} messages, but has {size}")
    messages = numpy.fromfile(path, MESSAGE, count=count, offset=HEADER.itemsize)
    check_messages(messages)
    return messages


def check_messages(messages: Any) -> None:
    """Raises BadMessages where one is not valid, naming the first of them. What a cancel does not need is ignored."""
    kinds, prices, sequence = messages["kind"], messages["price_ticks"], messages["sequence_number"]
    orders = kinds != MessageKind.CANCEL
    for wrong, sentence in (
        (kinds > MessageKind.MODIFY, "has a kind that does not exist"),
        (orders & (messages["side"] > 1), "has a side that does not exist"),
        (orders & (messages["quantity"] == 0), "is for nothing: its quantity is 0"),
        (
            orders & ((prices < 1) | (prices > PRICE_MAX)),
            "has a price that is not from 1 to 2^62 - 1, the book's range",
        ),
        # Every batch is hashed at once, so the order of the stream has to be that of the messages.
        (sequence[1:] <= sequence[:-1], "is not followed by a higher sequence number"),
    ):
        if wrong.any():
            raise BadMessages(f"message {wrong.argmax()} {sentence}")


# -- messages to operations, events to reports


OPERATION_KINDS = numpy.array([OperationKind.PLACE, OperationKind.CANCEL, OperationKind.REPLACE], "u1")
"""The operation of each kind of message."""

NO_REPORT = 254
"""The answer that a cancel of a modify is: the report comes with the order that replaces it."""
NO_SUCH_ANSWER = 255


def report_kinds() -> Any:
    """The kind of report by kind of event and kind of message."""
    kinds = numpy.full((max(BookEventKind) + 1, len(MessageKind)), NO_SUCH_ANSWER, "u1")
    kinds[BookEventKind.ACCEPTED, MessageKind.NEW] = ReportKind.ORDER_ACK
    kinds[BookEventKind.EXPIRED, MessageKind.NEW] = ReportKind.CANCEL_ACK
    kinds[BookEventKind.CANCELLED, MessageKind.CANCEL] = ReportKind.CANCEL_ACK
    kinds[BookEventKind.REJECTED, MessageKind.CANCEL] = ReportKind.CANCEL_REJECT
    kinds[BookEventKind.CANCELLED, MessageKind.MODIFY] = NO_REPORT
    kinds[BookEventKind.ACCEPTED, MessageKind.MODIFY] = ReportKind.MODIFY_ACK
    kinds[BookEventKind.REJECTED, MessageKind.MODIFY] = ReportKind.MODIFY_REJECT
    kinds[BookEventKind.TRADE, :] = ReportKind.TRADE
    return kinds


REPORT_KINDS = report_kinds()


def answer(book: Book, messages: Any) -> Any:
    """Executes messages that are valid and returns their reports in canonical order, an array of REPORT.

    A modify keeps the side of its order, whichever it names.

    Raises:
        BadMessages: a new order has the id of one that rests, for which there is no report.
    """
    return reports_of(messages, book.apply(operations_of(messages)))


def operations_of(messages: Any) -> Any:
    """The operations for `Book.apply`, one a message."""
    operations = numpy.zeros(len(messages), operation_dtype())
    operations["kind"] = OPERATION_KINDS[messages["kind"]]
    operations["side"] = messages["side"] + Side.BUY
    operations["time_in_force"] = numpy.where(messages["ioc"], TimeInForce.IOC, TimeInForce.GTC)
    operations["order_id"] = messages["order_id"]
    operations["new_order_id"] = messages["order_id"]
    operations["price_ticks"] = messages["price_ticks"]
    operations["quantity_lots"] = messages["quantity"]
    return operations


def reports_of(messages: Any, events: Any) -> Any:
    """The reports, in canonical order, of the events with which the book answered the messages."""
    kinds = REPORT_KINDS[events["kind"], messages["kind"][events["operation"]]]
    if (kinds == NO_SUCH_ANSWER).any():
        order_id = events["order_id"][(kinds == NO_SUCH_ANSWER).argmax()]
        raise BadMessages(f"order {order_id} comes while an order of that id rests, and there is no report for that")
    reported = numpy.flatnonzero(kinds != NO_REPORT)
    # Events are in order but for one thing: a modify is acknowledged after its trades.
    keys = events["operation"].astype("i8") * len(ReportKind) + kinds
    order = reported.take(numpy.argsort(keys.take(reported), kind="stable"))
    # Indexing would do the same, but of records it costs thirty times as much.
    events = events.take(order)
    reports = numpy.zeros(len(events), REPORT)
    reports["kind"] = kinds.take(order)
    # Where the book names no side, in a refusal, the report has none either.
    reports["side"] = events["side"] == Side.SELL
    reports["quantity"] = events["quantity_lots"]
    reports["sequence_number"] = messages["sequence_number"][events["operation"]]
    reports["order_id"] = events["order_id"]
    reports["price_ticks"] = events["price_ticks"]
    reports["maker_order_id"] = events["maker_order_id"]
    return reports


# -- reports to text


ACKS = (ReportKind.ORDER_ACK, ReportKind.CANCEL_ACK, ReportKind.MODIFY_ACK)
REJECTS = (ReportKind.CANCEL_REJECT, ReportKind.MODIFY_REJECT)
COLUMNS = (
    ("sequence_number", tuple(ReportKind)),
    ("side", ACKS),
    ("order_id", ACKS + REJECTS),
    ("price_ticks", (*ACKS, ReportKind.TRADE)),
    ("quantity", (ReportKind.ORDER_ACK, ReportKind.MODIFY_ACK, ReportKind.TRADE)),
    ("maker_order_id", (ReportKind.TRADE,)),
    ("order_id", (ReportKind.TRADE,)),
)
"""The columns after the kind, and which kinds of report have them: all lines at once, without those they do not have."""


def text_of(reports: Any) -> bytes:
    """The canonical lines of reports, with a newline between two of them."""
    if len(reports) == 0:
        return b""
    blocks = [numbers_after("\n", reports["kind"])]
    for field, kinds in COLUMNS:
        block = numbers_after(",", reports[field])
        block *= numpy.isin(numpy.arange(len(ReportKind)), kinds)[reports["kind"], None]
        blocks.append(block)
    characters = numpy.concatenate(blocks, axis=1).ravel()
    return bytes(characters[characters != 0][1:].tobytes())


def numbers_after(separator: str, numbers: Any) -> Any:
    """Numbers in decimal, each after the separator.

    Returns:
        A uint8 array, shape (numbers, 1 + digits of the largest), of characters; 0 means no character.
    """
    left = numbers.astype("u8")
    width = len(str(left.max()))
    characters = numpy.empty((len(numbers), 1 + width), "u1")
    characters[:, 0] = ord(separator)
    for column in range(width, 0, -1):
        tens = left // 10
        digits = left - tens * 10 + ord("0")
        characters[:, column] = digits if column == width else digits * (left > 0)
        left = tens
    return characters


# -- the command


@dataclass
class Summary:
    """What a message file gave."""

    messages: int = 0
    reports: int = 0
    trades: int = 0
    seconds: float = 0.0
    """From messages to reports: not the reading, the text and the hash."""
    hash: str = ""


def answer_all(messages: Any, output: BinaryIO | None = None, batch_messages: int = BATCH_MESSAGES) -> Summary:
    """Answers all messages with a new book, and writes the canonical text to `output` where one is given."""
    book, digest, summary = Book(), hashlib.sha256(), Summary()
    for start in range(0, len(messages), batch_messages):
        batch = messages[start : start + batch_messages]
        begun = time.perf_counter()
        reports = answer(book, batch)
        summary.seconds += time.perf_counter() - begun
        # Every message has a report, so no text is empty.
        text = (b"\n" if start else b"") + text_of(reports)
        digest.update(text)
        if output is not None:
            output.write(text)
        summary.messages += len(batch)
        summary.reports += len(reports)
        summary.trades += int(numpy.count_nonzero(reports["kind"] == ReportKind.TRADE))
    summary.hash = digest.hexdigest()
    return summary


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; the exit code is 1 if the hash is not the expected one, 2 if there is no answer to the file."""
    parser = argparse.ArgumentParser(description="Answers order messages with their canonical report stream.")
    parser.add_argument("file", type=Path, help="the message file")
    parser.add_argument("--expect", metavar="HASH", help="the SHA-256 that the report stream must have")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report stream to this file")
    options = parser.parse_args(arguments)
    try:
        messages = read_messages(options.file)
        if options.output is None:
            summary = answer_all(messages)
        else:
            with options.output.open("wb") as output:
                summary = answer_all(messages, output)
    except (OSError, BadMessages) as error:
        print(f"report_stream: {error}", file=sys.stderr)
        return 2
    print(f"messages    {summary.messages:,}")
    print(f"reports     {summary.reports:,}")
    print(f"trades      {summary.trades:,}")
    print(f"messages/s  {summary.messages / summary.seconds if summary.seconds else 0:,.0f}")
    print(f"SHA-256     {summary.hash}")
    if options.expect is not None and options.expect.lower() != summary.hash:
        print(f"report_stream: the hash is not {options.expect}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
