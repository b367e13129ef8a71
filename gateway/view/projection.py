"""Applies event entries: listing, accounts, orders, balances and books follow the engine, entry by entry.

The gateway decides nothing here. It only repeats what the events say, in their order, so that two gateways that have
read the same entries know the same. Sessions hear of it through `Feeds`; the answers to this gateway's own commands go
to the `answer` function that the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.listing import Listing
from engine.networks import Networks, unpack_networks
from engine.records import (
    EPOCH_START,
    EVENTS_MAX,
    FEES,
    KEY_DEFINITION,
    Event,
    EventEntry,
    EventKind,
    KeyDefinition,
    MarketState,
    OrderEvent,
)
from gateway.dialect import user_events
from gateway.dialect.constants import DERIVED_PREFIX
from gateway.dialect.numbers import MarketNumbers
from gateway.judgement.judge import Judge, MarketRules
from gateway.view.accounts import Account, Order, OwnTrade, safe_client_id
from gateway.view.feeds import Feeds
from gateway.view.order_events import CommandEvents, OrderEvents

Answer = Callable[[int, CommandEvents, EventEntry], None]
"""Called once per command of the entry with its index and its events, after they are applied."""


class KeyEvents(Protocol):
    """Where the projection reports API keys; `gateway.auth.keys.Keys` is one."""

    def key_added(
        self, key_id: str, account: Account, definition: KeyDefinition, public_key: bytes, networks: Networks
    ) -> None: ...

    def key_revoked(self, key_id: str, time_us: int) -> None: ...


class LimitEvents(Protocol):
    """Where the projection reports what counts for limits; `gateway.auth.rate_limits.RateLimits` is one."""

    def first_fill(self, account: Account) -> None:
        """An order of the account was filled for the first time."""

    def tiers_changed(self, listing: Listing) -> None:
        """A tier came or has other numbers."""


class Projection:
    """The venue as this gateway knows it.

    `events`, compiled, applies the events of orders, and calls this object for all else (`order_events.Reports`).

    Args:
        limits: learns of each order's first fill, and of tiers.
    """

    def __init__(self, feeds: Feeds, keys: KeyEvents, limits: LimitEvents) -> None:
        self.feeds = feeds
        self.keys = keys
        self.limits = limits
        self.listing = Listing()
        self.markets_by_symbol: dict[str, MarketNumbers] = {}
        self.listing_changes = 0
        """Grows with each change of assets, markets, fees, states and tiers, so that encoded texts can be kept until then."""
        self.events = OrderEvents(self, feeds, feeds.books, feeds.followers.by_stream, limits.first_fill)
        self.judge = Judge(self.events, feeds.books)
        self.account = self.events.account
        self.accounts = self.events.accounts
        """By number."""
        self.markets = self.events.markets
        """By number."""
        self.orders = self.events.orders
        """Open ones by order id."""

    @property
    def time_us(self) -> int:
        """The venue's time: that of the last entry."""
        return self.events.time_us

    def apply(self, entry: EventEntry, answer: Answer | None = None) -> None:
        """Takes in one entry. Cost: about 1 µs an event."""
        self.begin(entry, answer)
        self.go_on(EVENTS_MAX)

    def begin(self, entry: EventEntry, answer: Answer | None = None) -> None:
        """Begins to take in an entry."""
        self.events.begin(entry, answer)

    def go_on(self, events_max: int) -> bool:
        """Takes in so many of its events at most; whether the entry is complete."""
        if not self.events.go_on(events_max):
            return False
        self.feeds.end_entry()
        return True

    # -- money, listing, accounts, keys

    def administer(self, event: OrderEvent, entry: EventEntry) -> None:
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
            packed, key_id, public_key, networks, *_ = entry.parts(event)
            definition, account = KEY_DEFINITION.unpack_from(packed), self.account(event.account)
            self.keys.key_added(key_id.decode("ascii"), account, definition, public_key, unpack_networks(networks))
        elif kind == EventKind.KEY_REVOKED:
            self.keys.key_revoked(entry.parts(event)[0].decode("ascii"), self.time_us)
        elif kind == EventKind.ACCOUNT_LIMITS_CHANGED:
            self.account(event.account).tier = event.state
        elif kind == EventKind.EPOCH_STARTED:
            self.events.skip_ids(EPOCH_START.unpack_from(entry.parts(event)[0]).ids_skip)

    def _transfer(self, event: OrderEvent, change: int) -> None:
        account, asset, time_us = self.account(event.account), self.listing.assets[event.asset], self.time_us
        account.balance(event.asset).available += change
        account.updated_us = time_us
        if account.subscriptions:
            self.feeds.user_data.queue(account, lambda unit: user_events.balance_update(asset, change, time_us, unit))
            self.events.moved.setdefault(account, set()).add(event.asset)

    def _follow_listing(self, event: OrderEvent) -> None:
        self.listing_changes += 1
        if event.kind == EventKind.MARKET_ADDED:
            market = MarketNumbers(self.listing.markets[event.market])
            self.markets[market.number] = self.markets_by_symbol[market.symbol] = market
            self.feeds.add_market(market)
            self.judge.markets[market.number] = MarketRules(market.market)
        elif event.kind == EventKind.MARKET_STATE_CHANGED:
            self.judge.is_venue_trading = self.listing.venue_state == MarketState.TRADING
            if event.market:
                self.judge.markets[event.market].is_trading = event.state == MarketState.TRADING
        elif event.kind == EventKind.LIMITS_CHANGED:
            self.limits.tiers_changed(self.listing)

    # -- reports to the owners

    def report(
        self,
        order: Order,
        execution: str,
        execution_id: int,
        *,
        client: str | None = None,
        original_client: str = "",
        trade: OwnTrade | None = None,
    ) -> None:
        """Queues an executionReport and remembers which balances to report after the command."""
        account, time_us = order.account, self.time_us
        self.feeds.user_data.queue(
            account,
            lambda unit: user_events.execution_report(
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
        self.events.moved.setdefault(account, set()).update((definition.base_asset, definition.quote_asset))

    def report_cancelled(self, order: Order, event: OrderEvent, entry: EventEntry, execution_id: int) -> None:
        """Queues the report of an order that a cancel has closed, with the client id of the cancel."""
        client = cancel_client_id(event, entry, order)
        self.report(order, "CANCELED", execution_id, client=client, original_client=order.client)

    def send_reports(self) -> None:
        """Sends what a command left for those who follow accounts: the reports, and one account position for each account
        whose balances moved."""
        time_us = self.time_us
        for account, numbers in self.events.moved.items():
            assets = [self.listing.assets[number] for number in sorted(numbers)]
            self.feeds.user_data.queue(
                account,
                lambda unit, account=account, assets=assets: user_events.account_position(
                    account, assets, time_us, unit
                ),  # type: ignore[misc]
            )
        self.events.moved.clear()
        self.feeds.user_data.send_queued()


def cancel_client_id(event: Event, entry: EventEntry, order: Order) -> str:
    """The client id of the cancel that closed an order; derived from the order id where the cancel had none."""
    parts = entry.parts(event)
    return safe_client_id(parts[0]) if parts else f"{DERIVED_PREFIX}cancel-{order.order_id}"
