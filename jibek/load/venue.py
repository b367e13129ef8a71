"""The venue under load, seen from its data folder: accounts and keys for the clients, CPU of its processes, fills.

None of this is available for a venue of which you only know the URL: its owner gives you a key, and the fills stay unknown.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from engine.journal import EntryId, EventChain, Store, event_at, read_events
from engine.listing import Market
from engine.process import EXIT_REFUSED
from engine.records import AMOUNT_MAX, EVENT_BYTES, EVENT_HEADER, TRADE_EVENT, EventKind
from jibek.client.rest import fetch
from jibek.client.trading import Credentials
from jibek.console.failure import fail
from jibek.load.flow import Terms
from jibek.venue.accounts import open_trading_accounts
from jibek.venue.address import VenueAddress
from jibek.venue.directory import find_market, open_directory, read_directory
from jibek.venue.offsets import read_offsets
from jibek.venue.processes import cpu_seconds
from jibek.venue.services import SUPERVISOR
from jibek.venue.tiers import check_connections

FUNDS_ORDERS = 100_000
"""An account begins with the funds of so many orders on either side. Only fees use them up."""
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
        """
        Raises:
            Failure: exit code 3 if none runs there.
        """
        address, client, _ = open_directory(data_dir)
        return cls(data_dir, address, client)

    @property
    def ws_api(self) -> str:
        return self.address.urls["ws_api"]

    def price(self, symbol: str) -> Decimal | None:
        """The middle of the book, or its only side; None if it is empty."""
        depth = fetch(f"{self.address.urls['http']}/depth", symbol=symbol, limit="5")
        best = [Decimal(levels[0][0]) for levels in (depth["bids"], depth["asks"]) if levels]
        return sum(best, Decimal(0)) / len(best) if best else None

    def market(self, symbol: str | None) -> Market:
        """The market of this symbol, or the first one.

        Raises:
            Failure: exit code 1 if there is none.
        """
        listing = read_directory(self.client, self.data_dir).listing
        if symbol is not None:
            return find_market(listing, symbol)
        if not listing.markets:
            fail(EXIT_REFUSED, "The venue has no market yet.")
        return next(iter(listing.markets.values()))

    def check_connections(self, count: int) -> None:
        """
        Raises:
            Failure: exit code 1 if the venue does not let one address have so many connections.
        """
        check_connections(read_directory(self.client, self.data_dir), count)

    def open_accounts(self, count: int, market: Market, terms: Terms, *, hmac: bool) -> list[Credentials]:
        """Opens accounts with funds, and gives each a key.

        Raises:
            Failure: exit code 1 if the venue cannot hold the funds of all of them.
        """
        run = secrets.token_hex(4)
        names = [f"load-{run}-{number}" for number in range(1, count + 1)]
        funds = ((market.base, terms.quantity), (market.quote, terms.value))
        deposits = [(asset, int((FUNDS_ORDERS * amount).scaleb(asset.scale))) for asset, amount in funds]
        for asset, amount in deposits:
            if amount * count > AMOUNT_MAX:
                fail(
                    EXIT_REFUSED,
                    f"{count} clients with {asset.format(amount)} {asset.name} each are more than the venue can hold.",
                )
        keys = open_trading_accounts(
            self.client, self.data_dir, dict.fromkeys(names, deposits), hmac=hmac, who=WHO, why=WHY
        )
        return [Credentials.of_key(key) for key in keys]

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time of each process of the venue since it began, by name; `up` is the supervisor."""
        pids = {**self.address.services, SUPERVISOR: self.address.pid}
        seconds = cpu_seconds(pids.values())
        return {name: seconds[pid] for name, pid in pids.items() if pid in seconds}

    def journal_end(self) -> EntryId:
        return read_offsets(self.client)[0].id

    def trades_between(self, after: EntryId, until: EntryId, market: Market) -> int:
        """How many trades the market had in the entries after one and up to another. Cost: about 4 µs an entry.

        Raises:
            ChainBroken: one of the entries was changed.
        """
        first, trades = event_at(self.client, after), 0
        chain = EventChain() if first is None else EventChain(first.id, first.head)
        while chain.cursor < until and (entries := read_events(self.client, chain.cursor, count=ENTRIES_PER_READ)):
            for entry in entries:
                chain.check(entry)
                if after < entry.id <= until:
                    trades += trades_in(entry.data, market.number)
        return trades


def trades_in(data: bytes, market: int) -> int:
    """How many trades of a market an event entry has."""
    count = EVENT_HEADER.unpack_from(data).event_count
    kinds = data[EVENT_HEADER.size : EVENT_HEADER.size + count * EVENT_BYTES : EVENT_BYTES]
    events = (TRADE_EVENT.unpack_from(data, EVENT_HEADER.size + index * EVENT_BYTES) for index in indexes(kinds))
    return sum(event.market == market for event in events)


def indexes(kinds: bytes) -> list[int]:
    """The positions of trades among the kinds of the events."""
    return [index for index, kind in enumerate(kinds) if kind == EventKind.TRADE]
