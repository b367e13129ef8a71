"""Decimal text ↔ integers, as the dialect writes numbers: plain digits, always eight decimals.

The dialect's one unit is 1e-8 ("e8"). A market turns e8 numbers into its ticks and lots and back (`MarketNumbers`); an
asset of `scale` decimals has `10 ** (8 - scale)` e8 in its smallest unit. No float is involved anywhere.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from engine.listing import Asset, Market
from engine.reasons import Reason
from gateway.dialect.constants import DECIMALS, INT64_MAX, INTEGER_DIGITS_MAX, WHOLE_DIGITS_MAX
from gateway.dialect.market_scale import MarketScale
from gateway.dialect.market_scale import format_e8 as format_e8
from gateway.limits import NUMBER_TEXTS_MAX

ONE_E8: int = 10**DECIMALS
ZERO = "0.00000000"


class NumberToken(str):
    """A JSON number as the sender wrote it, so that a signature over it can be checked and no digit is lost."""

    __slots__ = ()


_MINUS_ZERO = NumberToken("-0")
"""Readers without tokens read it as the whole number 0."""


def parse_e8(value: object, maximum_e8: int = INT64_MAX) -> int | Reason:
    """A decimal of a request in 1e-8, exactly, or why it cannot be one. Above `maximum_e8` it is NUMBER_TOO_LARGE.

    A string is plain digits with at most one point; a number token may have an exponent if its value fits eight
    decimals.

    >>> parse_e8("0.015"), parse_e8(NumberToken("1e-7")), parse_e8(3)
    (1500000, 10, 300000000)
    >>> parse_e8("1e-7").name, parse_e8("0.123456789").name
    ('ILLEGAL_CHARACTERS', 'TOO_PRECISE')
    """
    number_e8: int | Reason = Reason.ILLEGAL_CHARACTERS
    if type(value) is str:
        number_e8 = _parse_plain(value)
    elif type(value) is int:
        number_e8 = value * ONE_E8 if value >= 0 else Reason.ILLEGAL_CHARACTERS
    elif type(value) is NumberToken:
        number_e8 = _parse_token(value)
    return Reason.NUMBER_TOO_LARGE if type(number_e8) is int and number_e8 > maximum_e8 else number_e8


def _parse_plain(text: str) -> int | Reason:
    whole, point, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit() and whole) or (point and not fraction):
        return Reason.ILLEGAL_CHARACTERS
    if len(whole) > WHOLE_DIGITS_MAX or len(fraction) > WHOLE_DIGITS_MAX:
        return Reason.ILLEGAL_CHARACTERS
    if len(fraction) > DECIMALS:
        if fraction[DECIMALS:].strip("0"):
            return Reason.TOO_PRECISE
        fraction = fraction[:DECIMALS]
    return int(whole + fraction) * _POWERS[DECIMALS - len(fraction)]


_POWERS: tuple[int, ...] = tuple(10**power for power in range(DECIMALS + 1))


def _parse_token(token: NumberToken) -> int | Reason:
    if token == _MINUS_ZERO:
        return 0
    if "e" not in token and "E" not in token:
        return _parse_plain(str(token))
    try:
        number = Decimal(token)
    except InvalidOperation:
        return Reason.ILLEGAL_CHARACTERS
    # The exponent is bounded before anything is computed with it: 1e999999999 is a short text and a long number.
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or number < 0 or abs(exponent) > 40 or len(token) > 60:
        return Reason.ILLEGAL_CHARACTERS
    scaled = number.scaleb(DECIMALS)
    if scaled != scaled.to_integral_value():
        return Reason.TOO_PRECISE
    return int(scaled)


def parse_integer(value: object) -> int | None:
    """A whole number of a request (an id, a time, a limit), given as a number or as text; None where it is none.

    >>> parse_integer(5), parse_integer("101"), parse_integer("1.0"), parse_integer(True)
    (5, 101, None, None)
    """
    if type(value) is int:
        return value if 0 <= value <= INT64_MAX else None
    if type(value) is NumberToken and value == _MINUS_ZERO:
        return 0
    if isinstance(value, str) and len(value) <= INTEGER_DIGITS_MAX and value.isascii() and value.isdigit():
        number = int(value)
        return number if number <= INT64_MAX else None
    return None


def asset_unit_e8(asset: Asset) -> int:
    """The smallest unit of the asset in 1e-8."""
    return _POWERS[DECIMALS - asset.scale]


class StepTexts(dict[str, int]):
    """Remembers which text is how many ticks (or lots): clients send the same few again and again.

    Bounded by `NUMBER_TEXTS_MAX` texts; a full one is emptied first.
    """

    __slots__ = ()

    def remember(self, text: str, steps: int) -> None:
        """Notes that a text is this number of ticks (or lots)."""
        if len(self) >= NUMBER_TEXTS_MAX:
            self.clear()
        self[text] = steps


class MarketNumbers(MarketScale):
    """A market as the dialect counts in it: its symbol and what a tick, a lot and a smallest unit are in 1e-8."""

    __slots__ = (
        "base_e8",
        "base_name",
        "lot_e8",
        "lower_symbol",
        "market",
        "price_max_e8",
        "price_texts",
        "quantity_max_e8",
        "quantity_texts",
        "quote_e8",
        "quote_name",
        "tick_e8",
    )

    def __init__(self, market: Market) -> None:
        self.market = market
        self.lower_symbol = market.symbol.lower()
        self.base_name = market.base.name
        self.quote_name = market.quote.name
        self.tick_e8 = market.definition.tick_e8
        self.base_e8 = asset_unit_e8(market.base)
        self.quote_e8 = asset_unit_e8(market.quote)
        self.lot_e8 = market.definition.lot_units * self.base_e8
        super().__init__(market.number, market.symbol, self.tick_e8, self.lot_e8)
        # What the market declares can be sent, also where 64 bits do not hold it in 1e-8.
        self.price_max_e8 = max(INT64_MAX, market.definition.price_max_ticks * self.tick_e8)
        self.quantity_max_e8 = max(INT64_MAX, market.definition.quantity_max_lots * self.lot_e8)
        self.price_texts = StepTexts()
        self.quantity_texts = StepTexts()

    def price(self, ticks: int) -> str:
        """A price in ticks as text."""
        return format_e8(ticks * self.tick_e8)

    def quantity(self, lots: int) -> str:
        """A quantity in lots as text."""
        return format_e8(lots * self.lot_e8)

    def quote(self, units: int) -> str:
        """An amount of the quote asset, in its smallest units, as text."""
        return format_e8(units * self.quote_e8)

    def base(self, units: int) -> str:
        """An amount of the base asset, in its smallest units, as text."""
        return format_e8(units * self.base_e8)
