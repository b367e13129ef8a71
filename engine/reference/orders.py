"""The phases of an order, and cancels.

`place_order` calls the phases. `check_order` reads what the order may do, as flags, and checks it. `accept_order` gives it
an id and holds its funds. `work_order` lets it trade, and then `rest_order` or `close_order` ends the command for it. No
phase looks at an order type.
"""

from __future__ import annotations

from engine.definitions import read_parts, reject_unless
from engine.order_types import OrderFlag
from engine.reasons import Reason
from engine.records import CLIENT_ID_BYTES, NO_CLIENT_ID, AgendaKind, Command, CommandFlag, EventKind
from engine.reference.accounts import find_client, find_order, list_order, unlist_order
from engine.reference.agenda import add_to_agenda, has_room
from engine.reference.checks import check_order
from engine.reference.events import emit_order, mark_taker_filled
from engine.reference.matching import WalkEnd, fills_whole, match_order, would_take
from engine.reference.money import hold_funds, release_funds
from engine.reference.state import AgendaItem, Exchange, Market, Order


def place_order(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Checks, accepts and holds for an order, works it, and rests or closes its remainder."""
    market, flags = check_order(exchange, command)
    order = accept_order(exchange, command, market, flags)
    work_order(exchange, order)


def accept_order(exchange: Exchange, command: Command, market: Market, flags: OrderFlag) -> Order:
    """Gives the order its id and holds its funds."""
    exchange.last_order_id += 1
    order = Order(
        id=exchange.last_order_id,
        account=command.account,
        market=market,
        side=command.side,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        self_trade_mode=command.self_trade_mode,
        flags=flags,
        client_id=command.client_id,
        price_ticks=command.price_ticks,
        quantity_lots=command.quantity_lots,
        quote_amount=command.amount,
        remaining_lots=command.quantity_lots,
        created_us=exchange.time_us,
        updated_us=exchange.time_us,
        working_us=exchange.time_us,
    )
    hold = hold_funds(exchange, order)
    emit_order(exchange, EventKind.ORDER_ACCEPTED, order, hold_change=hold, working_us=order.working_us)
    return order


def work_order(exchange: Exchange, order: Order) -> None:
    """Lets an order trade, and rests or closes its remainder."""
    if order.flags & OrderFlag.ALL_OR_NONE and not fills_whole(order):
        close_order(exchange, order, Reason.FILL_OR_KILL_EXPIRED)
        return
    end = match_order(exchange, order)
    # An amount that does not buy one lot is satisfied without a fill; such an order is not filled.
    if end is WalkEnd.SATISFIED and order.cumulative_lots:
        mark_taker_filled(exchange)
    elif end is WalkEnd.FILL_LIMIT:
        close_order(exchange, order, Reason.FILL_LIMIT)
    elif order.flags & OrderFlag.MAY_REST:
        rest_order(exchange, order)
    elif order.flags & OrderFlag.HAS_LIMIT:
        close_order(exchange, order, Reason.IOC_REMAINDER_EXPIRED)
    else:
        close_order(exchange, order, Reason.MARKET_REMAINDER_EXPIRED)


def rest_order(exchange: Exchange, order: Order) -> None:
    """Puts the remainder of an order into the book and into every index."""
    assert order.remaining_lots > 0 and not would_take(order.market, order.side, order.price_ticks), order
    order.market.add(order)
    order.market.last_update_id += 1
    list_order(exchange, order)


def close_order(exchange: Exchange, order: Order, reason: Reason, blob: bytes = b"") -> None:
    """Ends an order that is not filled, resting or not, and releases what it still holds."""
    if order.id in exchange.orders:
        order.market.remove(order)
        order.market.last_update_id += 1
        unlist_order(exchange, order)
    released = release_funds(exchange, order)
    emit_order(exchange, EventKind.ORDER_CLOSED, order, hold_change=-released, reason=reason, blob=blob)


def cancel_order(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Cancels one open order, named by its id or its client id."""
    if blob:
        (cancel_id,) = read_parts(blob, 1)
        reject_unless(len(cancel_id) <= CLIENT_ID_BYTES, Reason.INVALID_CLIENT_ID)
    reject_unless(command.market in exchange.markets, Reason.UNKNOWN_MARKET)
    account = find_client(exchange, command.account)
    order = find_order(account, command.market, command.order_id, command.client_id)
    check_restrictions(order, command.flags)
    close_order(exchange, order, Reason.CANCELLED_BY_OWNER, blob)


def check_restrictions(order: Order, flags: int) -> None:
    """Refuses to cancel an order that is not as the flags of the cancel ask for."""
    if flags & CommandFlag.NAMELESS_ONLY:
        reject_unless(order.client_id == NO_CLIENT_ID, Reason.UNKNOWN_ORDER)
    if flags & CommandFlag.UNFILLED_ONLY:
        reject_unless(order.cumulative_lots == 0, Reason.CANCEL_RESTRICTED)
    if flags & CommandFlag.PARTLY_FILLED_ONLY:
        reject_unless(order.cumulative_lots > 0, Reason.CANCEL_RESTRICTED)


def cancel_all_orders(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Cancels the open orders of an account, in one market or (0) in all."""
    reject_unless(command.market == 0 or command.market in exchange.markets, Reason.UNKNOWN_MARKET)
    account = find_client(exchange, command.account)
    if command.market:
        is_any_open = account.open_orders.get(command.market, 0) > 0
    else:
        is_any_open = len(account.orders) > 0
    reject_unless(is_any_open, Reason.NO_OPEN_ORDERS)
    item = AgendaItem(AgendaKind.CLOSE_ORDERS, command.account, command.market, Reason.CANCELLED_BY_OWNER)
    add_to_agenda(exchange, item)


def close_orders(exchange: Exchange, item: AgendaItem) -> bool:
    """Closes the open orders of the item's account, by market number, then by id; whether all of them are closed.

    A step of the agenda. What was cancelled since the item was added is not open any more.
    """
    for order in exchange.accounts[item.account].orders_by_market():
        if item.market not in (0, order.market.number):
            continue
        if not has_room(exchange):
            return False
        close_order(exchange, order, Reason(item.reason))
    return True
