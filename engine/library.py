"""A whole exchange in one object, for research and backtests: accounts, holds, fees and matching, and nothing around it.

    from engine import Engine

It drives the compiled core (or the reference) with the same records as a venue does, so what works here works there; but
there is no store, no gateway and no clock: time is what the caller says it is. Decimals come in as strings, integers or
`decimal.Decimal`, never as floats, and go out as `Decimal`.

Two ways in: one call an order, with readable results; or `Engine.apply`, which takes a NumPy array of commands and returns
one of events, with no Python object per order.

What is asked for and refused by the rules of the exchange is an `Outcome` for orders and `Refused` for all else. What could
never be asked for is an exception before anything is done:

    KeyError       └ UnknownName   no account, asset or market has that name
    ValueError     ├ Refused       the engine refused a change of accounts, money or listings
                   ├ DecimalError  a number is finer than a tick, a lot or the asset, is negative, or is none
                   └ VenueError    the definition of a market is not complete or not in range
    TypeError                      a float where a decimal is meant, a number where a name is meant, ...
"""

from __future__ import annotations

import operator
import os
import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    ASSET_DEFINITION,
    BATCH_COMMANDS_MAX,
    BATCH_HEADER,
    COMMAND,
    EVENT,
    EVENT_HEADER,
    FEE_PPM_MAX,
    FEES,
    HOUSE_ACCOUNT,
    MARKET_DEFINITION,
    SCALE_MAX,
    AssetDefinition,
    BatchBuilder,
    BatchHeader,
    Command,
    CommandKind,
    EngineStop,
    Event,
    EventEntry,
    EventKind,
    Fees,
    MarketState,
    OrderType,
    Side,
    TimeInForce,
    client_id,
)
from engine.venue_file import Asset, DecimalError, Listing, Market, market_definition

if TYPE_CHECKING:
    from engine.book import Book

Number = str | int | Decimal

_NOTE = (b"engine.Engine", b"library")
_NUMPY_TYPES = {"B": "u1", "H": "<u2", "I": "<u4", "Q": "<u8", "q": "<i8", "36s": "S36"}
_TIME_US_MAX = (1 << 63) - 1
_ORDER_ID_MAX = (1 << 64) - 1
_NAMES_SHOWN_MAX = 10
_DIGITS_MAX = 40
"""Decimals with more digits than this before or after the point are not written out."""

_SAVED_HEADER = struct.Struct("<8sqQ")
"""What a saved engine begins with: the magic bytes, the time of the next call, how many batches follow."""
_SAVED_BATCH = struct.Struct("<qI")
"""What stands before each batch: its time and its length in bytes."""
_SAVED_MAGIC = b"JBKENG01"
_STATE_HASH_BYTES = 32


class UnknownName(KeyError):
    """No account, asset or market has this name; the text names those that there are."""

    def __str__(self) -> str:
        return str(self.args[0])


