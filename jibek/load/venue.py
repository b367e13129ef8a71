"""The venue under load, seen from its data folder: accounts and keys for the clients, CPU of its processes, fills.

Of a venue that is known by its URL alone none of this is to be had: its owner gives a key, and replies count the fills.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from engine.journal import EntryId, Store, read_events
from engine.listing import Market
from engine.process import EXIT_REFUSED
from engine.records import AMOUNT_MAX, EVENT_BYTES, EVENT_HEADER, TRADE_EVENT, EventKind
from jibek.client.trading import Credentials
from jibek.commands.account import PERMISSIONS, KeyAdder, open_account, open_directory
from jibek.commands.market import fetch
from jibek.commands.venue import urls
from jibek.console.output import VenueAddress, fail
from jibek.load.flow import Terms
from jibek.venue.directory import read_directory
from jibek.venue.offsets import read_positions
from jibek.venue.processes import cpu_seconds

FUNDS_ORDERS = 100_000
"""An account begins with money for so many orders on either side. It is spent on fees alone."""
ENTRIES_PER_READ = 256
WHO, WHY = "load", "a client of jibek load"
assert TRADE_EVENT.offsets["kind"] == 0, "the kind is the first byte of an event"


@dataclass
class LoadedVenue:
    """A running venue on a data folder."""

    data_dir: Path
    address: VenueAddress
    client: Store

    @classmethod
    def open(cls, data_dir: Path) -> LoadedVenue:
        """Fails with exit code 3 where none runs."""
        address, client, _ = open_directory(data_dir)
        return cls(data_dir, address, client)

    @property
    def ws_api(self) -> str:
        return urls(self.address.host, self.address.port)["ws_api"]

    def price(self, symbol: str) -> Decimal | None:
        """What the market thinks a unit is worth; None where nobody quotes."""
        depth = fetch(f"{urls(self.address.host, self.address.port)['http']}/depth?symbol={symbol}&limit=5")
        best = [Decimal(levels[0][0]) for levels in (depth["bids"], depth["asks"]) if levels]
        return sum(best, Decimal(0)) / len(best) if best else None

    def market(self, symbol: str | None) -> Market:
        """The market of this symbol, or the first one. Fails with exit code 1 where there is none."""
        markets = read_directory(self.client, self.data_dir).listing.market_by_symbol
        if not markets or (symbol is not None and symbol not in markets):
            fail(EXIT_REFUSED, f"The venue has no market {symbol or 'yet'}; it has {', '.join(markets) or 'none'}.")
        return markets[symbol] if symbol is not None else next(iter(markets.values()))

    def open_accounts(self, count: int, market: Market, terms: Terms, *, hmac: bool) -> list[Credentials]:
        """New accounts with money, and a key of each."""
        run = secrets.token_hex(4)
        names = [f"load-{run}-{number}" for number in range(1, count + 1)]
        funds = ((market.base, terms.quantity), (market.quote, terms.value))
        deposits = [(asset, int((FUNDS_ORDERS * amount).scaleb(asset.scale))) for asset, amount in funds]
        for asset, amount in deposits:
            if amount * count > AMOUNT_MAX:
                fail(EXIT_REFUSED, f"{count} clients with {asset.format(amount)} {asset.name} each are more than fits.")
        for name in names:
            open_account(self.client, name, deposits, who=WHO, why=WHY)
        opened = read_directory(self.client, self.data_dir).account_by_name
        adders = [KeyAdder(self.client, opened[name], PERMISSIONS["trade"], WHO, WHY) for name in names]
        if hmac:
            keys = [adder.hmac(self.data_dir) for adder in adders]
            return [Credentials.hmac(made["key"], made["secret"]) for made in keys]
        keys = [adder.ed25519(None) for adder in adders]
        return [Credentials.ed25519(made["key"], made["private_key"]) for made in keys]

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time of each process of the venue since it began; `up` is the one that watches the others."""
        return cpu_seconds({**self.address.services, "up": self.address.pid})

    def journal_end(self) -> EntryId:
        return read_positions(self.client)[0].id

    def ledger_lag_entries(self) -> int:
        return read_positions(self.client)[-1].lag_entries

    def trades_between(self, after: EntryId, until: EntryId, market: Market) -> int:
        """Trades of the market in the entries after one and until another. Cost: about 2 µs an entry and its transfer."""
        trades = 0
        while after < until:
            entries = read_events(self.client, after, count=ENTRIES_PER_READ)
            if not entries:
                break
            for entry in entries:
                if entry.id <= until:
                    trades += trades_in(entry.data, market.number)
            after = entries[-1].id
        return trades


def trades_in(data: bytes, market: int) -> int:
    """How many trades of a market an event entry has."""
    count = EVENT_HEADER.unpack_from(data).event_count
    kinds = data[EVENT_HEADER.size : EVENT_HEADER.size + count * EVENT_BYTES : EVENT_BYTES]
    events = (TRADE_EVENT.unpack_from(data, EVENT_HEADER.size + index * EVENT_BYTES) for index in indexes(kinds))
    return sum(event.market == market for event in events)


def indexes(kinds: bytes) -> list[int]:
    """Where the trades are among the kinds of the events."""
    return [index for index, kind in enumerate(kinds) if kind == EventKind.TRADE]
