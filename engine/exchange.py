"""A whole exchange in one object, for research and backtests: accounts, holds, fees and matching, and nothing around it.

    from engine import Engine

It drives the compiled core (or the reference) with the same records as a venue does, so what works here works there; but
there is no store, no gateway and no clock: time is what the caller says it is. Decimals come in as strings, integers or
`decimal.Decimal`, never as floats, and go out as `Decimal`.

Two ways in: one call an order, with readable results; or `Engine.apply`, which takes a NumPy array of commands and returns
one of events, with no Python object per order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from engine.reasons import Reason
from engine.records import (
    ASSET_DEFINITION,
    BATCH_COMMANDS_MAX,
    BATCH_HEADER,
    COMMAND,
    EVENT,
    EVENT_HEADER,
    FEES,
    MARKET_DEFINITION,
    AssetDefinition,
    BatchBuilder,
    BatchHeader,
    Command,
    CommandKind,
    Event,
    EventEntry,
    EventKind,
    Fees,
    MarketState,
    OrderType,
    Side,
    TimeInForce,
    TradeFlag,
    client_id,
)
from engine.venue import Asset, DecimalError, Listing, Market, market_definition

Number = str | int | Decimal

_NOTE = (b"engine.Engine", b"library")
_NUMPY_TYPES = {"B": "u1", "H": "<u2", "I": "<u4", "Q": "<u8", "q": "<i8", "36s": "S36"}


class Refused(ValueError):
    """The engine refused a change; `reason` says why. Orders are not refused so: see `Outcome`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{reason.name}: {reason.text}")
        self.reason = reason


class Balance(NamedTuple):
    available: Decimal
    held: Decimal


class Fill(NamedTuple):
    """One trade of an order that was placed."""

    trade_id: int
    maker_order_id: int
    price: Decimal
    quantity: Decimal
    fee: Decimal
    """Of what was received: the base asset for a buy, the quote asset for a sell."""


@dataclass(slots=True)
class Outcome:
    """What became of one order at once."""

    order_id: int | None
    """None where it was refused."""
    reason: Reason = Reason.NONE
    """Why it was refused, or why what was not filled ended."""
    fills: list[Fill] = field(default_factory=list)
    resting: Decimal = Decimal(0)
    """What rests in the book."""

    @property
    def accepted(self) -> bool:
        return self.order_id is not None

    @property
    def filled(self) -> Decimal:
        """The quantity filled."""
        return sum((fill.quantity for fill in self.fills), Decimal(0))


