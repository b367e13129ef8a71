"""The reference engine: the exchange state machine in plain Python. It is the specification of the compiled core.

Everything that the venue decides is decided here: which orders are accepted, what they hold, who trades with whom at
what price, what it costs. `Core.execute` takes one journal entry and returns one event entry; the events are a pure
function of the journal (promise P2), and `engine/core/core.pyx` gives the same bytes and the same state hash. Whatever
changes here changes there in the same commit.

The rules, in short:

- Price-time priority at the maker's price. A level is a dict from order id to order, which keeps the queue in order.
- A LIMIT buy holds price × quantity of the quote asset, a sell holds its quantity of the base asset. What a better fill
  leaves of a buyer's hold is released at once.
- A MARKET order holds nothing. By quantity, a buy is refused unless the exact cost of walking the book is available; by
  quote amount, unless that amount is. What cannot be filled expires.
- A fee is taken from what is received, per fill: min(received, rounded up), whole parts per million.
- No balance is ever negative, and for each asset the sum over all accounts is what came in minus what went out.

There is no clock, no I/O, no randomness and no float in this module.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from sortedcontainers import SortedDict

from engine.definitions import (
    RULES_VERSION,
    Refused,
    read_account,
    read_asset,
    read_epoch_start,
    read_fees,
    read_key,
    read_market,
    read_parts,
    refuse_unless,
)
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    CLIENT_ID_BYTES,
    EVENT,
    EVENT_HEADER,
    HOUSE_ACCOUNT,
    KEYS_PER_ACCOUNT_MAX,
    MARKET_DEFINITION,
    NO_CLIENT_ID,
    STATE_REPORT,
    BatchHeader,
    Command,
    CommandKind,
    Disposition,
    EngineStop,
    Event,
    EventHeader,
    EventKind,
    MalformedRecord,
    MarketDefinition,
    MarketState,
    OrderType,
    SelfTradeMode,
    Side,
    StateReport,
    TimeInForce,
    TradeFlag,
    pack_parts,
    parse_batch,
)

PPM = 1_000_000

# -- state ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Balance:
    """What an account has of one asset, in smallest units; neither part is ever negative."""

    available: int = 0
    held: int = 0


@dataclass(slots=True)
class Key:
    key_type: int
    permissions: int
    public_key: bytes


@dataclass(slots=True)
class Order:
    """An order that works or rests. A MARKET order by quote amount has no quantity: `left_lots` stays 0."""

    id: int
    account: int
    market: Market
    side: int
    order_type: int
    time_in_force: int
    self_trade_mode: int
    client_id: bytes
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    left_lots: int
    cumulative_lots: int = 0
    cumulative_quote: int = 0

    @property
    def holds(self) -> bool:
        return self.order_type != OrderType.MARKET

    def hold(self, lots: int) -> int:
        """What is held for `lots` of this order: quote units for a buy, base units for a sell."""
        if not self.holds:
            return 0
        if self.side == Side.BUY:
            return self.market.value(self.price_ticks, lots)
        return lots * self.market.definition.lot_units


@dataclass(slots=True)
class Account:
    name: bytes
    frozen: bool = False
    balances: dict[int, Balance] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    """Open orders by id."""
    order_by_client_id: dict[bytes, Order] = field(default_factory=dict)
    open_orders: dict[int, int] = field(default_factory=dict)
    """Number of open orders by market."""
    fees: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Own (maker, taker) fees by market; 0 stands for all markets without an entry of their own."""
    keys: dict[bytes, Key] = field(default_factory=dict)

    def balance(self, asset: int) -> Balance:
        return self.balances.setdefault(asset, Balance())

    def orders_by_market(self) -> list[Order]:
        """The open orders in the order in which they are cancelled together: by market number, then by id."""
        return sorted(self.orders.values(), key=lambda order: (order.market.number, order.id))


Level = dict[int, Order]


class Market:
    """One market: its definition and its book. Best price first on both sides: bids are keyed by the negative price."""

    def __init__(self, number: int, symbol: bytes, definition: MarketDefinition, notional_unit: int) -> None:
        self.number = number
        self.symbol = symbol
        self.definition = definition
        self.notional_unit = notional_unit
        self.maker_fee_ppm = definition.maker_fee_ppm
        self.taker_fee_ppm = definition.taker_fee_ppm
        self.state = MarketState.TRADING
        self.trades = 0
        self.bids: SortedDict[int, Level] = SortedDict()
        self.asks: SortedDict[int, Level] = SortedDict()

    def value(self, price_ticks: int, lots: int) -> int:
        """Price × quantity in smallest units of the quote asset."""
        return price_ticks * lots * self.notional_unit

    def levels(self, side: int) -> SortedDict[int, Level]:
        return self.bids if side == Side.BUY else self.asks

    def opposite(self, side: int) -> SortedDict[int, Level]:
        return self.asks if side == Side.BUY else self.bids

    def best(self, side: int) -> int | None:
        """Best price of a side in ticks; None where it is empty."""
        levels = self.levels(side)
        return abs(levels.peekitem(0)[0]) if levels else None

    def crosses(self, side: int, price_ticks: int, limit_ticks: int | None) -> bool:
        """Whether an order of `side` with that limit (None: no limit) takes at `price_ticks`."""
        if limit_ticks is None:
            return True
        return price_ticks <= limit_ticks if side == Side.BUY else price_ticks >= limit_ticks

    def makers(self, side: int, limit_ticks: int | None) -> Iterator[Order]:
        """The resting orders that an order of `side` may take, in the order in which it takes them."""
        for level in self.opposite(side).values():
            for maker in level.values():
                if not self.crosses(side, maker.price_ticks, limit_ticks):
                    return
                yield maker

    def add(self, order: Order) -> None:
        key = -order.price_ticks if order.side == Side.BUY else order.price_ticks
        self.levels(order.side).setdefault(key, {})[order.id] = order

    def remove(self, order: Order) -> None:
        key = -order.price_ticks if order.side == Side.BUY else order.price_ticks
        levels = self.levels(order.side)
        level = levels[key]
        del level[order.id]
        if not level:
            del levels[key]