class Refused(ValueError):
    """The engine refused a change; `reason` says why. Orders are not refused so: see `Outcome`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{reason.name}: {reason.text}")
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return Refused, (self.reason,)


class Balance(NamedTuple):
    """What an account has of one asset."""

    available: Decimal
    held: Decimal
    """What its open orders can need."""


class PriceLevel(NamedTuple):
    """One price of a side and the sum of what rests there."""

    price: Decimal
    quantity: Decimal


class OpenOrder(NamedTuple):
    """An order that rests in a book."""

    order_id: int
    client_order_id: str
    """Empty where it has none."""
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    """What was asked for."""
    filled: Decimal

    @property
    def left(self) -> Decimal:
        """What is still open of it."""
        return self.quantity - self.filled


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

    Accounts, assets and markets are named by strings; a name that is not known is an `UnknownName`, which is a KeyError. An
    engine is used by one thread at a time.

    Args:
        reference: drive the plain Python reference instead of the compiled core; it gives the same results, slowly.
        journal: keep every batch of commands, so that the engine can be copied, pickled and saved. Each of these carries
            all that was ever done out again. Memory: about 300 bytes a call, 130 bytes a command of `apply`.

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

    def __init__(self, *, reference: bool = False, journal: bool = False) -> None:
        if reference:
            from engine.reference import Core as ReferenceCore

            self.core: Any = ReferenceCore()
        else:
            from engine.core import Core

            self.core = Core()
        self.listing = Listing()
        self.accounts: dict[str, int] = {}
        """The number of each account, by name; the house, which has the fees, is number 0 and is not among them."""
        self._reference = reference
        self._time_us = 0
        self._batches = 0
        self._journal: list[tuple[int, bytes]] | None = [] if journal else None
        """(time_us, batch) of all that was ever done."""

    def __repr__(self) -> str:
        counts = (
            (len(self.listing.assets), "asset"),
            (len(self.listing.markets), "market"),
            (len(self.accounts), "account"),
            (self.open_order_count, "open order"),
        )
        return f"<Engine: {', '.join(f'{count} {noun}' + ('s' if count != 1 else '') for count, noun in counts)}>"

    @property
    def time_us(self) -> int:
        """The time of the next call, microseconds since 1970 UTC; set it to move time, 0 to 2^63 - 1.

        Raises, when it is set:
            TypeError: it is no whole number.
            ValueError: it is before what it was, or out of range. Time never runs backwards.
        """
        return self._time_us

    @time_us.setter
    def time_us(self, time_us: int) -> None:
        number = _whole(time_us, "time_us")
        if not self._time_us <= number <= _TIME_US_MAX:
            raise ValueError(f"time_us must be from {self._time_us}, because time never runs backwards, to 2^63 - 1")
        self._time_us = number

    # -- the venue

    def add_asset(self, name: str, *, scale: int) -> None:
        """Lists an asset.

        Args:
            name: 1 to 10 characters A-Z 0-9.
            scale: with how many decimals amounts are kept, 0 to 8.

        Raises:
            Refused: INVALID_ASSET_DEFINITION, or ASSET_EXISTS.
            TypeError: the name is no string, or the scale no whole number.
        """
        if not 0 <= _whole(scale, "scale") <= SCALE_MAX:
            raise Refused(Reason.INVALID_ASSET_DEFINITION)
        packed = ASSET_DEFINITION.pack(AssetDefinition(scale))
        self._change(Command(kind=CommandKind.ASSET_ADD), packed, _text(name, "the name of an asset"))

    def add_market(self, symbol: str, **definition: Number) -> None:
        """Lists a market.

        Args:
            symbol: 1 to 20 characters A-Z 0-9.
            definition: what stands under `[markets.SYMBOL]` of a venue.toml: base, quote, tick, lot, and optionally
                price_min, price_max, quantity_min, quantity_max, notional_min, notional_max, maker_fee_ppm, taker_fee_ppm,
                open_orders_max. Limits that are left out are as wide as the numbers allow.

        Raises:
            VenueError: an entry is missing, unknown or out of range.
            UnknownName: base or quote is no asset.
            Refused: MARKET_EXISTS.
            TypeError: a decimal is a float.
        """
        _text(symbol, "the symbol of a market")
        for role in ("base", "quote"):
            if role in definition:
                self._asset(definition[role])
        table = {name: number if name in _MARKET_WORDS else _plain(number) for name, number in definition.items()}
        packed = MARKET_DEFINITION.pack(market_definition(symbol, table, self.listing.asset_by_name))
        self._change(Command(kind=CommandKind.MARKET_ADD), packed, symbol.encode())

    def set_fees(self, symbol: str, *, maker_fee_ppm: int, taker_fee_ppm: int, account: str | None = None) -> None:
        """Sets the fees of a market, or those of one account in it, for trades from now on.

        Args:
            maker_fee_ppm: whole parts per million, 0 to 100,000.
            taker_fee_ppm: the same.

        Raises:
            UnknownName: there is no such market or account.
            Refused: INVALID_FEES.
            TypeError: a fee is no whole number.
        """
        market = self._market(symbol)
        number = HOUSE_ACCOUNT if account is None else self._account(account)
        fees = Fees(_whole(maker_fee_ppm, "maker_fee_ppm"), _whole(taker_fee_ppm, "taker_fee_ppm"))
        if not 0 <= min(fees) <= max(fees) <= FEE_PPM_MAX:
            raise Refused(Reason.INVALID_FEES)
        self._change(Command(kind=CommandKind.FEES_SET, market=market.number, account=number), FEES.pack(fees))

    def halt(self, symbol: str | None = None) -> None:
        """Halts a market, or the venue: orders can be cancelled, not placed. Raises UnknownName."""
        self._set_state(symbol, MarketState.HALTED)

    def resume(self, symbol: str | None = None) -> None:
        """Lets a market, or the venue, trade again; a market that was halted by itself stays so. Raises UnknownName."""
        self._set_state(symbol, MarketState.TRADING)

    def _set_state(self, symbol: str | None, state: MarketState) -> None:
        market = 0 if symbol is None else self._market(symbol).number
        self._change(Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=state))

    # -- accounts and money

    def add_account(self, name: str, deposits: Mapping[str, Number] | None = None) -> None:
        """Opens an account and pays in what is given by asset; nothing is paid in where an amount is 0.

        Args:
            name: 1 to 32 characters a-z 0-9 . _ - beginning with a letter or digit.

        Raises:
            Refused: INVALID_ACCOUNT_NAME or ACCOUNT_EXISTS; INVALID_AMOUNT where an asset would pass 2^62 smallest units,
                which leaves the account open.
            UnknownName, DecimalError, TypeError: as `deposit`; then the account is not opened.
        """
        units = {asset: self._units(asset, amount) for asset, amount in (deposits or {}).items()}
        self._change(Command(kind=CommandKind.ACCOUNT_ADD), _text(name, "the name of an account"))
        for asset, amount in units.items():
            if amount:
                self._transfer(CommandKind.DEPOSIT, name, asset, amount)

    def deposit(self, account: str, asset: str, amount: Number) -> None:
        """Pays an amount in.

        Raises:
            Refused: INVALID_AMOUNT: it is 0, or the asset would pass 2^62 smallest units.
            UnknownName: there is no such account or asset.
            DecimalError: the amount is finer than the asset, or negative.
            TypeError: the amount is a float.
        """
        self._transfer(CommandKind.DEPOSIT, account, asset, self._units(asset, amount))

    def withdraw(self, account: str, asset: str, amount: Number) -> None:
        """Pays an amount out of what is available.

        Raises:
            Refused: INVALID_AMOUNT: it is 0; INSUFFICIENT_FUNDS; ACCOUNT_FROZEN.
            UnknownName, DecimalError, TypeError: as `deposit`.
        """
        self._transfer(CommandKind.WITHDRAW, account, asset, self._units(asset, amount))

    def _units(self, asset: str, amount: Number) -> int:
        return min(self._asset(asset).parse(_plain(amount)), AMOUNT_MAX + 1)

    def _transfer(self, kind: CommandKind, account: str, asset: str, units: int) -> None:
        listed = self._asset(asset)
        self._change(Command(kind=kind, account=self._account(account), asset=listed.number, amount=units))

    def freeze(self, account: str) -> list[int]:
        """Freezes an account: its open orders are cancelled, and it can neither trade nor withdraw.

        Returns:
            The ids of the orders that were cancelled: market by market, then by id.

        Raises:
            UnknownName: there is no such account.
            Refused: ACCOUNT_FROZEN.
        """
        return _closed(self._change(Command(kind=CommandKind.ACCOUNT_FREEZE, account=self._account(account))))

    def unfreeze(self, account: str) -> None:
        """Lifts a freeze. Raises UnknownName, or Refused with ACCOUNT_NOT_FROZEN."""
        self._change(Command(kind=CommandKind.ACCOUNT_UNFREEZE, account=self._account(account)))

    def balances(self, account: str) -> dict[str, Balance]:
        """What an account has, by asset; assets of which it has nothing are left out.

        Args:
            account: its name; "house" is the account that receives the fees.

        Raises:
            UnknownName: there is no such account.

        Complexity: O(assets of the account).
        """
        number = HOUSE_ACCOUNT if account == "house" else self._account(account)
        assets = self.listing.assets
        return {
            assets[asset].name: Balance(_decimal(available, assets[asset]), _decimal(held, assets[asset]))
            for asset, available, held in self.core.account_balances(number)
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
            quantity: of the base asset, in whole lots of the market.
            price: in whole ticks of the market; None for a MARKET order.
            quote_amount: how much of the quote asset a MARKET order spends or asks for, instead of a quantity.
            time_in_force: "GTC", "IOC" or "FOK", for LIMIT.
            post_only: refuse the order where it would trade at once.
            client_order_id: a name of your own, at most 36 ASCII characters, unique among the account's open orders.

        Returns:
            What became of it; also where it was refused, with the reason.

        Raises:
            UnknownName: there is no such account or market.
            DecimalError: a number is finer than a tick or a lot, negative, or none.
            ValueError: a word is none of those above, or the arguments contradict one another.
            TypeError: a number is a float.

        Complexity: O(1), and O(1) a fill.
        """
        market = self._market(symbol)
        order = Command(
            kind=CommandKind.ORDER_PLACE,
            account=self._account(account),
            market=market.number,
            side=_side(side),
            order_type=_order_type(price, quantity, quote_amount, post_only),
            price_ticks=0 if price is None else _steps(price, market.definition.tick_e8, 8, "tick"),
            quantity_lots=(
                0 if quantity is None else _steps(quantity, market.definition.lot_units, market.base.scale, "lot")
            ),
            amount=0 if quote_amount is None else min(market.quote.parse(_plain(quote_amount)), AMOUNT_MAX + 1),
            client_id=_client_id(client_order_id),
        )
        in_force = _time_in_force(time_in_force)
        if order.order_type == OrderType.LIMIT:
            order = order._replace(time_in_force=in_force)
        elif in_force != TimeInForce.GTC:
            raise ValueError("time_in_force is for orders with a price that are not post_only")
        return _outcome(market, self._execute(order))

    def cancel(
        self, account: str, symbol: str, order_id: SupportsIndex | None = None, *, client_order_id: str = ""
    ) -> Outcome:
        """Cancels an open order, which is named by its id, by its client order id, or by both.

        Returns:
            The id of the order, and CANCELLED_BY_OWNER as the reason; no id where it was refused, with the reason, which is
            UNKNOWN_ORDER where the account has no such open order in the market.

        Raises:
            UnknownName: there is no such account or market.
            ValueError: neither id is given, or the client order id could be none.
            TypeError: the order id is no whole number.

        Complexity: O(1).
        """
        market, number, order, own_id = self._named(account, symbol, order_id, client_order_id)
        if order is None:
            return Outcome(None, Reason.UNKNOWN_ORDER)
        command = Command(
            kind=CommandKind.ORDER_CANCEL, account=number, market=market.number, order_id=order, client_id=own_id
        )
        [event] = self._execute(command)
        if event.kind == EventKind.REJECTED:
            return Outcome(None, Reason(event.reason))
        return Outcome(event.order_id, Reason(event.reason))

    def cancel_all(self, account: str, symbol: str | None = None) -> list[int]:
        """Cancels all open orders of an account, in one market or in all.

        Returns:
            Their ids: market by market, then by id. Empty where it had none.

        Raises:
            UnknownName: there is no such account or market.

        Complexity: O(orders cancelled).
        """
        market = 0 if symbol is None else self._market(symbol).number
        command = Command(kind=CommandKind.ORDER_CANCEL_ALL, account=self._account(account), market=market)
        return _closed(self._execute(command))

    def order(
        self, account: str, symbol: str, order_id: SupportsIndex | None = None, *, client_order_id: str = ""
    ) -> OpenOrder | None:
        """An open order of an account, named as in `cancel`; None where it has none of that name in the market.

        Raises:
            As `cancel`.

        Complexity: O(1).
        """
        market, number, order, own_id = self._named(account, symbol, order_id, client_order_id)
        found = None if order is None else self.core.find_order(number, market.number, order, own_id)
        return None if found is None else self._open_order(found)

    def open_orders(self, account: str, symbol: str | None = None) -> list[OpenOrder]:
        """The open orders of an account, in one market or in all, oldest first.

        Raises:
            UnknownName: there is no such account or market.

        Complexity: O(n log n) in the open orders of the account, of which some that have ended lately are still listed.
        """
        market = 0 if symbol is None else self._market(symbol).number
        return list(map(self._open_order, sorted(self.core.open_orders(self._account(account), market))))

    @property
    def open_order_count(self) -> int:
        """How many orders are open, of all accounts in all markets. Complexity: O(1)."""
        return int(self.core.open_order_count)

    def _open_order(self, record: tuple[int, int, int, int, int, int, bytes]) -> OpenOrder:
        order_id, number, side, ticks, quantity_lots, left_lots, own_id = record
        market = self.listing.markets[number]
        return OpenOrder(
            order_id,
            own_id.rstrip(b"\0").decode("ascii", "backslashreplace"),
            market.symbol,
            Side(side),
            _price(ticks, market),
            _quantity(quantity_lots, market),
            _quantity(quantity_lots - left_lots, market),
        )

    def _named(
        self, account: str, symbol: str, order_id: SupportsIndex | None, client_order_id: str
    ) -> tuple[Market, int, int | None, bytes]:
        """Market, account, order id (0: by client id; None: what no order has) and client id of an order that is named."""
        market, number, own_id = self._market(symbol), self._account(account), _client_id(client_order_id)
        if order_id is None:
            if not client_order_id:
                raise ValueError("an order is named by its order_id, its client_order_id, or both")
            return market, number, 0, own_id
        order = _whole(order_id, "order_id")
        return market, number, order if 0 < order <= _ORDER_ID_MAX else None, own_id

    # -- the books

    def best_bid(self, symbol: str) -> Decimal | None:
        """The highest price bid; None where there is no bid. Raises UnknownName. Complexity: O(1)."""
        best = self.depth(symbol, Side.BUY, 1)
        return best[0].price if best else None

    def best_ask(self, symbol: str) -> Decimal | None:
        """The lowest price asked; None where there is no ask. Raises UnknownName. Complexity: O(1)."""
        best = self.depth(symbol, Side.SELL, 1)
        return best[0].price if best else None

    def depth(self, symbol: str, side: str | Side, levels: SupportsIndex | None = None) -> list[PriceLevel]:
        """Prices of a side and the quantities resting there (L2), best first.

        Args:
            side: "buy" or "sell".
            levels: how many at most; None gives all.

        Raises:
            UnknownName: there is no such market.
            ValueError: the side is neither of the two, or `levels` is negative.
            TypeError: `levels` is no whole number.

        Complexity: O(levels in the list).
        """
        market, number = self._market(symbol), _side(side)
        most = None if levels is None else _whole(levels, "levels")
        if most is not None and most < 0:
            raise ValueError(f"levels must not be negative, and {most} is")
        # No side has as many levels as this, and every core can count so far.
        found = self.core.depth(market.number, number, most if most is None else min(most, 1 << 32))
        return [PriceLevel(_price(ticks, market), _quantity(lots, market)) for ticks, lots in found]

    def book(self, symbol: str) -> Book:
        """A copy of the book of a market as it is now, as `engine.Book`: L3, queue places, save and load, iteration.

        What is done to the copy does nothing here. Its prices are whole ticks and its quantities whole lots of the market:
        `price / tick`, `quantity / lot`.

        Raises:
            UnknownName: there is no such market.

        Complexity: O(orders in the book), and 32 bytes an order while it is copied.
        """
        from engine.book import Book

        return Book.from_bytes(self.core.book_state(self._market(symbol).number))

    # -- many commands a call

    def apply(self, commands: Any) -> Any:
        """Carries out an array of commands and returns the array of all their events.

        Args:
            commands: a NumPy structured array of `command_dtype()`, one dimension: ORDER_PLACE, ORDER_CANCEL,
                ORDER_CANCEL_ALL, with accounts and markets by number (`accounts`, `listing`). Commands that need a name or
                an operator are refused.

        Returns:
            A NumPy structured array of `event_dtype()`, shape (events,); its `command_index` is the index of the command
            that is answered.

        Raises:
            ValueError: it is no array, or one of another dtype or with more dimensions.

        Complexity: O(1) a command and fill; no Python object is made for any of them.
        """
        import numpy

        if not isinstance(commands, numpy.ndarray) or commands.dtype != command_dtype() or commands.ndim != 1:
            raise ValueError("commands must be an array of one dimension and of engine.library.command_dtype()")
        blocks = [numpy.empty(0, event_dtype())]
        starts = range(0, len(commands), BATCH_COMMANDS_MAX)
        for start in starts:
            block = commands[start : start + BATCH_COMMANDS_MAX]
            header = BatchHeader(command_count=len(block), producer=1, incarnation=1, number=self._batches + 1)
            entry = self._run(BATCH_HEADER.pack(header) + block.tobytes())
            blocks.append(numpy.frombuffer(entry.data, event_dtype(), count=len(entry), offset=EVENT_HEADER.size))
        events = numpy.concatenate(blocks)
        # The engine counts from 0 in each batch.
        events["command_index"] += numpy.repeat([0, *starts], [len(block) for block in blocks]).astype("u4")
        return events

    # -- copies and files

    def copy(self) -> Engine:
        """Another engine in the same state, which what is done to it does not share.

        Raises:
            RuntimeError: the engine keeps no journal; make it with `Engine(journal=True)`.

        Complexity: O(all that was ever done), which is carried out again.
        """
        return Engine._replayed(self._kept_journal(), self._time_us, self._reference)

    def __copy__(self) -> Engine:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Engine:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return Engine.from_bytes, (self.to_bytes(), self._reference)

    def to_bytes(self) -> bytes:
        """All that was ever done, and the hash of the state that it led to, for `from_bytes`: the same bytes for the same
        calls, anywhere.

        Raises:
            RuntimeError: the engine keeps no journal; make it with `Engine(journal=True)`.

        Complexity: O(all that was ever done).
        """
        journal = self._kept_journal()
        parts = [_SAVED_HEADER.pack(_SAVED_MAGIC, self._time_us, len(journal))]
        for time_us, batch in journal:
            parts += (_SAVED_BATCH.pack(time_us, len(batch)), batch)
        return b"".join((*parts, self.core.state_hash()))

    @staticmethod
    def from_bytes(data: bytes | bytearray | memoryview, reference: bool = False) -> Engine:
        """The engine that was saved, with its journal: it is made by carrying out again all that was ever done.

        Args:
            data: what `to_bytes` gave.
            reference: carry it out on the plain Python reference.

        Raises:
            ValueError: these are not bytes of `to_bytes`, or what they lead to is not what was saved.

        Complexity: O(all that was ever done).
        """
        data = bytes(memoryview(data))
        try:
            time_us, journal, end = _read_saved(data)
            engine = Engine._replayed(journal, time_us, reference)
        except (struct.error, EngineStop):
            raise ValueError("these bytes are not a saved engine") from None
        if engine.core.state_hash() != data[end:]:
            raise ValueError("what was saved leads to another state than it did: it is damaged, or of other rules")
        return engine

    def save(self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
        """Writes `to_bytes` to a file, which appears whole or not at all.

        Raises:
            RuntimeError: the engine keeps no journal; make it with `Engine(journal=True)`.
            OSError: the file cannot be written; what was there before stays.
        """
        data = self.to_bytes()
        temporary = f"{os.fsdecode(path)}.new"
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    @staticmethod
    def load(path: str | bytes | os.PathLike[str] | os.PathLike[bytes], reference: bool = False) -> Engine:
        """The engine that was saved to a file, as `from_bytes`.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not a saved engine.
        """
        with open(path, "rb") as file:
            return Engine.from_bytes(file.read(), reference)

    def _kept_journal(self) -> list[tuple[int, bytes]]:
        if self._journal is None:
            raise RuntimeError("this engine keeps no journal: make it with Engine(journal=True) to copy or save it")
        return self._journal

    @staticmethod
    def _replayed(journal: Iterable[tuple[int, bytes]], time_us: int, reference: bool) -> Engine:
        engine = Engine(reference=reference, journal=True)
        for at_us, batch in journal:
            engine._time_us = at_us
            engine._run(batch)
        engine._time_us = time_us
        return engine

    # -- one batch

    def _execute(self, command: Command, *parts: bytes) -> list[Event]:
        builder = BatchBuilder()
        builder.add(command, *parts)
        return list(self._run(builder.build(producer=1, incarnation=1, number=self._batches + 1)))

    def _run(self, batch: bytes) -> EventEntry:
        entry = EventEntry(self.core.execute(self._time_us, batch))
        self._batches += 1
        if self._journal is not None:
            self._journal.append((self._time_us, batch))
        # Only what defines something has a blob.
        if entry.header.blob_length:
            for event in entry:
                self.listing.apply(entry, event)
                if event.kind == EventKind.ACCOUNT_ADDED:
                    self.accounts[entry.parts(event)[0].decode()] = event.account
        return entry

    def _change(self, command: Command, *parts: bytes) -> list[Event]:
        """Carries out a command that is not an order. Raises Refused."""
        events = self._execute(command, *parts, *_NOTE)
        if events[0].kind == EventKind.REJECTED:
            raise Refused(Reason(events[0].reason))
        return events

    # -- names

    def _account(self, name: str) -> int:
        number = self.accounts.get(name)
        if number is None:
            raise _unknown("account", name, self.accounts)
        return number

    def _asset(self, name: Any) -> Asset:
        asset = self.listing.asset_by_name.get(name)
        if asset is None:
            raise _unknown("asset", name, self.listing.asset_by_name)
        return asset

    def _market(self, symbol: str) -> Market:
        market = self.listing.market_by_symbol.get(symbol)
        if market is None:
            raise _unknown("market", symbol, self.listing.market_by_symbol)
        return market


def command_dtype() -> Any:
    """The NumPy dtype of one command, 128 bytes; its fields are those of `records.Command`."""
    import numpy

    return numpy.dtype([(name, _NUMPY_TYPES[code]) for name, code, _ in COMMAND.fields])


def event_dtype() -> Any:
    """The NumPy dtype of one event, 256 bytes; its fields are those of `records.Event`."""
    import numpy

    return numpy.dtype([(name, _NUMPY_TYPES[code]) for name, code, _ in EVENT.fields])


# -- what comes in

_MARKET_WORDS = {"base", "quote", "maker_fee_ppm", "taker_fee_ppm", "open_orders_max"}
"""Entries of a market's definition that are no decimals."""


def _unknown(what: str, name: object, known: Collection[str]) -> UnknownName:
    if not known:
        return UnknownName(f"there is no {what} {name!r}: none has been added")
    more = len(known) - _NAMES_SHOWN_MAX
    shown = ", ".join(islice(known, _NAMES_SHOWN_MAX)) + (f" and {more} more" if more > 0 else "")
    return UnknownName(f"there is no {what} {name!r}; known: {shown}")


def _text(name: object, what: str) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a string, not {name!r}")
    return name.encode()


def _whole(number: object, what: str) -> int:
    """A number of any integer type as an int."""
    try:
        return operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what} must be a whole number, not {number!r}") from None


