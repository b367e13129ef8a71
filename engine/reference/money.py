"""Money: what orders hold, what a fill moves, and fees.

A buy with a limit holds price × quantity of the quote asset, a sell its quantity of the base asset. A fill at a better price
releases the difference at once. An order without a limit holds nothing and pays from what is available.

A fee is taken from the amount received, in whole smallest units. Any excess from rounding one fill is credited to the
order's next fill, so the fees of an order are the exact sum rounded up once, however many fills it has.
"""

from __future__ import annotations

from engine.records import HOUSE_ACCOUNT, PPM, Side
from engine.reference.state import Exchange, Order


def hold_funds(exchange: Exchange, order: Order) -> int:
    """Sets aside what an order can need; the amount."""
    balance, amount = exchange.accounts[order.account].balance(order.paying_asset), order.hold(order.remaining_lots)
    balance.available -= amount
    balance.held += amount
    assert balance.available >= 0, "funds are checked before they are held"
    return amount


def release_funds(exchange: Exchange, order: Order) -> int:
    """Makes available what an order still holds; the amount."""
    balance, amount = exchange.accounts[order.account].balance(order.paying_asset), order.hold(order.remaining_lots)
    balance.held -= amount
    balance.available += amount
    assert balance.held >= 0, "no more is released than was held"
    return amount


def fee_of(received: int, fee_ppm: int, credit: int) -> tuple[int, int]:
    """The fee of one fill and the credit after it: (received × rate − credit) / 1,000,000, rounded up.

    >>> fee_of(1, 1_000, 0), fee_of(1, 1_000, 999_000), fee_of(100, 1_000, 0)
    ((1, 999000), (0, 998000), (1, 900000))
    """
    due = received * fee_ppm - credit
    fee = -(-due // PPM)
    assert 0 <= fee <= received, "a credit is below one unit, and a rate at most a tenth"
    return fee, fee * PPM - due


def fee_rate_ppm(exchange: Exchange, order: Order, *, is_maker: bool) -> int:
    """An order's rate: the account's own for the market, its own for all markets, or the market's."""
    account_fees, market = exchange.accounts[order.account].fees, order.market
    market_fees = (market.maker_fee_ppm, market.taker_fee_ppm)
    maker, taker = account_fees.get(market.number) or account_fees.get(0) or market_fees
    return maker if is_maker else taker


def settle_side(exchange: Exchange, order: Order, lots: int, value: int, fee_ppm: int) -> int:
    """Moves one side's money for a fill of `lots` worth `value`; charges the fee, keeps the credit, and returns the fee."""
    definition, account, house = (
        order.market.definition,
        exchange.accounts[order.account],
        exchange.accounts[HOUSE_ACCOUNT],
    )
    base = lots * definition.lot_units
    if order.side == Side.BUY:
        paid, received_asset, received = value, definition.base_asset, base
    else:
        paid, received_asset, received = base, definition.quote_asset, value
    payer, released = account.balance(order.paying_asset), order.hold(lots)
    payer.held -= released
    payer.available += released - paid
    fee, order.fee_credit = fee_of(received, fee_ppm, order.fee_credit)
    account.balance(received_asset).available += received - fee
    house.balance(received_asset).available += fee
    assert payer.held >= 0 and payer.available >= 0, "an order trades only what it can pay"
    return fee
