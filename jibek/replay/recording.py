"""Reads recorded order flow: every order event of an exchange's book, in the order in which it was recorded.

The file is a CSV with a heading line, plain (`.csv`) or compressed (`.csv.xz`). docs/replay.md describes it for people
who bring a recording of their own.

    id          the order's number on the recorded exchange, 1 to 2^63 - 1
    timestamp   when the event was recorded, milliseconds since 1970
    price       the order's price, a plain decimal
    volume      1e-8 of the base asset: the whole order when it is created, else the quantity that remains
    action      created, changed (filled in part) or deleted (filled if no volume is left, else cancelled)
    direction   bid or ask

Columns may come in any order; others are ignored.
"""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

from engine.decimals import DecimalError, parse_decimal
from engine.records import PRICE_SCALE, Side

COLUMNS = ("id", "timestamp", "price", "volume", "action", "direction")
NUMBER_MAX = 2**63 - 1
SIDES = {"bid": Side.BUY, "ask": Side.SELL}

Value = TypeVar("Value")


class Action(Enum):
    """What happened to the order on the recorded exchange."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


ACTIONS = {action.value: action for action in Action}


class Row(NamedTuple):
    """One event of the recording."""

    order_id: int
    time_ms: int
    price_e8: int
    """In 1e-8 of the quote asset."""
    volume_e8: int
    """In 1e-8 of the base asset."""
    action: Action
    side: Side


class OrderFlowError(ValueError):
    """The file is not recorded order flow; the text names the line and what is wrong there."""


def read_order_flow(path: Path) -> Iterator[Row]:
    """The rows of a recording, one at a time. Cost: about 5 µs a row.

    Raises:
        OrderFlowError: a line cannot be read as said above, or the compressed file is damaged.
        OSError: the file cannot be read.
    """
    line = 0
    try:
        with _open(path) as lines:
            for number, row in read_rows(lines):
                line = number
                yield row
    except (lzma.LZMAError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise OrderFlowError(f"after line {line}: the file is damaged or no CSV ({error})") from None


def _open(path: Path) -> IO[str]:
    """The text of the file, without the byte order mark that some programs put at the beginning of UTF-8."""
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def read_rows(lines: Iterable[str]) -> Iterator[tuple[int, Row]]:
    """Line numbers, counted from 1 for the heading, and rows.

    >>> list(read_rows(["id,timestamp,price,volume,action,direction", "7,1430438404518,236.47,200000000,created,bid"]))
    [(2, Row(order_id=7, time_ms=1430438404518, price_e8=23647000000, volume_e8=200000000, action=<Action.CREATED: 'created'>, side=<Side.BUY: 1>))]

    Raises:
        OrderFlowError: a line has another form.
    """
    reader = csv.reader(lines)
    heading = next(reader, [])
    missing = [name for name in COLUMNS if name not in heading]
    if missing:
        raise OrderFlowError(
            f"line 1: the heading has no column {missing[0]!r}; it needs the columns {', '.join(COLUMNS)}"
        )
    places = [heading.index(name) for name in COLUMNS]
    for fields in reader:
        if len(fields) != len(heading):
            raise OrderFlowError(f"line {reader.line_num}: it has {len(fields)} fields, the heading has {len(heading)}")
        try:
            yield reader.line_num, _row(*(fields[place] for place in places))
        except _Wrong as wrong:
            raise OrderFlowError(f"line {reader.line_num}: {wrong}") from None


class _Wrong(Exception):
    """A field is wrong; the text says how. It does not leave this module."""


def _row(order_id: str, time: str, price: str, volume: str, action: str, direction: str) -> Row:
    return Row(
        _whole("id", order_id, at_least=1),
        _whole("timestamp", time),
        _price(price),
        _whole("volume", volume),
        _one_of("action", action, ACTIONS),
        _one_of("direction", direction, SIDES),
    )


def _whole(name: str, text: str, at_least: int = 0) -> int:
    is_short = len(text) <= len(str(NUMBER_MAX))
    if is_short and text.isascii() and text.isdigit() and at_least <= int(text) <= NUMBER_MAX:
        return int(text)
    raise _Wrong(f"{name} {text[:40]!r} is not a whole number from {at_least} to 2^63 - 1")


def _price(text: str) -> int:
    try:
        price_e8 = parse_decimal(text, PRICE_SCALE)
    except DecimalError:
        price_e8 = 0
    if 0 < price_e8 <= NUMBER_MAX:
        return price_e8
    raise _Wrong(f"price {text[:40]!r} is not a positive decimal with at most {PRICE_SCALE} decimals")


def _one_of(name: str, text: str, table: Mapping[str, Value]) -> Value:
    if text in table:
        return table[text]
    raise _Wrong(f"{name} {text[:40]!r} is not one of {', '.join(table)}")
