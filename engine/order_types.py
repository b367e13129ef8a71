"""The order types of the venue: one row each, and nothing else about them anywhere.

A row says what an order of that type may do. When the engine checks an order, it turns (order type, time in force) into
the bits of `OrderFlag` (`order_flags`), and from there on looks only at those: no other code of the engine names an order
type. The table of flags in C (`engine/order_types.pxd`, written by `python -m engine.declarations`), the names of the wire,
exchangeInfo and docs/order-types.md come from the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, IntFlag, unique
from typing import NamedTuple


@unique
class TimeInForce(IntEnum):
    """How long an order works. The name is that of the wire."""

    NONE = 0
    """The type has no choice of times in force."""
    GTC = 1
    """Until it is filled or cancelled."""
    IOC = 2
    """At once; what is not filled expires."""
    FOK = 3
    """At once and whole, or not at all."""


class OrderFlag(IntFlag):
    """What an order may do, as the engine asks for it."""

    HAS_LIMIT = 1
    """It has a limit price, and holds what it can need at that price. Without one it holds nothing."""
    MAY_REST = 2
    """What is not filled at once rests in the book."""
    MAY_TAKE = 4
    """It trades with what rests. Without it, an order that would trade is refused."""
    ALL_OR_NONE = 8
    """It is filled whole in the command that places it, or not at all."""
    BY_QUOTE = 16
    """It may name an amount of the quote asset instead of a quantity."""
    HAS_TRIGGER = 32
    """It waits for a price before it works."""


class Terms(NamedTuple):
    """What an order type is."""

    limit: bool
    rests: bool
    takes: bool
    times_in_force: tuple[TimeInForce, ...]
    by_quote: bool = False
    trigger: bool = False
    full_answer: bool = False
    """Whether a client that asks for no kind of answer gets the full one, with all fills, instead of the short one."""
    summary: str = ""
    """What it does, for docs/order-types.md."""


_GTC_IOC_FOK = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)


@unique
class OrderType(IntEnum):
    """The type of an order; its name is that of the wire. `order_type.terms` is its row. Numbers are dense, from 1."""

    terms: Terms

    def __new__(cls, number: int, terms: Terms | None = None) -> OrderType:
        assert terms is not None, "every row has its terms; only a member is looked up by its number alone"
        member = int.__new__(cls, number)
        member._value_ = number
        member.terms = terms
        return member

    LIMIT = 1, Terms(
        limit=True, rests=True, takes=True, times_in_force=_GTC_IOC_FOK, full_answer=True,
        summary="Trades at its price or better; the remainder rests (GTC) or expires (IOC, FOK).",
    )  # fmt: skip
    MARKET = 2, Terms(
        limit=False, rests=False, takes=True, times_in_force=(TimeInForce.NONE,), by_quote=True, full_answer=True,
        summary="Trades at whatever price there is, by quantity or by quote amount; the remainder expires.",
    )  # fmt: skip
    LIMIT_MAKER = 3, Terms(
        limit=True, rests=True, takes=False, times_in_force=(TimeInForce.NONE,),
        summary="Rests at its price; is refused where it would trade at once.",
    )  # fmt: skip


assert [int(order_type) for order_type in OrderType] == list(range(1, len(OrderType) + 1)), "numbers are dense, from 1"
assert [int(time) for time in TimeInForce] == list(range(len(TimeInForce))), "numbers are dense, from 0"


def order_flags(order_type: int, time_in_force: int) -> OrderFlag:
    """What an order of this type and time in force may do; no flag where the type is unknown or has not that time.

    >>> order_flags(OrderType.LIMIT, TimeInForce.IOC)
    <OrderFlag.HAS_LIMIT|MAY_TAKE: 5>
    >>> order_flags(OrderType.MARKET, TimeInForce.GTC)
    <OrderFlag: 0>
    """
    return _FLAGS.get((order_type, time_in_force), OrderFlag(0))


def _flags_of_row(terms: Terms, time_in_force: TimeInForce) -> OrderFlag:
    is_immediate = time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
    wanted = {
        OrderFlag.HAS_LIMIT: terms.limit,
        OrderFlag.MAY_REST: terms.rests and not is_immediate,
        OrderFlag.MAY_TAKE: terms.takes,
        OrderFlag.ALL_OR_NONE: time_in_force == TimeInForce.FOK,
        OrderFlag.BY_QUOTE: terms.by_quote,
        OrderFlag.HAS_TRIGGER: terms.trigger,
    }
    flags = OrderFlag(0)
    for flag, is_set in wanted.items():
        if is_set:
            flags |= flag
    return flags


_FLAGS = {
    (int(order_type), int(time)): _flags_of_row(order_type.terms, time)
    for order_type in OrderType
    for time in order_type.terms.times_in_force
}

PACKED_MAX = 15
"""Largest number of a type or a time in force: the compiled engine keeps each of a resting order in four bits."""
assert max(*OrderType, *TimeInForce) <= PACKED_MAX


def _check_row(order_type: OrderType) -> None:
    """What the rules of the engine can do: another combination needs a rule first."""
    terms, name = order_type.terms, order_type.name
    assert terms.limit or not terms.rests, f"{name}: what rests needs a price to rest at"
    assert terms.takes or terms.rests, f"{name}: an order that neither takes nor rests does nothing"
    assert not (terms.by_quote and terms.limit), f"{name}: an amount of the quote asset has no limit"
    assert not terms.trigger, f"{name}: no rule waits for a trigger yet"
    for time in terms.times_in_force:
        flags = order_flags(order_type, time)
        assert flags & (OrderFlag.MAY_TAKE | OrderFlag.MAY_REST), f"{name} {time.name}: does nothing"
        whole = not flags & OrderFlag.ALL_OR_NONE or (flags & OrderFlag.MAY_TAKE and not terms.by_quote)
        assert whole, f"{name}: only an order by quantity that takes can be filled whole"


for _order_type in OrderType:
    _check_row(_order_type)


def one_of(words: Sequence[str]) -> str:
    """A choice as people write it.

    >>> one_of(["GTC", "IOC", "FOK"])
    'GTC, IOC or FOK'
    """
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
