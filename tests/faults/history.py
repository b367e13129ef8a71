"""What the journal and the events say: the other side of the kill test.

Written from the descriptions of the records alone, and shares no code with gateway, ledger or engine beyond reading
those records. It adds up each order's life, each fill, each balance, and the reports that its owner is to get, in order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from engine.journal import EntryId, JournalEntry, PublishedEntry
from engine.listing import Listing, Market
from engine.reasons import Reason
from engine.records import (
    HOUSE_ACCOUNT,
    CommandKind,
    Disposition,
    Event,
    EventEntry,
    EventFlag,
    EventKind,
    OrderEvent,
    OrderType,
    Side,
    TimeInForce,
    TradeEvent,
    parse_batch,
)

Pair = tuple[JournalEntry, PublishedEntry]

NEW, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED = "NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"
OPEN = (NEW, PARTIALLY_FILLED)


class State(NamedTuple):
    """An order after one of its events."""

    status: str
    executed_lots: int
    executed_quote: int


class Fill(NamedTuple):
    """One side of a trade."""

    market: int
    trade_id: int
    order_id: int
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    fee: int
    is_buyer: bool
    is_maker: bool


class Report(NamedTuple):
    """What the owner of an order must get for one event."""

    execution: str
    order_id: int
    state: State
    fill: Fill | None

    @property
    def name(self) -> tuple[str, int, int]:
        """What no other report of the venue has."""
        return self.execution, self.order_id, -1 if self.fill is None else self.fill.trade_id


@dataclass
class Order:
    """The life of one order."""

    accepted: OrderEvent
    states: list[State] = field(default_factory=list)
    states_of_placing: int = 0
    """How many of the states belong to the command that placed it: the last of them is what the reply says."""
    fills: list[Fill] = field(default_factory=list)
    closings: int = 0
    """How many ORDER_CLOSED events there are; never more than one."""

    @property
    def state(self) -> State:
        return self.states[-1]

    @property
    def placed(self) -> State:
        return self.states[self.states_of_placing - 1]

    @property
    def client_id(self) -> str:
        return text_of(self.accepted.client_id)


class History:
    """All events of a venue, added up. `faults` is what contradicts itself in them."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.listing = Listing()
        self.orders: dict[int, Order] = {}
        self.fills: dict[tuple[int, int, int], Fill] = {}
        """By market, trade id and order id."""
        self.trades: dict[int, int] = defaultdict(int)
        """Last trade id by market."""
        self.reports: dict[int, list[Report]] = defaultdict(list)
        """By account."""
        self.accepted: dict[tuple[int, str], list[int]] = defaultdict(list)
        """Order ids by account and client id."""
        self.executed: Counter[tuple[int, str]] = Counter()
        """How often the journal has a placing of this account and client id in a batch that was executed."""
        self.available: dict[tuple[int, int], int] = defaultdict(int)
        self.held: dict[tuple[int, int], int] = defaultdict(int)
        """By account and asset, in smallest units."""
        self.faults: list[str] = []
        self._batches: set[tuple[int, int, int]] = set()
        self._last_order_id = 0
        self.last: EntryId | None = None
        for entry, published in pairs:
            self._take(entry, EventEntry(published.data))

    def open_orders(self, account: int) -> set[int]:
        """The orders of the account that are still open."""
        return {
            id for id, order in self.orders.items() if order.accepted.account == account and order.state.status in OPEN
        }

    # -- numbers as the wire shows them

    def price(self, market: int, ticks: int) -> Decimal:
        return Decimal(ticks * self._market(market).definition.tick_e8).scaleb(-8)

    def quantity(self, market: int, lots: int) -> Decimal:
        listed = self._market(market)
        return Decimal(lots * listed.definition.lot_units).scaleb(-listed.base.scale)

    def amount(self, asset: int, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.listing.assets[asset].scale)

    def quote(self, market: int, units: int) -> Decimal:
        return self.amount(self._market(market).quote.number, units)

    def fee(self, fill: Fill) -> tuple[Decimal, str]:
        """A fill's fee and its asset: the one that this side receives."""
        listed = self._market(fill.market)
        asset = listed.base if fill.is_buyer else listed.quote
        return self.amount(asset.number, fill.fee), asset.name

    def symbol(self, market: int) -> str:
        return self._market(market).symbol

    def _market(self, number: int) -> Market:
        return self.listing.markets[number]

    # -- adding up

    def _take(self, entry: JournalEntry, answer: EventEntry) -> None:
        self.last = entry.id
        if answer.header.disposition != Disposition.EXECUTED:
            if len(answer):
                self.faults.append(f"entry {entry.id} was not executed and has events")
            return
        header, commands, _ = parse_batch(entry.batch)
        batch = (header.producer, header.incarnation, header.number)
        if batch in self._batches:
            self.faults.append(f"batch {batch} was executed twice, the second time as {entry.id}")
        self._batches.add(batch)
        for command in commands:
            if command.kind == CommandKind.ORDER_PLACE:
                self.executed[command.account, text_of(command.client_id)] += 1
        for event in answer:
            self._take_event(answer, event)

    def _take_event(self, answer: EventEntry, event: Event) -> None:
        if isinstance(event, TradeEvent):
            self._trade(event)
        elif not isinstance(event, OrderEvent):
            self.faults.append(f"an event of kind {event.kind}, which nothing here knows")
        elif event.kind == EventKind.ORDER_ACCEPTED:
            self._accept(event)
        elif event.kind == EventKind.ORDER_CLOSED:
            self._close(event)
        elif event.kind == EventKind.DEPOSITED:
            self.available[event.account, event.asset] += event.amount
        elif event.kind == EventKind.WITHDRAWN:
            self.available[event.account, event.asset] -= event.amount
        else:
            self.listing.apply(answer, event)

    def _accept(self, event: OrderEvent) -> None:
        if event.order_id != self._last_order_id + 1:
            self.faults.append(f"order {event.order_id} comes after order {self._last_order_id}")
        self._last_order_id = event.order_id
        order = self.orders[event.order_id] = Order(event)
        self.accepted[event.account, order.client_id].append(event.order_id)
        self._hold(event, event.hold_change)
        self._report(event.order_id, NEW, State(NEW, 0, 0), None, is_placing=True)

    def _close(self, event: OrderEvent) -> None:
        order = self.orders[event.order_id]
        order.closings += 1
        if order.state.status not in OPEN:
            self.faults.append(f"order {event.order_id} was closed when it was {order.state.status} already")
        if event.quantity_lots and order.state.executed_lots + event.remaining_lots != event.quantity_lots:
            self.faults.append(f"order {event.order_id}: filled and left are not what was asked for")
        status = CANCELED if event.reason in (Reason.CANCELLED_BY_OWNER, Reason.CANCELLED_BY_FREEZE) else EXPIRED
        self._hold(event, event.hold_change)
        state = State(status, event.cumulative_lots, event.cumulative_quote)
        self._report(event.order_id, status, state, None, is_placing=event.command == CommandKind.ORDER_PLACE)

    def _trade(self, event: TradeEvent) -> None:
        if event.trade_id != self.trades[event.market] + 1:
            self.faults.append(
                f"trade {event.trade_id} of market {event.market} comes after trade {self.trades[event.market]}"
            )
        self.trades[event.market] = event.trade_id
        buys = event.side == Side.BUY
        terms = (event.price_ticks, event.quantity_lots, event.quote_amount)
        maker = Fill(event.market, event.trade_id, event.maker_order_id, *terms, event.maker_fee, not buys, True)
        taker = Fill(event.market, event.trade_id, event.order_id, *terms, event.fee, buys, False)
        self._pay(event.maker_account, event, maker, event.maker_hold_change)
        self._pay(event.account, event, taker, event.hold_change)
        cumulative = (event.maker_cumulative_lots, event.maker_cumulative_quote)
        self._fill(maker, event.flags & EventFlag.MAKER_FILLED, *cumulative, is_placing=False)
        cumulative = (event.cumulative_lots, event.cumulative_quote)
        self._fill(taker, event.flags & EventFlag.TAKER_FILLED, *cumulative, is_placing=True)

    def _fill(self, fill: Fill, is_filled: int, lots: int, quote: int, *, is_placing: bool) -> None:
        order = self.orders[fill.order_id]
        if order.state.status not in OPEN:
            self.faults.append(f"order {fill.order_id} was filled when it was {order.state.status} already")
        order.fills.append(fill)
        self.fills[fill.market, fill.trade_id, fill.order_id] = fill
        sums = (sum(each.quantity_lots for each in order.fills), sum(each.quote_amount for each in order.fills))
        if sums != (lots, quote):
            self.faults.append(f"order {fill.order_id}: its fills are {sums} together, its trade says {(lots, quote)}")
        state = State(FILLED if is_filled else PARTIALLY_FILLED, lots, quote)
        self._report(fill.order_id, "TRADE", state, fill, is_placing=is_placing)

    def _report(self, order_id: int, execution: str, state: State, fill: Fill | None, *, is_placing: bool) -> None:
        order = self.orders[order_id]
        order.states.append(state)
        if is_placing:
            order.states_of_placing = len(order.states)
        self.reports[order.accepted.account].append(Report(execution, order_id, state, fill))

    def _hold(self, event: OrderEvent, change: int) -> None:
        asset = event.quote_asset if event.side == Side.BUY else event.base_asset
        self.available[event.account, asset] -= change
        self.held[event.account, asset] += change

    def _pay(self, account: int, event: TradeEvent, fill: Fill, hold_change: int) -> None:
        """Moves the money of one side; what leaves the hold beyond the price is available again."""
        base, quote = (event.base_asset, event.base_amount), (event.quote_asset, event.quote_amount)
        (paid_asset, paid), (received_asset, received) = (quote, base) if fill.is_buyer else (base, quote)
        self.held[account, paid_asset] += hold_change
        self.available[account, paid_asset] -= hold_change + paid
        self.available[account, received_asset] += received - fill.fee
        self.available[HOUSE_ACCOUNT, received_asset] += fill.fee


def text_of(client_id: bytes) -> str:
    """A client id of a record as text."""
    return client_id.rstrip(b"\0").decode("ascii")


SIDES = {Side.BUY: "BUY", Side.SELL: "SELL"}
TYPES = {order_type: order_type.name for order_type in OrderType}
TIMES_IN_FORCE = {time: time.name for time in TimeInForce} | {TimeInForce.NONE: ""}
