"""The markets of exchangeInfo, each encoded once per change of the listing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from engine.reasons import Reason
from gateway.dialect.exchange_info import MarketFilter, symbol_info, symbol_status
from gateway.dialect.rejects import Rejected
from gateway.dialect.replies import dump_text
from gateway.view.projection import Projection


class MarketText(NamedTuple):
    """A market as JSON text, with its permission sets and without them."""

    status: str
    with_permissions: str
    without_permissions: str


class MarketTexts:
    """The encoded markets of a projection."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._texts: dict[str, MarketText] = {}
        self._listing_changes = -1

    def of(self, wanted: MarketFilter) -> list[str]:
        """The texts of the markets that are wanted, in the order of the symbols that name them.

        Raises:
            Rejected: UNKNOWN_SYMBOL: there is no such market.
        """
        if self._listing_changes != self._projection.listing_changes:
            self._encode()
        texts: Iterable[MarketText] = self._texts.values()
        if wanted.symbols is not None:
            try:
                texts = [self._texts[symbol] for symbol in wanted.symbols]
            except KeyError:
                raise Rejected(Reason.UNKNOWN_SYMBOL) from None
        if not wanted.has_permission:
            return []
        return [
            text.with_permissions if wanted.shows_permission_sets else text.without_permissions
            for text in texts
            if wanted.status in (None, text.status)
        ]

    def _encode(self) -> None:
        projection = self._projection
        venue_state = projection.listing.venue_state
        self._listing_changes = projection.listing_changes
        self._texts = {
            market.symbol: MarketText(
                symbol_status(market, venue_state),
                dump_text(symbol_info(market, venue_state, shows_permission_sets=True)),
                dump_text(symbol_info(market, venue_state, shows_permission_sets=False)),
            )
            for market in projection.markets.values()
        }