def _plain(number: object) -> str:
    """A decimal number without an exponent, which `str` of a small or large Decimal has."""
    if isinstance(number, str):
        if "e" not in number.lower():
            return number
        try:
            number = Decimal(number)
        except InvalidOperation:
            return str(number)
    if isinstance(number, Decimal):
        if number.is_finite() and abs(number.adjusted()) > _DIGITS_MAX:
            raise DecimalError(f"{number} has more digits than any amount")
        return format(number, "f")
    if hasattr(number, "__index__") and not isinstance(number, bool):
        return str(operator.index(number))
    if hasattr(number, "__float__") and not isinstance(number, bool):
        raise TypeError("a float is not exact: write the number as a string")
    raise TypeError(f"a number must be a string, an int or a Decimal, not {number!r}")


def _steps(number: Number, step: int, scale: int, what: str) -> int:
    """How many ticks or lots a number is; more than any market allows are one more than those, and refused so."""
    units = Asset(0, what, scale).parse(_plain(number))
    if units % step:
        raise DecimalError(f"{number} is not a whole number of {what}s of {_trimmed(step, scale, step)}")
    return min(units // step, AMOUNT_MAX + 1)


def _side(side: object) -> Side:
    if isinstance(side, Side):
        return side
    if isinstance(side, str) and side.upper() in Side.__members__:
        return Side[side.upper()]
    raise ValueError(f"the side must be 'buy' or 'sell', not {side!r}")


def _time_in_force(name: object) -> TimeInForce:
    if isinstance(name, str):
        name = TimeInForce.__members__.get(name.upper(), name)
    if not isinstance(name, TimeInForce) or name == TimeInForce.NONE:
        raise ValueError(f"time_in_force must be 'GTC', 'IOC' or 'FOK', not {name!r}")
    return name


def _order_type(
    price: Number | None, quantity: Number | None, quote_amount: Number | None, post_only: bool
) -> OrderType:
    """What kind of order the arguments of `place` describe. Raises ValueError where they describe none."""
    if quantity is not None and quote_amount is not None:
        raise ValueError("an order has a quantity or a quote_amount, not both")
    if price is None:
        if post_only:
            raise ValueError("a post_only order needs a price")
        if quantity is None and quote_amount is None:
            raise ValueError("an order without a price needs a quantity or a quote_amount")
        return OrderType.MARKET
    if quantity is None:
        raise ValueError("an order with a price needs a quantity; a quote_amount is for orders without one")
    return OrderType.LIMIT_MAKER if post_only else OrderType.LIMIT


def _client_id(text: object) -> bytes:
    data = _text(text, "a client_order_id")
    if not data.isascii():
        raise ValueError(f"a client_order_id is of ASCII characters, which {text!r} is not")
    return client_id(data.decode())


def _read_saved(data: bytes) -> tuple[int, list[tuple[int, bytes]], int]:
    """Time, journal and where it ends of a saved engine. Raises struct.error or ValueError where it is none."""
    magic, time_us, count = _SAVED_HEADER.unpack_from(data)
    position = _SAVED_HEADER.size
    if magic != _SAVED_MAGIC:
        raise ValueError("these bytes are not a saved engine")
    journal = []
    for _ in range(count):
        at_us, length = _SAVED_BATCH.unpack_from(data, position)
        position += _SAVED_BATCH.size
        journal.append((at_us, data[position : position + length]))
        position += length
    if len(data) != position + _STATE_HASH_BYTES:
        raise ValueError("these bytes are not a saved engine: their length does not fit")
    return time_us, journal, position


# -- what goes out


def _outcome(market: Market, events: Iterable[Event]) -> Outcome:
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


def _closed(events: Iterable[Event]) -> list[int]:
    return [event.order_id for event in events if event.kind == EventKind.ORDER_CLOSED]


def _decimal(units: int, asset: Asset) -> Decimal:
    return _exact(units, asset.scale)


def _price(ticks: int, market: Market) -> Decimal:
    return _trimmed(ticks * market.definition.tick_e8, 8, market.definition.tick_e8)


def _quantity(lots: int, market: Market) -> Decimal:
    return _trimmed(lots * market.definition.lot_units, market.base.scale, market.definition.lot_units)


def _trimmed(units: int, scale: int, step: int) -> Decimal:
    """Units as a decimal with no more decimals than the step has."""
    while scale and step % 10 == 0:
        units, scale, step = units // 10, scale - 1, step // 10
    return _exact(units, scale)


def _exact(units: int, scale: int) -> Decimal:
    """Units of `10 ** -scale`, whatever the precision of the caller's decimal context is."""
    return Decimal(f"{units}E-{scale}")
