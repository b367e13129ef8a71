"""The values that you give to an `engine.Engine` and get from it, and their conversion to records and back."""

from __future__ import annotations

import operator
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from engine.decimals import DecimalError
from engine.extras import import_numpy
from engine.listing import Asset, Market
from engine.order_types import one_of
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    CLIENT_ID_BYTES,
    COMMAND,
    EVENT_BYTES,
    EVENT_VIEWS,
    Event,
    EventKind,
    OrderType,
    Side,
    TimeInForce,
    TradeEvent,
    client_id,
)

Number = str | int | Decimal

_NUMPY_TYPES = {"B": "u1", "H": "<u2", "I": "<u4", "Q": "<u8", "i": "<i4", "q": "<i8"}
_NUMPY_TYPES[f"{CLIENT_ID_BYTES}s"] = f"S{CLIENT_ID_BYTES}"
_NAMES_SHOWN_MAX = 10
_DIGITS_MAX = 40
"""Decimals with more digits than this before or after the point are not written out."""

SAVED_HEADER = struct.Struct("<8sqQ")
"""The beginning of a saved engine: the magic bytes, the time of the next call, the number of batches."""
SAVED_BATCH = struct.Struct("<qI")
"""The header of each batch: its time and its length in bytes."""
SAVED_MAGIC = b"JBKENG01"
STATE_HASH_BYTES = 32


class UnknownName(KeyError):
    """No account, asset or market has this name; the text lists the known names."""

    def __str__(self) -> str:
        return str(self.args[0])


class Balance(NamedTuple):
    """The balance of an account in one asset."""

    available: Decimal
    held: Decimal
    """Set aside for its open orders."""


class PriceLevel(NamedTuple):
    """One price of a side and the total quantity that rests there."""

    price: Decimal
    quantity: Decimal


class OpenOrder(NamedTuple):
    """An order that rests in a book."""

    order_id: int
    client_order_id: str
    """Empty if it has none."""
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    """The quantity that was ordered."""
    filled: Decimal

    @property
    def remaining(self) -> Decimal:
        """The quantity that is still open."""
        return self.quantity - self.filled


class Fill(NamedTuple):
    """One trade of an order."""

    trade_id: int
    maker_order_id: int
    price: Decimal
    quantity: Decimal
    fee: Decimal
    """In the asset that the order receives: the base asset for a buy, the quote asset for a sell."""


@dataclass(slots=True)
class Outcome:
    """The immediate result of one order."""

    order_id: int | None
    """None if it was rejected."""
    reason: Reason = Reason.NONE
    """Why it was rejected, or why its remainder expired."""
    fills: list[Fill] = field(default_factory=list)
    resting: Decimal = Decimal(0)
    """The quantity that rests in the book."""

    @property
    def accepted(self) -> bool:
        return self.order_id is not None

    @property
    def filled(self) -> Decimal:
        """The quantity filled."""
        return sum((fill.quantity for fill in self.fills), Decimal(0))


@cache
def command_dtype() -> Any:
    """The NumPy dtype of one command, 128 bytes; its fields are those of `records.Command`."""
    numpy = import_numpy()
    return numpy.dtype([(name, _NUMPY_TYPES[code]) for name, code, _ in COMMAND.fields])


@cache
def event_dtype() -> Any:
    """The NumPy dtype of one event, 256 bytes: the fields of all three views, each at its place.

    The kind of an event says which view it has: TRADE that of `records.TradeEvent`, TRADE_PREVENTED that of
    `records.PreventedEvent`, all others that of `records.OrderEvent`. The views share their memory, so a field that is not in
    the event's view shows bytes of other fields. `prevented_lots` and `self_trade_group` are at different places in two
    views: the name alone is the field of the OrderEvent, the other one has the prefix `prevented_event_`.
    """
    numpy = import_numpy()
    places: dict[str, tuple[str, int]] = {}
    for view in EVENT_VIEWS:
        for name, code, _ in view.fields:
            place = (_NUMPY_TYPES[code], view.offsets[name])
            if name.startswith("reserved"):
                continue
            if places.setdefault(name, place) != place:
                places[f"prevented_event_{name}"] = place
    formats, offsets = zip(*places.values(), strict=True)
    return numpy.dtype({"names": list(places), "formats": formats, "offsets": offsets, "itemsize": EVENT_BYTES})


# -- what comes in

MARKET_WORDS = {"base", "quote", "maker_fee_ppm", "taker_fee_ppm", "open_orders_max"}
"""Entries of a market's definition that are not decimals."""


def unknown_name(what: str, name: object, known: Collection[str]) -> UnknownName:
    if not known:
        return UnknownName(f"there is no {what} {name!r}: none has been added")
    more = len(known) - _NAMES_SHOWN_MAX
    shown = ", ".join(islice(known, _NAMES_SHOWN_MAX)) + (f" and {more} more" if more > 0 else "")
    return UnknownName(f"there is no {what} {name!r}; known: {shown}")


def text_bytes(name: object, what: str) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a string, not {name!r}")
    return name.encode()


def whole_number(number: object, what: str) -> int:
    """A number of any integer type as an int."""
    try:
        return operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what} must be a whole number, not {number!r}") from None


def plain_decimal(number: object) -> str:
    """A decimal number without an exponent, which `str` of a small or large Decimal has."""
    if isinstance(number, str):
        if "e" not in number.lower():
            return number
        try:
            number = Decimal(number)
        except InvalidOperation:
            return str(number)
    if isinstance(number, Decimal):
        if number.is_finite() and abs(number.adjusted()) > _DIGITS_MAX:
            raise DecimalError(f"{number} has more digits than any amount")
        return format(number, "f")
    if hasattr(number, "__index__") and not isinstance(number, bool):
        return str(operator.index(number))
    if hasattr(number, "__float__") and not isinstance(number, bool):
        raise TypeError("a float is not exact: write the number as a string")
    raise TypeError(f"a number must be a string, an int or a Decimal, not {number!r}")