class Engine:
    """An exchange core with readable calls.

    Args:
        reference: drive the plain Python reference instead of the compiled core; it gives the same results, slowly.

    >>> engine = Engine()
    >>> engine.add_asset("USDT", scale=8)
    >>> engine.add_asset("BTC", scale=8)
    >>> engine.add_market("BTCUSDT", base="BTC", quote="USDT", tick="0.01", lot="0.000001", taker_fee_ppm=1_000)
    >>> engine.add_account("alice", {"BTC": "2"})
    >>> engine.add_account("bob", {"USDT": "100000"})
    >>> engine.place("alice", "BTCUSDT", "sell", price="40000", quantity="1.5").resting
    Decimal('1.500000')
    >>> outcome = engine.place("bob", "BTCUSDT", "buy", price="40100", quantity="0.5")
    >>> [(str(fill.price), str(fill.quantity), str(fill.fee)) for fill in outcome.fills]
    [('40000.00', '0.500000', '0.00050000')]
    >>> engine.balances("bob")["USDT"]
    Balance(available=Decimal('80000.00000000'), held=Decimal('0E-8'))
    >>> engine
    <Engine: 2 assets, 1 market, 2 accounts, 1 open order>
    """

    def __init__(self, *, reference: bool = False) -> None:
        if reference:
            from engine.reference import Core as ReferenceCore

            self.core: Any = ReferenceCore()
        else:
            from engine.core import Core

            self.core = Core()
        self.listing = Listing()
        self.accounts: dict[str, int] = {}
        self.time_us = 0
        """The time of the next call, microseconds since 1970 UTC; set it to move time. It never runs backwards."""
        self._batches = 0
        self._open_orders = 0

    def __repr__(self) -> str:
        counts = (
            (len(self.listing.assets), "asset"),
            (len(self.listing.markets), "market"),
            (len(self.accounts), "account"),
            (self.open_order_count, "open order"),
        )
        return f"<Engine: {', '.join(f'{count} {noun}' + ('s' if count != 1 else '') for count, noun in counts)}>"

    # -- the venue

    def add_asset(self, name: str, *, scale: int) -> None:
        """Lists an asset that is kept with `scale` decimals, 0 to 8. Raises Refused."""
        self._change(Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(scale)), name.encode())

    def add_market(self, symbol: str, **definition: str | int) -> None:
        """Lists a market.

        Args:
            symbol: 1 to 20 characters A-Z 0-9.
            definition: what stands under `[markets.SYMBOL]` of a venue.toml: base, quote, tick, lot, and optionally
                price_min, price_max, quantity_min, quantity_max, notional_min, notional_max, maker_fee_ppm, taker_fee_ppm,
                open_orders_max. Limits that are left out are as wide as the numbers allow.

        Raises:
            VenueError: an entry is missing, unknown or out of range.
            Refused: the symbol is taken.
        """
        packed = MARKET_DEFINITION.pack(market_definition(symbol, definition, self.listing.asset_by_name))
        self._change(Command(kind=CommandKind.MARKET_ADD), packed, symbol.encode())

    def set_fees(self, symbol: str, *, maker_fee_ppm: int, taker_fee_ppm: int, account: str | None = None) -> None:
        """Sets the fees of a market, or those of one account in it; whole parts per million. Raises Refused."""
        number = 0 if account is None else self.accounts[account]
        command = Command(kind=CommandKind.FEES_SET, market=self._market(symbol).number, account=number)
        self._change(command, FEES.pack(Fees(maker_fee_ppm, taker_fee_ppm)))

    def halt(self, symbol: str | None = None) -> None:
        """Halts a market, or the venue: orders can be cancelled, not placed."""
        self._set_state(symbol, MarketState.HALTED)

    def resume(self, symbol: str | None = None) -> None:
        self._set_state(symbol, MarketState.TRADING)

    def _set_state(self, symbol: str | None, state: MarketState) -> None:
        market = 0 if symbol is None else self._market(symbol).number
        self._change(Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=state))

    # -- accounts and money

    def add_account(self, name: str, deposits: Mapping[str, Number] | None = None) -> None:
        """Opens an account and pays in what is given by asset. Raises Refused."""
        event = self._change(Command(kind=CommandKind.ACCOUNT_ADD), name.encode())
        self.accounts[name] = event.account
        for asset, amount in (deposits or {}).items():
            self.deposit(name, asset, amount)

    def deposit(self, account: str, asset: str, amount: Number) -> None:
        """Raises Refused, or DecimalError where the amount is finer than the asset."""
        self._transfer(CommandKind.DEPOSIT, account, asset, amount)

    def withdraw(self, account: str, asset: str, amount: Number) -> None:
        """Raises Refused, or DecimalError where the amount is finer than the asset."""
        self._transfer(CommandKind.WITHDRAW, account, asset, amount)

    def _transfer(self, kind: CommandKind, account: str, asset: str, amount: Number) -> None:
        listed = self.listing.asset_by_name[asset]
        units = listed.parse(_plain(amount))
        self._change(Command(kind=kind, account=self.accounts[account], asset=listed.number, amount=units))

    def balances(self, account: str) -> dict[str, Balance]:
        """What an account has, by asset; assets of which it has nothing are left out. Cost: linear in all balances."""
        number = self.accounts[account]
        return {
            self.listing.assets[asset].name: Balance(
                _decimal(available, self.listing.assets[asset]), _decimal(held, self.listing.assets[asset])
            )
            for owner, asset, available, held in self.core.balances()
            if owner == number
        }

    # -- orders

    def place(
        self,
        account: str,
        symbol: str,
        side: str | Side,
        *,
        quantity: Number | None = None,
        price: Number | None = None,
        quote_amount: Number | None = None,
        time_in_force: str | TimeInForce = TimeInForce.GTC,
        post_only: bool = False,
        client_order_id: str = "",
    ) -> Outcome:
        """Places one order: LIMIT with a price, MARKET without one, LIMIT_MAKER with `post_only`.

        Args:
            side: "buy" or "sell".
            quantity: of the base asset, in lots.
            price: in ticks of the market; None for a MARKET order.
            quote_amount: how much of the quote asset a MARKET order spends or asks for, instead of a quantity.
            time_in_force: "GTC", "IOC" or "FOK", for LIMIT.

        Raises:
            DecimalError: a number is finer than a tick or a lot.
            KeyError: there is no such account or market.
        """
        market = self._market(symbol)
        order = Command(
            kind=CommandKind.ORDER_PLACE,
            account=self.accounts[account],
            market=market.number,
            side=side if isinstance(side, Side) else Side[side.upper()],
            order_type=OrderType.MARKET,
            price_ticks=0 if price is None else _steps(price, market.definition.tick_e8, 8, "tick"),
            quantity_lots=(
                0 if quantity is None else _steps(quantity, market.definition.lot_units, market.base.scale, "lot")
            ),
            amount=0 if quote_amount is None else market.quote.parse(_plain(quote_amount)),
            client_id=client_id(client_order_id),
        )
        if post_only:
            order = order._replace(order_type=OrderType.LIMIT_MAKER)
        elif price is not None:
            name = time_in_force if isinstance(time_in_force, TimeInForce) else TimeInForce[time_in_force.upper()]
            order = order._replace(order_type=OrderType.LIMIT, time_in_force=name)
        return self._outcome(market, self._execute(order))

    def cancel(self, account: str, symbol: str, order_id: int) -> Outcome:
        """Cancels an open order; `Outcome.reason` is CANCELLED_BY_OWNER, or why it was refused."""
        market = self._market(symbol)
        command = Command(
            kind=CommandKind.ORDER_CANCEL, account=self.accounts[account], market=market.number, order_id=order_id
        )
        [event] = self._execute(command)
        if event.kind == EventKind.REJECTED:
            return Outcome(None, Reason(event.reason))
        return Outcome(event.order_id, Reason(event.reason))

    def depth(self, symbol: str, side: str | Side) -> list[tuple[Decimal, Decimal]]:
        """Prices and the quantities resting there, best first. Cost: linear in the side."""
        market = self._market(symbol)
        number = side if isinstance(side, Side) else Side[side.upper()]
        return [
            (_price(ticks, market), _quantity(lots, market)) for ticks, lots in self.core.depth(market.number, number)
        ]

    @property
    def open_order_count(self) -> int:
        return self._open_orders

    def _outcome(self, market: Market, events: Iterable[Event]) -> Outcome:
        outcome = Outcome(None)
        left = 0
        for event in events:
            if event.kind == EventKind.REJECTED:
                outcome.reason = Reason(event.reason)
            elif event.kind == EventKind.ORDER_ACCEPTED:
                outcome.order_id, left = event.order_id, event.left_lots
            elif event.kind == EventKind.TRADE:
                received = market.base if event.side == Side.BUY else market.quote
                left = event.left_lots
                outcome.fills.append(
                    Fill(
                        event.trade_id,
                        event.maker_order_id,
                        _price(event.price_ticks, market),
                        _quantity(event.quantity_lots, market),
                        _decimal(event.fee, received),
                    )
                )
            elif event.kind == EventKind.ORDER_CLOSED:
                outcome.reason, left = Reason(event.reason), 0
        outcome.resting = _quantity(left, market)
        return outcome

    # -- many commands a call

    def apply(self, commands: Any) -> Any:
        """Carries out an array of commands and returns the array of all their events.

        Args:
            commands: a NumPy structured array of `command_dtype()`, with no command that needs a blob: ORDER_PLACE,
                ORDER_CANCEL, ORDER_CANCEL_ALL, with accounts and markets by number (`accounts`, `listing`).

        Returns:
            A NumPy structured array of `event_dtype()`; `command_index` counts within each 256 commands.

        Raises:
            ValueError: the array is not of `command_dtype()`.
        """
        import numpy

        if commands.dtype != command_dtype():
            raise ValueError("the array must have the dtype that engine.exchange.command_dtype() gives")
        blocks = []
        for start in range(0, len(commands), BATCH_COMMANDS_MAX):
            block = commands[start : start + BATCH_COMMANDS_MAX]
            self._batches += 1
            header = BatchHeader(command_count=len(block), gateway=1, boot=1, number=self._batches)
            data = self.core.execute(self.time_us, BATCH_HEADER.pack(header) + block.tobytes())
            entry = EventEntry(data)
            events = numpy.frombuffer(data, event_dtype(), count=len(entry), offset=EVENT_HEADER.size)
            self._count(events["kind"], events["flags"])
            blocks.append(events)
        return numpy.concatenate(blocks) if blocks else numpy.empty(0, event_dtype())

    def _count(self, kinds: Any, flags: Any) -> None:
        trades = kinds == EventKind.TRADE
        ended = (flags[trades] & TradeFlag.TAKER_FILLED != 0).sum() + (
            flags[trades] & TradeFlag.MAKER_FILLED != 0
        ).sum()
        closed = (kinds == EventKind.ORDER_CLOSED).sum() + ended
        self._open_orders += int((kinds == EventKind.ORDER_ACCEPTED).sum() - closed)

    # -- one command

    def _execute(self, command: Command, *parts: bytes) -> list[Event]:
        builder = BatchBuilder()
        builder.add(command, *parts)
        self._batches += 1
        entry = EventEntry(self.core.execute(self.time_us, builder.build(gateway=1, boot=1, number=self._batches)))
        events = list(entry)
        for event in events:
            self.listing.apply(entry, event)
            if event.kind == EventKind.ORDER_ACCEPTED:
                self._open_orders += 1
            elif event.kind == EventKind.ORDER_CLOSED:
                self._open_orders -= 1
            elif event.kind == EventKind.TRADE:
                self._open_orders -= (event.flags & TradeFlag.TAKER_FILLED != 0) + (
                    event.flags & TradeFlag.MAKER_FILLED != 0
                )
        return events

    def _change(self, command: Command, *parts: bytes) -> Event:
        """Carries out a command that is not an order. Raises Refused."""
        event = self._execute(command, *parts, *_NOTE)[0]
        if event.kind == EventKind.REJECTED:
            raise Refused(Reason(event.reason))
        return event

    def _market(self, symbol: str) -> Market:
        return self.listing.market_by_symbol[symbol]


