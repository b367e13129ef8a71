"""Text for people: counted nouns, prices, quantities, rates."""

from __future__ import annotations

from engine.decimals import DecimalError, format_decimal
from engine.listing import Asset, Market
from engine.records import AMOUNT_MAX, PRICE_SCALE


def counted(count: int, noun: str) -> str:
    """A number of things, with separators between thousands. The noun is the one of a single thing.

    >>> counted(1, "account"), counted(1200, "order"), counted(2, "entry")
    ('1 account', '1,200 orders', '2 entries')
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def price_text(market: Market, ticks: int) -> str:
    """A price in the quote asset, as a decimal without trailing zeros."""
    return without_trailing_zeros(format_decimal(ticks * market.definition.tick_e8, PRICE_SCALE))


def quantity_text(market: Market, lots: int) -> str:
    """A quantity in the base asset, as a decimal without trailing zeros."""
    return without_trailing_zeros(market.base.format(lots * market.definition.lot_units))


def percent_text(ppm: int) -> str:
    """A rate in parts per million, as a percentage.

    >>> percent_text(1500)
    '0.15%'
    """
    return without_trailing_zeros(format_decimal(ppm, 4)) + "%"


def parse_amount(asset: Asset, text: str) -> int:
    """An amount to pay in or out, in smallest units.

    Raises:
        DecimalError: it is no decimal of the asset's scale, or not above 0, or more than the venue keeps of an asset.
    """
    amount = asset.parse(text)
    if not 0 < amount <= AMOUNT_MAX:
        raise DecimalError(f"it must be above 0 and at most {asset.format(AMOUNT_MAX)}")
    return amount


def without_trailing_zeros(text: str) -> str:
    """
    >>> without_trailing_zeros("1000.00000000"), without_trailing_zeros("0.00001000"), without_trailing_zeros("100")
    ('1000', '0.00001', '100')
    """
    return text.rstrip("0").rstrip(".") if "." in text else text


def megabytes(size: int | None) -> str:
    """
    >>> megabytes(2_500_000), megabytes(None)
    ('2.5 MB', '-')
    """
    return "-" if size is None else f"{size / 1e6:,.1f} MB"