def step_count(number: Number, step: int, scale: int, what: str) -> int:
    """How many ticks or lots a number is; at most AMOUNT_MAX + 1, which every market refuses."""
    units = Asset(0, what, scale).parse(plain_decimal(number))
    if units % step:
        raise DecimalError(f"{number} is not a whole number of {what}s of {trimmed(step, scale, step)}")
    return min(units // step, AMOUNT_MAX + 1)


def side_of(side: object) -> Side:
    if isinstance(side, Side):
        return side
    if isinstance(side, str) and side.upper() in Side.__members__:
        return Side[side.upper()]
    raise ValueError(f"the side must be 'buy' or 'sell', not {side!r}")


def order_type_of(
    price: Number | None, quantity: Number | None, quote_amount: Number | None, post_only: bool
) -> OrderType:
    """The type of order that the arguments of `place` describe. Raises ValueError if they describe none."""
    if quantity is not None and quote_amount is not None:
        raise ValueError("an order has a quantity or a quote_amount, not both")
    if price is None:
        if post_only:
            raise ValueError("a post_only order needs a price")
        if quantity is None and quote_amount is None:
            raise ValueError("an order without a price needs a quantity or a quote_amount")
    elif quantity is None:
        raise ValueError("an order with a price needs a quantity; a quote_amount is for orders without one")
    wanted = (price is not None, not post_only, False)
    return next(
        order_type
        for order_type in OrderType
        if (order_type.terms.limit, order_type.terms.takes, order_type.terms.trigger) == wanted
    )


def time_in_force_of(order_type: OrderType, name: object) -> TimeInForce:
    """The time in force of an order: the one of this name, or the only one that the type has.

    Raises:
        ValueError: there is no time in force of this name, or the type has no choice and another one than the default is
            named.
    """
    if isinstance(name, str):
        name = TimeInForce.__members__.get(name.upper(), name)
    if not isinstance(name, TimeInForce) or name == TimeInForce.NONE:
        raise ValueError(f"time_in_force must be {_TIMES_IN_FORCE}, not {name!r}")
    times = order_type.terms.times_in_force
    if name in times:
        return name
    if len(times) > 1 or name != TimeInForce.GTC:
        raise ValueError(f"time_in_force {name.name} is not for {order_type.name} orders; see docs/order-types.md")
    return times[0]


_TIMES_IN_FORCE = one_of([repr(time.name) for time in TimeInForce if time != TimeInForce.NONE])


def client_id_bytes(text: object) -> bytes:
    data = text_bytes(text, "a client_order_id")
    if not data.isascii():
        raise ValueError(f"a client_order_id is of ASCII characters, which {text!r} is not")
    return client_id(data.decode())


def read_saved(data: bytes) -> tuple[int, list[tuple[int, bytes]], int]:
    """Time, journal and end of the journal of a saved engine. Raises struct.error or ValueError if it is none."""
    magic, time_us, count = SAVED_HEADER.unpack_from(data)
    offset = SAVED_HEADER.size
    if magic != SAVED_MAGIC:
        raise ValueError("these bytes are not a saved engine")
    journal = []
    for _ in range(count):
        at_us, length = SAVED_BATCH.unpack_from(data, offset)
        offset += SAVED_BATCH.size
        journal.append((at_us, data[offset : offset + length]))
        offset += length
    if len(data) != offset + STATE_HASH_BYTES:
        raise ValueError("these bytes are not a saved engine: their length does not fit")
    return time_us, journal, offset


# -- what goes out


def outcome_of(market: Market, events: Iterable[Event]) -> Outcome:
    outcome = Outcome(None)
    remaining_lots = 0
    for event in events:
        if event.kind == EventKind.REJECTED:
            outcome.reason = Reason(event.reason)
        elif event.kind == EventKind.ORDER_ACCEPTED:
            outcome.order_id, remaining_lots = event.order_id, event.remaining_lots
        elif isinstance(event, TradeEvent):
            received = market.base if event.side == Side.BUY else market.quote
            remaining_lots = event.remaining_lots
            outcome.fills.append(
                Fill(
                    event.trade_id,
                    event.maker_order_id,
                    price_of(event.price_ticks, market),
                    quantity_of(event.quantity_lots, market),
                    amount_of(event.fee, received),
                )
            )
        elif event.kind == EventKind.ORDER_CLOSED and event.order_id == outcome.order_id:
            outcome.reason, remaining_lots = Reason(event.reason), 0
    outcome.resting = quantity_of(remaining_lots, market)
    return outcome


def closed_orders(events: Iterable[Event]) -> list[int]:
    return [event.order_id for event in events if event.kind == EventKind.ORDER_CLOSED]


def amount_of(units: int, asset: Asset) -> Decimal:
    return exact(units, asset.scale)


def price_of(ticks: int, market: Market) -> Decimal:
    return trimmed(ticks * market.definition.tick_e8, 8, market.definition.tick_e8)


def quantity_of(lots: int, market: Market) -> Decimal:
    return trimmed(lots * market.definition.lot_units, market.base.scale, market.definition.lot_units)


def trimmed(units: int, scale: int, step: int) -> Decimal:
    """Units as a decimal with no more decimals than the step has."""
    while scale and step % 10 == 0:
        units, scale, step = units // 10, scale - 1, step // 10
    return exact(units, scale)


def exact(units: int, scale: int) -> Decimal:
    """Units of `10 ** -scale`, whatever the precision of the caller's decimal context is."""
    return Decimal(f"{units}E-{scale}")