def command_dtype() -> Any:
    """The NumPy dtype of one command, 128 bytes; its fields are those of `records.Command`."""
    import numpy

    return numpy.dtype([(name, _NUMPY_TYPES[code]) for name, code, _ in COMMAND.fields])


def event_dtype() -> Any:
    """The NumPy dtype of one event, 256 bytes; its fields are those of `records.Event`."""
    import numpy

    return numpy.dtype([(name, _NUMPY_TYPES[code]) for name, code, _ in EVENT.fields])


def _plain(number: Number) -> str:
    if isinstance(number, float):
        raise TypeError("a float is not exact: write the number as a string")
    return format(number, "f") if isinstance(number, Decimal) else str(number)


def _steps(number: Number, step: int, scale: int, what: str) -> int:
    units = Asset(0, what, scale).parse(_plain(number))
    if units % step:
        raise DecimalError(f"{number} is not a whole number of {what}s")
    return units // step


def _decimal(units: int, asset: Asset) -> Decimal:
    return Decimal(units).scaleb(-asset.scale)


def _price(ticks: int, market: Market) -> Decimal:
    return _trimmed(ticks * market.definition.tick_e8, 8, market.definition.tick_e8)


def _quantity(lots: int, market: Market) -> Decimal:
    return _trimmed(lots * market.definition.lot_units, market.base.scale, market.definition.lot_units)


def _trimmed(units: int, scale: int, step: int) -> Decimal:
    """Units as a decimal with no more decimals than the step has."""
    while scale and step % 10 == 0:
        units, scale, step = units // 10, scale - 1, step // 10
    return Decimal(units).scaleb(-scale)
