"""The markets of exchangeInfo, each encoded once per change of the listing."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from engine.reasons import Reason
from gateway.dialect.exchange_info import symbol_info
from gateway.dialect.rejects import Rejected
from gateway.view.projection import Projection


class MarketTexts:
    """The encoded markets of a projection."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._texts: dict[str, str] = {}
        self._listing_changes = -1

    def of(self, symbols: Iterable[str] | None) -> list[str]:
        """The texts of these markets, or of all.

        Raises:
            Rejected: UNKNOWN_SYMBOL: there is no such market.
        """
        projection = self._projection
        if self._listing_changes != projection.listing_changes:
            self._listing_changes = projection.listing_changes
            self._texts = {
                market.symbol: orjson.dumps(symbol_info(market, projection.listing.venue_state)).decode()
                for market in projection.markets.values()
            }
        if symbols is None:
            return list(self._texts.values())
        try:
            return [self._texts[symbol] for symbol in symbols]
        except KeyError:
            raise Rejected(Reason.UNKNOWN_SYMBOL) from None