@dataclass(slots=True)
class Asset:
    name: bytes
    scale: int
    issued: int = 0
    """Deposits minus withdrawals: what all accounts together have."""


# -- the state machine ----------------------------------------------------------------------------------------------


class Core:
    """The exchange as a function from journal entries to event entries.

    >>> from engine.records import BatchBuilder, EventEntry
    >>> core, builder = Core(), BatchBuilder()
    >>> _ = builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"operator", b"first client")
    >>> [event] = EventEntry(core.execute(1_000_000, builder.build(producer=1, incarnation=1, number=1)))
    >>> EventKind(event.kind).name, event.account
    ('ACCOUNT_ADDED', 1)
    """

    def __init__(self) -> None:
        self.time_us = 0
        self.rules_version = RULES_VERSION
        self.venue_state: int = MarketState.TRADING
        self.last_order_id = 0
        self.assets: dict[int, Asset] = {}
        self.asset_names: set[bytes] = set()
        self.markets: dict[int, Market] = {}
        self.symbols: set[bytes] = set()
        self.accounts: dict[int, Account] = {HOUSE_ACCOUNT: Account(b"house")}
        self.account_names: set[bytes] = {b"house"}
        self.orders: dict[int, Order] = {}
        self.key_owners: dict[bytes, int] = {}
        self.windows: dict[int, tuple[int, int]] = {}
        """gateway -> (boot, number) of the last batch that was executed."""
        self._events: list[Event] = []
        self._blobs = bytearray()
        self._handlers: dict[int, Callable[[Command, bytes], None]] = {
            CommandKind.EPOCH_START: self._epoch_start,
            CommandKind.TIME_TICK: self._time_tick,
            CommandKind.ASSET_ADD: self._asset_add,
            CommandKind.MARKET_ADD: self._market_add,
            CommandKind.FEES_SET: self._fees_set,
            CommandKind.MARKET_STATE_SET: self._market_state_set,
            CommandKind.ACCOUNT_ADD: self._account_add,
            CommandKind.ACCOUNT_FREEZE: self._account_freeze,
            CommandKind.ACCOUNT_UNFREEZE: self._account_unfreeze,
            CommandKind.KEY_ADD: self._key_add,
            CommandKind.KEY_REVOKE: self._key_revoke,
            CommandKind.DEPOSIT: self._deposit,
            CommandKind.WITHDRAW: self._withdraw,
            CommandKind.ORDER_PLACE: self._order_place,
            CommandKind.ORDER_CANCEL: self._order_cancel,
            CommandKind.ORDER_CANCEL_ALL: self._order_cancel_all,
            CommandKind.STATE_REPORT: self._state_report,
        }

    def execute(self, time_us: int, batch: bytes) -> bytes:
        """Carries out one journal entry and returns its event entry.

        Args:
            time_us: the store's stamp of the entry, microseconds since 1970 UTC. Time never runs backwards.
            batch: the entry's batch. Bytes that are no batch give an entry without events and change nothing else.

        Raises:
            EngineStop: a batch number is missing, or the journal asks for rules that this version does not know.
        """
        self.time_us = max(self.time_us, time_us)
        self._events, self._blobs = [], bytearray()
        try:
            header, commands, blobs = parse_batch(batch)
        except MalformedRecord:
            return self._entry(BatchHeader(), Disposition.MALFORMED)
        disposition = self._admit(header)
        if disposition == Disposition.EXECUTED:
            for index, command in enumerate(commands):
                self._carry_out(index, command, blobs)
        return self._entry(header, disposition)

    def _admit(self, header: BatchHeader) -> Disposition:
        """Decides whether a batch is new (promise P8), and remembers it if so."""
        boot, number = self.windows.get(header.producer, (0, 0))
        if header.incarnation < boot:
            return Disposition.STALE
        if header.incarnation == boot and header.number <= number:
            return Disposition.DUPLICATE
        expected = number + 1 if header.incarnation == boot else 1
        if header.number != expected:
            raise EngineStop(
                f"gateway {header.producer} boot {header.incarnation} sent batch {header.number} instead of {expected}"
            )
        self.windows[header.producer] = (header.incarnation, header.number)
        return Disposition.EXECUTED

    def _entry(self, header: BatchHeader, disposition: Disposition) -> bytes:
        event_header = EventHeader(
            disposition=disposition,
            event_count=len(self._events),
            gateway=header.producer,
            boot=header.incarnation,
            number=header.number,
            time_us=self.time_us,
            blob_length=len(self._blobs),
        )
        return b"".join((EVENT_HEADER.pack(event_header), *map(EVENT.pack, self._events), bytes(self._blobs)))

    def _carry_out(self, index: int, command: Command, blobs: bytes) -> None:
        """Executes one command; what it emits is marked with its index. A refusal is one REJECTED event."""
        first = len(self._events)
        try:
            handler = self._handlers.get(command.kind)
            if handler is None:
                raise Refused(Reason.UNKNOWN_COMMAND)
            refuse_unless(command.blob_offset + command.blob_length <= len(blobs), Reason.MALFORMED_COMMAND)
            handler(command, blobs[command.blob_offset : command.blob_offset + command.blob_length])
        except Refused as refusal:
            assert len(self._events) == first, "a refused command has no effect"
            self._emit(
                kind=EventKind.REJECTED,
                reason=refusal.reason,
                side=command.side,
                order_type=command.order_type,
                time_in_force=command.time_in_force,
                self_trade_mode=command.self_trade_mode,
                market=command.market,
                account=command.account,
                asset=command.asset,
                order_id=command.order_id,
                price_ticks=command.price_ticks,
                quantity_lots=command.quantity_lots,
                amount=command.amount,
                client_id=command.client_id,
            )
        for position in range(first, len(self._events)):
            self._events[position] = self._events[position]._replace(command_index=index, command=command.kind)

    def _emit(self, *, blob: bytes = b"", **fields: int | bytes) -> None:
        if blob:
            fields.update(blob_offset=len(self._blobs), blob_length=len(blob))
            self._blobs += blob
        self._events.append(Event(**fields))  # type: ignore[arg-type]

    # -- the venue --------------------------------------------------------------------------------------------------

    def _epoch_start(self, command: Command, blob: bytes) -> None:
        self.rules_version = read_epoch_start(blob).rules_version
        self._emit(kind=EventKind.EPOCH_STARTED, blob=blob)

    def _time_tick(self, command: Command, blob: bytes) -> None:
        """The stamp of its entry has done all the work: a surplus tick does nothing."""

    def _asset_add(self, command: Command, blob: bytes) -> None:
        scale, name = read_asset(blob)
        refuse_unless(name not in self.asset_names, Reason.ASSET_EXISTS)
        number = len(self.assets) + 1
        refuse_unless(number < 1 << 16, Reason.TOO_MANY_DEFINITIONS)
        self.assets[number] = Asset(name, scale)
        self.asset_names.add(name)
        self._emit(kind=EventKind.ASSET_ADDED, asset=number, blob=blob)

    def _market_add(self, command: Command, blob: bytes) -> None:
        scales = {number: asset.scale for number, asset in self.assets.items()}
        definition, symbol, unit = read_market(blob, scales)
        refuse_unless(symbol not in self.symbols, Reason.MARKET_EXISTS)
        number = len(self.markets) + 1
        refuse_unless(number < 1 << 16, Reason.TOO_MANY_DEFINITIONS)
        self.markets[number] = Market(number, symbol, definition, unit)
        self.symbols.add(symbol)
        self._emit(
            kind=EventKind.MARKET_ADDED,
            market=number,
            base_asset=definition.base_asset,
            quote_asset=definition.quote_asset,
            blob=blob,
        )

    def _fees_set(self, command: Command, blob: bytes) -> None:
        fees = read_fees(blob)
        for_all_markets = command.account != HOUSE_ACCOUNT and command.market == 0
        refuse_unless(for_all_markets or command.market in self.markets, Reason.UNKNOWN_MARKET)
        if command.account == HOUSE_ACCOUNT:
            market = self.markets[command.market]
            market.maker_fee_ppm, market.taker_fee_ppm = fees
        else:
            self._client(command.account).fees[command.market] = (fees.maker_fee_ppm, fees.taker_fee_ppm)
        self._emit(kind=EventKind.FEES_CHANGED, account=command.account, market=command.market, blob=blob)

    def _market_state_set(self, command: Command, blob: bytes) -> None:
        read_parts(blob, 2)
        refuse_unless(command.state in (MarketState.TRADING, MarketState.HALTED), Reason.INVALID_STATE)
        refuse_unless(command.market == 0 or command.market in self.markets, Reason.UNKNOWN_MARKET)
        if command.market == 0:
            self.venue_state = MarketState(command.state)
        else:
            self.markets[command.market].state = MarketState(command.state)
        self._emit(kind=EventKind.MARKET_STATE_CHANGED, market=command.market, state=command.state, blob=blob)

    # -- accounts, keys, money --------------------------------------------------------------------------------------

    def _client(self, number: int) -> Account:
        refuse_unless(number != HOUSE_ACCOUNT and number in self.accounts, Reason.UNKNOWN_ACCOUNT)
        return self.accounts[number]

    def _account_add(self, command: Command, blob: bytes) -> None:
        name = read_account(blob)
        refuse_unless(name not in self.account_names, Reason.ACCOUNT_EXISTS)
        number = len(self.accounts)
        self.accounts[number] = Account(name)
        self.account_names.add(name)
        self._emit(kind=EventKind.ACCOUNT_ADDED, account=number, blob=blob)

    def _account_freeze(self, command: Command, blob: bytes) -> None:
        read_parts(blob, 2)
        account = self._client(command.account)
        refuse_unless(not account.frozen, Reason.ACCOUNT_FROZEN)
        account.frozen = True
        self._emit(kind=EventKind.ACCOUNT_FROZEN, account=command.account, blob=blob)
        for order in account.orders_by_market():
            self._close(order, Reason.CANCELLED_BY_FREEZE)

    def _account_unfreeze(self, command: Command, blob: bytes) -> None:
        read_parts(blob, 2)
        account = self._client(command.account)
        refuse_unless(account.frozen, Reason.ACCOUNT_NOT_FROZEN)
        account.frozen = False
        self._emit(kind=EventKind.ACCOUNT_UNFROZEN, account=command.account, blob=blob)

    def _key_add(self, command: Command, blob: bytes) -> None:
        definition, key_id, public_key = read_key(blob)
        account = self._client(command.account)
        refuse_unless(key_id not in self.key_owners, Reason.KEY_EXISTS)
        refuse_unless(len(account.keys) < KEYS_PER_ACCOUNT_MAX, Reason.TOO_MANY_KEYS)
        account.keys[key_id] = Key(definition.key_type, definition.permissions, public_key)
        self.key_owners[key_id] = command.account
        self._emit(kind=EventKind.KEY_ADDED, account=command.account, blob=blob)

    def _key_revoke(self, command: Command, blob: bytes) -> None:
        key_id, _, _ = read_parts(blob, 3)
        account = self._client(command.account)
        refuse_unless(key_id in account.keys, Reason.UNKNOWN_KEY)
        del account.keys[key_id]
        del self.key_owners[key_id]
        self._emit(kind=EventKind.KEY_REVOKED, account=command.account, blob=blob)

    def _deposit(self, command: Command, blob: bytes) -> None:
        read_parts(blob, 2)
        account = self._client(command.account)
        refuse_unless(command.asset in self.assets, Reason.UNKNOWN_ASSET)
        asset = self.assets[command.asset]
        refuse_unless(command.amount > 0 and asset.issued + command.amount <= AMOUNT_MAX, Reason.INVALID_AMOUNT)
        asset.issued += command.amount
        account.balance(command.asset).available += command.amount
        self._emit(
            kind=EventKind.DEPOSITED, account=command.account, asset=command.asset, amount=command.amount, blob=blob
        )

    def _withdraw(self, command: Command, blob: bytes) -> None:
        read_parts(blob, 2)
        account = self._client(command.account)
        refuse_unless(not account.frozen, Reason.ACCOUNT_FROZEN)
        refuse_unless(command.asset in self.assets, Reason.UNKNOWN_ASSET)
        refuse_unless(command.amount > 0, Reason.INVALID_AMOUNT)
        balance = account.balance(command.asset)
        refuse_unless(balance.available >= command.amount, Reason.INSUFFICIENT_FUNDS)
        balance.available -= command.amount
        self.assets[command.asset].issued -= command.amount
        self._emit(
            kind=EventKind.WITHDRAWN, account=command.account, asset=command.asset, amount=command.amount, blob=blob
        )

    # -- orders -----------------------------------------------------------------------------------------------------

    def _order_place(self, command: Command, blob: bytes) -> None:
        """Checks in the order of the reasons' numbers within each step, then accepts, matches, and rests or ends."""
        self._check_record(command)
        market, account = self._check_open_for(command)
        self._check_terms(command)
        if command.order_type == OrderType.MARKET:
            self._check_market_order(command, market)
        else:
            self._check_limit_order(command, market)
        refuse_unless(command.client_id not in account.order_by_client_id, Reason.DUPLICATE_CLIENT_ID)
        limit = None if command.order_type == OrderType.MARKET else command.price_ticks
        may_rest = command.order_type == OrderType.LIMIT_MAKER or command.time_in_force == TimeInForce.GTC
        if may_rest:
            below_maximum = account.open_orders.get(market.number, 0) < market.definition.open_orders_max
            refuse_unless(below_maximum, Reason.TOO_MANY_OPEN_ORDERS)
        if command.order_type == OrderType.LIMIT_MAKER:
            refuse_unless(next(market.makers(command.side, limit), None) is None, Reason.WOULD_TAKE)
        asset = market.definition.quote_asset if command.side == Side.BUY else market.definition.base_asset
        balance = account.balance(asset)
        refuse_unless(balance.available >= self._funds_needed(command, market), Reason.INSUFFICIENT_FUNDS)

        order = self._accept(command, market, balance)
        if command.time_in_force == TimeInForce.FOK and not self._fills_whole(order):
            self._close(order, Reason.FILL_OR_KILL_EXPIRED)
            return
        done = self._match(order, limit)
        if done:
            self._events[-1] = self._events[-1]._replace(flags=self._events[-1].flags | TradeFlag.TAKER_FILLED)
        elif may_rest:
            self._rest(order, account)
        elif command.order_type == OrderType.MARKET:
            self._close(order, Reason.MARKET_REST_EXPIRED)
        else:
            self._close(order, Reason.IMMEDIATE_REST_EXPIRED)

    def _check_record(self, command: Command) -> None:
        unused = (
            command.flags,
            command.asset,
            command.order_id,
            command.trigger_ticks,
            command.display_lots,
            command.expiry_us,
            command.group,
            command.blob_length,
            command.state,
        )
        refuse_unless(not any(unused), Reason.MALFORMED_COMMAND)
        # Zero bytes only pad: the same text must not have two forms.
        padded = command.client_id.rstrip(b"\0").ljust(CLIENT_ID_BYTES, b"\0")
        refuse_unless(padded == command.client_id and b"\0" not in padded.rstrip(b"\0"), Reason.INVALID_CLIENT_ID)

    def _check_open_for(self, command: Command) -> tuple[Market, Account]:
        refuse_unless(command.market in self.markets, Reason.UNKNOWN_MARKET)
        market, account = self.markets[command.market], self._client(command.account)
        refuse_unless(not account.frozen, Reason.ACCOUNT_FROZEN)
        refuse_unless(self.venue_state == MarketState.TRADING, Reason.VENUE_HALTED)
        refuse_unless(market.state == MarketState.TRADING, Reason.MARKET_HALTED)
        return market, account

    def _check_terms(self, command: Command) -> None:
        refuse_unless(command.side in (Side.BUY, Side.SELL), Reason.INVALID_SIDE)
        times_in_force = {
            OrderType.LIMIT: (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK),
            OrderType.MARKET: (TimeInForce.NONE,),
            OrderType.LIMIT_MAKER: (TimeInForce.NONE,),
        }
        refuse_unless(command.order_type in list(OrderType), Reason.INVALID_ORDER_TYPE)
        valid_time = command.time_in_force in times_in_force[OrderType(command.order_type)]
        refuse_unless(valid_time, Reason.INVALID_TIME_IN_FORCE)
        refuse_unless(command.self_trade_mode == SelfTradeMode.NONE, Reason.INVALID_SELF_TRADE_MODE)

    def _check_limit_order(self, command: Command, market: Market) -> None:
        limits = market.definition
        refuse_unless(command.amount == 0, Reason.INVALID_QUOTE_AMOUNT)
        in_range = limits.price_min_ticks <= command.price_ticks <= limits.price_max_ticks
        refuse_unless(in_range, Reason.INVALID_PRICE)
        self._check_quantity(command, limits)
        self._check_value(market.value(command.price_ticks, command.quantity_lots), limits)

    def _check_market_order(self, command: Command, market: Market) -> None:
        limits = market.definition
        refuse_unless(command.price_ticks == 0, Reason.INVALID_PRICE)
        if command.amount != 0:
            refuse_unless(command.amount > 0 and command.quantity_lots == 0, Reason.INVALID_QUOTE_AMOUNT)
            self._check_value(command.amount, limits)
            return
        self._check_quantity(command, limits)
        # The value of an order without a price is taken at the best price it meets; in an empty book it has none.
        best = market.best(Side.SELL if command.side == Side.BUY else Side.BUY)
        if best is not None:
            self._check_value(market.value(best, command.quantity_lots), limits)

    def _check_quantity(self, command: Command, limits: MarketDefinition) -> None:
        in_range = limits.quantity_min_lots <= command.quantity_lots <= limits.quantity_max_lots
        refuse_unless(in_range, Reason.INVALID_QUANTITY)

    def _check_value(self, value: int, limits: MarketDefinition) -> None:
        refuse_unless(value >= limits.notional_min, Reason.NOTIONAL_TOO_SMALL)
        refuse_unless(value <= limits.notional_max, Reason.NOTIONAL_TOO_LARGE)

    def _funds_needed(self, command: Command, market: Market) -> int:
        """What must be available: exactly what is then held, or for a MARKET order what its fills can cost."""
        if command.order_type != OrderType.MARKET:
            if command.side == Side.BUY:
                return market.value(command.price_ticks, command.quantity_lots)
            return command.quantity_lots * market.definition.lot_units
        if command.side == Side.BUY:
            return command.amount or self._cost_of(market, command.quantity_lots)
        lots = command.quantity_lots or self._lots_sold_for(market, command.amount)
        return lots * market.definition.lot_units

    def _cost_of(self, market: Market, lots: int) -> int:
        """What buying up to `lots` at the market costs now."""
        cost = 0
        for maker in market.makers(Side.BUY, None):
            filled = min(lots, maker.left_lots)
            cost += market.value(maker.price_ticks, filled)
            lots -= filled
            if lots == 0:
                break
        return cost

    def _lots_sold_for(self, market: Market, quote_amount: int) -> int:
        """How many lots a sell at the market for up to `quote_amount` gives away now."""
        sold = 0
        for maker in market.makers(Side.SELL, None):
            filled = min(maker.left_lots, quote_amount // market.value(maker.price_ticks, 1))
            sold += filled
            quote_amount -= market.value(maker.price_ticks, filled)
            if filled < maker.left_lots:
                break
        return sold

    def _fills_whole(self, order: Order) -> bool:
        """Whether a FOK order can be filled entirely at once."""
        left = order.left_lots
        for maker in order.market.makers(order.side, order.price_ticks):
            left -= min(left, maker.left_lots)
            if left == 0:
                return True
        return False

    def _accept(self, command: Command, market: Market, balance: Balance) -> Order:
        """Gives the order its id and holds its funds."""
        self.last_order_id += 1
        order = Order(
            id=self.last_order_id,
            account=command.account,
            market=market,
            side=command.side,
            order_type=command.order_type,
            time_in_force=command.time_in_force,
            self_trade_mode=command.self_trade_mode,
            client_id=command.client_id,
            price_ticks=command.price_ticks,
            quantity_lots=command.quantity_lots,
            quote_amount=command.amount,
            left_lots=command.quantity_lots,
        )
        hold = order.hold(order.left_lots)
        balance.available -= hold
        balance.held += hold
        self._emit_order(EventKind.ORDER_ACCEPTED, order, hold_change=hold)
        return order

    def _match(self, taker: Order, limit_ticks: int | None) -> bool:
        """Fills `taker` against the book as far as it goes; True where nothing is left for it to do."""
        market, budget = taker.market, taker.quote_amount
        while (maker := next(market.makers(taker.side, limit_ticks), None)) is not None:
            if taker.quote_amount:
                lots = min(maker.left_lots, budget // market.value(maker.price_ticks, 1))
                if lots == 0:
                    # What is left of the amount does not buy one lot: done, if it bought anything at all.
                    return taker.cumulative_lots > 0
                budget -= market.value(maker.price_ticks, lots)
            else:
                lots = min(maker.left_lots, taker.left_lots)
                taker.left_lots -= lots
            self._trade(taker, maker, lots)
            if not taker.quote_amount and taker.left_lots == 0:
                return True
        return taker.quote_amount > 0 and budget == 0

    def _trade(self, taker: Order, maker: Order, lots: int) -> None:
        """One fill at the maker's price: quantities, money, fees, event."""
        market = taker.market
        definition = market.definition
        value = market.value(maker.price_ticks, lots)
        base = lots * definition.lot_units
        maker.left_lots -= lots
        for order in (taker, maker):
            order.cumulative_lots += lots
            order.cumulative_quote += value
        fee = self._settle_side(taker, base, value, taker.hold(lots), self._fees(taker)[1])
        maker_fee = self._settle_side(maker, base, value, maker.hold(lots), self._fees(maker)[0])
        maker_filled = maker.left_lots == 0
        if maker_filled:
            self._forget(maker)
        market.trades += 1
        self._emit(
            kind=EventKind.TRADE,
            side=taker.side,
            order_type=taker.order_type,
            time_in_force=taker.time_in_force,
            self_trade_mode=taker.self_trade_mode,
            flags=TradeFlag.MAKER_FILLED if maker_filled else 0,
            market=market.number,
            account=taker.account,
            maker_account=maker.account,
            base_asset=definition.base_asset,
            quote_asset=definition.quote_asset,
            order_id=taker.id,
            maker_order_id=maker.id,
            trade_id=market.trades,
            price_ticks=maker.price_ticks,
            quantity_lots=lots,
            base_amount=base,
            quote_amount=value,
            cumulative_lots=taker.cumulative_lots,
            cumulative_quote=taker.cumulative_quote,
            left_lots=taker.left_lots,
            maker_cumulative_lots=maker.cumulative_lots,
            maker_cumulative_quote=maker.cumulative_quote,
            maker_left_lots=maker.left_lots,
            hold_change=-taker.hold(lots),
            maker_hold_change=-maker.hold(lots),
            fee=fee,
            maker_fee=maker_fee,
            client_id=taker.client_id,
            maker_client_id=maker.client_id,
        )

    def _settle_side(self, order: Order, base: int, value: int, released: int, fee_ppm: int) -> int:
        """Moves one side's money for one fill and returns its fee, taken from what it receives."""
        definition = order.market.definition
        account, house = self.accounts[order.account], self.accounts[HOUSE_ACCOUNT]
        if order.side == Side.BUY:
            paid_asset, paid, received_asset, received = definition.quote_asset, value, definition.base_asset, base
        else:
            paid_asset, paid, received_asset, received = definition.base_asset, base, definition.quote_asset, value
        payer = account.balance(paid_asset)
        payer.held -= released
        payer.available += released - paid
        fee = min(received, -(-received * fee_ppm // PPM))
        account.balance(received_asset).available += received - fee
        house.balance(received_asset).available += fee
        return fee

    def _fees(self, order: Order) -> tuple[int, int]:
        """(maker, taker) fees of an order: the account's own for the market, for all markets, or the market's."""
        own, market = self.accounts[order.account].fees, order.market
        return own.get(market.number) or own.get(0) or (market.maker_fee_ppm, market.taker_fee_ppm)

    def _rest(self, order: Order, account: Account) -> None:
        order.market.add(order)
        self.orders[order.id] = account.orders[order.id] = order
        if order.client_id != NO_CLIENT_ID:
            account.order_by_client_id[order.client_id] = order
        account.open_orders[order.market.number] = account.open_orders.get(order.market.number, 0) + 1

    def _forget(self, order: Order) -> None:
        """Takes a resting order out of the book and out of every index."""
        account = self.accounts[order.account]
        order.market.remove(order)
        del self.orders[order.id]
        del account.orders[order.id]
        if order.client_id != NO_CLIENT_ID:
            del account.order_by_client_id[order.client_id]
        account.open_orders[order.market.number] -= 1

    def _close(self, order: Order, reason: Reason, blob: bytes = b"") -> None:
        """Ends an order that is not filled, resting or not, and releases what it still holds."""
        if order.id in self.orders:
            self._forget(order)
        definition = order.market.definition
        asset = definition.quote_asset if order.side == Side.BUY else definition.base_asset
        balance, released = self.accounts[order.account].balance(asset), order.hold(order.left_lots)
        balance.held -= released
        balance.available += released
        self._emit_order(EventKind.ORDER_CLOSED, order, hold_change=-released, reason=reason, blob=blob)

    def _emit_order(
        self, kind: EventKind, order: Order, *, hold_change: int, reason: Reason = Reason.NONE, blob: bytes = b""
    ) -> None:
        definition = order.market.definition
        self._emit(
            kind=kind,
            reason=reason,
            side=order.side,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            self_trade_mode=order.self_trade_mode,
            market=order.market.number,
            account=order.account,
            base_asset=definition.base_asset,
            quote_asset=definition.quote_asset,
            order_id=order.id,
            price_ticks=order.price_ticks,
            quantity_lots=order.quantity_lots,
            base_amount=order.quantity_lots * definition.lot_units,
            quote_amount=order.quote_amount,
            cumulative_lots=order.cumulative_lots,
            cumulative_quote=order.cumulative_quote,
            left_lots=order.left_lots,
            hold_change=hold_change,
            client_id=order.client_id,
            blob=blob,
        )

    def _order_cancel(self, command: Command, blob: bytes) -> None:
        if blob:
            (cancel_id,) = read_parts(blob, 1)
            refuse_unless(len(cancel_id) <= CLIENT_ID_BYTES, Reason.INVALID_CLIENT_ID)
        refuse_unless(command.market in self.markets, Reason.UNKNOWN_MARKET)
        account = self._client(command.account)
        if command.order_id:
            order = account.orders.get(command.order_id)
        else:
            order = account.order_by_client_id.get(command.client_id)
        if order is None or order.market.number != command.market:
            raise Refused(Reason.UNKNOWN_ORDER)
        if command.client_id not in (NO_CLIENT_ID, order.client_id):
            raise Refused(Reason.UNKNOWN_ORDER)
        self._close(order, Reason.CANCELLED_BY_OWNER, blob)

    def _order_cancel_all(self, command: Command, blob: bytes) -> None:
        refuse_unless(command.market == 0 or command.market in self.markets, Reason.UNKNOWN_MARKET)
        account = self._client(command.account)
        orders = [order for order in account.orders_by_market() if command.market in (0, order.market.number)]
        refuse_unless(orders, Reason.NO_OPEN_ORDERS)
        for order in orders:
            self._close(order, Reason.CANCELLED_BY_OWNER)

    # -- what the state is ------------------------------------------------------------------------------------------

    def _state_report(self, command: Command, blob: bytes) -> None:
        balances = list(self.balances())
        digest = hashlib.sha256(b"".join(struct.pack("<IIqq", *balance) for balance in balances)).digest()
        report = StateReport(self.state_hash(), digest, len(self.accounts), len(self.orders), len(balances))
        self._emit(kind=EventKind.STATE_REPORTED, blob=pack_parts(STATE_REPORT.pack(report)))

    def balances(self) -> Iterator[tuple[int, int, int, int]]:
        """(account, asset, available, held) in ascending order, leaving out what is zero."""
        for number in self.accounts:
            for balance in self.account_balances(number):
                yield number, *balance

    def account_balances(self, number: int) -> list[tuple[int, int, int]]:
        """(asset, available, held) of one account, 0 for the house, as `balances` has them."""
        return [
            (asset, balance.available, balance.held)
            for asset, balance in sorted(self.accounts[number].balances.items())
            if balance.available or balance.held
        ]

    def depth(self, market_number: int, side: int, levels: int | None = None) -> list[tuple[int, int]]:
        """Prices and quantities of one side of a market, best first, as (price_ticks, quantity_lots).

        At most `levels` of them; None gives all.
        """
        best = islice(self.markets[market_number].levels(side).items(), levels)
        return [(abs(key), sum(order.left_lots for order in level.values())) for key, level in best]

    @property
    def open_order_count(self) -> int:
        return len(self.orders)

    def open_orders(self, account_number: int, market_number: int = 0) -> list[OpenOrder]:
        """The open orders of an account in one market or (0) in all: by market number, then by id, which is by age."""
        orders = self.accounts[account_number].orders_by_market()
        return [_open_order(order) for order in orders if market_number in (0, order.market.number)]

    def find_order(self, account_number: int, market_number: int, order_id: int, client_id: bytes) -> OpenOrder | None:
        """The open order that an ORDER_CANCEL of these fields would cancel; None where it has none."""
        account = self.accounts.get(account_number)
        order = account and (account.orders.get(order_id) if order_id else account.order_by_client_id.get(client_id))
        if not order or order.market.number != market_number or client_id not in (NO_CLIENT_ID, order.client_id):
            return None
        return _open_order(order)

    def book_state(self, market_number: int) -> bytes:
        """The book of a market as `engine.Book.to_bytes` would give it.

        The bytes JBK1 and four that are zero, then the orders, bids first, each side in priority: side, price, left, id.
        """
        market = self.markets[market_number]
        orders = (order for side in (market.bids, market.asks) for level in side.values() for order in level.values())
        return b"JBK1\0\0\0\0" + b"".join(
            struct.pack("<QqqQ", order.side, order.price_ticks, order.left_lots, order.id) for order in orders
        )

    def state_hash(self) -> bytes:
        """SHA-256 of `state_dump`, 32 bytes."""
        return hashlib.sha256(self.state_dump()).digest()

    def state_dump(self) -> bytes:
        """The whole state in one canonical form, the same for both engines at the same journal entry.

        In this order, all little-endian, text with a 16-bit length in front, lists with a 32-bit count in front:
        time and counters; assets; markets; accounts by number, each with its balances by asset, own fees by market and
        keys by id; open orders by market, side and priority; windows by gateway. Cost: linear in the state.
        """
        out = bytearray(b"JIBEK001")
        out += struct.pack("<qQQI", self.time_us, self.rules_version, self.last_order_id, self.venue_state)
        out += struct.pack("<I", len(self.assets))
        for asset in self.assets.values():
            out += pack_parts(asset.name) + struct.pack("<Iq", asset.scale, asset.issued)
        out += struct.pack("<I", len(self.markets))
        for market in self.markets.values():
            out += pack_parts(market.symbol) + MARKET_DEFINITION.pack(market.definition)
            out += struct.pack("<IIIQ", market.maker_fee_ppm, market.taker_fee_ppm, market.state, market.trades)
        out += struct.pack("<I", len(self.accounts))
        for account in self.accounts.values():
            out += self._dump_account(account)
        for market in self.markets.values():
            for levels in (market.bids, market.asks):
                orders = [order for level in levels.values() for order in level.values()]
                out += struct.pack("<I", len(orders)) + b"".join(map(_dump_order, orders))
        out += struct.pack("<I", len(self.windows))
        for gateway, (boot, number) in sorted(self.windows.items()):
            out += struct.pack("<IQQ", gateway, boot, number)
        return bytes(out)

    def _dump_account(self, account: Account) -> bytes:
        balances = [
            struct.pack("<Iqq", asset, balance.available, balance.held)
            for asset, balance in sorted(account.balances.items())
            if balance.available or balance.held
        ]
        fees = [struct.pack("<III", market, *fees) for market, fees in sorted(account.fees.items())]
        keys = [
            pack_parts(key_id) + struct.pack("<II", key.key_type, key.permissions) + pack_parts(key.public_key)
            for key_id, key in sorted(account.keys.items())
        ]
        out = pack_parts(account.name) + struct.pack("<I", account.frozen)
        for items in (balances, fees, keys):
            out += struct.pack("<I", len(items)) + b"".join(items)
        return out

    def check(self) -> None:
        """Walks the whole state and asserts every invariant; tests call it after each command."""
        # No balance is negative, and each asset's sum is what came in minus what went out.
        sums = dict.fromkeys(self.assets, 0)
        held: dict[tuple[int, int], int] = {}
        for number, asset, available, hold in self.balances():
            assert available >= 0 and hold >= 0, (number, asset, available, hold)
            sums[asset] += available + hold
            held[number, asset] = hold
        assert sums == {number: asset.issued for number, asset in self.assets.items()}, sums
        # What is held is exactly what the open orders can need.
        needed: dict[tuple[int, int], int] = {}
        for order in self.orders.values():
            definition = order.market.definition
            asset = definition.quote_asset if order.side == Side.BUY else definition.base_asset
            key = (order.account, asset)
            needed[key] = needed.get(key, 0) + order.hold(order.left_lots)
        assert {key: amount for key, amount in held.items() if amount} == needed, (held, needed)
        # No book is crossed; a level is in order of arrival and has no empty order; every index knows the same orders.
        resting = 0
        for market in self.markets.values():
            bid, ask = market.best(Side.BUY), market.best(Side.SELL)
            assert bid is None or ask is None or bid < ask, (market.symbol, bid, ask)
            for side, levels in ((Side.BUY, market.bids), (Side.SELL, market.asks)):
                for key, level in levels.items():
                    assert level and list(level) == sorted(level), (key, level)
                    for order in level.values():
                        assert order.side == side and order.price_ticks == abs(key) and order.left_lots > 0, order
                        assert order.left_lots + order.cumulative_lots == order.quantity_lots, order
                        assert self.orders[order.id] is order, order
                        assert self.accounts[order.account].orders[order.id] is order, order
                        resting += 1
        assert resting == len(self.orders) == sum(len(account.orders) for account in self.accounts.values())


OpenOrder = tuple[int, int, int, int, int, int, bytes]
"""(order_id, market, side, price_ticks, quantity_lots, left_lots, client_id)"""


def _open_order(order: Order) -> OpenOrder:
    return (
        order.id,
        order.market.number,
        int(order.side),
        order.price_ticks,
        order.quantity_lots,
        order.left_lots,
        order.client_id,
    )


_ORDER_DUMP = struct.Struct("<QIBBBxqqqq36s")


def _dump_order(order: Order) -> bytes:
    return _ORDER_DUMP.pack(
        order.id,
        order.account,
        order.order_type,
        order.time_in_force,
        order.self_trade_mode,
        order.price_ticks,
        order.quantity_lots,
        order.left_lots,
        order.cumulative_quote,
        order.client_id,
    )
