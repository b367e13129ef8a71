"""What an account may ask about itself: its orders, balances and trades, answered from the view."""

from __future__ import annotations

from engine.reasons import Reason
from engine.records import Permission
from gateway.dialect import replies
from gateway.dialect.order_names import find_order, order_name
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import flag_of, integer_of, limit_of, time_range_of
from gateway.handlers.call import Call, LongResult, Result
from gateway.limits import LIST_ENTRIES_DEFAULT, LIST_ENTRIES_MAX, LONG_LIST_ENTRIES

REFERENCE_BYTES = 8
"""What a list holds for each of its entries."""
PERMISSION_NAMES = ((Permission.READ, "USER_DATA"), (Permission.TRADE, "SPOT"))


def order_status(call: Call) -> Result:
    """One order of the account, open or among the last closed ones.

    Raises:
        Rejected: ORDER_NOT_FOUND: it is none of the account in this market, or was closed too long ago; CLIENT_ID_MISMATCH.
    """
    market = call.market()
    order = find_order(call.account, market, order_name(call.params))
    if order is None:
        raise Rejected(Reason.ORDER_NOT_FOUND)
    return Result(replies.order_status(order, call.caller.unit))


def open_orders(call: Call) -> Result | LongResult:
    """All open orders, or those of one market.

    A long list shows each order as it is when its part of the answer is made, and leaves out those that are closed by then;
    what happens to an order after that is reported behind the answer.
    """
    market = call.market() if call.params.get("symbol") is not None else None
    account, unit = call.account, call.caller.unit
    orders = account.open_orders(market)
    if len(orders) <= LONG_LIST_ENTRIES:
        return Result(replies.json_list(replies.order_status(order, unit) for order in orders))
    open_still = (replies.order_status(order, unit) for order in orders if order.order_id in account.open)
    return LongResult(replies.json_list_pieces(open_still), len(orders) * REFERENCE_BYTES)


def account_status(call: Call) -> Result:
    """Fees, permissions and balances of the account; with `omitZeroBalances`, without the assets it has none of."""
    return Result(
        replies.account_status(
            call.account,
            call.state.view.projection.listing,
            permissions=[name for permission, name in PERMISSION_NAMES if call.key.may(permission)],
            omit_zero=flag_of(call.params, "omitZeroBalances", False),
            unit=call.caller.unit,
        )
    )


def my_trades(call: Call) -> Result:
    """Trades of the account in a market, oldest first; only those that are remembered.

    With `startTime` or `fromId` the first ones from there on, else the last ones.

    Raises:
        Rejected: a parameter is malformed; INVALID_COMBINATION: `orderId` and `fromId` go with no time.
    """
    market = call.market()
    order_id, from_id = integer_of(call.params, "orderId"), integer_of(call.params, "fromId")
    times = time_range_of(call.params)
    entries = limit_of(call.params, LIST_ENTRIES_DEFAULT, LIST_ENTRIES_MAX)
    if times != (None, None) and (order_id is not None or from_id is not None):
        raise Rejected(Reason.INVALID_COMBINATION)
    trades = [
        trade
        for trade in call.account.trades
        if trade.market is market
        and (order_id is None or trade.order_id == order_id)
        and (from_id is None or trade.trade_id >= from_id)
        and times.has(trade.time_us)
    ]
    begins = from_id is not None or times.start_us is not None
    shown = trades[:entries] if begins else trades[-entries:]
    return Result(replies.json_list(replies.own_trade(trade, call.caller.unit) for trade in shown))
