"""Applies event entries: listing, accounts, orders, balances and books follow the engine, entry by entry.

The gateway decides nothing here. It only repeats what the events say, in their order, so that two gateways that have
read the same entries know the same. Sessions hear of it through `Feeds`; the answers to this gateway's own commands go
to the `answer` function that the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from engine.reasons import Reason
from engine.records import (
    EVENT,
    EVENT_HEADER,
    FEES,
    HOUSE_ACCOUNT,
    KEY_DEFINITION,
    NO_CLIENT_ID,
    Event,
    EventEntry,
    EventKind,
    KeyDefinition,
    OrderType,
    Side,
    TimeInForce,
    TradeFlag,
)
from engine.venue import Listing
from gateway import messages
from gateway.accounts import (
    CANCELED,
    DERIVED_PREFIX,
    EXPIRED,
    FILLED,
    PARTIALLY_FILLED,
    Account,
    Order,
    OwnTrade,
)
from gateway.feeds import Feeds
from gateway.messages import safe_client_id
from gateway.numerals import MarketNumbers

Answer = Callable[[int, list[Event], EventEntry], None]
"""Called once per command with its index and its events, after they are applied."""

_make_event = Event._make
_unpack_events = EVENT.struct.iter_unpack

_CANCEL_REASONS = {Reason.CANCELLED_BY_OWNER, Reason.CANCELLED_BY_FREEZE}

_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_TRADE, _ACCEPTED, _CLOSED, _REJECTED = (
    int(EventKind.TRADE),
    int(EventKind.ORDER_ACCEPTED),
    int(EventKind.ORDER_CLOSED),
    int(EventKind.REJECTED),
)
_LIMIT, _LIMIT_MAKER, _GTC = int(OrderType.LIMIT), int(OrderType.LIMIT_MAKER), int(TimeInForce.GTC)
_TAKER_FILLED, _MAKER_FILLED = int(TradeFlag.TAKER_FILLED), int(TradeFlag.MAKER_FILLED)


class KeyEvents(Protocol):
    """What the projection tells about API keys; `sessions.Keys` takes it."""

    def key_added(self, key_id: str, account: Account, definition: KeyDefinition, public_key: bytes) -> None: ...

    def key_revoked(self, key_id: str) -> None: ...


class Projection:
    """The venue as this gateway knows it."""

    def __init__(self, feeds: Feeds, keys: KeyEvents) -> None:
        self.feeds = feeds
        self.keys = keys
        self.listing = Listing()
        self.markets: dict[int, MarketNumbers] = {}
        self.markets_by_symbol: dict[str, MarketNumbers] = {}
        self.accounts: dict[int, Account] = {}
        self.orders: dict[int, Order] = {}
        """All open orders by id."""
        self.time_us = 0
        """The venue's time at the last entry."""
        self.listing_changes = 0
        """Grows with each change of assets, markets, fees and states, so that encoded texts can be kept until then."""
        self.first_fill: Callable[[Account], None] = lambda account: None
        """Called when an order is filled for the first time: it counts no longer against the limit of new orders."""
        self._execution_id = 0
        self._resting: Order | None = None
        self.fills: list[OwnTrade] = []
        """While `answer` is called: the taker's fills of the command that it answers."""
        self.closed: list[Order] = []
        """While `answer` is called: the orders that the command has closed without filling them, in the order of their
        events; also those that are too many to be remembered."""
        self.placed: Order
        """While `answer` is called for an accepted order: that order."""
        self._moved: dict[Account, set[int]] = {}

    def account(self, number: int) -> Account:
        """The account of this number; the house account exists from the beginning."""
        account = self.accounts.get(number)
        if account is None:
            account = self.accounts[number] = Account(number)
        return account

    def apply(self, entry: EventEntry, answer: Answer | None = None) -> None:
        """Takes in one entry. Cost: about 5 µs an event."""
        self.time_us = entry.header.time_us
        index = -1
        events: list[Event] = []
        stop = EVENT_HEADER.size + entry.header.event_count * EVENT.size
        for event in map(_make_event, _unpack_events(entry.data[EVENT_HEADER.size : stop])):
            if event.command_index != index:
                if events:
                    self._end_command(index, events, entry, answer)
                index = event.command_index
                events = []
            events.append(event)
            kind = event.kind
            if kind == _TRADE:
                self._trade(event)
            elif kind == _ACCEPTED:
                self._accept(event)
            elif kind == _CLOSED:
                self._close(event, entry)
            elif kind != _REJECTED:
                self._administer(event, entry)
        if events:
            self._end_command(index, events, entry, answer)
        self.feeds.end_entry()

    def _end_command(self, index: int, events: list[Event], entry: EventEntry, answer: Answer | None) -> None:
        """A command's events are complete: what is left of its order rests, and then everybody is told."""
        order = self._resting
        if order is not None:
            self._resting = None
            order.rests = True
            self.feeds.changed(order.market, order.side, order.price_ticks, order.left_lots)
        if answer is not None:
            answer(index, events, entry)
        if self.fills:
            self.fills = []
        if self.closed:
            self.closed = []
        if self._moved:
            self._report_positions()
            self.feeds.send_user_events()

    # -- orders

    def _accept(self, event: Event) -> None:
        account = self.accounts[event.account]
        market = self.markets[event.market]
        order_id, side, order_type = event.order_id, event.side, event.order_type
        client_id = event.client_id
        client = f"{DERIVED_PREFIX}{order_id}" if client_id == NO_CLIENT_ID else safe_client_id(client_id)
        order = Order(
            order_id,
            account,
            market,
            side,
            order_type,
            event.time_in_force,
            event.price_ticks,
            event.quantity_lots,
            event.quote_amount,
            client,
            self.time_us,
        )
        self.placed = self.orders[order_id] = account.open[order_id] = account.found_by_client[client] = order
        account.updated_us = self.time_us
        hold = event.hold_change
        if hold:
            balance = account.balance(event.quote_asset if side == _BUY else event.base_asset)
            balance.available -= hold
            balance.held += hold
        if order_type == _LIMIT_MAKER or (order_type == _LIMIT and event.time_in_force == _GTC):
            self._resting = order
        self._execution_id += 1
        if account.subscriptions:
            # At this moment the order works; whether it comes to rest is told by what follows.
            order.rests = self._resting is order
            self._report(order, "NEW")
            order.rests = False

    def _trade(self, event: Event) -> None:
        market = self.markets[event.market]
        taker, maker = self.orders[event.order_id], self.orders[event.maker_order_id]
        lots, time_us = event.quantity_lots, self.time_us
        maker.cumulative_lots, maker.cumulative_quote = event.maker_cumulative_lots, event.maker_cumulative_quote
        maker.left_lots = event.maker_left_lots
        taker.cumulative_lots, taker.cumulative_quote = event.cumulative_lots, event.cumulative_quote
        taker.left_lots = event.left_lots
        self._settle(maker, event, event.maker_hold_change, event.maker_fee)
        self._settle(taker, event, event.hold_change, event.fee)
        self.feeds.changed(market, maker.side, event.price_ticks, -lots)
        if event.flags & _MAKER_FILLED:
            self._end(maker, FILLED)
        if event.flags & _TAKER_FILLED:
            self._end(taker, FILLED)
        taker_buys = event.side == _BUY
        self._fill(maker, event, event.maker_fee, not taker_buys, True)
        self.fills.append(self._fill(taker, event, event.fee, taker_buys, False))
        self.feeds.traded(market, event.trade_id, event.price_ticks, lots, not taker_buys, time_us)

    def _settle(self, order: Order, event: Event, hold_change: int, fee: int) -> None:
        """Moves the money of one side of a trade. What leaves the hold beyond the price is available again."""
        account = order.account
        base, quote = account.balance(event.base_asset), account.balance(event.quote_asset)
        if order.side == _BUY:
            paid, paid_amount = quote, event.quote_amount
            received, received_amount, fee_asset = base, event.base_amount, event.base_asset
        else:
            paid, paid_amount = base, event.base_amount
            received, received_amount, fee_asset = quote, event.quote_amount, event.quote_asset
        paid.held += hold_change
        paid.available -= hold_change + paid_amount
        received.available += received_amount - fee
        if fee:
            self.account(HOUSE_ACCOUNT).balance(fee_asset).available += fee
        account.updated_us = self.time_us

    def _fill(self, order: Order, event: Event, fee: int, is_buyer: bool, is_maker: bool) -> OwnTrade:
        """Notes one side of a trade."""
        account = order.account
        trade = OwnTrade(
            order.market,
            event.trade_id,
            order.order_id,
            event.price_ticks,
            event.quantity_lots,
            event.quote_amount,
            fee,
            is_buyer,
            is_maker,
            self.time_us,
        )
        account.trades.append(trade)
        order.updated_us = self.time_us
        if order.cumulative_lots == event.quantity_lots:
            self.first_fill(account)
        if order.status != FILLED:
            order.status = PARTIALLY_FILLED
        self._execution_id += 1
        if account.subscriptions:
            self._report(order, "TRADE", trade=trade)
        return trade

    def _end(self, order: Order, status: str) -> None:
        """The order is done."""
        order.status = status
        order.updated_us = self.time_us
        order.rests = False
        del self.orders[order.order_id]
        order.account.closed_now(order)
        if self._resting is order:
            self._resting = None

    def _close(self, event: Event, entry: EventEntry) -> None:
        order = self.orders[event.order_id]
        if order.rests:
            self.feeds.changed(order.market, order.side, order.price_ticks, -order.left_lots)
        order.left_lots = event.left_lots
        is_cancelled = event.reason in _CANCEL_REASONS
        self._end(order, CANCELED if is_cancelled else EXPIRED)
        self.closed.append(order)
        if event.hold_change:
            asset = event.quote_asset if event.side == _BUY else event.base_asset
            balance = order.account.balance(asset)
            balance.available -= event.hold_change
            balance.held += event.hold_change
        order.account.updated_us = self.time_us
        self._execution_id += 1
        if order.account.subscriptions:
            if is_cancelled:
                client = cancel_client_id(event, entry, order)
                self._report(order, "CANCELED", client=client, original_client=order.client)
            else:
                self._report(order, "EXPIRED")

    # -- money, listing, accounts, keys

    def _administer(self, event: Event, entry: EventEntry) -> None:
        """Everything that is not about orders."""
        kind = event.kind
        if kind == EventKind.DEPOSITED or kind == EventKind.WITHDRAWN:
            self._transfer(event, event.amount if kind == EventKind.DEPOSITED else -event.amount)
        elif self.listing.apply(entry, event):
            self._follow_listing(event)
        elif kind == EventKind.FEES_CHANGED:
            fees = FEES.unpack_from(entry.parts(event)[0])
            self.account(event.account).fees[event.market] = (fees.maker_fee_ppm, fees.taker_fee_ppm)
        elif kind == EventKind.ACCOUNT_ADDED:
            self.account(event.account).name = entry.parts(event)[0].decode("ascii", "replace")
        elif kind == EventKind.ACCOUNT_FROZEN or kind == EventKind.ACCOUNT_UNFROZEN:
            self.account(event.account).is_frozen = kind == EventKind.ACCOUNT_FROZEN
        elif kind == EventKind.KEY_ADDED:
            packed, key_id, public_key, *_ = entry.parts(event)
            definition = KEY_DEFINITION.unpack_from(packed)
            self.keys.key_added(key_id.decode("ascii"), self.account(event.account), definition, public_key)
        elif kind == EventKind.KEY_REVOKED:
            self.keys.key_revoked(entry.parts(event)[0].decode("ascii"))

    def _transfer(self, event: Event, change: int) -> None:
        account, asset, time_us = self.account(event.account), self.listing.assets[event.asset], self.time_us
        account.balance(event.asset).available += change
        account.updated_us = time_us
        if account.subscriptions:
            self.feeds.queue_user_event(account, lambda unit: messages.balance_update(asset, change, time_us, unit))
            self._moved.setdefault(account, set()).add(event.asset)

    def _follow_listing(self, event: Event) -> None:
        self.listing_changes += 1
        if event.kind == EventKind.MARKET_ADDED:
            market = MarketNumbers(self.listing.markets[event.market])
            self.markets[market.number] = self.markets_by_symbol[market.symbol] = market
            self.feeds.add_market(market)

    # -- reports to the owners

    def _report(
        self,
        order: Order,
        execution: str,
        *,
        client: str | None = None,
        original_client: str = "",
        trade: OwnTrade | None = None,
    ) -> None:
        """Queues an executionReport and remembers which balances to report after the command."""
        account, time_us, execution_id = order.account, self.time_us, self._execution_id
        self.feeds.queue_user_event(
            account,
            lambda unit: messages.execution_report(
                order,
                time_us,
                unit,
                execution=execution,
                execution_id=execution_id,
                client=order.client if client is None else client,
                original_client=original_client,
                trade=trade,
            ),
        )
        definition = order.market.market.definition
        self._moved.setdefault(account, set()).update((definition.base_asset, definition.quote_asset))

    def _report_positions(self) -> None:
        """Queues one account position for each account whose events somebody follows and whose balances moved."""
        time_us = self.time_us
        for account, numbers in self._moved.items():
            assets = [self.listing.assets[number] for number in sorted(numbers)]
            self.feeds.queue_user_event(
                account,
                lambda unit, account=account, assets=assets: messages.account_position(account, assets, time_us, unit),  # type: ignore[misc]
            )
        self._moved.clear()


def cancel_client_id(event: Event, entry: EventEntry, order: Order) -> str:
    """The client id of the cancel that closed an order; derived from the order id where the cancel had none."""
    if event.blob_length:
        parts: Iterable[bytes] = entry.parts(event)
        for part in parts:
            return safe_client_id(part)
    return f"{DERIVED_PREFIX}cancel-{order.order_id}"
