"""The values that you give to a book and get from it: events, operations, orders, levels."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from engine.reasons import Reason
from engine.records import Side


class BookEventKind(IntEnum):
    """What happened in a book."""

    REJECTED = 1
    ACCEPTED = 2
    TRADE = 3
    CANCELLED = 4
    EXPIRED = 5
    AMENDED = 6


class OperationKind(IntEnum):
    """What an operation of a batch asks for."""

    PLACE = 1
    MARKET = 2
    CANCEL = 3
    REPLACE = 4
    AMEND = 5


class BookEvent(NamedTuple):
    """One thing that happened in a book.

    ======== ====================== ============================ ============================
    kind     price_ticks            quantity_lots                remaining_lots
    ======== ====================== ============================ ============================
    REJECTED 0                      0                            0
    ACCEPTED the limit, 0 if MARKET what was asked for           0
    TRADE    the maker's            what was filled              what the maker has left
    CANCELLED that of the order     what was left                0
    EXPIRED  the limit, 0 if MARKET what was left                0
    AMENDED  that of the order      what was taken away          what the order has left
    ======== ====================== ============================ ============================

    In a TRADE `order_id` and `side` are the taker's; `maker_order_id` is 0 in all others. `side` is None if a rejected
    operation had none.
    """

    kind: BookEventKind
    side: Side | None
    reason: Reason
    operation: int
    order_id: int
    maker_order_id: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int


class RestingOrder(NamedTuple):
    """One order that rests in a book."""

    order_id: int
    side: Side
    price_ticks: int
    remaining_lots: int


class DepthLevel(NamedTuple):
    """One price of a side and the total quantity that rests there."""

    price_ticks: int
    quantity_lots: int


class QueuePlace(NamedTuple):
    """How many orders, and how many lots of them, are filled before an order at its own price."""

    orders_ahead: int
    lots_ahead: int


OPERATION_FIELDS: list[tuple[str, str]] = [
    ("kind", "u1"), ("side", "u1"), ("time_in_force", "u1"), ("reserved", "u1"), ("reserved_2", "<u4"),
    ("order_id", "<u8"), ("new_order_id", "<u8"), ("price_ticks", "<i8"), ("quantity_lots", "<i8"),
]  # fmt: skip
"""The fields of an operation of a batch, 40 bytes, as NumPy names their types."""
EVENT_FIELDS: list[tuple[str, str]] = [
    ("kind", "u1"), ("side", "u1"), ("reason", "<u2"), ("operation", "<u4"), ("order_id", "<u8"),
    ("maker_order_id", "<u8"), ("price_ticks", "<i8"), ("quantity_lots", "<i8"), ("remaining_lots", "<i8"),
]  # fmt: skip
"""The fields of an event of a batch, 48 bytes."""
