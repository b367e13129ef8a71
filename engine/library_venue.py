"""The operator's side of `engine.Engine`: listings, accounts and money, and the execution of one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.definitions import Rejected
from engine.library_values import (
    MARKET_WORDS,
    Number,
    closed_orders,
    plain_decimal,
    text_bytes,
    unknown_name,
    whole_number,
)
from engine.listing import Asset, Listing, Market
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    ASSET_DEFINITION,
    FEE_PPM_MAX,
    FEES,
    HOUSE_ACCOUNT,
    MARKET_DEFINITION,
    SCALE_MAX,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandKind,
    Event,
    EventEntry,
    EventKind,
    Fees,
    MarketState,
)
from engine.venue_file import market_definition

_NOTE = (b"engine.Engine", b"library", b"")
"""The operator's parts of each command."""
_TIME_US_MAX = (1 << 63) - 1


class EngineVenue:
    """What an operator does with an engine; `engine.Engine` is this, its questions, and what traders do."""

    def __init__(self, *, reference: bool = False, journal: bool = False) -> None:
        if reference:
            from engine.reference import Core as ReferenceCore

            self.core: Any = ReferenceCore()
        else:
            from engine.core import Core

            self.core = Core()
        self.listing = Listing()
        self.accounts: dict[str, int] = {}
        """The number of each account, by name. The house, which receives the fees, is number 0 and is not in here."""
        self._reference = reference
        self._time_us = 0
        self._batches = 0
        self._journal: list[tuple[int, bytes]] | None = [] if journal else None
        """(time_us, batch) of every batch so far."""

    @property
    def time_us(self) -> int:
        """The time of the next call, microseconds since 1970 UTC; set it to move time, 0 to 2^63 - 1.

        Raises, when it is set:
            TypeError: this is not a whole number.
            ValueError: this is earlier than the time now, or out of range. Time never runs backwards.
        """
        return self._time_us

    @time_us.setter
    def time_us(self, time_us: int) -> None:
        number = whole_number(time_us, "time_us")
        if not self._time_us <= number <= _TIME_US_MAX:
            raise ValueError(f"time_us must be from {self._time_us}, because time never runs backwards, to 2^63 - 1")
        self._time_us = number

    # -- the venue

    def add_asset(self, name: str, *, scale: int) -> None:
        """Lists an asset.

        Args:
            name: 1 to 10 characters A-Z 0-9.
            scale: the number of decimals of an amount, 0 to 8.

        Raises:
            Rejected: INVALID_ASSET_DEFINITION, or ASSET_EXISTS.
            TypeError: the name is not a string, or the scale not a whole number.
        """
        if not 0 <= whole_number(scale, "scale") <= SCALE_MAX:
            raise Rejected(Reason.INVALID_ASSET_DEFINITION)
        packed = ASSET_DEFINITION.pack(AssetDefinition(scale))
        self._change(Command(kind=CommandKind.ASSET_ADD), packed, text_bytes(name, "the name of an asset"))

    def add_market(self, symbol: str, **definition: Number) -> None:
        """Lists a market.

        Args:
            symbol: 1 to 20 characters A-Z 0-9.
            definition: the entries of `[markets.SYMBOL]` in a venue.toml: base, quote, tick, lot, and optionally
                price_min, price_max, quantity_min, quantity_max, notional_min, notional_max, maker_fee_ppm, taker_fee_ppm,
                open_orders_max. A limit that you leave out is as wide as the numbers allow.

        Raises:
            VenueError: an entry is missing, unknown or out of range.
            UnknownName: base or quote is not an asset.
            Rejected: MARKET_EXISTS.
            TypeError: a decimal is a float.
        """
        text_bytes(symbol, "the symbol of a market")
        for role in ("base", "quote"):
            if role in definition:
                self._asset(definition[role])
        table = {name: number if name in MARKET_WORDS else plain_decimal(number) for name, number in definition.items()}
        packed = MARKET_DEFINITION.pack(market_definition(symbol, table, self.listing.asset_by_name))
        self._change(Command(kind=CommandKind.MARKET_ADD), packed, symbol.encode())

    def set_fees(self, symbol: str, *, maker_fee_ppm: int, taker_fee_ppm: int, account: str | None = None) -> None:
        """Sets the fees of a market, or those of one account in it, for trades from now on.

        Args:
            maker_fee_ppm: whole parts per million, 0 to 100,000.
            taker_fee_ppm: the same.

        Raises:
            UnknownName: there is no such market or account.
            Rejected: INVALID_FEES.
            TypeError: a fee is not a whole number.
        """
        market = self._market(symbol)
        number = HOUSE_ACCOUNT if account is None else self._account(account)
        fees = Fees(whole_number(maker_fee_ppm, "maker_fee_ppm"), whole_number(taker_fee_ppm, "taker_fee_ppm"))
        if not 0 <= min(fees) <= max(fees) <= FEE_PPM_MAX:
            raise Rejected(Reason.INVALID_FEES)
        self._change(Command(kind=CommandKind.FEES_SET, market=market.number, account=number), FEES.pack(fees))

    def halt(self, symbol: str | None = None) -> None:
        """Halts a market, or the venue: orders can be cancelled, not placed. Raises UnknownName."""
        self._set_state(symbol, MarketState.HALTED)

    def resume(self, symbol: str | None = None) -> None:
        """Lets a market, or the venue, trade again; a market that was halted on its own stays halted. Raises UnknownName."""
        self._set_state(symbol, MarketState.TRADING)

    def _set_state(self, symbol: str | None, state: MarketState) -> None:
        market = 0 if symbol is None else self._market(symbol).number
        self._change(Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=state))

    # -- accounts and money

    def add_account(self, name: str, deposits: Mapping[str, Number] | None = None) -> None:
        """Opens an account and pays in the deposits, by asset; an amount of 0 is left out.

        Args:
            name: 1 to 32 characters a-z 0-9 . _ - beginning with a letter or digit.

        Raises:
            Rejected: INVALID_ACCOUNT_NAME or ACCOUNT_EXISTS; INVALID_AMOUNT if an asset would pass 2^62 smallest units:
                then the account is open already.
            UnknownName, DecimalError, TypeError: as `deposit`; then the account is not opened.
        """
        units = {asset: self._units(asset, amount) for asset, amount in (deposits or {}).items()}
        self._change(Command(kind=CommandKind.ACCOUNT_ADD), text_bytes(name, "the name of an account"))
        for asset, amount in units.items():
            if amount:
                self._transfer(CommandKind.DEPOSIT, name, asset, amount)

    def deposit(self, account: str, asset: str, amount: Number) -> None:
        """Pays an amount in.

        Raises:
            Rejected: INVALID_AMOUNT: it is 0, or the asset would pass 2^62 smallest units.
            UnknownName: there is no such account or asset.
            DecimalError: the amount is finer than the asset, or negative.
            TypeError: the amount is a float.
        """
        self._transfer(CommandKind.DEPOSIT, account, asset, self._units(asset, amount))

    def withdraw(self, account: str, asset: str, amount: Number) -> None:
        """Pays an amount out of what is available.

        Raises:
            Rejected: INVALID_AMOUNT: it is 0; INSUFFICIENT_FUNDS; ACCOUNT_FROZEN.
            UnknownName, DecimalError, TypeError: as `deposit`.
        """
        self._transfer(CommandKind.WITHDRAW, account, asset, self._units(asset, amount))

    def _units(self, asset: str, amount: Number) -> int:
        return min(self._asset(asset).parse(plain_decimal(amount)), AMOUNT_MAX + 1)

    def _transfer(self, kind: CommandKind, account: str, asset: str, units: int) -> None:
        listed = self._asset(asset)
        self._change(Command(kind=kind, account=self._account(account), asset=listed.number, amount=units))

    def freeze(self, account: str) -> list[int]:
        """Freezes an account: its open orders are cancelled, and it can neither trade nor withdraw.

        Returns:
            The ids of the orders that were cancelled: market by market, then by id.

        Raises:
            UnknownName: there is no such account.
            Rejected: ACCOUNT_FROZEN.
        """
        return closed_orders(self._change(Command(kind=CommandKind.ACCOUNT_FREEZE, account=self._account(account))))

    def unfreeze(self, account: str) -> None:
        """Lifts a freeze. Raises UnknownName, or Rejected with ACCOUNT_NOT_FROZEN."""
        self._change(Command(kind=CommandKind.ACCOUNT_UNFREEZE, account=self._account(account)))

    # -- one batch

    def _execute(self, command: Command, *parts: bytes) -> list[Event]:
        """Executes one command; all its events, also those for which one entry has no room."""
        builder = BatchBuilder()
        builder.add(command, *parts)
        entry = self._run(builder.build(producer=1, incarnation=1, number=self._batches + 1))
        return [event for part in (entry, *self._finish()) for event in part]

    def _finish(self) -> Iterator[EventEntry]:
        """Finishes what a full entry has left over, by a tick, as a venue does, until nothing is due."""
        tick = BatchBuilder()
        tick.add(Command(kind=CommandKind.TIME_TICK))
        while (due_us := self.core.next_deadline_us) is not None and due_us <= self._time_us:
            yield self._run(tick.build(producer=1, incarnation=1, number=self._batches + 1))

    def _run(self, batch: bytes) -> EventEntry:
        """Executes one batch."""
        entry = EventEntry(self.core.execute(self._time_us, batch))
        self._batches += 1
        if self._journal is not None:
            self._journal.append((self._time_us, batch))
        # Only definitions have a blob.
        if entry.header.blob_length:
            for event in entry:
                self.listing.apply(entry, event)
                if event.kind == EventKind.ACCOUNT_ADDED:
                    self.accounts[entry.parts(event)[0].decode()] = event.account
        return entry

    def _change(self, command: Command, *parts: bytes) -> list[Event]:
        """Executes a command that is not an order. Raises Rejected."""
        events = self._execute(command, *parts, *_NOTE)
        if events[0].kind == EventKind.REJECTED:
            raise Rejected(Reason(events[0].reason))
        return events

    # -- names

    def _account(self, name: str) -> int:
        number = self.accounts.get(name)
        if number is None:
            raise unknown_name("account", name, self.accounts)
        return number

    def _asset(self, name: Any) -> Asset:
        asset = self.listing.asset_by_name.get(name)
        if asset is None:
            raise unknown_name("asset", name, self.listing.asset_by_name)
        return asset

    def _market(self, symbol: str) -> Market:
        market = self.listing.market_by_symbol.get(symbol)
        if market is None:
            raise unknown_name("market", symbol, self.listing.market_by_symbol)
        return market
